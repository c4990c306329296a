//! How to run a manager.

use protocol::Limits;
use transport::Address;

/// How to run a manager.
#[derive(Clone, Debug)]
pub struct ManagerOptions {
    /// Where clients find it: a Unix socket with a path of at most 107 bytes, in a folder that only this user can
    /// enter. The manager makes the folder if only that is missing.
    pub address: Address,
    /// What it holds at most.
    pub limits: Limits,
    /// The process id of the parent, if the manager is to end with it and then leave no files.
    pub parent: Option<u32>,
}

impl ManagerOptions {
    /// The default limits, and no parent.
    pub fn new(address: Address) -> ManagerOptions {
        ManagerOptions { address, limits: Limits::default(), parent: None }
    }
}

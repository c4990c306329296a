//! What the program `worker` can do, one file each.

pub(crate) mod run;
pub(crate) mod serve;

use std::path::Path;

use client::{Manager, Result};

/// Connects to the manager at this socket, or at the one that is usual.
fn connect(socket: Option<&Path>) -> Result<Manager> {
    match socket {
        Some(socket) => Manager::connect_to(socket),
        None => Manager::connect(),
    }
}

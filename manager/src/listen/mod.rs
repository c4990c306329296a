//! Where clients arrive. Each kind of address has its listener here: for a Unix socket, one that one manager serves, in
//! a folder that one user can enter.

use transport::{Address, Listener, Place, place};

use self::locked_socket::LockedSocket;
use crate::Error;

pub(crate) use folder::own_folder_in;

mod file_identity;
mod folder;
mod locked_socket;
mod removal;
mod stale_sockets;

/// Listens at an address. A private one is known to the process alone that started this manager: no other manager will
/// serve it.
pub(crate) fn bind(address: &Address, is_private: bool) -> Result<Box<dyn Listener>, Error> {
    match place(address) {
        Place::Unix(socket) if is_private => Ok(Box::new(LockedSocket::bind_private(socket)?)),
        Place::Unix(socket) => Ok(Box::new(LockedSocket::bind(socket)?)),
    }
}

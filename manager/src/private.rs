//! Private managers: each has one owner, ends with it, and finds a place for its socket by itself.

use std::path::{Path, PathBuf};

use protocol::Limits;
use protocol::endpoint::PRIVATE_READY;
use sys::process::effective_user;
use transport::Address;
use transport::unix::default_folder;
use uuid::Uuid;

use crate::listen::own_folder_in;
use crate::{Error, EventLoop, ManagerOptions, announce_with, prepare_process};

/// Serves the process that started this one, at an address that this function chooses and writes to standard output, in
/// the line that begins with [`PRIVATE_READY`]; until the end, which comes with that process's at the latest.
///
/// # Errors
///
/// If no folder can hold the socket; as [`serve`](crate::serve).
pub fn serve_private(owner: u32, limits: Limits) -> Result<(), Error> {
    prepare_process();
    let manager = bind(owner, &limits)?;
    announce_with(PRIVATE_READY, manager.address());
    manager.run()
}

/// Listens in the first folder that can be used.
fn bind(owner: u32, limits: &Limits) -> Result<EventLoop, Error> {
    let mut reasons = Vec::new();
    for folder in folders() {
        let Ok(address) = Address::unix(folder.join(socket_name())) else { continue };
        let options = ManagerOptions { address, limits: limits.clone(), parent: Some(owner) };
        match EventLoop::bind(options) {
            // That would be no better elsewhere.
            Err(error @ Error::System { .. }) => return Err(error),
            Err(error) => {
                log::info!("looks for another folder: {error}");
                reasons.push(error);
            }
            Ok(manager) => return Ok(manager),
        }
    }
    Err(Error::NoPrivateSocket { reasons })
}

/// The folders for the socket of a private manager: the one where the user's sockets are as a rule, and some for when
/// that cannot be used. Nobody but the owner needs to find the socket.
fn folders() -> Vec<PathBuf> {
    let user = effective_user();
    let mut folders = vec![default_folder()];
    for above in [Path::new("/tmp"), &std::env::temp_dir()] {
        let folder = own_folder_in(above, user);
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// The name of a socket. No two are the same, nor are those of containers that share the folder and have the same
/// process ids. A manager recognizes it by its beginning and its end, and may remove it once no process holds its lock:
/// see `listen::stale_sockets`.
fn socket_name() -> String {
    format!("private-{}.sock", Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use protocol::endpoint::{self, SOCKET_PATH_BYTES_MAX};

    use super::*;

    #[test]
    fn private_sockets_differ_and_fit_into_an_address() {
        assert_ne!(socket_name(), socket_name());
        for runtime_folder in [Some("/run/user/4294967295"), None] {
            let socket = Path::new(&endpoint::default_folder(runtime_folder, u32::MAX)).join(socket_name());
            assert!(socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX, "{}", socket.display());
        }
    }

    #[test]
    fn the_folders_differ() {
        let mut folders = folders();
        let count = folders.len();
        folders.sort_unstable();
        folders.dedup();
        assert_eq!(folders.len(), count);
    }
}

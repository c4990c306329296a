//! Where a manager is found.

use alloc::format;
use alloc::string::String;

/// The environment variable that names the socket of the manager to connect to.
pub const SOCKET_VARIABLE: &str = "RALLYPOINT_SOCKET";

/// The environment variable that names the `manager` program to start.
pub const MANAGER_VARIABLE: &str = "RALLYPOINT_MANAGER";

/// What a private manager writes to its standard output when it is ready, before its address. Its owner believes no
/// other program, and no other version.
pub const PRIVATE_READY: &str =
    concat!("a private manager of Rallypoint ", env!("CARGO_PKG_VERSION"), " is ready at ");

/// The longest path of a socket, in bytes: the room in a Unix socket address, less the final zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Returns the folder for the sockets of one user, from the value of `XDG_RUNTIME_DIR` and the effective user id. Leave
/// the value out if its folder belongs to another user.
///
/// ```
/// use protocol::endpoint::default_folder;
///
/// assert_eq!(default_folder(Some("/run/user/1000"), 1000), "/run/user/1000/rallypoint");
/// assert_eq!(default_folder(None, 1000), "/tmp/rallypoint-1000");
/// ```
pub fn default_folder(runtime_folder: Option<&str>, user: u32) -> String {
    match runtime_folder {
        Some(folder) if folder.starts_with('/') => format!("{}/rallypoint", folder.trim_end_matches('/')),
        _ => format!("/tmp/rallypoint-{user}"),
    }
}

/// Returns the path of a user's default socket.
pub fn default_socket(runtime_folder: Option<&str>, user: u32) -> String {
    format!("{}/manager.sock", default_folder(runtime_folder, user))
}

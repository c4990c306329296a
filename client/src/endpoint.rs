//! Where managers are found: the default socket of this user, and private ones.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::endpoint::{SOCKET_VARIABLE, default_folder, default_socket};

/// The socket that the environment names, or else this user's default one.
pub(crate) fn socket() -> PathBuf {
    match std::env::var_os(SOCKET_VARIABLE) {
        Some(socket) if !socket.is_empty() => socket.into(),
        _ => default_socket(runtime_folder().as_deref(), user()).into(),
    }
}

/// A socket for a manager of this process alone, in the user's folder. No two are the same.
pub(crate) fn private_socket() -> PathBuf {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let folder = default_folder(runtime_folder().as_deref(), user());
    Path::new(&folder).join(format!("private-{}-{number}.sock", std::process::id()))
}

fn runtime_folder() -> Option<String> {
    std::env::var("XDG_RUNTIME_DIR").ok()
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_sockets_differ() {
        let [first, second] = [private_socket(), private_socket()];
        assert_ne!(first, second);
        assert_eq!(first.parent(), second.parent());
    }
}

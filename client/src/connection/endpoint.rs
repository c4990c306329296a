//! Where managers are found: the default socket of this user, and private ones.

use std::path::{Path, PathBuf};

use protocol::endpoint::{SOCKET_VARIABLE, default_folder, default_socket};
use uuid::Uuid;

/// The socket that the environment names, or else this user's default one.
pub(crate) fn socket() -> PathBuf {
    match std::env::var_os(SOCKET_VARIABLE) {
        Some(socket) if !socket.is_empty() => socket.into(),
        _ => default_socket(runtime_folder().as_deref(), user()).into(),
    }
}

/// A socket for a manager of this process alone, in the user's folder. No two are the same, nor are those of
/// containers that share the folder and have the same process ids.
///
/// What its name begins and ends with tells managers which files they may clear away once nobody holds their
/// lock: see `leftovers` in `manager`.
pub(crate) fn private_socket() -> PathBuf {
    let folder = default_folder(runtime_folder().as_deref(), user());
    Path::new(&folder).join(format!("private-{}.sock", Uuid::new_v4().simple()))
}

fn runtime_folder() -> Option<String> {
    std::env::var("XDG_RUNTIME_DIR").ok()
}

fn user() -> u32 {
    sys::process::effective_user()
}

#[cfg(test)]
mod tests {
    use protocol::endpoint::SOCKET_PATH_BYTES_MAX;

    use super::*;

    #[test]
    fn private_sockets_differ() {
        let [first, second] = [private_socket(), private_socket()];
        assert_ne!(first, second);
        assert_eq!(first.parent(), second.parent());
    }

    #[test]
    fn private_sockets_fit_into_an_address() {
        let name = private_socket().file_name().unwrap().to_owned();
        for runtime_folder in [Some("/run/user/4294967295"), None] {
            let socket = Path::new(&default_folder(runtime_folder, u32::MAX)).join(&name);
            assert!(socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX, "{}", socket.display());
        }
    }
}

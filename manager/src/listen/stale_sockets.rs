//! Removes what private managers left behind when they were killed together with their owners. No later manager has
//! their names, so nothing else would remove it.
//!
//! The lock decides here, too: this removes files only while it holds their lock, and only if their manager had written
//! into the lock file. So neither a living manager nor one that just begins can lose anything, even if others clear at
//! the same time.

use std::fs::{self, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::file_identity::is_at;
use super::removal::remove_stale;
use crate::Error;
use crate::error::shown;

/// What the lock files of private managers begin and end with, as `client` names their sockets.
const LOCK_NAME: (&str, &str) = ("private-", ".sock.lock");

/// How many files of the folder to examine, so that a full one delays a new manager only a little. The rest is for the
/// next.
const FILES_MAX: usize = 1_000;

/// Removes what dead private managers left in this folder. What cannot be removed stays.
pub(crate) fn clear(folder: &Path) {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) => {
            return log::debug!("no stale sockets can be found in {}: {error}", shown(folder));
        }
    };
    for file in files.take(FILES_MAX).flatten() {
        let name = file.file_name();
        let is_lock = name.to_str().is_some_and(|name| {
            let (beginning, end) = LOCK_NAME;
            name.starts_with(beginning) && name.ends_with(end)
        });
        if !is_lock {
            continue;
        }
        let lock = file.path();
        match clear_one(&lock) {
            Ok(true) => log::debug!("cleared away {} and its socket", shown(&lock)),
            Ok(false) => {}
            Err(error) => log::debug!("{} stays: {error}", shown(&lock)),
        }
    }
}

/// Removes a lock file and its socket, unless their manager may be alive. Returns whether it did.
fn clear_one(lock: &Path) -> Result<bool, Error> {
    let failed = |source| Error::Lock { lock: lock.into(), source };
    // Opening must neither follow a link nor wait for the other end of a pipe.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(lock).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    // A manager that begins makes this file a moment before it takes the lock, and writes into it after that.
    let has_begun = metadata.len() > 0;
    if !metadata.is_file() || !is_ours(&metadata) || !has_begun {
        return Ok(false);
    }
    match file.try_lock() {
        // Another manager may have removed it since it was opened.
        Ok(()) if is_at(&file, lock).map_err(failed)? => {}
        Ok(()) | Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let socket = lock.with_extension("");
    match fs::symlink_metadata(&socket) {
        Ok(metadata) if !is_ours(&metadata) => return Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => remove_stale(&socket)?,
    };
    // Last, so that a manager that is interrupted here leaves what the next one finds.
    fs::remove_file(lock).map_err(failed)?;
    Ok(true)
}

fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == sys::process::effective_user()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::listen::locked_socket::LockedSocket;

    fn folder() -> TempDir {
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    /// The socket and the lock file of a manager of this name that was killed.
    fn stale_socket(folder: &TempDir, name: &str) -> [PathBuf; 2] {
        let socket = folder.path().join(name);
        // A listener of the standard library leaves its file behind.
        drop(UnixListener::bind(&socket).unwrap());
        let lock = socket.with_added_extension("lock");
        fs::write(&lock, "999999\n").unwrap();
        [socket, lock]
    }

    #[test]
    fn what_a_killed_manager_left_is_cleared_away() {
        let folder = folder();
        stale_socket(&folder, "private-1-1.sock");
        let [socket, _lock] = stale_socket(&folder, "private-0123456789abcdef.sock");
        fs::remove_file(socket).unwrap();
        clear(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_living_manager_loses_nothing() {
        let folder = folder();
        let socket = folder.path().join("private-1-1.sock");
        let _living = LockedSocket::bind(&socket).unwrap();
        clear(folder.path());
        UnixStream::connect(&socket).unwrap();
        assert!(
            matches!(LockedSocket::bind(&socket), Err(Error::AlreadyServed { .. })),
            "its lock is there, too"
        );
    }

    #[test]
    fn a_manager_that_listens_under_another_lock_loses_nothing() {
        let folder = folder();
        let [socket, lock] = stale_socket(&folder, "private-1-1.sock");
        fs::remove_file(&socket).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        assert!(matches!(clear_one(&lock), Err(Error::ForeignListener { .. })));
        assert!(socket.exists() && lock.exists());
    }

    #[test]
    fn a_manager_that_begins_loses_nothing() {
        let folder = folder();
        let lock = folder.path().join("private-1-1.sock.lock");
        fs::write(&lock, "").unwrap();
        clear(folder.path());
        assert!(lock.exists());
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = folder();
        let [socket, lock] = stale_socket(&folder, "manager.sock");
        fs::write(folder.path().join("private-notes"), "precious").unwrap();
        fs::create_dir(folder.path().join("private-folder.sock.lock")).unwrap();
        // A link, and a lock whose socket is none.
        symlink(&lock, folder.path().join("private-link.sock.lock")).unwrap();
        fs::write(folder.path().join("private-file.sock.lock"), "999999\n").unwrap();
        fs::write(folder.path().join("private-file.sock"), "precious").unwrap();
        clear(folder.path());
        assert!(socket.exists() && lock.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 7);
        clear(&folder.path().join("no such folder"));
    }

    #[test]
    fn files_of_another_user_are_left_alone() {
        if sys::process::effective_user() != 0 {
            return;
        }
        let folder = folder();
        let [_socket, lock] = stale_socket(&folder, "private-1-1.sock");
        std::os::unix::fs::chown(&lock, Some(65_534), None).unwrap();
        let [socket, _lock] = stale_socket(&folder, "private-2-1.sock");
        std::os::unix::fs::chown(&socket, Some(65_534), None).unwrap();
        clear(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}

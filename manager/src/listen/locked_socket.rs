//! The socket of a manager, in a folder of the user's own, and the lock that says which manager serves it.
//!
//! The lock decides, never the socket file: the holder of `<socket>.lock` may unlink the socket and bind it anew. So a
//! manager takes over a socket that a killed one left behind, and never displaces a living one. At its end, a manager
//! removes the lock file last, while it still holds the lock. A lock on a file that no longer exists guards nothing, so
//! a manager that takes one checks that the file is still the one at the path. And since somebody may remove the lock
//! file of a living manager, no manager unlinks a socket at which a process listens, lock or no lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use protocol::endpoint::SOCKET_PATH_BYTES_MAX;
use rustix::fs::OFlags;
use transport::unix::{LocalListener, is_in_folder_of_variable, lock_of};
use transport::{Address, Listener, Stream};

use super::file_identity::{identity, is_at};
use super::removal::{look_for_stale, remove_stale};
use super::{folder, stale_sockets};
use crate::Error;
use crate::error::shown;

/// A bound socket, and the right to serve it. Gives both up when dropped.
#[derive(Debug)]
pub(crate) struct LockedSocket {
    /// Where clients arrive; accepts without blocking, and yields streams that do not block.
    listener: LocalListener,
    /// Where the socket is.
    socket: PathBuf,
    /// The same as clients are to name it.
    address: Address,
    /// Which file the socket is, by device and inode.
    identity: (u64, u64),
    /// The lock file, locked for as long as it is open; declared last, so that it is closed last.
    lock: File,
}

impl LockedSocket {
    /// Binds the socket at this path, if the folder is safe and no other manager serves it.
    pub(crate) fn bind(socket: &Path) -> Result<LockedSocket, Error> {
        LockedSocket::try_bind(socket).map_err(|error| with_variable(error, socket, false))
    }

    /// Binds a socket that no other manager will serve. What was left behind in its folder by others of its kind that
    /// were killed is cleared away.
    pub(crate) fn bind_private(socket: &Path) -> Result<LockedSocket, Error> {
        let locked = LockedSocket::try_bind(socket).map_err(|error| with_variable(error, socket, true))?;
        stale_sockets::clear(folder::folder_of(socket));
        Ok(locked)
    }

    fn try_bind(socket: &Path) -> Result<LockedSocket, Error> {
        check_path(socket)?;
        let address = Address::unix(socket).map_err(|_| Error::PathWithoutName { socket: socket.into() })?;
        folder::prepare(socket, sys::process::effective_user())?;
        // Before it makes a lock file.
        look_for_stale(socket)?;
        let lock = take_lock(socket)?;
        if remove_stale(socket)? {
            log::info!("takes over the socket that an earlier manager left at {address}");
        }
        let failed = |source| Error::Bind { socket: socket.into(), source };
        let listener = LocalListener::bind(socket).map_err(failed)?;
        let identity = fs::symlink_metadata(socket).map(identity).map_err(failed)?;
        Ok(LockedSocket { listener, socket: socket.into(), address, identity, lock })
    }
}

/// An error that says so where the folder is one that a variable of the environment names.
fn with_variable(error: Error, socket: &Path, is_private: bool) -> Error {
    match error {
        Error::Folder(error) if is_in_folder_of_variable(socket) => {
            Error::FolderOfVariable { error, is_private }
        }
        error => error,
    }
}

impl Listener for LockedSocket {
    fn address(&self) -> &Address {
        &self.address
    }

    fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.listener.accept()?))
    }
}

impl AsFd for LockedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for LockedSocket {
    fn drop(&mut self) {
        // A file that somebody put there by hand stays.
        let is_ours = fs::symlink_metadata(&self.socket).is_ok_and(|found| identity(found) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.socket) {
            log::warn!("the socket {} cannot be removed: {error}", shown(&self.socket));
        }
        // Last, and under the lock: whoever has opened this file before finds out that it is gone.
        let lock = lock_of(&self.socket);
        if is_at(&self.lock, &lock).unwrap_or(false)
            && let Err(error) = fs::remove_file(&lock)
        {
            log::warn!("the lock file {} cannot be removed: {error}", shown(&lock));
        }
    }
}

fn check_path(socket: &Path) -> Result<(), Error> {
    if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(Error::PathTooLong { socket: socket.into() });
    }
    match fs::metadata(socket) {
        Ok(found) if found.is_dir() => {
            let user = sys::process::effective_user();
            let instead = folder::instead_of(&socket.join("manager.sock"), found.mode(), user);
            Err(Error::PathIsFolder { folder: socket.into(), instead })
        }
        _ if socket.file_name().is_none() => Err(Error::PathWithoutName { socket: socket.into() }),
        _ => Ok(()),
    }
}

/// Takes the lock, and writes the process id of this manager into its file.
fn take_lock(socket: &Path) -> Result<File, Error> {
    let lock = lock_of(socket);
    let failed = |source| Error::Lock { lock: lock.clone(), source };
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let mut file = loop {
        let mut file = options.open(&lock).map_err(failed)?;
        match file.try_lock() {
            // Its last holder may have removed it after this opened it.
            Ok(()) if is_at(&file, &lock).map_err(failed)? => break file,
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let (socket, holder) = (socket.into(), read_holder(&mut file));
                let is_there = fs::symlink_metadata(&socket).is_ok();
                return Err(match is_there {
                    true => Error::AlreadyServed { socket, holder },
                    false => Error::ServedWithoutSocket { socket, holder },
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    };
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// The process id of the manager that holds a lock; none if it has not written it yet.
fn read_holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    use tempfile::TempDir;
    use transport::unix::LocalStream;

    use super::*;
    use crate::listen::removal::probe;

    fn folder() -> TempDir {
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    #[test]
    fn a_socket_is_bound_for_its_owner_alone_and_left() {
        let outer = folder();
        let socket = outer.path().join("inner/manager.sock");
        let locked = LockedSocket::bind(&socket).unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
        UnixStream::connect(&socket).unwrap();
        drop(locked);
        assert!(!socket.exists());
    }

    #[test]
    fn a_folder_is_no_path_of_a_socket() {
        let outer = folder();
        let refused = LockedSocket::bind(outer.path()).unwrap_err();
        assert!(matches!(refused, Error::PathIsFolder { .. }), "{refused}");
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
        let refused = LockedSocket::bind(Path::new("/")).unwrap_err();
        let advice = format!("`--socket /tmp/rallypoint-{}/manager.sock`", sys::process::effective_user());
        assert!(refused.to_string().contains(&advice), "{refused}");
    }

    #[test]
    fn a_path_too_long_or_without_a_name_is_refused() {
        let long = PathBuf::from("/".repeat(40)).join("x".repeat(SOCKET_PATH_BYTES_MAX));
        let refused = LockedSocket::bind(&long).unwrap_err();
        assert!(refused.to_string().contains("at most 107"), "{refused}");
        for path in ["/no/such/folder/..", ""] {
            let refused = LockedSocket::bind(Path::new(path)).unwrap_err();
            assert!(matches!(refused, Error::PathWithoutName { .. }), "{path}: {refused}");
        }
    }

    #[test]
    fn the_longest_path_is_taken() {
        let outer = folder();
        let free = SOCKET_PATH_BYTES_MAX - outer.path().as_os_str().len() - 1;
        let socket = outer.path().join("x".repeat(free));
        assert_eq!(socket.as_os_str().len(), SOCKET_PATH_BYTES_MAX);
        let _locked = LockedSocket::bind(&socket).unwrap();
        UnixStream::connect(&socket).unwrap();
    }

    #[test]
    fn the_second_manager_learns_which_process_is_the_first() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        let first = LockedSocket::bind(&socket).unwrap();
        let refused = LockedSocket::bind(&socket).unwrap_err();
        let this = std::process::id();
        assert!(matches!(refused, Error::AlreadyServed { holder: Some(holder), .. } if holder == this));
        assert!(refused.to_string().contains(&format!("process {this}")), "{refused}");
        UnixStream::connect(&socket).expect("the first one still serves");
        drop(first);
        LockedSocket::bind(&socket).expect("the socket is free again");
    }

    #[test]
    fn a_stale_socket_is_taken_over() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        // A listener of the standard library leaves its file behind, as a killed manager does.
        drop(UnixListener::bind(&socket).unwrap());
        fs::write(lock_of(&socket), "999999 a longer text than any process id\n").unwrap();
        let _locked = LockedSocket::bind(&socket).unwrap();
        UnixStream::connect(&socket).unwrap();
        assert_eq!(fs::read_to_string(lock_of(&socket)).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_living_manager_whose_lock_file_vanished_is_not_displaced() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        let first = LockedSocket::bind(&socket).unwrap();
        fs::remove_file(lock_of(&socket)).unwrap();
        let refused = LockedSocket::bind(&socket).unwrap_err();
        let this = std::process::id();
        assert!(matches!(refused, Error::ForeignListener { process: Some(found), .. } if found == this));
        let found = fs::symlink_metadata(&socket).map(identity).unwrap();
        assert_eq!(found, first.identity, "the first one's socket is still there");
        drop(first);
        LockedSocket::bind(&socket).expect("the socket is free again");
    }

    #[test]
    fn a_manager_that_is_too_busy_to_accept_is_not_displaced() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        // The manager accepts none of these, and soon the system queues no more.
        let mut crowd = Vec::new();
        while crowd.last().is_none_or(LocalStream::is_connected) {
            crowd.extend(probe(&socket).unwrap());
        }
        assert!(matches!(LockedSocket::bind(&socket), Err(Error::ForeignListener { .. })));
    }

    #[test]
    fn what_is_not_a_socket_is_left_alone() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        fs::write(&socket, "precious").unwrap();
        assert!(matches!(LockedSocket::bind(&socket), Err(Error::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
        assert!(!lock_of(&socket).exists());
    }

    #[test]
    fn a_socket_of_another_type_is_called_so_and_left_alone() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        let _datagram = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
        let refused = LockedSocket::bind(&socket).unwrap_err();
        assert!(matches!(refused, Error::SocketOfAnotherType { .. }), "{refused}");
        assert!(socket.exists());
    }

    #[test]
    fn a_manager_whose_socket_was_removed_is_named() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        let _first = LockedSocket::bind(&socket).unwrap();
        fs::remove_file(&socket).unwrap();
        let refused = LockedSocket::bind(&socket).unwrap_err();
        assert!(matches!(refused, Error::ServedWithoutSocket { holder: Some(_), .. }), "{refused}");
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_not_followed() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        let precious = outer.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        symlink(&precious, lock_of(&socket)).unwrap();
        let refused = LockedSocket::bind(&socket).unwrap_err();
        assert!(matches!(refused, Error::Lock { .. }), "{refused}");
        assert!(refused.to_string().ends_with("it is a symbolic link; remove it"), "{refused}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }

    #[test]
    fn a_lock_file_that_cannot_be_taken_comes_with_advice() {
        let outer = folder();
        let socket = outer.path().join("my m.sock");
        fs::create_dir(lock_of(&socket)).unwrap();
        let refused = LockedSocket::bind(&socket).unwrap_err().to_string();
        assert!(refused.ends_with("it is a folder; remove it, or choose another socket"), "{refused}");

        let (lock, source) = (lock_of(&socket), Errno::ACCESS.into());
        let refused = Error::Lock { lock: lock.clone(), source }.to_string();
        assert!(refused.ends_with(&format!("`chmod 600 '{}'`", lock.display())), "{refused}");
    }

    #[test]
    fn one_that_ends_leaves_nothing() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        for bind in [LockedSocket::bind, LockedSocket::bind_private] {
            let locked = bind(&socket).unwrap();
            assert!(matches!(LockedSocket::bind(&socket), Err(Error::AlreadyServed { .. })));
            drop(locked);
            assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn one_at_a_time_serves_a_socket_while_they_come_and_go() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        let serving = AtomicU32::new(0);
        let served = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(locked) = LockedSocket::bind(&socket) else { continue };
                        assert_eq!(serving.fetch_add(1, Ordering::SeqCst), 0);
                        served.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        serving.fetch_sub(1, Ordering::SeqCst);
                        drop(locked);
                    }
                });
            }
        });
        assert!(served.load(Ordering::SeqCst) > 0);
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_file_that_was_replaced_is_left_alone_and_its_lock_guards_nothing() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        let locked = LockedSocket::bind_private(&socket).unwrap();
        assert!(is_at(&locked.lock, &lock_of(&socket)).unwrap());
        fs::remove_file(lock_of(&socket)).unwrap();
        assert!(!is_at(&locked.lock, &lock_of(&socket)).unwrap());
        let lock = take_lock(&socket).unwrap();
        assert!(!is_at(&locked.lock, &lock_of(&socket)).unwrap());
        drop(locked);
        assert!(is_at(&lock, &lock_of(&socket)).unwrap());
    }

    #[test]
    fn a_socket_that_replaced_this_one_is_left_alone() {
        let outer = folder();
        let socket = outer.path().join("m.sock");
        let locked = LockedSocket::bind(&socket).unwrap();
        fs::remove_file(&socket).unwrap();
        let _other = UnixListener::bind(&socket).unwrap();
        drop(locked);
        assert!(socket.exists());
    }
}

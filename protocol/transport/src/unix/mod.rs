//! Streams over Unix sockets of this machine.
//!
//! `interprocess` makes them; this code reads and writes with the system calls that can say each time whether they
//! wait.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use interprocess::ConnectWaitMode;
use interprocess::local_socket::traits::Listener as _;
use interprocess::local_socket::{
    ConnectOptions, GenericFilePath, ListenerNonblockingMode, ListenerOptions, Stream as InterprocessStream,
    ToFsName,
};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use interprocess::os::unix::uds_local_socket;
use protocol::endpoint;
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendFlags, Shutdown, recv, recvmsg, send, shutdown,
};
use sys::descriptors::{self, Waiting};
use sys::poll::{Watched, wait_for_any};
use sys::process::{Process, effective_user, peer_credentials};

use crate::stream::{Available, PeerIdentity, ReadMode, Stream, StreamReadiness};

pub(crate) mod diagnosis;

/// The environment variable that says where the folder for a user's sockets is.
pub const FOLDER_VARIABLE: &str = "XDG_RUNTIME_DIR";

/// The folder for the sockets of this user: in the one that [`FOLDER_VARIABLE`] names, unless that belongs to another
/// user, as after su(1). There it would lock its owner out.
#[must_use]
pub fn default_folder() -> PathBuf {
    endpoint::default_folder(runtime_folder().ok().as_deref(), effective_user()).into()
}

/// The default socket of this user's manager.
#[must_use]
pub fn default_socket() -> PathBuf {
    endpoint::default_socket(runtime_folder().ok().as_deref(), effective_user()).into()
}

/// Whether a socket is where it is because [`FOLDER_VARIABLE`] says so.
#[must_use]
pub fn is_in_folder_of_variable(socket: &Path) -> bool {
    runtime_folder().is_ok() && socket.parent().is_some_and(|folder| folder == default_folder())
}

/// The folder that [`FOLDER_VARIABLE`] names and that is not used, because it belongs to another user; and that user.
#[must_use]
pub fn disregarded_folder() -> Option<(PathBuf, u32)> {
    runtime_folder().err().flatten()
}

/// The folder that [`FOLDER_VARIABLE`] names. The error is the folder that it names if that belongs to another user,
/// and that user; or none.
fn runtime_folder() -> Result<String, Option<(PathBuf, u32)>> {
    let folder = env::var(FOLDER_VARIABLE).ok().filter(|folder| folder.starts_with('/')).ok_or(None)?;
    match fs::metadata(&folder) {
        Ok(found) if found.uid() != effective_user() => Err(Some((folder.into(), found.uid()))),
        // One that is missing or closed stays, so that nobody looks elsewhere once it is there.
        _ => Ok(folder),
    }
}

/// Removes the files that a manager has left behind which was killed. No other manager may have its socket.
pub(crate) fn remove_remains(socket: &Path) {
    let _ = fs::remove_file(socket);
    let _ = fs::remove_file(lock_of(socket));
}

/// The lock file of a manager's socket, which the manager holds locked while it lives, and which begins with its
/// process id.
#[must_use]
pub fn lock_of(socket: &Path) -> PathBuf {
    socket.with_added_extension("lock")
}

/// A Unix socket at which streams arrive.
#[derive(Debug)]
pub struct LocalListener(uds_local_socket::Listener);

/// One end of a stream over a Unix socket.
#[derive(Debug)]
pub struct LocalStream(uds_local_socket::Stream);

impl LocalListener {
    /// Listens at the socket of this path, which must not exist, for processes of this user alone.
    ///
    /// # Errors
    ///
    /// If something is at this path, or the system refuses.
    pub fn bind(path: &Path) -> io::Result<LocalListener> {
        let listener = ListenerOptions::new()
            .name(path.to_fs_name::<GenericFilePath>()?)
            .mode(0o600)
            .nonblocking(ListenerNonblockingMode::Both)
            .reclaim_name(false)
            .create_sync_as::<uds_local_socket::Listener>()?;
        Ok(LocalListener(listener))
    }

    /// Takes a stream that has arrived. Never waits.
    ///
    /// # Errors
    ///
    /// With [`WouldBlock`](io::ErrorKind::WouldBlock) if none has; if no descriptor is left.
    pub fn accept(&self) -> io::Result<LocalStream> {
        self.0.accept().map(LocalStream)
    }
}

impl AsFd for LocalListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl LocalStream {
    /// Begins to connect to the socket of this path. Never waits: where the other side's queue is full, the stream
    /// [is not connected](Self::is_connected), and another try may be.
    ///
    /// # Errors
    ///
    /// With [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens there,
    /// [`NotFound`](io::ErrorKind::NotFound) if there is nothing, `EPROTOTYPE` if the socket is one of another type,
    /// and others that the system has.
    pub fn connect(path: &Path) -> io::Result<LocalStream> {
        let name = path.to_fs_name::<GenericFilePath>()?;
        // There is one kind of local socket on Unix.
        let InterprocessStream::UdSocket(stream) =
            ConnectOptions::new().name(name).wait_mode(ConnectWaitMode::Deferred).connect_sync()?;
        Ok(LocalStream(stream))
    }

    /// Whether a process is at the other end.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.inner().peer_addr().is_ok()
    }

    /// Waits before the read if the mode does so, and returns how the read itself waits.
    fn waiting(&self, mode: ReadMode) -> Waiting {
        match mode {
            ReadMode::NonBlocking => Waiting::Never,
            ReadMode::Blocking => Waiting::AsSocket,
            ReadMode::PollFirst => {
                // Its outcome does not matter: the read shows it.
                let _ = wait_for_any(&mut [Watched::to_read(&self.0)], None);
                Waiting::AsSocket
            }
        }
    }
}

impl Stream for LocalStream {
    fn peer(&self) -> io::Result<PeerIdentity> {
        let found = peer_credentials(self.as_fd())?;
        Ok(PeerIdentity { process: found.process, user: Some(found.user) })
    }

    fn peer_process(&self, id: u32) -> io::Result<Process> {
        Process::of_peer(self.as_fd(), id)
    }

    fn read(&self, bytes: &mut [u8], mode: ReadMode) -> io::Result<usize> {
        let flags = match self.waiting(mode) {
            Waiting::Never => RecvFlags::DONTWAIT,
            Waiting::AsSocket => RecvFlags::empty(),
        };
        let (_, count) = retry_on_intr(|| recv(&self.0, &mut *bytes, flags))?;
        Ok(count)
    }

    fn read_available(&self, bytes: &mut [u8]) -> io::Result<Available> {
        let mut parts = [IoSliceMut::new(bytes)];
        let mut no_room = RecvAncillaryBuffer::default();
        let received = retry_on_intr(|| recvmsg(&self.0, &mut parts, &mut no_room, RecvFlags::DONTWAIT))?;
        // The system ends a receive behind bytes that brought descriptors, drops these, and says so.
        Ok(Available { bytes: received.bytes, is_cut_short: received.flags.contains(ReturnFlags::CTRUNC) })
    }

    fn read_with_descriptors(
        &self,
        bytes: &mut [u8],
        take: &mut dyn FnMut(OwnedFd),
        mode: ReadMode,
    ) -> io::Result<usize> {
        let waiting = self.waiting(mode);
        let mut came = Vec::new();
        loop {
            match descriptors::receive(&self.0, bytes, &mut came, waiting) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => {
                    came.into_iter().for_each(take);
                    return received;
                }
            }
        }
    }

    fn passes_descriptors(&self) -> bool {
        true
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // The program around it may have made SIGPIPE deadly.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(retry_on_intr(|| send(&self.0, bytes, flags))?)
    }

    fn write_with_descriptor(&self, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
        loop {
            match descriptors::send(&self.0, bytes, &[descriptor], Waiting::Never) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent,
            }
        }
    }

    fn wait(&self, wanted: StreamReadiness, timeout: Option<Duration>) -> StreamReadiness {
        let mut socket = [Watched::for_use(&self.0, wanted.readable, wanted.writable)];
        // If the system has no memory for the wait, the stream is as ready as after a wait in vain.
        let _ = wait_for_any(&mut socket, timeout);
        StreamReadiness { readable: socket[0].is_readable(), writable: socket[0].is_writable() }
    }

    fn hang_up(&self) {
        // A failure says that the peer was faster.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

impl AsFd for LocalStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<UnixStream> for Box<dyn Stream> {
    fn from(stream: UnixStream) -> Box<dyn Stream> {
        Box::new(LocalStream(stream.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::ErrorKind;

    use super::*;

    fn pair() -> (Box<dyn Stream>, Box<dyn Stream>) {
        let (first, second) = UnixStream::pair().unwrap();
        (first.into(), second.into())
    }

    #[test]
    fn streams_arrive_at_an_address_and_tell_who_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        assert_eq!(LocalStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let listener = LocalListener::bind(&path).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let ours = LocalStream::connect(&path).unwrap();
        let theirs = listener.accept().unwrap();
        assert!(ours.is_connected() && theirs.is_connected());
        let (process, user) = (Some(std::process::id()), Some(sys::process::effective_user()));
        for stream in [&ours, &theirs] {
            assert_eq!(stream.peer().unwrap(), PeerIdentity { process, user });
            assert!(!stream.peer_process(std::process::id()).unwrap().has_ended());
        }
        drop(listener);
        assert_eq!(LocalStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_full_queue_leaves_a_stream_unconnected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let _listener = LocalListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        while waiting.last().is_none_or(LocalStream::is_connected) {
            waiting.push(LocalStream::connect(&path).unwrap());
            assert!(waiting.len() < 10_000, "the queue is not bounded here");
        }
    }

    #[test]
    fn bytes_are_read_as_the_mode_says() {
        let (ours, theirs) = pair();
        let mut bytes = [0; 8];
        let nothing = theirs.read(&mut bytes, ReadMode::NonBlocking).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        for mode in [ReadMode::NonBlocking, ReadMode::Blocking, ReadMode::PollFirst] {
            assert_eq!(ours.write(b"four").unwrap(), 4);
            assert_eq!(theirs.read(&mut bytes, mode).unwrap(), 4);
        }
        drop(ours);
        assert_eq!(theirs.read(&mut bytes, ReadMode::PollFirst).unwrap(), 0);
        assert_eq!(theirs.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_descriptor_comes_with_its_bytes() {
        let (ours, theirs) = pair();
        assert!(ours.passes_descriptors());
        let file = File::open("/dev/null").unwrap();
        assert_eq!(ours.write_with_descriptor(b"x", file.as_fd()).unwrap(), 1);
        let (mut bytes, mut descriptors) = ([0; 8], Vec::new());
        let read = theirs.read_with_descriptors(
            &mut bytes,
            &mut |descriptor| descriptors.push(descriptor),
            ReadMode::Blocking,
        );
        assert_eq!((read.unwrap(), descriptors.len()), (1, 1));
    }

    #[test]
    fn readiness_is_waited_for_and_a_hang_up_is_seen() {
        let (ours, theirs) = pair();
        assert_eq!(theirs.wait(StreamReadiness::READABLE, Some(Duration::ZERO)), StreamReadiness::default());
        assert_eq!(theirs.wait(StreamReadiness::EITHER, None), StreamReadiness::WRITABLE);
        while ours.write(&[0; 4096]).is_ok() {}
        assert_eq!(ours.wait(StreamReadiness::WRITABLE, Some(Duration::ZERO)), StreamReadiness::default());
        assert_eq!(theirs.wait(StreamReadiness::READABLE, None), StreamReadiness::READABLE);
        theirs.hang_up();
        assert!(ours.wait(StreamReadiness::READABLE, None).readable);
        assert!(ours.wait(StreamReadiness::WRITABLE, None).writable, "a write shows the end");
    }
}

//! The interface: what a manager and its clients need of a stream, whatever carries it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use sys::process::Process;

use crate::Address;
use crate::unix::{LocalListener, LocalStream};

/// Where streams arrive.
#[derive(Debug)]
pub enum Listener {
    /// At a Unix socket.
    Unix(LocalListener),
}

/// A connection between a manager and a client: bytes in both directions, in order.
///
/// A write never waits; a read does as [`ReadMode`] says. To wait for something else as well, poll the stream's
/// descriptor ([`AsFd`]). Dropping the stream closes it.
#[derive(Debug)]
pub enum Stream {
    /// Over a Unix socket.
    Unix(LocalStream),
}

/// How a read waits for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// Not at all: it takes what has come already, or fails with [`WouldBlock`](io::ErrorKind::WouldBlock).
    NonBlocking,
    /// In the read itself, for bytes that come soon. On a Unix socket a waiting read also wakes when the other side
    /// reads, since a socket wakes both sides; that costs nothing if the answer follows at once.
    Blocking,
    /// In a poll before the read, for bytes that may come late. That costs a system call, and only bytes wake it.
    PollFirst,
}

/// What a stream is ready for, or should become ready for. The end of a stream counts as both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Bytes, or the end, can be read.
    pub readable: bool,
    /// Bytes can be written.
    pub writable: bool,
}

/// The process at the other end of a stream, as the system reports it. A peer can claim nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The process id.
    pub process: Option<u32>,
    /// The effective user id.
    pub user: Option<u32>,
}

impl Listener {
    /// Listens at the Unix socket of this path, which must not exist, for processes of this user alone.
    ///
    /// # Errors
    ///
    /// If something is at this path, or the system refuses.
    pub fn bind_unix(path: &Path) -> io::Result<Listener> {
        Ok(Listener::Unix(LocalListener::bind(path)?))
    }

    /// Takes a stream that has arrived. Never waits.
    ///
    /// # Errors
    ///
    /// With [`WouldBlock`](io::ErrorKind::WouldBlock) if none has; if no descriptor is left.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Unix(listener) => Ok(Stream::Unix(listener.accept()?)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Stream {
    /// Begins to connect to this address. Never waits: if the other side's queue is full, the stream [is not
    /// connected](Self::is_connected), and another attempt may succeed.
    ///
    /// # Errors
    ///
    /// With [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens there,
    /// [`NotFound`](io::ErrorKind::NotFound) if there is nothing, and others that the system has.
    pub fn connect(address: &Address) -> io::Result<Stream> {
        match address {
            Address::Unix(path) => Ok(Stream::Unix(LocalStream::connect(path)?)),
        }
    }

    /// Whether a process is at the other end.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self {
            Stream::Unix(stream) => stream.is_connected(),
        }
    }

    /// The process at the other end.
    ///
    /// # Errors
    ///
    /// If the system does not tell.
    pub fn peer(&self) -> io::Result<PeerIdentity> {
        match self {
            Stream::Unix(stream) => stream.peer(),
        }
    }

    /// The process at the other end, as something to watch, given the id from [`peer`](Self::peer).
    ///
    /// # Errors
    ///
    /// If it has ended, or the system cannot watch it.
    pub fn peer_process(&self, id: u32) -> io::Result<Process> {
        match self {
            Stream::Unix(stream) => Process::of_peer(stream.as_fd(), id),
        }
    }

    /// Reads once into `bytes`, and returns how many came; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// With [`WouldBlock`](io::ErrorKind::WouldBlock) if the mode is not to wait and nothing has come;
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the other side has closed without reading everything.
    #[inline]
    pub fn read(&self, bytes: &mut [u8], mode: ReadMode) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(bytes, mode),
        }
    }

    /// Reads once as [`read`](Self::read) does, and appends the descriptors that came with the bytes.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_with_descriptors(
        &self,
        bytes: &mut [u8],
        descriptors: &mut impl Extend<OwnedFd>,
        mode: ReadMode,
    ) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read_with_descriptors(bytes, descriptors, mode),
        }
    }

    /// Writes what the system takes at once, and returns how many bytes that were.
    ///
    /// # Errors
    ///
    /// With [`WouldBlock`](io::ErrorKind::WouldBlock) if it takes none for now;
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the other side has closed.
    #[inline]
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    /// Whether descriptors can travel over it: whether both ends are on one machine.
    #[must_use]
    pub fn passes_descriptors(&self) -> bool {
        match self {
            Stream::Unix(_) => true,
        }
    }

    /// Writes as [`write`](Self::write) does, and sends a descriptor with the first byte.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); with `ETOOMANYREFS` if too many descriptors of this user are on their way.
    pub fn write_with_descriptor(&self, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write_with_descriptor(bytes, descriptor),
        }
    }

    /// Waits until the stream is ready for something that is wanted, for at most `timeout`; with `None`, forever.
    /// Returns what it is ready for. An interruption counts as a timeout.
    pub fn wait(&self, wanted: Readiness, timeout: Option<Duration>) -> Readiness {
        match self {
            Stream::Unix(stream) => stream.wait(wanted, timeout),
        }
    }

    /// Ends the stream in both directions, for every process that holds a copy of it.
    pub fn hang_up(&self) {
        match self {
            Stream::Unix(stream) => stream.hang_up(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Stream {
        Stream::Unix(stream.into())
    }
}

impl Readiness {
    /// To read.
    pub const READABLE: Readiness = Readiness { readable: true, writable: false };
    /// To write.
    pub const WRITABLE: Readiness = Readiness { readable: false, writable: true };
    /// To read or write.
    pub const EITHER: Readiness = Readiness { readable: true, writable: true };
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::ErrorKind;

    use super::*;

    fn pair() -> (Stream, Stream) {
        let (first, second) = UnixStream::pair().unwrap();
        (first.into(), second.into())
    }

    #[test]
    fn streams_arrive_at_an_address_and_tell_who_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let address = Address::from(&path);
        assert_eq!(Stream::connect(&address).unwrap_err().kind(), ErrorKind::NotFound);
        let listener = Listener::bind_unix(&path).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let ours = Stream::connect(&address).unwrap();
        let theirs = listener.accept().unwrap();
        assert!(ours.is_connected() && theirs.is_connected());
        let (process, user) = (Some(std::process::id()), Some(sys::process::effective_user()));
        for stream in [&ours, &theirs] {
            assert_eq!(stream.peer().unwrap(), PeerIdentity { process, user });
            assert!(!stream.peer_process(std::process::id()).unwrap().has_ended());
        }
        drop(listener);
        assert_eq!(Stream::connect(&address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_full_queue_leaves_a_stream_unconnected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let _listener = Listener::bind_unix(&path).unwrap();
        let mut waiting = Vec::new();
        while waiting.last().is_none_or(Stream::is_connected) {
            waiting.push(Stream::connect(&path.as_path().into()).unwrap());
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
        let read = theirs.read_with_descriptors(&mut bytes, &mut descriptors, ReadMode::Blocking);
        assert_eq!((read.unwrap(), descriptors.len()), (1, 1));
    }

    #[test]
    fn readiness_is_waited_for_and_a_hang_up_is_seen() {
        let (ours, theirs) = pair();
        assert_eq!(theirs.wait(Readiness::READABLE, Some(Duration::ZERO)), Readiness::default());
        assert_eq!(theirs.wait(Readiness::EITHER, None), Readiness::WRITABLE);
        while ours.write(&[0; 4096]).is_ok() {}
        assert_eq!(ours.wait(Readiness::WRITABLE, Some(Duration::ZERO)), Readiness::default());
        assert_eq!(theirs.wait(Readiness::READABLE, None), Readiness::READABLE);
        theirs.hang_up();
        assert!(ours.wait(Readiness::READABLE, None).readable);
        assert!(ours.wait(Readiness::WRITABLE, None).writable, "a write shows the end");
    }
}

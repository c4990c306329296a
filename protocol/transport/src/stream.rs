//! The interface: what a manager and its clients need of a stream, whatever carries it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use sys::process::Process;

use crate::Address;

/// Where streams arrive. Its descriptor ([`AsFd`]) is readable when one has.
pub trait Listener: AsFd + fmt::Debug + Send {
    /// Where clients find it.
    fn address(&self) -> &Address;

    /// Takes a stream that has arrived. Never waits.
    ///
    /// # Errors
    ///
    /// With [`WouldBlock`](io::ErrorKind::WouldBlock) if none has; if no descriptor is left.
    fn accept(&self) -> io::Result<Box<dyn Stream>>;
}

/// What one read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available {
    /// How many bytes; 0 is the end of the stream.
    pub bytes: usize,
    /// Whether more may have come although there was room for it, because a descriptor stood in between.
    pub is_cut_short: bool,
}

/// A connection between a manager and a client: bytes in both directions, in order.
///
/// A write never waits; a read does as [`ReadMode`] says. To wait for something else as well, poll the stream's
/// descriptor ([`AsFd`]). Dropping the stream closes it.
pub trait Stream: AsFd + fmt::Debug + Send + Sync {
    /// The process at the other end.
    ///
    /// # Errors
    ///
    /// If the system does not tell.
    fn peer(&self) -> io::Result<PeerIdentity>;

    /// The process at the other end, as something to watch, given the id from [`peer`](Self::peer); 0 if it has none.
    ///
    /// # Errors
    ///
    /// If it has ended, or the system cannot watch it.
    fn peer_process(&self, id: u32) -> io::Result<Process> {
        let _ = id;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads once into `bytes`, and returns how many came; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// With [`WouldBlock`](io::ErrorKind::WouldBlock) if the mode is not to wait and nothing has come;
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) if the other side has closed without reading everything.
    fn read(&self, bytes: &mut [u8], mode: ReadMode) -> io::Result<usize>;

    /// Reads what has come, without waiting. Descriptors are dropped.
    ///
    /// # Errors
    ///
    /// As in [`read`](Self::read).
    fn read_available(&self, bytes: &mut [u8]) -> io::Result<Available>;

    /// Writes what the system takes at once, and returns how many bytes that were.
    ///
    /// # Errors
    ///
    /// With [`WouldBlock`](io::ErrorKind::WouldBlock) if it takes none for now;
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the other side has closed.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether descriptors can travel over it: whether both ends are on one machine.
    fn passes_descriptors(&self) -> bool {
        false
    }

    /// Reads once as [`read`](Self::read) does, and calls `take` with each descriptor that came with the bytes.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn read_with_descriptors(
        &self,
        bytes: &mut [u8],
        take: &mut dyn FnMut(OwnedFd),
        mode: ReadMode,
    ) -> io::Result<usize> {
        let _ = take;
        self.read(bytes, mode)
    }

    /// Writes as [`write`](Self::write) does, and sends a descriptor with the first byte.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); with `ETOOMANYREFS` if too many descriptors of this user are on their way, and with
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the stream passes none.
    fn write_with_descriptor(&self, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
        let _ = (bytes, descriptor);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits until the stream is ready for something that is wanted, for at most `timeout`; with `None`, forever.
    /// Returns what it is ready for. An interruption counts as a timeout.
    fn wait(&self, wanted: StreamReadiness, timeout: Option<Duration>) -> StreamReadiness;

    /// Ends the stream in both directions, for every process that holds a copy of it.
    fn hang_up(&self);
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
pub struct StreamReadiness {
    /// Bytes, or the end, can be read.
    pub readable: bool,
    /// Bytes can be written.
    pub writable: bool,
}

/// The process at the other end of a stream, as the system reports it. A peer can claim nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The process id; none if the process is outside of the PID namespace of this one.
    pub process: Option<u32>,
    /// The effective user id.
    pub user: Option<u32>,
}

/// A peer that the processes of this user do not trust. As text it says whose process it is, as in “belongs to user
/// 1001”.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UntrustedPeer {
    user: Option<u32>,
}

impl PeerIdentity {
    /// Checks that the processes of this user trust the peer: that it is one of them.
    ///
    /// # Errors
    ///
    /// If it is another user's process, or is not known to be this user's.
    pub fn check(&self, user: u32) -> Result<(), UntrustedPeer> {
        match self.user {
            Some(found) if found == user => Ok(()),
            other => Err(UntrustedPeer { user: other }),
        }
    }
}

impl fmt::Display for UntrustedPeer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.user {
            Some(user) => write!(formatter, "belongs to user {user}"),
            None => formatter.write_str("belongs to a user that the system does not name"),
        }
    }
}

impl std::error::Error for UntrustedPeer {}

impl StreamReadiness {
    /// To read.
    pub const READABLE: StreamReadiness = StreamReadiness { readable: true, writable: false };
    /// To write.
    pub const WRITABLE: StreamReadiness = StreamReadiness { readable: false, writable: true };
    /// To read or write.
    pub const EITHER: StreamReadiness = StreamReadiness { readable: true, writable: true };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_the_same_user_are_trusted() {
        let peer = |user| PeerIdentity { process: Some(1), user };
        assert_eq!(peer(Some(1000)).check(1000), Ok(()));
        assert_eq!(peer(Some(0)).check(1000).unwrap_err().to_string(), "belongs to user 0");
        let unknown = peer(None).check(1000).unwrap_err();
        assert_eq!(unknown.to_string(), "belongs to a user that the system does not name");
    }
}

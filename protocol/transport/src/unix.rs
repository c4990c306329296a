//! Streams over Unix sockets of this machine.
//!
//! `interprocess` makes them; this code reads and writes with the system calls that can say each time whether they
//! wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use interprocess::ConnectWaitMode;
use interprocess::local_socket::traits::{Listener as _, StreamCommon};
use interprocess::local_socket::{
    ConnectOptions, GenericFilePath, ListenerNonblockingMode, ListenerOptions, Stream, ToFsName,
};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use interprocess::os::unix::uds_local_socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use sys::descriptors::{self, Waiting};

use crate::stream::{PeerIdentity, ReadMode, Readiness};

/// A Unix socket at which streams arrive.
#[derive(Debug)]
pub struct LocalListener(uds_local_socket::Listener);

/// One end of a stream over a Unix socket.
#[derive(Debug)]
pub struct LocalStream(uds_local_socket::Stream);

impl LocalListener {
    pub(crate) fn bind(path: &Path) -> io::Result<LocalListener> {
        let listener = ListenerOptions::new()
            .name(path.to_fs_name::<GenericFilePath>()?)
            .mode(0o600)
            .nonblocking(ListenerNonblockingMode::Both)
            .reclaim_name(false)
            .create_sync_as::<uds_local_socket::Listener>()?;
        Ok(LocalListener(listener))
    }

    pub(crate) fn accept(&self) -> io::Result<LocalStream> {
        self.0.accept().map(LocalStream)
    }
}

impl AsFd for LocalListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl LocalStream {
    pub(crate) fn connect(path: &Path) -> io::Result<LocalStream> {
        let name = path.to_fs_name::<GenericFilePath>()?;
        // There is one kind of local socket on Unix.
        let Stream::UdSocket(stream) =
            ConnectOptions::new().name(name).wait_mode(ConnectWaitMode::Deferred).connect_sync()?;
        Ok(LocalStream(stream))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.0.inner().peer_addr().is_ok()
    }

    pub(crate) fn peer(&self) -> io::Result<PeerIdentity> {
        let credentials = self.0.peer_creds()?;
        let process = credentials.pid().and_then(|process| u32::try_from(process).ok());
        Ok(PeerIdentity { process, user: credentials.euid() })
    }

    #[inline]
    pub(crate) fn read(&self, bytes: &mut [u8], mode: ReadMode) -> io::Result<usize> {
        let flags = match self.waiting(mode) {
            Waiting::Never => RecvFlags::DONTWAIT,
            Waiting::AsSocket => RecvFlags::empty(),
        };
        let (_, count) = retry_on_intr(|| recv(&self.0, &mut *bytes, flags))?;
        Ok(count)
    }

    pub(crate) fn read_with_descriptors(
        &self,
        bytes: &mut [u8],
        descriptors: &mut impl Extend<OwnedFd>,
        mode: ReadMode,
    ) -> io::Result<usize> {
        let waiting = self.waiting(mode);
        loop {
            match descriptors::receive(&self.0, bytes, descriptors, waiting) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => return received,
            }
        }
    }

    /// Waits before the read if the mode does so, and returns how the read itself waits.
    fn waiting(&self, mode: ReadMode) -> Waiting {
        match mode {
            ReadMode::NonBlocking => Waiting::Never,
            ReadMode::Blocking => Waiting::AsSocket,
            ReadMode::PollFirst => {
                // Its outcome does not matter: the read shows it.
                let _ = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None);
                Waiting::AsSocket
            }
        }
    }

    #[inline]
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // The program around it may have made SIGPIPE deadly.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(retry_on_intr(|| send(&self.0, bytes, flags))?)
    }

    pub(crate) fn write_with_descriptor(
        &self,
        bytes: &[u8],
        descriptor: BorrowedFd<'_>,
    ) -> io::Result<usize> {
        loop {
            match descriptors::send(&self.0, bytes, &[descriptor], Waiting::Never) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent,
            }
        }
    }

    pub(crate) fn wait(&self, wanted: Readiness, timeout: Option<Duration>) -> Readiness {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, wanted.readable);
        events.set(PollFlags::OUT, wanted.writable);
        // A time that the system cannot count is forever.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut sockets = [PollFd::new(&self.0, events)];
        if let Err(Errno::INTR) | Ok(0) = poll(&mut sockets, timeout.as_ref()) {
            return Readiness::default();
        }
        let found = sockets[0].revents();
        let has_ended = found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
        Readiness {
            readable: has_ended || found.contains(PollFlags::IN),
            writable: has_ended || found.contains(PollFlags::OUT),
        }
    }

    pub(crate) fn hang_up(&self) {
        // A failure says that the peer was faster.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

impl AsFd for LocalStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<UnixStream> for LocalStream {
    fn from(stream: UnixStream) -> LocalStream {
        LocalStream(stream.into())
    }
}

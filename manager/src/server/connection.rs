//! One peer: its socket, its process, and how far its connection has come.

use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use manager_core::{DeathCause, Time};
use protocol::limits::FRAME_BYTES_MAX;
use protocol::{FrameBuffer, HELLO_BYTES_MAX, SessionId};
use sys::process::{Process, ProcessExit};
use transport::{Available, ReadMode, Stream};

use super::busy_poll::PeerTiming;
use super::coarse_time::CoarseTime;
use super::output::{Output, SendOutcome};

/// One peer. Most of a crowd are idle, so what an idle one does not need is behind a pointer.
#[derive(Debug)]
pub(crate) struct PeerConnection {
    /// What connects it.
    stream: Box<dyn Stream>,
    /// The process id of the peer, if the kernel tells.
    pub(crate) process_id: Option<NonZeroU32>,
    /// The process of the peer, if it can be watched.
    pub(crate) process: Option<Process>,
    /// How the process ended, once that was noticed.
    pub(crate) died: Option<Box<DeathCause>>,
    /// How far the connection has come.
    pub(crate) phase: Phase,
    /// When the phase ends by itself; changed only through the table, which keeps these in order.
    pub(crate) deadline: Option<Time>,
    /// The beginning of a frame that has not arrived whole. Otherwise the server lends a buffer for each read.
    pub(crate) input: Option<Box<FrameBuffer>>,
    /// What waits to be sent.
    pub(crate) output: Output,
    /// Whether a short read says nothing, because the end of the stream is known to be near.
    pub(crate) read_to_end: bool,
    /// Whether answers to the peer were dropped, because it takes no more. Then nothing that it sends can be answered.
    pub(crate) is_broken: bool,
    /// Whether this is in the queue of connections to read again.
    pub(crate) awaits_read: bool,
    /// Whether this is in the queue of connections to send to.
    pub(crate) awaits_flush: bool,
    /// Whether the event loop waits for the peer to make room for more output.
    pub(crate) awaits_room: bool,
    /// How soon the peer tends to come back after an answer.
    pub(crate) timing: PeerTiming,
    /// When the peer last took or sent something while its buffers were not empty, or when they began to fill.
    pub(super) moved_at: CoarseTime,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The peer has not said hello.
    Fresh,
    /// The peer has a session.
    Session(SessionId),
    /// The peer has said goodbye, and only the end of its stream may follow.
    Leaving(SessionId),
    /// The connection is over. The session goes on until the manager knows how its process ended.
    Ending(SessionId),
    /// The session, if there was one, is over. A last refusal is on its way.
    FinalRefusal,
}

impl Phase {
    /// Whether the server reads what the peer sends.
    pub(crate) fn listens(self) -> bool {
        matches!(self, Phase::Fresh | Phase::Session(_) | Phase::Leaving(_))
    }

    /// The largest body of a frame that the peer may send.
    pub(crate) fn body_bytes_max(self) -> usize {
        if self == Phase::Fresh { HELLO_BYTES_MAX } else { FRAME_BYTES_MAX }
    }
}

/// How many bytes a receive counts as at least that a descriptor may cut short, as there may be many small ones.
const DESCRIPTOR_BYTES: usize = 512;

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// This many bytes, or bytes that count as this many.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// Nothing, forever.
    End,
}

impl PeerConnection {
    /// A connection that was just accepted.
    pub(crate) fn new(
        stream: Box<dyn Stream>,
        process_id: Option<u32>,
        process: Option<Process>,
    ) -> PeerConnection {
        PeerConnection {
            stream,
            process_id: process_id.and_then(NonZeroU32::new),
            process,
            died: None,
            phase: Phase::Fresh,
            deadline: None,
            input: None,
            output: Output::default(),
            read_to_end: false,
            is_broken: false,
            awaits_read: false,
            awaits_flush: false,
            awaits_room: false,
            timing: PeerTiming::default(),
            moved_at: CoarseTime::default(),
        }
    }

    /// How much memory its buffers take. What an empty output keeps does not count: it is small.
    pub(super) fn buffered(&self) -> usize {
        let input = self.input.as_ref().map_or(0, |input| input.capacity());
        input + self.output.buffered()
    }

    /// Reads once into free space of `buffer`, at most `bytes_max`, and has `take` take the descriptors that come, if
    /// any are to be taken. Also returns whether there may be more to read.
    pub(crate) fn receive(
        &self,
        buffer: &mut FrameBuffer,
        bytes_max: usize,
        take: Option<&mut dyn FnMut(OwnedFd)>,
    ) -> (ReadOutcome, bool) {
        let space = buffer.space();
        let wanted = space.len().min(bytes_max);
        let space = &mut space[..wanted];
        // A receive ends behind a descriptor, so where one may come, a short one says nothing.
        let received = match take {
            None => self.stream.read_available(space),
            Some(take) => self
                .stream
                .read_with_descriptors(space, take, ReadMode::NonBlocking)
                .map(|bytes| Available { bytes, is_cut_short: true }),
        };
        match received {
            Ok(Available { bytes: 0, .. }) => (ReadOutcome::End, false),
            Ok(Available { bytes, is_cut_short: true }) => {
                buffer.filled(bytes);
                (ReadOutcome::Bytes(bytes.max(DESCRIPTOR_BYTES)), true)
            }
            Ok(Available { bytes, is_cut_short: false }) => {
                buffer.filled(bytes);
                (ReadOutcome::Bytes(bytes), bytes == wanted)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => (ReadOutcome::Nothing, false),
            // With a reset, the kernel says that the peer closed without reading everything.
            Err(_) => (ReadOutcome::End, false),
        }
    }

    /// Sends what the kernel takes at once.
    pub(crate) fn send(&mut self) -> SendOutcome {
        self.output.send(&*self.stream)
    }

    /// Whether descriptors can be sent to the peer.
    pub(crate) fn passes_descriptors(&self) -> bool {
        self.stream.passes_descriptors()
    }

    /// Ends the connection for both sides while the server still watches its process.
    pub(crate) fn hang_up(&mut self) {
        self.stream.hang_up();
        self.input = None;
        self.output = Output::default();
        self.awaits_room = false;
    }

    /// How the peer's process ended: none if it runs, [`DeathCause::Disconnected`] if the system does not tell whether.
    pub(crate) fn how_it_ended(&self) -> Option<DeathCause> {
        match (&self.died, &self.process) {
            (Some(cause), _) => Some(DeathCause::clone(cause)),
            (None, Some(_)) => self.process_exit(),
            (None, None) => Some(DeathCause::Disconnected),
        }
    }

    /// How the peer's process ended, if it is watched and has ended.
    pub(crate) fn process_exit(&self) -> Option<DeathCause> {
        self.process.as_ref()?.exit().map(|exit| match exit {
            ProcessExit::Status(status) => DeathCause::Exit(status),
            ProcessExit::Signal(signal) => DeathCause::Signal(signal),
            ProcessExit::Unknown => DeathCause::Ended,
        })
    }
}

impl AsFd for PeerConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        let bytes = size_of::<PeerConnection>();
        assert!(bytes <= 128, "{bytes} bytes for each of up to ten thousand connections");
    }
}

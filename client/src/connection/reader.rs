//! The receiving half of a connection. The caller that has it is the reader.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use client_core::{DisconnectReason, Incoming};
use protocol::{Answer, FrameBuffer, FrameError, Reply};
use transport::{ReadMode, Stream};

/// The most descriptors to keep. A client asks for few, and a manager sends only those that a client asked for.
const ENCLOSED_MAX: usize = 8;

/// The receiving half of a connection. There is one, which callers pass to each other. The caller that has it is the
/// reader: it reads the socket and hands out all answers.
#[derive(Debug)]
pub(crate) struct Reader {
    incoming: Incoming,
    /// Descriptors that came with answers that are not whole yet.
    enclosed: VecDeque<OwnedFd>,
}

/// What one receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiveOutcome {
    /// Some bytes, which may complete answers.
    Bytes,
    /// Nothing has come, and the mode does not wait.
    Nothing,
    /// Nothing will come any more.
    End,
}

impl Reader {
    /// A reader that continues after the handshake.
    pub(crate) fn new(frames: FrameBuffer) -> Reader {
        Reader { incoming: Incoming::new(frames), enclosed: VecDeque::new() }
    }

    /// Receives once: what has come already, or else what comes first.
    pub(crate) fn receive(
        &mut self,
        stream: &dyn Stream,
        mode: ReadMode,
        takes_descriptors: bool,
    ) -> io::Result<ReceiveOutcome> {
        self.incoming.shrink();
        let received = match takes_descriptors {
            true => self.receive_with_descriptors(stream, mode),
            false => stream.read(self.incoming.space(), mode),
        };
        match received {
            Ok(0) => Ok(ReceiveOutcome::End),
            Ok(bytes) => {
                self.incoming.handle_input(bytes);
                Ok(ReceiveOutcome::Bytes)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(ReceiveOutcome::Nothing),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ok(ReceiveOutcome::End),
                _ => Err(error),
            },
        }
    }

    /// Receives once, and keeps a descriptor until the answer with which it came is whole.
    #[cold]
    fn receive_with_descriptors(&mut self, stream: &dyn Stream, mode: ReadMode) -> io::Result<usize> {
        let enclosed = &mut self.enclosed;
        let mut take = |descriptor| {
            if enclosed.len() < ENCLOSED_MAX {
                enclosed.push_back(descriptor);
            }
        };
        stream.read_with_descriptors(self.incoming.space(), &mut take, mode)
    }

    /// The descriptor that came with an answer, if this kind of answer brings one.
    pub(crate) fn enclosed_with(&mut self, answer: &Answer) -> Option<OwnedFd> {
        match answer.body {
            Reply::Shared { .. } => self.enclosed.pop_front(),
            _ => None,
        }
    }

    /// The next whole answer to a request among what was received.
    pub(crate) fn next_answer(&mut self) -> Result<Option<Answer>, FrameError> {
        self.incoming.poll_answer()
    }

    /// Why the connection is over when nothing comes any more.
    pub(crate) fn end_of_input(&self) -> DisconnectReason {
        self.incoming.end_of_input()
    }
}

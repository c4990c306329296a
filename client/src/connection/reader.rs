//! The receiving half of a connection. The caller that has it is the reader.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use protocol::{Answer, FrameBuffer, FrameError, Reply, RequestId, decode};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};

/// The most descriptors that are kept. A client asks for few, and a manager sends none that no client asked for.
const ENCLOSED_MAX: usize = 8;

/// The receiving half of a connection. There is one, which callers hand to each other. The caller that has it is the
/// reader: it reads the socket and hands out all answers.
#[derive(Debug)]
pub(crate) struct Reader {
    frames: FrameBuffer,
    /// Descriptors that came with answers that are not whole yet.
    enclosed: VecDeque<OwnedFd>,
    /// Why the manager said that it closes this connection.
    farewell: Option<String>,
}

/// How the reader reads the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// Takes what has come already, and does not wait.
    NonBlocking,
    /// Waits in a receive, for an answer that comes soon. A thread in a receive is also woken when the manager reads,
    /// since a socket wakes both sides; that costs nothing where the answer follows at once.
    Blocking,
    /// Waits in a poll, for an answer that may come late. The poll is one more system call, and is not woken when the
    /// manager reads.
    PollFirst,
}

/// What one receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Some bytes, which may complete answers.
    Bytes,
    /// Nothing has come, and the mode was not to wait.
    Nothing,
    /// Nothing will come any more.
    End,
}

impl Reader {
    /// A reader that continues after the handshake.
    pub(crate) fn new(mut frames: FrameBuffer) -> Reader {
        frames.set_body_bytes_max(protocol::limits::FRAME_BYTES_MAX);
        Reader { frames, enclosed: VecDeque::new(), farewell: None }
    }

    /// Receives once: what has come already, or what comes first.
    pub(crate) fn receive(
        &mut self,
        socket: impl AsFd,
        mode: ReadMode,
        takes_descriptors: bool,
    ) -> io::Result<Received> {
        self.frames.shrink();
        if mode == ReadMode::PollFirst {
            // Its outcome does not matter, as the receive tells.
            let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], None);
        }
        let flags = if mode == ReadMode::NonBlocking { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
        loop {
            let received = match takes_descriptors {
                true => self.receive_with_descriptors(&socket, flags),
                false => recv(&socket, self.frames.space(), flags).map(|(_, bytes)| bytes),
            };
            return match received {
                Ok(0) | Err(Errno::CONNRESET | Errno::PIPE) => Ok(Received::End),
                Ok(bytes) => {
                    self.frames.filled(bytes);
                    Ok(Received::Bytes)
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Ok(Received::Nothing),
                Err(errno) => Err(errno.into()),
            };
        }
    }

    /// Receives once, and keeps a descriptor until the answer with which it came is whole.
    #[cold]
    fn receive_with_descriptors(&mut self, socket: impl AsFd, flags: RecvFlags) -> rustix::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut enclosed = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(self.frames.space())];
        let received = recvmsg(&socket, slices, &mut enclosed, flags | RecvFlags::CMSG_CLOEXEC)?;
        for message in enclosed.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.enclosed.extend(descriptors);
                self.enclosed.truncate(ENCLOSED_MAX);
            }
        }
        Ok(received.bytes)
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
        while let Some(body) = self.frames.next_body()? {
            let answer: Answer = decode(body)?;
            match answer {
                Answer { request: RequestId::ONE_WAY, body: Reply::Refused(refusal) } => {
                    self.farewell = Some(refusal.text);
                }
                // A later manager may tell more about a connection than this crate knows.
                Answer { request: RequestId::ONE_WAY, .. } => {}
                answer => return Ok(Some(answer)),
            }
        }
        Ok(None)
    }

    /// Why the manager said that it closes this connection, if it did.
    pub(crate) fn farewell(&self) -> Option<&str> {
        self.farewell.as_deref()
    }
}

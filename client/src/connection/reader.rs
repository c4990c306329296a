//! What the reader of a connection reads with. Whoever holds it is the reader.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use protocol::{Answer, FrameBuffer, FrameError, Reply, RequestId, decode};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};

/// How many descriptors are kept at most. A client asks for few, and a manager sends none that it was not asked for.
const ENCLOSED_MAX: usize = 8;

/// The receiving half of a connection. There is one, it is handed from caller to caller, and having it is the
/// office of the reader: to read the socket and give everyone their answers.
#[derive(Debug)]
pub(crate) struct Reader {
    frames: FrameBuffer,
    /// Descriptors that came with answers that are not whole yet.
    enclosed: VecDeque<OwnedFd>,
    /// Why the manager said that it closes this connection.
    farewell: Option<String>,
}

/// How the reader looks at the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Only at what has come already.
    Glance,
    /// Until something comes, which will be soon. Who waits in a receive is woken as well when the manager reads,
    /// since a socket wakes both sides of what is read; that costs nothing where the answer follows at once.
    Awake,
    /// Until something comes, which may be late. To ask first whether there is something costs a system call, and is
    /// not woken for nothing.
    Asleep,
}

/// What one look at the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Some bytes; see whether there are whole answers in them.
    Bytes,
    /// None have come, and the look was not to wait.
    Nothing,
    /// There will be no more.
    End,
}

impl Reader {
    /// A reader that goes on where the handshake ended.
    pub(crate) fn new(mut frames: FrameBuffer) -> Reader {
        frames.set_body_bytes_max(protocol::limits::FRAME_BYTES_MAX);
        Reader { frames, enclosed: VecDeque::new(), farewell: None }
    }

    /// Receives once: what has come already, or what comes first.
    pub(crate) fn receive(
        &mut self,
        socket: impl AsFd,
        look: Look,
        takes_descriptors: bool,
    ) -> io::Result<Received> {
        self.frames.shrink();
        if look == Look::Asleep {
            // Its outcome does not matter: to receive tells.
            let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], None);
        }
        let flags = if look == Look::Glance { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
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

    /// Receives once, and keeps a descriptor until the answer is whole that it came with.
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

    /// The descriptor that came with an answer, if that is one to bring one.
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

//! What the reader of a connection reads with. Whoever holds it is the reader.

use std::io;
use std::os::fd::AsFd;

use protocol::{Answer, FrameBuffer, FrameError, Reply, RequestId, decode};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// The receiving half of a connection. There is one, it is handed from caller to caller, and having it is the
/// office of the reader: to read the socket and give everyone their answers.
#[derive(Debug)]
pub(crate) struct Reader {
    frames: FrameBuffer,
    /// Why the manager said that it closes this connection.
    farewell: Option<String>,
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
        Reader { frames, farewell: None }
    }

    /// Receives once. Without `wait`, only what has come already.
    pub(crate) fn receive(&mut self, socket: impl AsFd, wait: bool) -> io::Result<Received> {
        let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        self.frames.shrink();
        loop {
            return match recv(&socket, self.frames.space(), flags) {
                Ok((_, 0)) | Err(Errno::CONNRESET | Errno::PIPE) => Ok(Received::End),
                Ok((_, bytes)) => {
                    self.frames.filled(bytes);
                    Ok(Received::Bytes)
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Ok(Received::Nothing),
                Err(errno) => Err(errno.into()),
            };
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

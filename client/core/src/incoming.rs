//! The receiving half of a session: bytes as answers, and the manager's final refusal.

use alloc::string::String;

use protocol::{Answer, FrameBuffer, FrameError, Reply, RequestId, decode, limits};

use crate::DisconnectReason;

/// The bytes that were received and not handed on as answers.
///
/// Use it in turns: [`space`](Self::space) to read into, [`handle_input`](Self::handle_input) with how much came, then
/// [`poll_answer`](Self::poll_answer) until there is none.
#[derive(Debug)]
pub struct Incoming {
    frames: FrameBuffer,
    /// Why the manager said that it closes this connection.
    final_refusal: Option<String>,
}

impl Incoming {
    /// Goes on where the handshake ended, with the bytes that came behind the greeting.
    pub fn new(mut frames: FrameBuffer) -> Incoming {
        frames.set_body_bytes_max(limits::FRAME_BYTES_MAX);
        Incoming { frames, final_refusal: None }
    }

    /// Space to read into, of some kilobytes at least.
    pub fn space(&mut self) -> &mut [u8] {
        self.frames.space()
    }

    /// Takes this many bytes, which were read into [`space`](Self::space).
    pub fn handle_input(&mut self, bytes: usize) {
        self.frames.filled(bytes);
    }

    /// Gives back the memory of a rare large answer; call it between turns.
    pub fn shrink(&mut self) {
        self.frames.shrink();
    }

    /// The next whole answer to a request.
    ///
    /// # Errors
    ///
    /// If the bytes are not an answer. Then nothing behind them can be read.
    pub fn poll_answer(&mut self) -> Result<Option<Answer>, FrameError> {
        while let Some(body) = self.frames.next_body()? {
            let answer: Answer = decode(body)?;
            match answer {
                Answer { request: RequestId::ONE_WAY, body: Reply::Refused(refusal) } => {
                    self.final_refusal = Some(refusal.text);
                }
                // A later manager may send messages about a connection that this crate does not know.
                Answer { request: RequestId::ONE_WAY, .. } => {}
                answer => return Ok(Some(answer)),
            }
        }
        Ok(None)
    }

    /// Why the session is over if the manager closed the connection: its final refusal, if there was one.
    pub fn end_of_input(&self) -> DisconnectReason {
        self.final_refusal.clone().map_or(DisconnectReason::Closed, DisconnectReason::FinalRefusal)
    }
}

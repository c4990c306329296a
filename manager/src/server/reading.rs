//! What peers send: bytes into frames, frames into requests, requests into the core.

use std::os::fd::OwnedFd;

use manager_core::Input;
use protocol::{Code, Envelope, FrameBuffer, Refusal, Request, SessionId, decode};

use super::Server;
use super::closer::drop_elsewhere;
use super::connection::{Phase, ReadOutcome};
use super::connection_table::ConnectionSlot;
use super::handshake::{not_a_hello, not_a_message};

/// The most bytes to read from one connection in one turn, so that a busy peer does not starve the others.
const TURN_BYTES_MAX: usize = 16 << 10;

/// The most work to do for one connection in one turn, in the core's steps: what many small requests ask for may be
/// large. It is a millisecond or two.
const TURN_WORK_MAX: u64 = 16_384;

/// How many bytes of answers count as one step.
const BYTES_PER_STEP: u64 = 16;

/// How many buffers to keep for the peers that send the next frames.
const SPARE_BUFFERS_MAX: usize = 4;

/// Why the reading of a connection stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadUntil {
    /// There is no more to read, or the connection is over.
    Drained,
    /// There may be more, and the other connections come first, or what earlier requests have left.
    ShareUsed,
    /// Nothing will come any more.
    End,
}

impl Server {
    /// A peer has sent something, or has closed.
    pub(crate) fn readable(&mut self, slot: ConnectionSlot, closed: bool) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        connection.read_to_end |= closed;
        if connection.phase.listens() {
            self.read(slot);
        } else if closed && connection.phase == Phase::FinalRefusal {
            self.close(slot);
        }
    }

    /// Reads what a peer sent, up to its share of this turn.
    pub(super) fn read(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        connection.awaits_read = false;
        if !connection.phase.listens() {
            return;
        }
        let body_bytes_max = connection.phase.body_bytes_max();
        let kept = match connection.input {
            Some(_) => self.change(slot, |connection| connection.input.take()).flatten(),
            None => None,
        };
        let lent = kept.map(|kept| *kept).or_else(|| self.spares.pop());
        let mut buffer = lent.unwrap_or_else(|| FrameBuffer::new(body_bytes_max));
        buffer.set_body_bytes_max(body_bytes_max);
        let until = self.read_frames(slot, &mut buffer);
        self.take_back(slot, buffer);
        match until {
            ReadUntil::Drained => {}
            ReadUntil::ShareUsed => self.ask_read(slot),
            ReadUntil::End => self.input_ended(slot),
        }
        self.settle();
    }

    /// Reads and handles frames until there are no more, or no more in this turn.
    fn read_frames(&mut self, slot: ConnectionSlot, buffer: &mut FrameBuffer) -> ReadUntil {
        let mut share = TURN_BYTES_MAX;
        self.work = 0;
        // What its last share did not do for comes first.
        if buffer.is_mid_frame()
            && let Some(until) = self.handle_frames(slot, buffer)
        {
            return until;
        }
        while share > 0 {
            let Some(connection) = self.table.get_mut(slot) else { return ReadUntil::Drained };
            let is_over = connection.died.is_some() || connection.is_broken;
            let may_stop_short = !connection.read_to_end;
            let mut arrived = self.blobs.receiver(slot);
            let mut take = arrived
                .as_mut()
                .map(|arrived| |descriptor| arrived.replace(descriptor).into_iter().for_each(drop_elsewhere));
            let take = take.as_mut().map(|take| take as &mut dyn FnMut(OwnedFd));
            let (received, filled) = connection.receive(buffer, share, take);
            match received {
                ReadOutcome::End => return ReadUntil::End,
                // A dead process sends no more, whichever other process holds the socket; and the server reads no more
                // requests of a peer that takes no answers.
                ReadOutcome::Nothing if is_over => return ReadUntil::End,
                ReadOutcome::Nothing => return ReadUntil::Drained,
                ReadOutcome::Bytes(bytes) => share = share.saturating_sub(bytes),
            }
            if let Some(until) = self.handle_frames(slot, buffer) {
                return until;
            }
            if may_stop_short && !filled {
                return ReadUntil::Drained;
            }
        }
        ReadUntil::ShareUsed
    }

    /// Handles the frames that have arrived whole. Returns why to read no more of the peer in this turn, if so.
    fn handle_frames(&mut self, slot: ConnectionSlot, buffer: &mut FrameBuffer) -> Option<ReadUntil> {
        loop {
            let Some(connection) = self.table.get_mut(slot) else { return Some(ReadUntil::Drained) };
            let phase = connection.phase;
            if !phase.listens() {
                return Some(ReadUntil::Drained);
            }
            if self.work >= TURN_WORK_MAX {
                return Some(ReadUntil::ShareUsed);
            }
            buffer.set_body_bytes_max(phase.body_bytes_max());
            match (buffer.next_body(), phase) {
                (Ok(None), _) => return None,
                (Ok(Some(body)), Phase::Fresh) => self.greet(slot, body),
                (Ok(Some(body)), Phase::Session(session)) => {
                    let body_bytes = body.len();
                    if !self.request(slot, session, body) {
                        buffer.put_back(body_bytes);
                        return Some(ReadUntil::ShareUsed);
                    }
                }
                (Ok(Some(_)), _) => {
                    let text = "a message came after the goodbye; the connection is closed";
                    self.refuse(slot, Refusal::new(Code::Protocol, text));
                }
                (Err(error), Phase::Fresh) => self.refuse(slot, not_a_hello(error)),
                (Err(error), _) => self.refuse(slot, not_a_message(error)),
            }
        }
    }

    /// Keeps a buffer that was lent: with the connection if it holds half a frame, for any connection if it is empty.
    fn take_back(&mut self, slot: ConnectionSlot, mut buffer: FrameBuffer) {
        if !buffer.is_mid_frame() {
            buffer.shrink();
            if self.spares.len() < SPARE_BUFFERS_MAX {
                self.spares.push(buffer);
            }
        } else if self.table.get_mut(slot).is_some_and(|connection| connection.phase.listens()) {
            let moment = self.moment;
            self.change(slot, |connection| {
                connection.input = Some(Box::new(buffer));
                connection.moved_at = moment;
            });
            self.limit_buffers();
        }
    }

    /// Hands a request to the core. Returns false if it has to wait, and the rest of its session with it, until the
    /// core has done what earlier requests have left.
    fn request(&mut self, slot: ConnectionSlot, session: SessionId, body: &[u8]) -> bool {
        if self.core.has_unfinished_request(session) {
            return false;
        }
        // An envelope is large, and stays where it is from here on.
        let input = match decode::<Envelope<'_>>(body) {
            Ok(envelope) => Input::Request { session, envelope },
            Err(error) => {
                self.refuse(slot, not_a_message(error));
                return true;
            }
        };
        let Input::Request { envelope, .. } = &input else { unreachable!("it is the request above") };
        // These may serve long wait queues, so they come before the question.
        self.apply_uncertain_releases(&envelope.body);
        if self.core.holds_back(session, &envelope.body) {
            return false;
        }
        log::trace!("session {session} asks {envelope:?}");
        if let Request::BlobSend { blob, bytes } = envelope.body {
            self.blob_arrived(slot, session, (envelope.request, envelope.received), (blob, bytes));
            self.work += self.core.steps();
            return true;
        }
        if envelope.body == Request::Goodbye
            && let Some(connection) = self.table.get_mut(slot)
        {
            connection.phase = Phase::Leaving(session);
        }
        let pending = self.table.get_mut(slot).map_or(0, |connection| connection.output.pending());
        self.apply(input);
        self.work += self.core.steps();
        if let Some(connection) = self.table.get_mut(slot) {
            let more = connection.output.pending().saturating_sub(pending);
            self.work += more as u64 / BYTES_PER_STEP;
        }
        true
    }
}

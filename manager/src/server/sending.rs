//! Sending to peers: answers, collected during a turn, written at its end, and limited.

use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use manager_core::{DeathCause, SessionEnd};
use mio::Interest;
use mio::unix::SourceFd;
use protocol::{
    Answer, AnswerRef, Code, FrameError, Greeting, Refusal, Reply, RequestId, SessionId, append_frame,
};

use super::Server;
use super::connection::Phase;
use super::connection_table::ConnectionSlot;
use super::output::SendOutcome;
use super::poll_source::PollSource;

impl Server {
    /// A peer has made room for more output.
    pub(crate) fn writable(&mut self, slot: ConnectionSlot) {
        self.ask_flush(slot);
    }

    /// Puts an answer into the output of a session, unless the session is gone.
    pub(super) fn reply(&mut self, session: SessionId, request: RequestId, body: &Reply) {
        self.reply_with(session, request, body, None);
    }

    /// Like [`reply`](Self::reply), with a descriptor if there is one.
    pub(super) fn reply_with(
        &mut self,
        session: SessionId,
        request: RequestId,
        body: &Reply,
        enclosed: Option<Arc<OwnedFd>>,
    ) {
        let answer = AnswerRef { request, body };
        let Some(&slot) = self.sessions.get(&session) else { return };
        log::trace!("session {session} gets {answer:?}");
        let pending = self.change(slot, |connection| {
            let frame = |output: &mut Vec<u8>| append_frame(output, &answer);
            let appended = match enclosed {
                None => connection.output.append(frame),
                Some(descriptor) => connection.output.append_with(descriptor, frame),
            };
            if let Err(error) = appended {
                let refusal = too_large(request, error);
                let appended = connection.output.append(|output| append_frame(output, &refusal));
                appended.expect("a short refusal fits into a frame");
            }
            connection.output.pending()
        });
        if pending.is_none_or(|pending| pending <= self.limits.output_bytes_max) {
            self.ask_flush(slot);
            return self.limit_buffers();
        }
        // Perhaps the peer reads well, and only this turn brought too much.
        self.flush(slot);
        let Some(connection) = self.table.get_mut(slot) else { return };
        if connection.output.pending() > self.limits.output_bytes_max {
            self.change(slot, |connection| connection.output.keep_begun_frame());
            let text = format!(
                "more than {} bytes wait to be read by this client, which is the limit; the connection is closed",
                self.limits.output_bytes_max
            );
            self.refuse(slot, Refusal::new(Code::LimitReached, text));
        }
    }

    /// Ends a connection in any phase with a refusal, which the peer gets a while to read.
    pub(super) fn refuse(&mut self, slot: ConnectionSlot, refusal: Refusal) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        if matches!(connection.phase, Phase::Ending(_) | Phase::FinalRefusal) {
            return;
        }
        let text = refusal.text.clone();
        self.change(slot, |connection| {
            connection.input = None;
            let appended = match connection.phase {
                Phase::Fresh => connection.output.append(|output| Greeting::Refused(refusal).append(output)),
                _ => {
                    let answer = Answer { request: RequestId::ONE_WAY, body: Reply::Refused(refusal) };
                    connection.output.append(|output| append_frame(output, &answer))
                }
            };
            if let Err(error) = appended {
                log::debug!("a refusal cannot be sent: {error}");
            }
        });
        let Some(connection) = self.table.get_mut(slot) else { return };
        // Below the default level: the log must not slow the manager down when a peer errs in a loop.
        let process = connection.process_id.map_or(0, NonZeroU32::get);
        log::info!("a connection of process {process} is closed: {text}");
        if let Phase::Session(session) | Phase::Leaving(session) = connection.phase {
            self.sessions.remove(&session);
            self.endings.push_back((session, SessionEnd::Died(DeathCause::Dropped(text))));
        }
        connection.phase = Phase::FinalRefusal;
        self.set_deadline(slot, self.timeouts.final_refusal);
        self.ask_flush(slot);
    }

    /// Sends what the peer takes at once, and arranges for the rest.
    pub(super) fn flush(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        connection.awaits_flush = false;
        let is_final_refusal = connection.phase == Phase::FinalRefusal;
        let moment = self.moment;
        let sent = self.change(slot, |connection| {
            let pending = connection.output.pending();
            let sent = connection.send();
            if connection.output.pending() < pending {
                connection.moved_at = moment;
            }
            sent
        });
        match sent.expect("the connection was found above") {
            SendOutcome::All | SendOutcome::Broken if is_final_refusal => self.close(slot),
            SendOutcome::All => self.await_room(slot, false),
            SendOutcome::Part => self.await_room(slot, true),
            SendOutcome::Broken => {
                let Some(connection) = self.table.get_mut(slot) else { return };
                // It will read no more, but may have said goodbye before it closed.
                connection.read_to_end = true;
                connection.is_broken = true;
                self.ask_read(slot);
            }
        }
    }

    /// Registers for room for output only while that is missing: otherwise the loop would wake each time a peer reads a
    /// reply.
    fn await_room(&mut self, slot: ConnectionSlot, awaits: bool) {
        let Some(connection) = self.table.get_mut(slot) else { return };
        if connection.awaits_room == awaits {
            return;
        }
        connection.awaits_room = awaits;
        let interest = if awaits { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let descriptor = connection.as_fd().as_raw_fd();
        let token = PollSource::Socket(slot).token();
        if let Err(error) = self.registry.reregister(&mut SourceFd(&descriptor), token, interest) {
            log::warn!("a connection is closed, because it cannot be watched: {error}");
            self.input_ended(slot);
        }
    }
}

/// The refusal in place of an answer that does not fit into a frame.
fn too_large(request: RequestId, error: FrameError) -> Answer {
    let text = format!("the answer cannot be sent: {error}");
    Answer { request, body: Reply::Refused(Refusal::new(Code::LimitReached, text)) }
}

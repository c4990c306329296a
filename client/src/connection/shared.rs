//! One connection to a manager, shared by all threads of a process, without a thread of its own.
//!
//! A caller sends its request and then waits for its answer. The first caller that waits becomes the *reader*: it reads
//! the socket and hands out all answers, and once it has its own, it passes the role on to another caller that waits.
//! So a lone thread pays one write and one read for a call, and any number of threads share one socket. No caller needs
//! a timeout here, since the manager keeps all deadlines and answers when one is over.
//!
//! There are two locks, taken in one order: first `sender`, then `callers`. The reader takes `callers` only, so that it
//! reads on while others send or wait to send.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use protocol::{Answer, FrameBuffer, Request, RequestId};
use transport::{ReadMode, Readiness, Stream};

use crate::connection::acks::Acks;
use crate::connection::answer_slot::{AnswerSlot, Answered, Turn};
use crate::connection::callers::Callers;
use crate::connection::deferred_release::{DeferredRelease, DeferredReleases};
use crate::connection::reader::{Reader, Received};
use crate::connection::sender::{Sender, Sent};
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// How many bytes may be queued for the next write before they are written without one.
const QUEUED_BYTES_MAX: usize = 64 << 10;

/// How often a thread that waits for room in the socket checks whether it should read meanwhile.
const ROOM_CHECK_TIME: Duration = Duration::from_millis(20);

/// How long the last goodbye may take when the manager does not read.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(1);

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    sender: Mutex<Sender>,
    callers: Mutex<Callers>,
    /// The answers that were received for good. If this process dies, the manager takes back what later ones granted.
    acks: Arc<Acks>,
    /// The latest request that was answered.
    answered: AtomicU64,
    /// How many callers ask for a descriptor now. A plain receive loses descriptors, and one that takes them is slower.
    takes_descriptors: AtomicU32,
}

impl Connection {
    /// A connection over a stream that has been through the handshake, with what was received since.
    pub(crate) fn new(stream: Stream, frames: FrameBuffer) -> Connection {
        Connection {
            stream,
            sender: Mutex::new(Sender::new()),
            callers: Mutex::new(Callers::new(Reader::new(frames))),
            acks: Arc::new(Acks::new()),
            answered: AtomicU64::new(RequestId::ONE_WAY.0),
            takes_descriptors: AtomicU32::new(0),
        }
    }

    /// Sends a request whose answer will come to this slot, and returns the id that it got.
    pub(crate) fn begin(&self, slot: &Arc<AnswerSlot>, body: Request<'_>) -> Result<RequestId> {
        let (request, mut sender) = self.append_answered(slot, body)?;
        // A failed write does not say why the manager is gone. The reader finds out, and fills every slot.
        let _ = self.flush(&mut sender);
        Ok(request)
    }

    /// Refuses to be granted more while too many grants are unacknowledged.
    pub(crate) fn check_acks(&self) -> Result<()> {
        self.acks.check()
    }

    /// Like [`begin`](Self::begin), but it is sent with the next write, which must come before its answer is
    /// waited for.
    pub(crate) fn begin_queued(&self, slot: &Arc<AnswerSlot>, body: Request<'_>) -> Result<RequestId> {
        let (request, mut sender) = self.append_answered(slot, body)?;
        sender.note_unawaited();
        self.flush_if_due(&mut sender);
        Ok(request)
    }

    /// Like [`begin`](Self::begin), for an answer that may be taken much later.
    pub(crate) fn begin_apart(&self, slot: &Arc<AnswerSlot>, body: Request<'_>) -> Result<RequestId> {
        let (request, mut sender) = self.append_answered(slot, body)?;
        sender.note_unawaited();
        let _ = self.flush(&mut sender);
        Ok(request)
    }

    fn append_answered(
        &self,
        slot: &Arc<AnswerSlot>,
        body: Request<'_>,
    ) -> Result<(RequestId, MutexGuard<'_, Sender>)> {
        let mut sender = lock(&self.sender);
        let request = sender.next_request();
        // The slot must be there before the request is sent, or the reader might find no place for the answer.
        lock(&self.callers).enter(request, slot)?;
        if let Err(error) = sender.append(request, self.acks.acknowledged(), body) {
            lock(&self.callers).leave(request);
            self.flush_if_due(&mut sender);
            return Err(error.into());
        }
        Ok((request, sender))
    }

    /// Waits for the answer to a request that was begun with this slot, and reads for all callers if no other does.
    pub(crate) fn finish(&self, request: RequestId, slot: &AnswerSlot, mode: ReadMode) -> Result<Answered> {
        let mut role = lock(&self.callers).wait_or_read(request);
        loop {
            if let Some(mut reader) = role.take() {
                while !slot.is_given() {
                    self.read(&mut reader, mode);
                }
                self.pass_on(reader);
            }
            match slot.sleep() {
                Turn::Answered(answered) => return answered,
                Turn::Read(reader) => role = Some(reader),
            }
        }
    }

    /// One round trip whose answer may bring a descriptor.
    pub(crate) fn call_for_descriptor(&self, slot: &Arc<AnswerSlot>, body: Request<'_>) -> Result<Answered> {
        self.takes_descriptors.fetch_add(1, Ordering::AcqRel);
        // A thread that reads now may be in a plain receive. Once it has brought the answer to this request, which asks
        // for nothing, its next receive takes descriptors.
        let nothing = Request::Cancel { request: RequestId::ONE_WAY };
        let outcome = self.call(slot, nothing).and_then(|_| self.call(slot, body));
        self.takes_descriptors.fetch_sub(1, Ordering::AcqRel);
        outcome
    }

    /// One round trip.
    fn call(&self, slot: &Arc<AnswerSlot>, body: Request<'_>) -> Result<Answered> {
        let request = self.begin(slot, body)?;
        self.finish(request, slot, ReadMode::Blocking)
    }

    /// The answer to a request that was begun with this slot, if it has come.
    pub(crate) fn try_finish(&self, slot: &AnswerSlot) -> Option<Result<Answered>> {
        let reader = lock(&self.callers).take_reader();
        if let Some(mut reader) = reader {
            while self.read(&mut reader, ReadMode::NonBlocking) == Received::Bytes {}
            self.pass_on(reader);
        }
        match slot.take() {
            Some(Turn::Answered(answered)) => Some(answered),
            Some(Turn::Read(_)) => unreachable!("only a caller that sleeps becomes the reader"),
            None => None,
        }
    }

    /// Gives up a request. If its answer has not come, this cancels the request, and a late answer will find no slot.
    pub(crate) fn abandon(&self, request: RequestId) {
        let was_open = lock(&self.callers).leave(request).is_some();
        if was_open {
            // If the connection is over, so is the request.
            let _ = self.send(Request::Cancel { request });
        }
    }

    /// Sends a request that is not answered.
    pub(crate) fn send(&self, body: Request<'_>) -> Result<()> {
        let mut sender = self.append_one_way(body)?;
        if self.flush(&mut sender).is_err() {
            drop(sender);
            return Err(self.find_out_the_end());
        }
        Ok(())
    }

    /// Releases a lock: with the next request of this process, or at once if somebody wants it.
    pub(crate) fn release(&self, release: DeferredRelease) {
        let mut sender = lock(&self.sender);
        let (received, answered) =
            (self.acks.acknowledged(), RequestId(self.answered.load(Ordering::Acquire)));
        if lock(&self.callers).end().is_none() && sender.release(release, received, answered) {
            // If the manager is gone, so is the lock.
            let _ = self.flush(&mut sender);
        }
    }

    /// Defers releases from now on.
    pub(crate) fn adopt(&self, deferred_releases: DeferredReleases) {
        lock(&self.sender).adopt(deferred_releases);
    }

    /// Sends a request that is not answered, with the next write.
    pub(crate) fn queue(&self, body: Request<'_>) -> Result<()> {
        let mut sender = self.append_one_way(body)?;
        self.flush_if_due(&mut sender);
        Ok(())
    }

    /// Sends what is queued. When this returns, all of it is in the socket.
    pub(crate) fn flush_queued(&self) -> Result<()> {
        let mut sender = lock(&self.sender);
        if self.flush(&mut sender).is_err() {
            drop(sender);
            return Err(self.find_out_the_end());
        }
        Ok(())
    }

    /// Whether the connection is not over, as far as the socket tells without waiting.
    pub(crate) fn is_live(&self) -> bool {
        let reader = lock(&self.callers).take_reader();
        if let Some(mut reader) = reader {
            while self.read(&mut reader, ReadMode::NonBlocking) == Received::Bytes {}
            self.pass_on(reader);
        }
        lock(&self.callers).end().is_none()
    }

    /// A descriptor of the socket, to be watched for the end of the connection.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.stream.as_fd().try_clone_to_owned()
    }

    /// Sends what is queued and a goodbye, as the last thing that is done with this connection.
    pub(crate) fn say_goodbye(&self) {
        let Ok(mut sender) = self.append_one_way(Request::Goodbye) else { return };
        while let Ok(Sent::Part) = sender.write(&self.stream) {
            if !self.wait_for(Readiness::WRITABLE, GOODBYE_TIME_MAX).writable {
                return;
            }
        }
    }

    fn append_one_way(&self, body: Request<'_>) -> Result<MutexGuard<'_, Sender>> {
        let mut sender = lock(&self.sender);
        if let Some(end) = lock(&self.callers).end() {
            return Err(end.clone());
        }
        if let Err(error) = sender.append(RequestId::ONE_WAY, self.acks.acknowledged(), body) {
            self.flush_if_due(&mut sender);
            return Err(error.into());
        }
        Ok(sender)
    }

    fn flush_if_due(&self, sender: &mut Sender) {
        if sender.is_urgent() || sender.waiting_bytes() > QUEUED_BYTES_MAX {
            // As in `begin`: the next caller that waits for an answer learns what is wrong.
            let _ = self.flush(sender);
        }
    }

    /// Moves all that is to be sent into the socket. Other senders wait meanwhile, which keeps the order.
    fn flush(&self, sender: &mut Sender) -> io::Result<()> {
        let outcome = match sender.write(&self.stream) {
            Ok(Sent::All) => return Ok(()),
            Ok(Sent::Part) => self.flush_full_socket(sender),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // What was sent may end amid a request, so nothing can follow. The reader wakes up and finds the end.
            sender.discard();
            self.stream.hang_up();
        }
        outcome
    }

    /// Waits for room, and reads meanwhile if no caller does: the manager cuts off a client that sends and does not
    /// read.
    #[cold]
    fn flush_full_socket(&self, sender: &mut Sender) -> io::Result<()> {
        let mut role: Option<Reader> = None;
        let outcome = loop {
            role = role.or_else(|| lock(&self.callers).take_reader());
            let wanted = if role.is_some() { Readiness::EITHER } else { Readiness::WRITABLE };
            let ready = self.wait_for(wanted, ROOM_CHECK_TIME);
            if let Some(reader) = &mut role
                && ready.readable
                && self.read(reader, ReadMode::NonBlocking) == Received::End
            {
                break Err(io::ErrorKind::BrokenPipe.into());
            }
            match sender.write(&self.stream) {
                Ok(Sent::All) => break Ok(()),
                Ok(Sent::Part) => {}
                Err(error) => break Err(error),
            }
        };
        if let Some(reader) = role {
            self.pass_on(reader);
        }
        outcome
    }

    /// Waits until the stream is ready for something that is wanted, at most this long. Returns what it is ready for.
    pub(crate) fn wait_for(&self, wanted: Readiness, timeout: Duration) -> Readiness {
        self.stream.wait(wanted, Some(timeout))
    }

    /// Receives once, and gives every whole answer to its caller. At the end of the connection all callers learn of it.
    fn read(&self, reader: &mut Reader, mode: ReadMode) -> Received {
        let takes_descriptors = self.takes_descriptors.load(Ordering::Acquire) > 0;
        let received = reader.receive(&self.stream, mode, takes_descriptors);
        // At the end too: something may have come together with the greeting.
        let given = self.give_answers(reader);
        let failure = match (received, given) {
            (Ok(Received::Nothing), Ok(())) => return Received::Nothing,
            (Ok(Received::Bytes), Ok(())) => return Received::Bytes,
            (Ok(Received::End), Ok(())) => reader.farewell().unwrap_or("it ended, or was ended").to_owned(),
            (Ok(_), Err(error)) => format!("it sent what is no answer: {error}"),
            (Err(error), _) => format!("its socket cannot be read: {error}"),
        };
        let error = Error::new(ErrorKind::ManagerGone, format!("the manager is gone: {failure}"));
        self.end(&error);
        Received::End
    }

    fn give_answers(&self, reader: &mut Reader) -> Result<()> {
        while let Some(answer) = reader.next_answer()? {
            let enclosed = reader.enclosed_with(&answer);
            let Answer { request, body } = answer;
            // Counted before it is handed out: a caller that has an answer must not send a count without it.
            let ack_hold = self.acks.note(&body);
            self.answered.fetch_max(request.0, Ordering::Release);
            let slot = lock(&self.callers).leave(request);
            // An answer without a slot is the late one to a request that was given up.
            if let Some(slot) = slot {
                slot.give(Turn::Answered(Ok(Answered { reply: body, ack_hold, enclosed })));
            }
        }
        Ok(())
    }

    /// Ends the connection for all callers, those that wait and those that come later.
    fn end(&self, error: &Error) {
        // Also where only this side cannot go on.
        self.stream.hang_up();
        // Outside of the lock, as callers that wake may want it.
        let slots = lock(&self.callers).end_with(error);
        for slot in slots {
            slot.give(Turn::Answered(Err(error.clone())));
        }
    }

    /// Passes the reader's role to a caller that sleeps, or leaves it for the next that comes.
    fn pass_on(&self, reader: Reader) {
        let next = lock(&self.callers).pass_on(reader);
        if let Some((slot, reader)) = next {
            slot.give(Turn::Read(reader));
        }
    }

    /// Why nothing can be sent any more: reads what the manager said last, unless another caller reads already.
    fn find_out_the_end(&self) -> Error {
        let reader = lock(&self.callers).take_reader();
        if let Some(mut reader) = reader {
            while self.read(&mut reader, ReadMode::Blocking) != Received::End {}
        }
        let end = lock(&self.callers).end().cloned();
        end.unwrap_or_else(|| {
            Error::new(ErrorKind::ManagerGone, "the manager is gone: it ended, or was ended")
        })
    }
}

#[cfg(test)]
mod tests;

//! One connection to a manager, shared by all threads of a process, without a thread of its own.
//!
//! A caller sends its request and then waits for its answer. The first caller that waits becomes the *reader*: it reads
//! the socket and hands out all answers, and once it has its own, it passes the role on to another caller that waits.
//! So a lone thread pays one write and one read for a call, and any number of threads share one socket. No caller needs
//! a timeout here, since the manager keeps all deadlines, and answers when one has passed.
//!
//! There are two locks, taken in one order: first `sender`, then `callers`. The reader takes `callers` only, so that it
//! reads on while others send or wait to send.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use client_core::operations::{BlobClose, Cancel, Goodbye, blobs_of};
use client_core::{DeferredRelease, DisconnectReason, Operation};
use protocol::{Answer, BlobId, FrameBuffer, FrameError, Reply, Request, RequestId};
use transport::{ReadMode, Stream, StreamReadiness};

use crate::connection::acks::{AckHold, SharedAcks};
use crate::connection::callers::Callers;
use crate::connection::deferred_release::SharedReleaseMemory;
use crate::connection::reader::{Reader, ReceiveOutcome};
use crate::connection::sender::{self, Sender, WriteOutcome};
use crate::connection::turn_slot::{Turn, TurnSlot};
use crate::sync::lock;
use crate::{Error, Result};

/// How many bytes may wait for the next write before they are written at once.
const QUEUED_BYTES_MAX: usize = 64 << 10;

/// How often a thread that waits for room in the socket checks whether it should read meanwhile.
const ROOM_CHECK_TIME: Duration = Duration::from_millis(20);

/// How long the goodbye may take if the manager does not read.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(1);

/// The slot of a call on a connection.
pub(crate) type AnswerSlot = TurnSlot<Result<ReceivedAnswer>, Reader>;

/// An answer, and what came with it.
#[derive(Debug)]
pub(crate) struct ReceivedAnswer {
    pub(crate) reply: Reply,
    /// Holds the acknowledgement back if the answer brings an item that carries proxies.
    pub(crate) ack_hold: Option<AckHold>,
    /// The descriptor that came with it, if the answer shares memory.
    pub(crate) enclosed: Option<OwnedFd>,
}

thread_local! {
    /// A thread makes one blocking call at a time, so all of its calls use one slot, and none allocates.
    static OWN_SLOT: Arc<AnswerSlot> = Arc::default();
}

/// The slot for the blocking calls of this thread.
pub(crate) fn own_slot() -> Arc<AnswerSlot> {
    // The destructor of another thread-local value may call this after the slot was destroyed.
    OWN_SLOT.try_with(Arc::clone).unwrap_or_default()
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct SharedConnection {
    stream: Box<dyn Stream>,
    sender: Mutex<Sender>,
    callers: Callers<Result<ReceivedAnswer>, Reader>,
    /// Which answers are acknowledged. If this process dies, the manager takes back the grants of all later ones.
    acks: Arc<SharedAcks>,
    /// How many callers ask for a descriptor now. A plain receive loses descriptors, and one that takes them is slower.
    takes_descriptors: AtomicU32,
    /// Held by the caller whose descriptor is on its way, in either direction: there is one at a time, so that one that
    /// does not arrive cannot be taken for the next.
    descriptor_calls: Mutex<()>,
    /// Blobs to which answers that nobody took have given this process references, which it has not given back yet.
    unwanted: Mutex<Vec<BlobId>>,
}

impl SharedConnection {
    /// A connection over a stream after its handshake, with the bytes that came behind the greeting.
    pub(crate) fn new(stream: Box<dyn Stream>, frames: FrameBuffer) -> SharedConnection {
        SharedConnection {
            stream,
            sender: Mutex::new(Sender::new()),
            callers: Callers::new(Reader::new(frames)),
            acks: Arc::new(SharedAcks::new()),
            takes_descriptors: AtomicU32::new(0),
            descriptor_calls: Mutex::new(()),
            unwanted: Mutex::new(Vec::new()),
        }
    }

    /// Sends a request whose answer will come to this slot, and returns the id that it got.
    pub(crate) fn begin(&self, slot: &Arc<AnswerSlot>, body: Request<'_>) -> Result<RequestId> {
        let (request, mut sender) = self.append_answered(slot, body)?;
        // A failed write does not say why the manager is gone. The reader finds out, and fills every slot.
        let _ = self.flush(&mut sender);
        Ok(request)
    }

    /// Refuses a wait while too many grants are unacknowledged.
    pub(crate) fn check_acks(&self, body: &Request<'_>) -> Result<()> {
        self.acks.check(body)
    }

    /// Like [`begin`](Self::begin), but the request leaves with the next write. The caller must cause one before it
    /// waits for the answer.
    pub(crate) fn begin_queued(&self, slot: &Arc<AnswerSlot>, body: Request<'_>) -> Result<RequestId> {
        let (request, mut sender) = self.append_answered(slot, body)?;
        sender.set_unawaited(request);
        self.flush_if_due(&mut sender);
        Ok(request)
    }

    /// Like [`begin`](Self::begin), for an answer that may be taken much later.
    pub(crate) fn begin_apart(&self, slot: &Arc<AnswerSlot>, body: Request<'_>) -> Result<RequestId> {
        let (request, mut sender) = self.append_answered(slot, body)?;
        sender.set_unawaited(request);
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
        self.callers.enter(request, slot)?;
        if let Err(error) = sender.append(request, self.acks.acknowledged(), body) {
            self.callers.abandon(request);
            self.flush_if_due(&mut sender);
            return Err(error.into());
        }
        Ok((request, sender))
    }

    /// Waits for the answer to a request that was begun with this slot, and reads for all callers if no other does.
    pub(crate) fn finish(
        &self,
        request: RequestId,
        slot: &AnswerSlot,
        mode: ReadMode,
    ) -> Result<ReceivedAnswer> {
        self.callers.wait(request, slot, |reader| {
            self.read(reader, mode);
        })
    }

    /// One round trip whose request brings a descriptor.
    pub(crate) fn call_with_descriptor(
        &self,
        slot: &Arc<AnswerSlot>,
        body: Request<'_>,
        descriptor: BorrowedFd<'_>,
    ) -> Result<ReceivedAnswer> {
        let _turn = lock(&self.descriptor_calls);
        let (request, mut sender) = self.append_answered(slot, body)?;
        // As in `begin`, the reader finds out why it fails.
        let _ = self.flush_with(&mut sender, &mut Some(descriptor));
        drop(sender);
        self.finish(request, slot, ReadMode::Blocking)
    }

    /// One round trip whose answer may bring a descriptor.
    pub(crate) fn call_for_descriptor(
        &self,
        slot: &Arc<AnswerSlot>,
        body: Request<'_>,
    ) -> Result<ReceivedAnswer> {
        let _turn = lock(&self.descriptor_calls);
        self.takes_descriptors.fetch_add(1, Ordering::AcqRel);
        // A thread that reads now may be in a plain receive. Once it has received the answer to this first request,
        // which asks for nothing, its next receive takes descriptors.
        let nothing = Cancel { request: RequestId::ONE_WAY }.into_request();
        let outcome = self.call(slot, nothing).and_then(|_| self.call(slot, body));
        self.takes_descriptors.fetch_sub(1, Ordering::AcqRel);
        outcome
    }

    /// One round trip.
    fn call(&self, slot: &Arc<AnswerSlot>, body: Request<'_>) -> Result<ReceivedAnswer> {
        let request = self.begin(slot, body)?;
        self.finish(request, slot, ReadMode::Blocking)
    }

    /// The answer to a request that was begun with this slot, if it has come.
    pub(crate) fn try_finish(&self, slot: &AnswerSlot) -> Option<Result<ReceivedAnswer>> {
        self.read_what_has_come();
        match slot.take() {
            Some(Turn::Answered(answered)) => Some(answered),
            Some(Turn::Read(_)) => unreachable!("only a caller that sleeps becomes the reader"),
            None => None,
        }
    }

    /// Gives a request up. If its answer has not come, this cancels the request, and a late answer will find no slot.
    pub(crate) fn abandon(&self, request: RequestId) {
        if self.callers.abandon(request) {
            // If the connection is over, so is the request.
            let _ = self.send(Cancel { request }.into_request());
        }
    }

    /// Gives back what an answer brings that nobody takes.
    #[cold]
    pub(crate) fn drop_answer(&self, answer: &ReceivedAnswer) {
        let blobs = blobs_of(&answer.reply);
        if blobs.is_empty() {
            return;
        }
        lock(&self.unwanted).extend(blobs);
        // Whoever reads because the socket is full has the sender already. Then they go with those of the next such
        // answer.
        let Ok(mut sender) = self.sender.try_lock() else { return };
        for blob in mem::take(&mut *lock(&self.unwanted)) {
            let body = BlobClose { blob }.into_request();
            // If the connection is over, so are the references.
            let _ = sender.append(RequestId::ONE_WAY, self.acks.acknowledged(), body);
        }
        // The reader does not wait for room. What does not fit goes with the next write.
        if sender::write(&mut sender, &*self.stream).is_err() {
            sender.discard();
            self.stream.hang_up();
        }
    }

    /// Sends a one-way request.
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
        let (acknowledged, latest) = (self.acks.acknowledged(), self.acks.latest());
        if self.callers.ended().is_none() && sender.release(release, acknowledged, latest) {
            // If the manager is gone, so is the lock.
            let _ = self.flush(&mut sender);
        }
    }

    /// Defers releases from now on.
    pub(crate) fn adopt(&self, memory: SharedReleaseMemory) {
        lock(&self.sender).set_release_memory(memory);
    }

    /// Sends a one-way request with the next write.
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

    /// Whether the connection lives, as far as the socket shows without waiting.
    pub(crate) fn is_live(&self) -> bool {
        self.read_what_has_come();
        self.callers.ended().is_none()
    }

    /// A descriptor of the socket, to be watched for the end of the connection.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.stream.as_fd().try_clone_to_owned()
    }

    /// Sends what is queued, and a goodbye. Nothing must be sent on this connection after that.
    pub(crate) fn say_goodbye(&self) {
        let Ok(mut sender) = self.append_one_way(Goodbye.into_request()) else { return };
        while let Ok(WriteOutcome::Part) = sender::write(&mut sender, &*self.stream) {
            if !self.wait_for(StreamReadiness::WRITABLE, GOODBYE_TIME_MAX).writable {
                return;
            }
        }
    }

    fn append_one_way(&self, body: Request<'_>) -> Result<MutexGuard<'_, Sender>> {
        let mut sender = lock(&self.sender);
        if let Some(end) = self.callers.ended() {
            return Err(end.into());
        }
        if let Err(error) = sender.append(RequestId::ONE_WAY, self.acks.acknowledged(), body) {
            self.flush_if_due(&mut sender);
            return Err(error.into());
        }
        Ok(sender)
    }

    fn flush_if_due(&self, sender: &mut Sender) {
        if sender.is_urgent() || sender.poll_output().len() > QUEUED_BYTES_MAX {
            // If this fails, the next caller that waits for an answer learns why, as in `begin`.
            let _ = self.flush(sender);
        }
    }

    /// Moves all bytes to send into the socket. Other senders wait meanwhile, which keeps the order.
    fn flush(&self, sender: &mut Sender) -> io::Result<()> {
        self.flush_with(sender, &mut None)
    }

    /// Like [`flush`](Self::flush), and a descriptor goes with the first of the bytes.
    fn flush_with(&self, sender: &mut Sender, descriptor: &mut Option<BorrowedFd<'_>>) -> io::Result<()> {
        let outcome = match sender::write_with(sender, &*self.stream, descriptor) {
            Ok(WriteOutcome::All) => return Ok(()),
            Ok(WriteOutcome::Part) => self.flush_full_socket(sender, descriptor),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // The bytes sent may end in the middle of a request, so nothing can follow. The reader wakes up and finds
            // the end.
            sender.discard();
            self.stream.hang_up();
        }
        outcome
    }

    /// Waits for room, and reads meanwhile if no caller does: the manager cuts off a client that sends and does not
    /// read.
    #[cold]
    fn flush_full_socket(
        &self,
        sender: &mut Sender,
        descriptor: &mut Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let mut role: Option<Reader> = None;
        let outcome = loop {
            role = role.or_else(|| self.callers.take_reader());
            let wanted = if role.is_some() { StreamReadiness::EITHER } else { StreamReadiness::WRITABLE };
            let ready = self.wait_for(wanted, ROOM_CHECK_TIME);
            if let Some(reader) = &mut role
                && ready.readable
                && self.read(reader, ReadMode::NonBlocking) == ReceiveOutcome::End
            {
                break Err(io::ErrorKind::BrokenPipe.into());
            }
            match sender::write_with(sender, &*self.stream, descriptor) {
                Ok(WriteOutcome::All) => break Ok(()),
                Ok(WriteOutcome::Part) => {}
                Err(error) => break Err(error),
            }
        };
        if let Some(reader) = role {
            self.callers.pass_on(reader);
        }
        outcome
    }

    /// Waits until the stream is ready for one of the wanted uses, at most this long. Returns what it is ready for.
    pub(crate) fn wait_for(&self, wanted: StreamReadiness, timeout: Duration) -> StreamReadiness {
        self.stream.wait(wanted, Some(timeout))
    }

    /// Receives once, and gives every whole answer to its caller. At the end of the connection all callers learn of it.
    fn read(&self, reader: &mut Reader, mode: ReadMode) -> ReceiveOutcome {
        let takes_descriptors = self.takes_descriptors.load(Ordering::Acquire) > 0;
        let received = reader.receive(&*self.stream, mode, takes_descriptors);
        // This happens even at the end: answers may have come together with the greeting.
        let given = self.give_answers(reader);
        let end = match (received, given) {
            (Ok(ReceiveOutcome::Nothing), Ok(())) => return ReceiveOutcome::Nothing,
            (Ok(ReceiveOutcome::Bytes), Ok(())) => return ReceiveOutcome::Bytes,
            (Ok(ReceiveOutcome::End), Ok(())) => reader.end_of_input(),
            (Ok(_), Err(error)) => DisconnectReason::Malformed(error),
            (Err(error), _) => DisconnectReason::Unreadable(error.to_string()),
        };
        self.end(end);
        ReceiveOutcome::End
    }

    fn give_answers(&self, reader: &mut Reader) -> std::result::Result<(), FrameError> {
        while let Some(answer) = reader.next_answer()? {
            let enclosed = reader.enclosed_with(&answer);
            // The count comes first: a caller that has its answer must not send a count without it.
            let ack_hold = self.acks.handle_answer(&answer);
            let Answer { request, body } = answer;
            let answer = Ok(ReceivedAnswer { reply: body, ack_hold, enclosed });
            if let Some(Ok(late)) = self.callers.give(request, answer) {
                self.drop_answer(&late);
            }
        }
        Ok(())
    }

    /// Reads what has come, if no other caller reads.
    fn read_what_has_come(&self) {
        if let Some(mut reader) = self.callers.take_reader() {
            while self.read(&mut reader, ReadMode::NonBlocking) == ReceiveOutcome::Bytes {}
            self.callers.pass_on(reader);
        }
    }

    /// Ends the connection for all callers, those that wait and those that come later.
    fn end(&self, end: DisconnectReason) {
        // The connection may be over only because this side cannot go on.
        self.stream.hang_up();
        let error = Error::from(end.clone());
        self.callers.end(end, || Err(error.clone()));
    }

    /// Finds out why nothing can be sent any more: reads to the manager's last answer, unless another caller reads.
    fn find_out_the_end(&self) -> Error {
        if let Some(mut reader) = self.callers.take_reader() {
            while self.read(&mut reader, ReadMode::Blocking) != ReceiveOutcome::End {}
        }
        self.callers.ended().unwrap_or(DisconnectReason::Closed).into()
    }
}

#[cfg(test)]
mod tests;

//! One connection to a manager, shared by all threads of a process, without a thread of its own.
//!
//! A caller sends its request and then waits for its answer. The first who waits becomes the *reader*: it
//! reads the socket, gives everyone their answers, and when its own has come, it passes the office on to
//! another who waits. So a lone thread pays one write and one read for a call, and any number of threads
//! share one socket. No caller needs a timeout here, since the manager keeps all deadlines and answers when
//! one is over.
//!
//! Two locks, and never the other way round: first `sender`, then `callers`. The reader takes `callers` only,
//! so that it goes on reading while others send, or wait to.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use protocol::{Answer, FrameBuffer, Request, RequestId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::connection::acks::Receipts;
use crate::connection::answer_slot::{Answered, Seat, Turn};
use crate::connection::callers::Callers;
use crate::connection::deferred_release::{GivenBack, Ledger};
use crate::connection::reader::{Look, Reader, Received};
use crate::connection::sender::{Sender, Sent};
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// How many bytes may be queued for the next write before they are written without one.
const QUEUED_BYTES_MAX: usize = 64 << 10;

/// How often a thread that waits for room in the socket looks whether it should read meanwhile.
const ROOM_CHECK_TIME: Duration = Duration::from_millis(20);

/// How long the last goodbye may take when the manager does not read.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(1);

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    /// A blocking socket; whoever must not wait says so with each operation.
    socket: UnixStream,
    sender: Mutex<Sender>,
    callers: Mutex<Callers>,
    /// Which answers were received. The manager takes back what it granted beyond these if this process dies.
    receipts: Arc<Receipts>,
    /// The latest request that was answered.
    answered: AtomicU64,
    /// How many callers ask for a descriptor now, which is lost if it is not looked for. Otherwise that costs time.
    takes_descriptors: AtomicU32,
}

impl Connection {
    /// A connection over a socket that has been through the handshake, with what was received since.
    pub(crate) fn new(socket: UnixStream, frames: FrameBuffer) -> Connection {
        Connection {
            socket,
            sender: Mutex::new(Sender::new()),
            callers: Mutex::new(Callers::new(Reader::new(frames))),
            receipts: Arc::new(Receipts::new()),
            answered: AtomicU64::new(RequestId::ONE_WAY.0),
            takes_descriptors: AtomicU32::new(0),
        }
    }

    /// Sends a request whose answer will come to this seat, and returns the id it got.
    pub(crate) fn begin(&self, seat: &Arc<Seat>, body: Request<'_>) -> Result<RequestId> {
        let (request, mut sender) = self.append_answered(seat, body)?;
        // A failed write does not say why the manager is gone. The reader finds out, and tells every seat.
        let _ = self.flush(&mut sender);
        Ok(request)
    }

    /// Refuses to be granted more while receipts keep too much from being confirmed.
    pub(crate) fn check_receipts(&self) -> Result<()> {
        self.receipts.check()
    }

    /// Like [`begin`](Self::begin), but it is sent with the next write, which must come before its answer is
    /// waited for.
    pub(crate) fn begin_queued(&self, seat: &Arc<Seat>, body: Request<'_>) -> Result<RequestId> {
        let (request, mut sender) = self.append_answered(seat, body)?;
        sender.nobody_waits();
        self.flush_if_due(&mut sender);
        Ok(request)
    }

    /// Like [`begin`](Self::begin), for an answer that may be taken much later.
    pub(crate) fn begin_apart(&self, seat: &Arc<Seat>, body: Request<'_>) -> Result<RequestId> {
        let (request, mut sender) = self.append_answered(seat, body)?;
        sender.nobody_waits();
        let _ = self.flush(&mut sender);
        Ok(request)
    }

    fn append_answered(
        &self,
        seat: &Arc<Seat>,
        body: Request<'_>,
    ) -> Result<(RequestId, MutexGuard<'_, Sender>)> {
        let mut sender = lock(&self.sender);
        let request = sender.next_request();
        // The seat is there before the request is sent, or the reader might see an answer to nobody.
        lock(&self.callers).enter(request, seat)?;
        if let Err(error) = sender.append(request, self.receipts.confirmed(), body) {
            lock(&self.callers).leave(request);
            self.flush_if_due(&mut sender);
            return Err(error.into());
        }
        Ok((request, sender))
    }

    /// Waits for the answer to a request that was begun with this seat, and reads for everyone if nobody
    /// does.
    pub(crate) fn finish(&self, request: RequestId, seat: &Seat, look: Look) -> Result<Answered> {
        let mut office = lock(&self.callers).wait_or_read(request);
        loop {
            if let Some(mut reader) = office.take() {
                while !seat.is_given() {
                    self.read(&mut reader, look);
                }
                self.pass_on(reader);
            }
            match seat.sleep() {
                Turn::Answered(answered) => return answered,
                Turn::Read(reader) => office = Some(reader),
            }
        }
    }

    /// One round trip whose answer may bring a descriptor.
    pub(crate) fn call_for_descriptor(&self, seat: &Arc<Seat>, body: Request<'_>) -> Result<Answered> {
        self.takes_descriptors.fetch_add(1, Ordering::AcqRel);
        // Whoever reads now does so without looking for descriptors. By the time that it has brought an answer to this,
        // which asks for nothing, it has noticed.
        let nothing = Request::Cancel { request: RequestId::ONE_WAY };
        let outcome = self.call(seat, nothing).and_then(|_| self.call(seat, body));
        self.takes_descriptors.fetch_sub(1, Ordering::AcqRel);
        outcome
    }

    /// One round trip.
    fn call(&self, seat: &Arc<Seat>, body: Request<'_>) -> Result<Answered> {
        let request = self.begin(seat, body)?;
        self.finish(request, seat, Look::Awake)
    }

    /// The answer to a request that was begun with this seat, if it has come.
    pub(crate) fn try_finish(&self, seat: &Seat) -> Option<Result<Answered>> {
        let reader = lock(&self.callers).take_office();
        if let Some(mut reader) = reader {
            while self.read(&mut reader, Look::Glance) == Received::Bytes {}
            self.pass_on(reader);
        }
        match seat.take() {
            Some(Turn::Answered(answered)) => Some(answered),
            Some(Turn::Read(_)) => unreachable!("only a caller that sleeps becomes the reader"),
            None => None,
        }
    }

    /// Gives up a request. If its answer has not come, the manager is told, and the answer will find no seat.
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

    /// Gives a lock back: with the next request of this process, or at once if somebody wants it.
    pub(crate) fn give_back(&self, given: GivenBack) {
        let mut sender = lock(&self.sender);
        let (received, answered) =
            (self.receipts.confirmed(), RequestId(self.answered.load(Ordering::Acquire)));
        if lock(&self.callers).end().is_none() && sender.give_back(given, received, answered) {
            // If the manager is gone, so is the lock.
            let _ = self.flush(&mut sender);
        }
    }

    /// From now on locks are given back through this ledger.
    pub(crate) fn adopt(&self, ledger: Ledger) {
        lock(&self.sender).adopt(ledger);
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
        let reader = lock(&self.callers).take_office();
        if let Some(mut reader) = reader {
            while self.read(&mut reader, Look::Glance) == Received::Bytes {}
            self.pass_on(reader);
        }
        lock(&self.callers).end().is_none()
    }

    /// A descriptor of the socket, to be watched for the end of the connection.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Sends what is queued and a goodbye, as the last thing that is done with this connection.
    pub(crate) fn say_goodbye(&self) {
        let Ok(mut sender) = self.append_one_way(Request::Goodbye) else { return };
        while let Ok(Sent::Part) = sender.write(&self.socket) {
            if !self.wait_for(PollFlags::OUT, GOODBYE_TIME_MAX).contains(PollFlags::OUT) {
                return;
            }
        }
    }

    fn append_one_way(&self, body: Request<'_>) -> Result<MutexGuard<'_, Sender>> {
        let mut sender = lock(&self.sender);
        if let Some(end) = lock(&self.callers).end() {
            return Err(end.clone());
        }
        if let Err(error) = sender.append(RequestId::ONE_WAY, self.receipts.confirmed(), body) {
            self.flush_if_due(&mut sender);
            return Err(error.into());
        }
        Ok(sender)
    }

    fn flush_if_due(&self, sender: &mut Sender) {
        if sender.is_urgent() || sender.waiting_bytes() > QUEUED_BYTES_MAX {
            // As in `begin`: the next who waits for an answer learns what is wrong.
            let _ = self.flush(sender);
        }
    }

    /// Moves all that is to be sent into the socket. Others who send wait for the same, in order.
    fn flush(&self, sender: &mut Sender) -> io::Result<()> {
        let outcome = match sender.write(&self.socket) {
            Ok(Sent::All) => return Ok(()),
            Ok(Sent::Part) => self.flush_full_socket(sender),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // What was sent may end amid a request, so nothing can follow. Whoever reads wakes up and finds
            // the end.
            sender.discard();
            let _ = self.socket.shutdown(Shutdown::Both);
        }
        outcome
    }

    /// Waits for room, and reads meanwhile if nobody does: the manager cuts off who sends and does not read.
    #[cold]
    fn flush_full_socket(&self, sender: &mut Sender) -> io::Result<()> {
        let mut office: Option<Reader> = None;
        let outcome = loop {
            office = office.or_else(|| lock(&self.callers).take_office());
            let events = if office.is_some() { PollFlags::IN | PollFlags::OUT } else { PollFlags::OUT };
            let ready = self.wait_for(events, ROOM_CHECK_TIME);
            if let Some(reader) = &mut office
                && ready.contains(PollFlags::IN)
                && self.read(reader, Look::Glance) == Received::End
            {
                break Err(io::ErrorKind::BrokenPipe.into());
            }
            match sender.write(&self.socket) {
                Ok(Sent::All) => break Ok(()),
                Ok(Sent::Part) => {}
                Err(error) => break Err(error),
            }
        };
        if let Some(reader) = office {
            self.pass_on(reader);
        }
        outcome
    }

    /// Waits until the socket is ready for one of these, at most this long. Returns what it is ready for.
    fn wait_for(&self, events: PollFlags, timeout: Duration) -> PollFlags {
        let timeout = Timespec::try_from(timeout).expect("timeouts here are a second or less");
        let mut sockets = [PollFd::new(&self.socket, events)];
        // An interruption is as good as a timeout: whoever waits here looks again.
        let _ = poll(&mut sockets, Some(&timeout));
        sockets[0].revents()
    }

    /// Receives once, and gives every whole answer to its caller. At the end of the connection everyone
    /// learns of it.
    fn read(&self, reader: &mut Reader, look: Look) -> Received {
        let takes_descriptors = self.takes_descriptors.load(Ordering::Acquire) > 0;
        let received = reader.receive(&self.socket, look, takes_descriptors);
        // At the end too: something may have come together with the greeting.
        let given = self.give_answers(reader);
        let failure = match (received, given) {
            (Ok(Received::Nothing), Ok(())) => return Received::Nothing,
            (Ok(Received::Bytes), Ok(())) => return Received::Bytes,
            (Ok(Received::End), Ok(())) => reader.farewell().unwrap_or("it ended, or was ended").to_owned(),
            (Ok(_), Err(error)) => format!("it sent what is no answer: {error}"),
            (Err(error), _) => format!("its socket can not be read: {error}"),
        };
        let error = Error::new(ErrorKind::ManagerGone, format!("the manager is gone: {failure}"));
        self.end(&error);
        Received::End
    }

    fn give_answers(&self, reader: &mut Reader) -> Result<()> {
        while let Some(answer) = reader.next_answer()? {
            let enclosed = reader.enclosed_with(&answer);
            let Answer { request, body } = answer;
            // Counted before it is given: a caller that has an answer must not be able to send a count
            // without it.
            let receipt = self.receipts.note(&body);
            self.answered.fetch_max(request.0, Ordering::Release);
            let seat = lock(&self.callers).leave(request);
            // One without a seat is the late answer to a request that was given up.
            if let Some(seat) = seat {
                seat.give(Turn::Answered(Ok(Answered { reply: body, receipt, enclosed })));
            }
        }
        Ok(())
    }

    /// Ends the connection for everyone who waits, and who comes.
    fn end(&self, error: &Error) {
        // Also where it is only this side that can not go on.
        let _ = self.socket.shutdown(Shutdown::Both);
        // Given outside of the lock, as whoever wakes may want it.
        let seats = lock(&self.callers).end_with(error);
        for seat in seats {
            seat.give(Turn::Answered(Err(error.clone())));
        }
    }

    /// Gives the office of the reader to one who sleeps, or leaves it for the next who comes.
    fn pass_on(&self, reader: Reader) {
        let next = lock(&self.callers).pass_on(reader);
        if let Some((seat, reader)) = next {
            seat.give(Turn::Read(reader));
        }
    }

    /// Why nothing can be sent any more: reads what the manager has said last, unless somebody else is about
    /// to.
    fn find_out_the_end(&self) -> Error {
        let reader = lock(&self.callers).take_office();
        if let Some(mut reader) = reader {
            while self.read(&mut reader, Look::Awake) != Received::End {}
        }
        let end = lock(&self.callers).end().cloned();
        end.unwrap_or_else(|| {
            Error::new(ErrorKind::ManagerGone, "the manager is gone: it ended, or was ended")
        })
    }
}

#[cfg(test)]
mod tests;

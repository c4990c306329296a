//! A driver in memory: it puts the parts of a session together as any driver does that has a connection to itself.
//! Around it, an asynchronous driver would only add the socket, and wake the future of each request by its event.

use std::collections::VecDeque;
use std::fmt;

use client_core::{
    Acks, DeferredRelease, DisconnectReason, HeldAnswer, Incoming, NoReleaseMemory, Outgoing,
    PendingRequests, ReleaseMemory, UnacknowledgedGrants, Unclaimed,
};
use protocol::{FrameBuffer, FrameError, Reply, Request, RequestId};

/// The parts of one session after its handshake. Its user makes requests ([`request`](Self::request),
/// [`send`](Self::send), …), moves the bytes of [`poll_output`](Self::poll_output) into the connection and those of
/// the connection into [`space`](Self::space), and then takes the events of [`poll_event`](Self::poll_event).
#[derive(Debug)]
pub(crate) struct MemoryDriver<M = NoReleaseMemory> {
    outgoing: Outgoing<M>,
    incoming: Incoming,
    /// Each request waits with its own id, which an event names.
    pending: PendingRequests<RequestId>,
    acks: Acks,
    /// Whether the other side has closed the connection.
    is_input_over: bool,
    /// Requests that will not be answered any more, and for which no event was taken.
    ended: VecDeque<RequestId>,
}

/// What has happened to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DriverEvent {
    /// It is answered.
    Answered {
        /// The request.
        request: RequestId,
        /// The answer.
        reply: Reply,
        /// What to [`release`](MemoryDriver::release_answer) once the answer cannot be lost any more.
        held: Option<HeldAnswer>,
    },
    /// The session is over, so it will not be answered; [`MemoryDriver::end`] says why.
    Ended {
        /// The request.
        request: RequestId,
    },
}

/// Why a request was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// The session is over.
    Ended(DisconnectReason),
    /// It does not fit into a frame.
    Frame(FrameError),
    /// Too many grants are not acknowledged.
    Unacknowledged(UnacknowledgedGrants),
}

impl<M: ReleaseMemory> MemoryDriver<M> {
    /// Goes on where the handshake ended, with the bytes that came behind the greeting.
    pub(crate) fn new(frames: FrameBuffer) -> MemoryDriver<M> {
        MemoryDriver {
            outgoing: Outgoing::new(),
            incoming: Incoming::new(frames),
            pending: PendingRequests::new(),
            acks: Acks::new(),
            is_input_over: false,
            ended: VecDeque::new(),
        }
    }

    /// Makes a request, whose answer or end will be a [`DriverEvent`].
    ///
    /// # Errors
    ///
    /// If the session is over, the request is too large, or it is a wait and too many grants are not acknowledged. Then
    /// nothing is sent.
    pub(crate) fn request(&mut self, body: Request<'_>) -> Result<RequestId, RequestError> {
        UnacknowledgedGrants::check(self.acks.is_full(), &body).map_err(RequestError::Unacknowledged)?;
        let request = self.outgoing.next_request();
        self.pending.insert(request, request).map_err(RequestError::Ended)?;
        if let Err(error) = self.outgoing.append(request, self.acks.acknowledged(), body) {
            self.pending.abandon(request);
            return Err(RequestError::Frame(error));
        }
        self.outgoing.set_unawaited(request);
        Ok(request)
    }

    /// Makes a one-way request, which gets no answer even if it is refused.
    ///
    /// # Errors
    ///
    /// If the session is over, or the request is too large.
    pub(crate) fn send(&mut self, body: Request<'_>) -> Result<(), RequestError> {
        if let Some(end) = self.pending.end() {
            return Err(RequestError::Ended(end.clone()));
        }
        self.outgoing.append(RequestId::ONE_WAY, self.acks.acknowledged(), body).map_err(RequestError::Frame)
    }

    /// Gives a request up. If its answer has not come, this cancels the request, and drops the answer when it comes.
    pub(crate) fn abandon(&mut self, request: RequestId) {
        if self.pending.abandon(request).is_some() {
            self.send(Request::Cancel { request }).expect("a session with a pending request is not over");
        }
    }

    /// Releases a lock: with the next request, or at once if somebody wants it.
    pub(crate) fn release(&mut self, release: DeferredRelease) {
        if self.pending.end().is_none() {
            self.outgoing.release(release, self.acks.acknowledged(), self.acks.latest());
        }
    }

    /// Defers releases in this memory from now on.
    pub(crate) fn set_release_memory(&mut self, memory: M) {
        self.outgoing.set_release_memory(memory);
    }

    /// Releases an answer that was held, so that it can be acknowledged.
    pub(crate) fn release_answer(&mut self, answer: HeldAnswer) {
        self.acks.release(answer);
    }

    /// The bytes to send next.
    pub(crate) fn poll_output(&self) -> &[u8] {
        self.outgoing.poll_output()
    }

    /// Notes that this many bytes of [`poll_output`](Self::poll_output) have left.
    pub(crate) fn handle_written(&mut self, bytes: usize) {
        self.outgoing.handle_written(bytes);
    }

    /// Space to read into, of some kilobytes at least.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.incoming.space()
    }

    /// Takes this many bytes, which were read into [`space`](Self::space).
    pub(crate) fn handle_input(&mut self, bytes: usize) {
        self.incoming.handle_input(bytes);
    }

    /// Notes that no more bytes will come.
    pub(crate) fn handle_input_over(&mut self) {
        self.is_input_over = true;
    }

    /// The next event. Answers that came before the end of the session come before it here, too.
    pub(crate) fn poll_event(&mut self) -> Option<DriverEvent> {
        while self.pending.end().is_none() {
            let end = match self.incoming.poll_answer() {
                Ok(Some(answer)) => {
                    let held = self.acks.handle_answer(&answer);
                    match self.pending.handle_answer(answer.request) {
                        Some(request) => {
                            return Some(DriverEvent::Answered { request, reply: answer.body, held });
                        }
                        None => held.into_iter().for_each(|held| self.acks.release(held)),
                    }
                    continue;
                }
                Ok(None) if self.is_input_over => self.incoming.end_of_input(),
                Ok(None) => return None,
                Err(error) => DisconnectReason::Malformed(error),
            };
            self.outgoing.discard();
            self.ended.extend(self.pending.handle_end(end));
        }
        self.ended.pop_front().map(|request| DriverEvent::Ended { request })
    }

    /// Why the session is over, if it is.
    pub(crate) fn end(&self) -> Option<&DisconnectReason> {
        self.pending.end()
    }

    /// How many answers came that nobody waited for.
    pub(crate) fn unclaimed(&self) -> Unclaimed {
        self.pending.unclaimed()
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Ended(end) => end.fmt(formatter),
            RequestError::Frame(error) => error.fmt(formatter),
            RequestError::Unacknowledged(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for RequestError {}

//! The sending half of a connection: requests in order, from one buffer that is used again and again.

use std::io;
use std::os::fd::AsFd;

use protocol::{Envelope, FrameError, Request, RequestId, append_frame};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::connection::deferred_release::{GivenBack, Ledger};

/// The capacity that an empty buffer keeps, in bytes; a rare large request does not hold its memory for ever.
const IDLE_BYTES_MAX: usize = 256 << 10;

/// Requests on their way into the socket.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Encoded requests; those before `sent` are in the socket.
    bytes: Vec<u8>,
    /// Where the first byte that is not in the socket stands.
    sent: usize,
    /// The id that was given out last.
    last_request: u64,
    /// What was given back and waits for the next request; none if the manager keeps no ledger for this process.
    ledger: Option<Ledger>,
    /// Whether a release is encoded, which nobody finds until it is sent.
    holds_release: bool,
    /// The manager has carried out everything that nobody waits for once it has answered a later request than this.
    unawaited: Option<RequestId>,
}

/// What became of the bytes that were to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of them are in the socket.
    All,
    /// The socket is full for now.
    Part,
}

impl Sender {
    /// A sender of a fresh connection.
    pub(crate) fn new() -> Sender {
        Sender {
            bytes: Vec::new(),
            sent: 0,
            last_request: RequestId::ONE_WAY.0,
            ledger: None,
            holds_release: false,
            unawaited: None,
        }
    }

    /// A new request id. Ids grow in the order in which requests are sent.
    pub(crate) fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// Encodes a request behind those that are there, and behind the locks that were given back. On an error these are
    /// encoded all the same, and nothing else is changed.
    pub(crate) fn append(
        &mut self,
        request: RequestId,
        received: u64,
        body: Request<'_>,
    ) -> Result<(), FrameError> {
        // An answered request has its number already, and tells by its answer that what goes before it is carried out.
        let before = if request.wants_answer() { request.0 - 1 } else { self.last_request };
        self.tell_given_back(received, RequestId(before));
        append_frame(&mut self.bytes, &Envelope { request, received, body })?;
        if !request.wants_answer() {
            self.nobody_waits();
        }
        Ok(())
    }

    /// Notes that nobody waits for the answer to what was appended last, so that it is not known when it is carried
    /// out.
    pub(crate) fn nobody_waits(&mut self) {
        self.unawaited = Some(RequestId(self.last_request));
    }

    /// Whether something is encoded that must not wait for the next request: a release, which would be in nobody's
    /// sight.
    pub(crate) fn is_urgent(&self) -> bool {
        self.holds_release
    }

    /// From now on locks are given back through this ledger.
    pub(crate) fn adopt(&mut self, ledger: Ledger) {
        self.ledger = Some(ledger);
    }

    /// Gives a lock back. True if that is to be sent at once, and not with the next request. `answered` is the latest
    /// request that the manager has answered.
    pub(crate) fn give_back(&mut self, given: GivenBack, received: u64, answered: RequestId) -> bool {
        // The manager may find an entry before it reads what was sent earlier, so there must be nothing of that.
        let is_first = self.unawaited.is_none_or(|unawaited| answered > unawaited);
        if is_first && self.ledger.as_mut().is_some_and(|ledger| ledger.enter(given)) {
            return false;
        }
        self.append(RequestId::ONE_WAY, received, given.request()).expect("a release fits into a frame");
        true
    }

    /// Encodes the releases that wait, behind this request.
    fn tell_given_back(&mut self, received: u64, before: RequestId) {
        let Some(ledger) = self.ledger.as_mut().filter(|ledger| !ledger.is_empty()) else { return };
        ledger.drain(|given| {
            let envelope = Envelope { request: RequestId::ONE_WAY, received, body: given.request() };
            append_frame(&mut self.bytes, &envelope).expect("a release fits into a frame");
            self.holds_release = true;
            self.unawaited = Some(before);
        });
    }

    /// How many bytes wait to be sent.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Moves into the socket what it takes without waiting.
    pub(crate) fn write(&mut self, socket: impl AsFd) -> io::Result<Sent> {
        while self.waiting_bytes() > 0 {
            match send(&socket, &self.bytes[self.sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(bytes) => self.sent += bytes,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Sent::Part),
                Err(errno) => return Err(errno.into()),
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(IDLE_BYTES_MAX);
        self.sent = 0;
        self.holds_release = false;
        Ok(Sent::All)
    }

    /// Forgets what was to be sent, since nobody is there to take it.
    pub(crate) fn discard(&mut self) {
        self.bytes = Vec::new();
        self.sent = 0;
    }
}

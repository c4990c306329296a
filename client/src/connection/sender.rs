//! The sending half of a connection: requests in order, from one buffer that is reused.

use std::io;

use protocol::{Envelope, FrameError, Request, RequestId, append_frame};
use transport::Stream;

use crate::connection::deferred_release::{DeferredRelease, DeferredReleases};

/// The capacity that an empty buffer keeps, in bytes, so that a rare large request does not hold its memory forever.
const IDLE_BYTES_MAX: usize = 256 << 10;

/// Requests on their way into the socket.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Encoded requests; those before `sent` are in the socket.
    bytes: Vec<u8>,
    /// The position of the first byte that is not in the socket.
    sent: usize,
    /// The id that was given out last.
    last_request: u64,
    /// What was released and waits for the next request; none if the manager shares no memory for it.
    deferred_releases: Option<DeferredReleases>,
    /// Whether the buffer holds a release, which the manager cannot find until it is sent.
    holds_release: bool,
    /// Once the manager has answered a later request than this, it has carried out everything that is not waited for.
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
            deferred_releases: None,
            holds_release: false,
            unawaited: None,
        }
    }

    /// A new request id. Ids grow in the order in which requests are sent.
    pub(crate) fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// Encodes a request behind those that are there, and behind the deferred releases. On an error the releases are
    /// encoded all the same, and nothing else changes.
    pub(crate) fn append(
        &mut self,
        request: RequestId,
        received: u64,
        body: Request<'_>,
    ) -> Result<(), FrameError> {
        // A request with an answer has its number already, and its answer proves that all before it is carried out.
        let before = if request.wants_answer() { request.0 - 1 } else { self.last_request };
        self.append_deferred(received, RequestId(before));
        append_frame(&mut self.bytes, &Envelope { request, received, body })?;
        if !request.wants_answer() {
            self.note_unawaited();
        }
        Ok(())
    }

    /// Notes that no caller waits for the answer to what was appended last, so that this process does not learn when it
    /// is carried out.
    pub(crate) fn note_unawaited(&mut self) {
        self.unawaited = Some(RequestId(self.last_request));
    }

    /// Whether the buffer holds something that must not wait for the next request: a release, which the manager cannot
    /// find here.
    pub(crate) fn is_urgent(&self) -> bool {
        self.holds_release
    }

    /// Defers releases from now on.
    pub(crate) fn adopt(&mut self, deferred_releases: DeferredReleases) {
        self.deferred_releases = Some(deferred_releases);
    }

    /// Releases a lock. True if the request is to be sent at once, and not with the next one. `answered` is the latest
    /// request that the manager has answered.
    pub(crate) fn release(&mut self, release: DeferredRelease, received: u64, answered: RequestId) -> bool {
        // The manager may find an entry before it reads what was sent earlier, so nothing of that may be open.
        let is_first = self.unawaited.is_none_or(|unawaited| answered > unawaited);
        if is_first && self.deferred_releases.as_mut().is_some_and(|deferred| deferred.enter(release)) {
            return false;
        }
        self.append(RequestId::ONE_WAY, received, release.request()).expect("a release fits into a frame");
        true
    }

    /// Encodes the deferred releases, behind this request.
    fn append_deferred(&mut self, received: u64, before: RequestId) {
        let Some(deferred) = self.deferred_releases.as_mut().filter(|deferred| !deferred.is_empty()) else {
            return;
        };
        deferred.drain(|release| {
            let envelope = Envelope { request: RequestId::ONE_WAY, received, body: release.request() };
            append_frame(&mut self.bytes, &envelope).expect("a release fits into a frame");
            self.holds_release = true;
            self.unawaited = Some(before);
        });
    }

    /// How many bytes wait to be sent.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Moves into the socket as much as it takes without waiting.
    pub(crate) fn write(&mut self, stream: &Stream) -> io::Result<Sent> {
        while self.waiting_bytes() > 0 {
            match stream.write(&self.bytes[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Part),
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(IDLE_BYTES_MAX);
        self.sent = 0;
        self.holds_release = false;
        Ok(Sent::All)
    }

    /// Forgets what was to be sent, since the other side is gone.
    pub(crate) fn discard(&mut self) {
        self.bytes = Vec::new();
        self.sent = 0;
    }
}

//! The sending half of a session: request ids, and requests as bytes in the order in which they leave.

use alloc::vec::Vec;

use protocol::{Envelope, FrameError, Request, RequestId, append_frame};

use crate::{DeferredRelease, ReleaseMemory};

/// The capacity that an empty buffer keeps, in bytes; a rare large request does not hold its memory forever.
const IDLE_BYTES_MAX: usize = 256 << 10;

/// Requests on their way out, in one buffer that is used again and again.
#[derive(Debug)]
pub struct Outgoing<M> {
    /// Encoded requests; those before `written` have left.
    bytes: Vec<u8>,
    /// Where the first byte stands that has not left.
    written: usize,
    /// The id that was given out last.
    last_request: u64,
    /// Where releases wait for the next request; none if the manager shares no memory for them.
    deferred: Option<M>,
    /// Whether a release is encoded, which nobody finds until it has left.
    holds_release: bool,
    /// The manager has carried out everything that nobody waits for once it has answered a later request than this.
    unawaited: Option<RequestId>,
}

impl<M: ReleaseMemory> Outgoing<M> {
    /// The sending half of a fresh session.
    pub const fn new() -> Outgoing<M> {
        Outgoing {
            bytes: Vec::new(),
            written: 0,
            last_request: RequestId::ONE_WAY.0,
            deferred: None,
            holds_release: false,
            unawaited: None,
        }
    }

    /// A new request id. Ids grow in the order in which requests leave.
    pub fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// Encodes a request behind those that are there, and behind the locks that were given back. `acknowledged` is how
    /// many answers it acknowledges.
    ///
    /// # Errors
    /// If the request fits into no frame. The locks that were given back are encoded all the same, and nothing else is
    /// changed.
    pub fn append(
        &mut self,
        request: RequestId,
        acknowledged: u64,
        body: Request<'_>,
    ) -> Result<(), FrameError> {
        // An answered request has its number already, and tells by its answer that what goes before it is carried out.
        let before = if request.wants_answer() { request.0 - 1 } else { self.last_request };
        self.append_deferred(acknowledged, RequestId(before));
        append_frame(&mut self.bytes, &Envelope { request, received: acknowledged, body })?;
        if !request.wants_answer() {
            self.unawaited = Some(RequestId(self.last_request));
        }
        Ok(())
    }

    /// Notes that this request, the one appended last, may not be answered yet when its caller goes on.
    pub fn set_unawaited(&mut self, request: RequestId) {
        self.unawaited = Some(RequestId(request.0 - 1));
    }

    /// Whether something is encoded that must not wait for the next request: a release, which nobody can find.
    pub fn is_urgent(&self) -> bool {
        self.holds_release
    }

    /// From now on releases are deferred by this memory.
    pub fn set_release_memory(&mut self, memory: M) {
        self.deferred = Some(memory);
    }

    /// Gives a lock back. True if that is encoded, and to be sent at once; false if it waits for the next request.
    /// `answered` is the latest request that the manager has answered.
    pub fn release(&mut self, release: DeferredRelease, acknowledged: u64, answered: RequestId) -> bool {
        // The manager may find an entry before it reads what was sent earlier, so there must be nothing of that.
        let is_first = self.unawaited.is_none_or(|unawaited| answered > unawaited);
        if is_first && self.deferred.as_mut().is_some_and(|memory| memory.enter(release)) {
            return false;
        }
        self.append(RequestId::ONE_WAY, acknowledged, release.request())
            .expect("a release fits into a frame");
        true
    }

    /// Encodes the releases that wait, behind this request.
    fn append_deferred(&mut self, acknowledged: u64, before: RequestId) {
        let Some(memory) = self.deferred.as_mut().filter(|memory| !memory.is_empty()) else { return };
        memory.drain(|release| {
            let body = release.request();
            let envelope = Envelope { request: RequestId::ONE_WAY, received: acknowledged, body };
            append_frame(&mut self.bytes, &envelope).expect("a release fits into a frame");
            self.holds_release = true;
            self.unawaited = Some(before);
        });
    }

    /// What is to be sent next.
    pub fn poll_output(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Takes it that this many bytes of [`poll_output`](Self::poll_output) have left.
    pub fn handle_written(&mut self, bytes: usize) {
        self.written += bytes;
        debug_assert!(self.written <= self.bytes.len(), "more was written than there was");
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(IDLE_BYTES_MAX);
            self.written = 0;
            self.holds_release = false;
        }
    }

    /// Forgets what was to be sent, since nobody is there to take it.
    pub fn discard(&mut self) {
        self.bytes = Vec::new();
        self.written = 0;
    }
}

impl<M: ReleaseMemory> Default for Outgoing<M> {
    fn default() -> Outgoing<M> {
        Outgoing::new()
    }
}

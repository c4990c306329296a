//! The sending half of a session: request ids, and requests as bytes in the order in which they leave.

use alloc::vec::Vec;

use protocol::{Envelope, FrameError, Request, RequestId, append_frame};

use crate::{DeferredRelease, ReleaseMemory};

/// The capacity that an empty buffer keeps, in bytes, so that a rare large request does not keep its memory forever.
const IDLE_BYTES_MAX: usize = 256 << 10;

/// Requests on their way out, in one buffer that is reused.
#[derive(Debug)]
pub struct Outgoing<M> {
    /// Encoded requests; those before `written` have left.
    bytes: Vec<u8>,
    /// The position of the first byte that has not left.
    written: usize,
    /// The id that was given out last.
    last_request: u64,
    /// Where releases wait for the next request; none if the manager shares no memory for them.
    deferred: Option<M>,
    /// Whether a release is encoded and has not left, so that nobody can find it.
    holds_release: bool,
    /// Once the manager has answered a later request than this, it has carried out every request that nobody waits for.
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

    /// Encodes a request behind those that are there, and behind the deferred releases. `acknowledged` is how many
    /// answers it acknowledges.
    ///
    /// # Errors
    ///
    /// If the request does not fit into a frame. The deferred releases are encoded all the same, and nothing else is
    /// changed.
    pub fn append(
        &mut self,
        request: RequestId,
        acknowledged: u64,
        body: Request<'_>,
    ) -> Result<(), FrameError> {
        // A request with an answer has its number already, and its answer shows that everything before it is carried
        // out.
        let before = if request.wants_answer() { request.0 - 1 } else { self.last_request };
        self.append_deferred(acknowledged, RequestId(before));
        append_frame(&mut self.bytes, &Envelope { request, received: acknowledged, body })?;
        if !request.wants_answer() {
            self.unawaited = Some(RequestId(self.last_request));
        }
        Ok(())
    }

    /// Notes that the caller of this request, the last one appended, may go on before its answer comes.
    pub fn set_unawaited(&mut self, request: RequestId) {
        self.unawaited = Some(RequestId(request.0 - 1));
    }

    /// Whether a release is encoded. It must not wait for the next request, since nobody can find it.
    pub fn is_urgent(&self) -> bool {
        self.holds_release
    }

    /// Defers releases in this memory from now on.
    pub fn set_release_memory(&mut self, memory: M) {
        self.deferred = Some(memory);
    }

    /// Releases a lock. Returns true if the request is encoded and has to be sent at once, and false if it waits for
    /// the next request. `answered` is the latest request that the manager has answered.
    pub fn release(&mut self, release: DeferredRelease, acknowledged: u64, answered: RequestId) -> bool {
        // The manager may find an entry before it reads an earlier request, so it must have read all of them.
        let is_first = self.unawaited.is_none_or(|unawaited| answered > unawaited);
        if is_first && self.deferred.as_mut().is_some_and(|memory| memory.enter(release)) {
            return false;
        }
        self.append(RequestId::ONE_WAY, acknowledged, release.request())
            .expect("a release fits into a frame");
        true
    }

    /// Encodes the deferred releases, behind this request.
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

    /// The bytes to send next.
    pub fn poll_output(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Notes that this many bytes of [`poll_output`](Self::poll_output) have left.
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

    /// Drops the bytes to send, since nobody will read them.
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

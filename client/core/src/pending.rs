//! The requests that wait for an answer, and the end of all waiting.

use protocol::RequestId;

use crate::{DisconnectReason, RequestMap};

/// The requests that wait for an answer, each with whatever a driver needs to hand the answer on.
#[derive(Debug)]
pub struct PendingRequests<W> {
    waiters: RequestMap<W>,
    /// The last request that ever waited here.
    last: RequestId,
    /// Why no request is answered any more.
    end: Option<DisconnectReason>,
    unclaimed: Unclaimed,
}

/// How many answers came that nobody waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unclaimed {
    /// Answers to requests that were abandoned before.
    pub late: u64,
    /// Answers to requests that were never made.
    pub unasked: u64,
}

impl<W> PendingRequests<W> {
    /// No request waits yet.
    pub const fn new() -> PendingRequests<W> {
        let unclaimed = Unclaimed { late: 0, unasked: 0 };
        PendingRequests { waiters: RequestMap::new(), last: RequestId::ONE_WAY, end: None, unclaimed }
    }

    /// Adds a request before it is sent.
    ///
    /// # Errors
    ///
    /// If the session is over: then nothing is added, and the request must not be sent.
    pub fn insert(&mut self, request: RequestId, waiter: W) -> Result<(), DisconnectReason> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        self.last = self.last.max(request);
        self.waiters.insert(request, waiter);
        Ok(())
    }

    /// Takes the waiter whose request was answered. An answer that nobody waits for is counted.
    pub fn handle_answer(&mut self, request: RequestId) -> Option<W> {
        let waiter = self.waiters.remove(request);
        if waiter.is_none() {
            let count =
                if request > self.last { &mut self.unclaimed.unasked } else { &mut self.unclaimed.late };
            *count += 1;
        }
        waiter
    }

    /// Gives a request up: if its answer still comes, it is dropped. None if the request was answered before.
    pub fn abandon(&mut self, request: RequestId) -> Option<W> {
        self.waiters.remove(request)
    }

    /// Ends the session: notes why, and takes out the waiters that have to learn of it. A second end changes nothing.
    pub fn handle_end(&mut self, end: DisconnectReason) -> impl Iterator<Item = W> + use<W> {
        self.end.get_or_insert(end);
        core::mem::take(&mut self.waiters).into_iter().map(|(_, waiter)| waiter)
    }

    /// Why the session is over, if it is.
    pub fn end(&self) -> Option<&DisconnectReason> {
        self.end.as_ref()
    }

    /// Whether this request waits for its answer.
    pub fn contains(&self, request: RequestId) -> bool {
        self.waiters.contains(request)
    }

    /// The waiter of a request that is not answered.
    pub fn get(&self, request: RequestId) -> Option<&W> {
        self.waiters.get(request)
    }

    /// Whether no request waits for an answer.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// How many answers came that nobody waited for.
    pub fn unclaimed(&self) -> Unclaimed {
        self.unclaimed
    }
}

impl<W> Default for PendingRequests<W> {
    fn default() -> PendingRequests<W> {
        PendingRequests::new()
    }
}

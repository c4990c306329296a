//! Locks that are given back without telling the manager, which looks for them when somebody wants one.

use protocol::{ObjectId, Request, ThreadId};

/// A lock that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeferredRelease {
    /// The lock.
    pub lock: ObjectId,
    /// The holding that ends.
    pub hold: u64,
    /// The thread that acquired it.
    pub thread: ThreadId,
}

impl DeferredRelease {
    /// The request that gives the lock back.
    pub fn request(&self) -> Request<'static> {
        Request::Release { id: self.lock, hold: Some(self.hold), thread: self.thread }
    }
}

/// Memory in which the manager finds locks that were given back: what makes a release deferrable.
///
/// A session without such memory sends each release at once, and means the same.
pub trait ReleaseMemory {
    /// Enters a release. False if nothing was entered and the request must leave at once, as somebody wants a lock of
    /// this client or the memory is full.
    fn enter(&mut self, release: DeferredRelease) -> bool;

    /// Whether no release waits for its request.
    fn is_empty(&self) -> bool;

    /// Takes out the releases that the manager has not found, the oldest first, for their requests to be sent.
    fn drain(&mut self, take: impl FnMut(DeferredRelease));
}

/// The memory of a session that has none.
#[derive(Clone, Copy, Debug)]
pub enum NoReleaseMemory {}

impl ReleaseMemory for NoReleaseMemory {
    fn enter(&mut self, _: DeferredRelease) -> bool {
        match *self {}
    }

    fn is_empty(&self) -> bool {
        match *self {}
    }

    fn drain(&mut self, _: impl FnMut(DeferredRelease)) {
        match *self {}
    }
}

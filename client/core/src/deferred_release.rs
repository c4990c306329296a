//! Locks that are released without a request. The manager looks for them when somebody wants one.

use protocol::{ObjectId, Request, ThreadId};

/// The release of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeferredRelease {
    /// The lock.
    pub lock: ObjectId,
    /// The holding that ends.
    pub holding: u64,
    /// The thread that acquired it.
    pub thread: ThreadId,
}

impl DeferredRelease {
    /// The request that releases the lock.
    pub fn request(&self) -> Request<'static> {
        Request::Release { id: self.lock, holding: Some(self.holding), thread: self.thread }
    }
}

/// Memory in which the manager finds released locks, so that a release can be deferred. A session without such memory
/// sends each release at once, which has the same effect.
pub trait ReleaseMemory {
    /// Enters a release. Returns false if it did not, and the request must leave at once: somebody wants a lock of this
    /// client, or the memory is full.
    fn enter(&mut self, release: DeferredRelease) -> bool;

    /// Whether no release waits for its request.
    fn is_empty(&self) -> bool;

    /// Takes out the releases that the manager has not found, the oldest first, so that the driver sends their
    /// requests.
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

//! The operations of a lock of either kind.

use protocol::{Grant, LockGrant, ObjectId, Reply, Request, Signal, Target, ThreadId};

use super::answers;
use crate::{Operation, SignalOperation, Unexpected, WaitTarget};

/// Releases a lock once.
#[derive(Clone, Copy, Debug)]
pub struct LockRelease {
    /// The lock.
    pub id: ObjectId,
    /// The holding that ends; or none for what the calling thread holds.
    pub holding: Option<u64>,
    /// The thread that asks.
    pub thread: ThreadId,
}

impl Operation<'static> for LockRelease {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let LockRelease { id, holding, thread } = self;
        Request::Release { id, holding, thread }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// The thread that waits is the one that asks.
impl SignalOperation<'static> for LockRelease {
    fn into_signal(self) -> Signal<'static> {
        let LockRelease { id, holding, .. } = self;
        Signal::Release { id, holding }
    }
}

/// Takes a lock from whichever thread holds it.
#[derive(Clone, Copy, Debug)]
pub struct LockForceRelease {
    /// The lock.
    pub id: ObjectId,
}

impl Operation<'static> for LockForceRelease {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        Request::ForceRelease { id: self.id }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Waits until a lock is free, and takes it.
#[derive(Clone, Copy, Debug)]
pub struct LockTarget {
    /// The lock.
    pub id: ObjectId,
    /// Whether it is a reentrant lock.
    pub is_reentrant: bool,
}

impl WaitTarget<'static> for LockTarget {
    type Granted = LockGrant;

    fn into_target(self) -> Target<'static> {
        match self.is_reentrant {
            true => Target::RLock { id: self.id },
            false => Target::Lock { id: self.id },
        }
    }

    fn accept(grant: Grant) -> Result<LockGrant, Grant> {
        match grant {
            Grant::Lock(grant) => Ok(grant),
            grant => Err(grant),
        }
    }
}

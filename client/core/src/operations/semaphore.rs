//! The operations of a semaphore.

use protocol::{Abandonment, Grant, ObjectId, Reply, Request, Signal, Target};

use super::answers;
use crate::{Operation, SignalOperation, Unexpected, WaitTarget};

/// Releases permits, or adds permits to a plain semaphore.
#[derive(Clone, Copy, Debug)]
pub struct SemaphoreRelease {
    /// The semaphore.
    pub id: ObjectId,
    /// How many; at least one.
    pub permits: u64,
}

impl Operation<'static> for SemaphoreRelease {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let SemaphoreRelease { id, permits } = self;
        Request::SemaphoreRelease { id, permits }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

impl SignalOperation<'static> for SemaphoreRelease {
    fn into_signal(self) -> Signal<'static> {
        let SemaphoreRelease { id, permits } = self;
        Signal::SemaphoreRelease { id, permits }
    }
}

/// Gives permits up without releasing them.
#[derive(Clone, Copy, Debug)]
pub struct SemaphoreForget {
    /// The semaphore.
    pub id: ObjectId,
    /// How many; at most as many as this session holds.
    pub permits: u64,
}

impl Operation<'static> for SemaphoreForget {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let SemaphoreForget { id, permits } = self;
        Request::SemaphoreForget { id, permits }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Asks how many permits are available.
#[derive(Clone, Copy, Debug)]
pub struct SemaphoreAvailable {
    /// The semaphore.
    pub id: ObjectId,
}

impl Operation<'static> for SemaphoreAvailable {
    type Output = u64;

    fn into_request(self) -> Request<'static> {
        let SemaphoreAvailable { id } = self;
        Request::SemaphoreAvailable { id }
    }

    fn output(reply: Reply) -> Result<u64, Unexpected> {
        answers::count(reply)
    }
}

/// Waits until a semaphore has permits, and takes them. The grant says who abandoned some of them, if anybody did.
#[derive(Clone, Copy, Debug)]
pub struct PermitsTarget {
    /// The semaphore.
    pub id: ObjectId,
    /// How many.
    pub permits: u64,
}

impl WaitTarget<'static> for PermitsTarget {
    type Granted = Option<Abandonment>;

    fn into_target(self) -> Target<'static> {
        Target::Semaphore { id: self.id, permits: self.permits }
    }

    fn accept(grant: Grant) -> Result<Option<Abandonment>, Grant> {
        match grant {
            Grant::Permits { abandoned } => Ok(abandoned),
            grant => Err(grant),
        }
    }
}

//! The operations of a latch.

use protocol::{Grant, ObjectId, Reply, Request, Signal, Target};

use super::answers;
use crate::{Operation, SignalOperation, Unexpected, WaitTarget};

/// Counts a latch down, but not below zero. Its output is what is left.
#[derive(Clone, Copy, Debug)]
pub struct LatchCountDown {
    /// The latch.
    pub id: ObjectId,
    /// By how much.
    pub count: u64,
}

impl Operation<'static> for LatchCountDown {
    type Output = u64;

    fn into_request(self) -> Request<'static> {
        let LatchCountDown { id, count } = self;
        Request::LatchCountDown { id, count }
    }

    fn output(reply: Reply) -> Result<u64, Unexpected> {
        answers::count(reply)
    }
}

impl SignalOperation<'static> for LatchCountDown {
    fn into_signal(self) -> Signal<'static> {
        let LatchCountDown { id, count } = self;
        Signal::LatchCountDown { id, count }
    }
}

/// Asks what is left of the count of a latch.
#[derive(Clone, Copy, Debug)]
pub struct LatchCount {
    /// The latch.
    pub id: ObjectId,
}

impl Operation<'static> for LatchCount {
    type Output = u64;

    fn into_request(self) -> Request<'static> {
        let LatchCount { id } = self;
        Request::LatchCount { id }
    }

    fn output(reply: Reply) -> Result<u64, Unexpected> {
        answers::count(reply)
    }
}

/// Waits until the count of a latch is zero.
#[derive(Clone, Copy, Debug)]
pub struct LatchTarget {
    /// The latch.
    pub id: ObjectId,
}

impl WaitTarget<'static> for LatchTarget {
    type Granted = ();

    fn into_target(self) -> Target<'static> {
        Target::Latch { id: self.id }
    }

    fn accept(grant: Grant) -> Result<(), Grant> {
        match grant {
            Grant::Latch => Ok(()),
            grant => Err(grant),
        }
    }
}

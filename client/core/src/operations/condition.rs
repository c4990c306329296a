//! The operations of a condition.

use protocol::{Grant, ObjectId, Reply, Request, Target, ThreadId};

use super::answers;
use crate::{Operation, Unexpected, WaitTarget};

/// Asks which lock a condition is over.
#[derive(Clone, Copy, Debug)]
pub struct ConditionLock {
    /// The condition.
    pub id: ObjectId,
}

impl Operation<'static> for ConditionLock {
    type Output = LockOfCondition;

    fn into_request(self) -> Request<'static> {
        Request::ConditionLock { id: self.id }
    }

    fn output(reply: Reply) -> Result<LockOfCondition, Unexpected> {
        match reply {
            Reply::Lock { id, is_reentrant } => Ok(LockOfCondition { id, is_reentrant }),
            reply => Err(Unexpected::reply(reply)),
        }
    }
}

/// The lock of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockOfCondition {
    /// The lock.
    pub id: ObjectId,
    /// Whether it is reentrant.
    pub is_reentrant: bool,
}

/// Notifies the longest waiters of a condition. Its output is how many.
#[derive(Clone, Copy, Debug)]
pub struct ConditionNotify {
    /// The condition.
    pub id: ObjectId,
    /// How many to wake at most; none for all.
    pub count: Option<u32>,
    /// The thread that asks.
    pub thread: ThreadId,
}

impl Operation<'static> for ConditionNotify {
    type Output = usize;

    fn into_request(self) -> Request<'static> {
        let ConditionNotify { id, count, thread } = self;
        Request::Notify { id, count, holding: None, thread }
    }

    fn output(reply: Reply) -> Result<usize, Unexpected> {
        answers::count(reply).map(|woken| usize::try_from(woken).unwrap_or(usize::MAX))
    }
}

/// Gives the lock up and waits for a notification.
#[derive(Clone, Copy, Debug)]
pub struct ConditionTarget {
    /// The condition.
    pub id: ObjectId,
    /// The holding of the lock; or none for whichever the calling thread has.
    pub holding: Option<u64>,
}

impl WaitTarget<'static> for ConditionTarget {
    type Granted = ();

    fn into_target(self) -> Target<'static> {
        Target::Condition { id: self.id, holding: self.holding }
    }

    fn accept(grant: Grant) -> Result<(), Grant> {
        match grant {
            Grant::Notified => Ok(()),
            grant => Err(grant),
        }
    }
}

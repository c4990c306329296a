//! The operations of a queue.

use alloc::vec::Vec;

use protocol::{Grant, ItemGrant, ObjectId, Reply, Request, Target, ThreadId};

use super::answers;
use crate::{Operation, Unexpected, WaitTarget};

/// Asks how many items are in a queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueLength {
    /// The queue.
    pub id: ObjectId,
}

impl Operation<'static> for QueueLength {
    type Output = u64;

    fn into_request(self) -> Request<'static> {
        let QueueLength { id } = self;
        Request::QueueLength { id }
    }

    fn output(reply: Reply) -> Result<u64, Unexpected> {
        answers::count(reply)
    }
}

/// Reports that an item of a joinable queue is finished.
#[derive(Clone, Copy, Debug)]
pub struct QueueTaskDone {
    /// The queue.
    pub id: ObjectId,
    /// The number of the item; or none for the oldest that the calling thread got.
    pub item: Option<u64>,
    /// The thread that asks.
    pub thread: ThreadId,
}

impl Operation<'static> for QueueTaskDone {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let QueueTaskDone { id, item, thread } = self;
        Request::QueueTaskDone { id, item, thread }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Closes a queue: it takes no more items.
#[derive(Clone, Copy, Debug)]
pub struct QueueClose {
    /// The queue.
    pub id: ObjectId,
}

impl Operation<'static> for QueueClose {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let QueueClose { id } = self;
        Request::QueueClose { id }
    }

    fn output(reply: Reply) -> Result<(), Unexpected> {
        answers::done(reply)
    }
}

/// Waits until a queue has an item, and takes it.
#[derive(Clone, Copy, Debug)]
pub struct GetTarget {
    /// The queue.
    pub queue: ObjectId,
}

impl WaitTarget<'static> for GetTarget {
    type Granted = ItemGrant;

    fn into_target(self) -> Target<'static> {
        Target::Get { queue: self.queue }
    }

    fn granted(grant: Grant) -> Result<ItemGrant, Unexpected> {
        match grant {
            Grant::Item(item) => Ok(item),
            grant => Err(Unexpected::grant(grant)),
        }
    }
}

/// Waits until a queue has room, and puts an item there.
#[derive(Clone, Debug)]
pub struct PutTarget<'a> {
    /// The queue.
    pub queue: ObjectId,
    /// The encoded item.
    pub item: &'a [u8],
    /// The objects whose proxies are in it.
    pub carries: Vec<ObjectId>,
}

impl<'a> WaitTarget<'a> for PutTarget<'a> {
    type Granted = ();

    fn into_target(self) -> Target<'a> {
        let PutTarget { queue, item, carries } = self;
        Target::Put { queue, item, carries }
    }

    fn granted(grant: Grant) -> Result<(), Unexpected> {
        match grant {
            Grant::Put => Ok(()),
            grant => Err(Unexpected::grant(grant)),
        }
    }
}

/// Waits until every item of a queue is finished.
#[derive(Clone, Copy, Debug)]
pub struct JoinTarget {
    /// The queue.
    pub queue: ObjectId,
}

impl WaitTarget<'static> for JoinTarget {
    type Granted = ();

    fn into_target(self) -> Target<'static> {
        Target::Join { queue: self.queue }
    }

    fn granted(grant: Grant) -> Result<(), Unexpected> {
        match grant {
            Grant::Joined => Ok(()),
            grant => Err(Unexpected::grant(grant)),
        }
    }
}

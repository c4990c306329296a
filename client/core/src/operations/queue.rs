//! The operations of a queue.

use alloc::vec::Vec;

use protocol::{
    BlobId, BlobItemGrant, Grant, ItemGrant, ObjectId, Payload, Reply, Request, Target, ThreadId,
};

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
pub struct QueueItemDone {
    /// The queue.
    pub id: ObjectId,
    /// The number of the item; or none for the oldest that the calling thread got.
    pub item: Option<u64>,
    /// The thread that asks.
    pub thread: ThreadId,
}

impl Operation<'static> for QueueItemDone {
    type Output = ();

    fn into_request(self) -> Request<'static> {
        let QueueItemDone { id, item, thread } = self;
        Request::QueueItemDone { id, item, thread }
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

/// An item that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenItem {
    /// Its number among all deliveries of the queue.
    pub number: u64,
    /// The encoded item.
    pub content: TakenContent,
}

/// The encoded item, or what to get it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenContent {
    /// The item itself.
    Payload(Payload),
    /// It is a blob, to which this session has a reference now.
    Blob {
        /// Its number.
        blob: BlobId,
        /// How many bytes it has.
        bytes: u64,
    },
}

impl WaitTarget<'static> for GetTarget {
    type Granted = TakenItem;

    fn into_target(self) -> Target<'static> {
        Target::Get { queue: self.queue }
    }

    fn accept(grant: Grant) -> Result<TakenItem, Grant> {
        match grant {
            Grant::Item(ItemGrant { number, payload, .. }) => {
                Ok(TakenItem { number, content: TakenContent::Payload(payload) })
            }
            Grant::BlobItem(BlobItemGrant { number, blob, bytes, .. }) => {
                Ok(TakenItem { number, content: TakenContent::Blob { blob, bytes } })
            }
            grant => Err(grant),
        }
    }
}

/// Whether a wait that takes this target brings an item, which may be large.
#[must_use]
pub fn brings_item(target: &Target<'_>) -> bool {
    matches!(target, Target::Get { .. })
}

/// Waits until a queue has room, and puts an item there.
#[derive(Clone, Debug)]
pub struct PutTarget<'a> {
    /// The queue.
    pub queue: ObjectId,
    /// The encoded item.
    pub item: PutContent<'a>,
    /// The objects whose proxies are in it.
    pub carries: Vec<ObjectId>,
}

/// The encoded item, or where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutContent<'a> {
    /// The item itself.
    Payload(&'a [u8]),
    /// A blob to which this session has a reference.
    Blob(BlobId),
}

impl<'a> WaitTarget<'a> for PutTarget<'a> {
    type Granted = ();

    fn into_target(self) -> Target<'a> {
        let PutTarget { queue, item, carries } = self;
        match item {
            PutContent::Payload(item) => Target::Put { queue, item, carries },
            PutContent::Blob(blob) => Target::PutBlob { queue, blob, carries },
        }
    }

    fn accept(grant: Grant) -> Result<(), Grant> {
        match grant {
            Grant::Put => Ok(()),
            grant => Err(grant),
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

    fn accept(grant: Grant) -> Result<(), Grant> {
        match grant {
            Grant::Joined => Ok(()),
            grant => Err(grant),
        }
    }
}

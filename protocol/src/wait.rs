//! The targets of waits, and the signals that a client can give in the same step.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{BlobId, Kind, ObjectId};

/// Whether one of several targets is enough for a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitMode {
    /// The first target in list order that is ready is taken.
    Any,
    /// As soon as all are ready at one time, all are taken. None is taken before.
    All,
}

/// The targets of a wait; nearly always one.
pub type Targets<'a> = SmallVec<[Target<'a>; 1]>;

/// Something to wait for. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target<'a> {
    /// Ready when the event is set. Taking clears it if it is an auto-reset event.
    Event {
        /// The event.
        id: ObjectId,
    },
    /// For a worker: ready when the pool has a call that has not begun. Taking begins it in this session. The grant may
    /// prefetch further calls of the same batch if its calls have been short; each of them begins when the one before
    /// it has ended.
    Calls {
        /// The pool.
        pool: ObjectId,
        /// The most calls to grant; at least one.
        most: u32,
    },
    /// For a batch's owner: ready when results have come that were not taken, or when the batch is complete.
    /// Taking moves the results out of the manager.
    Results {
        /// The batch.
        batch: ObjectId,
    },
    /// Ready when the lock is free or abandoned. Taking makes the waiting thread its holder.
    Lock {
        /// The lock.
        id: ObjectId,
    },
    /// Ready when the lock is free, abandoned, or held by the waiting thread. Taking adds one to its depth.
    RLock {
        /// The reentrant lock.
        id: ObjectId,
    },
    /// Ready once the waiter was notified. The waiting thread holds the condition's lock. When the wait blocks, it
    /// gives the lock up, whatever the depth. When the wait is answered with what it took, or times out, the thread
    /// holds the lock again at that depth. A wait that is refused after it has blocked, as by
    /// [`Cancel`](crate::Request::Cancel), leaves the lock given up. A wait has one of these at most, with no lock
    /// beside it; a wait for all has nothing beside it.
    Condition {
        /// The condition.
        id: ObjectId,
        /// The holding of the lock that is given up; none for the one that the waiting thread has.
        holding: Option<u64>,
    },
    /// Ready when there are enough permits, abandoned ones among them. Taking charges them to the session.
    Semaphore {
        /// The semaphore.
        id: ObjectId,
        /// How many permits; at least one.
        permits: u64,
    },
    /// Ready when as many parties wait as the barrier has. A wait that times out, is cancelled, or ends with its
    /// session breaks the barrier; a wait that ends with another of its targets has not come. A wait for all has
    /// nothing beside it.
    Barrier {
        /// The barrier.
        id: ObjectId,
        /// Whether this party brings an action. The last to come of those that do leads: it alone goes first, runs its
        /// action, and sends [`BarrierPass`](crate::Request::BarrierPass) or
        /// [`BarrierAbort`](crate::Request::BarrierAbort).
        has_action: bool,
    },
    /// Ready when the count is zero.
    Latch {
        /// The latch.
        id: ObjectId,
    },
    /// Ready when there is an item. Taking moves the first out; it comes back to the front if the session ends before
    /// it is acknowledged: by [`Envelope::received`](crate::Envelope::received), or in a joinable queue by
    /// [`QueueItemDone`](crate::Request::QueueItemDone).
    Get {
        /// The queue.
        queue: ObjectId,
    },
    /// Ready when there is room. Taking puts the item in, as the last.
    Put {
        /// The queue.
        queue: ObjectId,
        /// The encoded item.
        item: &'a [u8],
        /// The objects whose proxies the item carries. They exist at least until the item is acknowledged.
        #[serde(deserialize_with = "crate::sequence::carries")]
        carries: Vec<ObjectId>,
    },
    /// Ready when every item that was ever put is finished.
    Join {
        /// The joinable queue.
        queue: ObjectId,
    },
    /// For a batch's owner: like [`Results`](Self::Results), but not before there are results of `least` calls.
    ManyResults {
        /// The batch.
        batch: ObjectId,
        /// The number of ended calls that makes it ready. When the batch is complete, any number does.
        least: u32,
    },
    /// Like [`Put`](Self::Put), for an item that is a blob.
    PutBlob {
        /// The queue.
        queue: ObjectId,
        /// The encoded item: a whole blob to which this session has a reference, which it keeps.
        blob: BlobId,
        /// As in [`Put`](Self::Put).
        #[serde(deserialize_with = "crate::sequence::carries")]
        carries: Vec<ObjectId>,
    },
}

impl Target<'_> {
    /// Returns the object to wait for, and the kind that it must have.
    pub fn object(&self) -> (ObjectId, Kind) {
        match *self {
            Target::Event { id } => (id, Kind::Event),
            Target::Calls { pool, .. } => (pool, Kind::Pool),
            Target::Results { batch } | Target::ManyResults { batch, .. } => (batch, Kind::Batch),
            Target::Lock { id } => (id, Kind::Lock),
            Target::RLock { id } => (id, Kind::RLock),
            Target::Condition { id, .. } => (id, Kind::Condition),
            Target::Semaphore { id, .. } => (id, Kind::Semaphore),
            Target::Barrier { id, .. } => (id, Kind::Barrier),
            Target::Latch { id } => (id, Kind::Latch),
            Target::Get { queue }
            | Target::Put { queue, .. }
            | Target::PutBlob { queue, .. }
            | Target::Join { queue } => (queue, Kind::Queue),
        }
    }
}

/// A signal that a client gives in the same step as it begins a wait. Each does what the request of its name does.
/// Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal<'a> {
    /// Sets an event.
    EventSet {
        /// The event.
        id: ObjectId,
        /// The reason, for people and for the waiters that this wakes.
        reason: Option<&'a str>,
    },
    /// Releases a lock.
    Release {
        /// The lock or reentrant lock.
        id: ObjectId,
        /// The holding to release; none for the one that the waiting thread has.
        holding: Option<u64>,
    },
    /// Releases permits.
    SemaphoreRelease {
        /// The semaphore.
        id: ObjectId,
        /// How many; at least one.
        permits: u64,
    },
    /// Counts a latch down.
    LatchCountDown {
        /// The latch.
        id: ObjectId,
        /// By how much.
        count: u64,
    },
}

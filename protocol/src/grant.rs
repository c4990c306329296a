//! What waits are granted, and what else replies tell of objects.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{BlobId, ObjectId, Outcome, Payload};

/// What a wait took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitResult {
    /// In a wait for any: the position of the target that was taken. In a wait for all: 0.
    pub index: u32,
    /// What was taken: one grant in a wait for any, one for each target, in order, in a wait for all.
    #[serde(deserialize_with = "crate::sequence::deserialize")]
    pub grants: SmallVec<[Grant; 1]>,
    /// The lock that the wait gave up and the waiter holds again. None if it waited for no condition, or did not
    /// block and so never gave up the lock, or the lock was removed meanwhile.
    pub reacquired: Option<LockGrant>,
}

/// What one target gave. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grant {
    /// The event was set, by this cause.
    Event(Cause),
    /// Calls to run, one after the other.
    Calls(CallsGrant),
    /// Results of a batch.
    Results(Results),
    /// A lock, or a reentrant lock once more.
    Lock(LockGrant),
    /// The condition was notified.
    Notified,
    /// As many permits as were asked for.
    Permits {
        /// The former holder of some of them, if they were abandoned; the first that died, if there are several.
        abandoned: Option<Abandonment>,
    },
    /// All parties have come to the barrier.
    Barrier {
        /// How many parties came before this one. Each number below the number of parties is given once.
        index: u32,
        /// True for exactly one party. If any brought an action, it is the last to come of those: it runs its action
        /// now, and then lets the others go. If none did, it is the last to come, and has nothing to do.
        leads: bool,
        /// The turn of the barrier, counted from 1. No turn has the number of another.
        turn: u64,
    },
    /// The latch is at zero.
    Latch,
    /// An item of a queue.
    Item(ItemGrant),
    /// The item was put into the queue.
    Put,
    /// Every item of the queue is finished.
    Joined,
    /// An item of a queue that is a blob.
    BlobItem(BlobItemGrant),
    /// One call to run, whose arguments are a blob.
    BlobCall(Box<BlobCallGrant>),
}

/// An item that was delivered to this session and that it is to acknowledge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemGrant {
    /// Its number among all deliveries of the queue. An item that is delivered again gets another.
    pub number: u64,
    /// Whether it carries proxies, which it keeps alive until it is acknowledged.
    pub carries: bool,
    /// The encoded item.
    pub payload: Payload,
}

/// An item that was delivered to this session, as in [`ItemGrant`], and that is a blob. The session has a reference to
/// the blob now, by which it gets its bytes, and which it gives back with [`BlobClose`](crate::Request::BlobClose).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobItemGrant {
    /// As in [`ItemGrant`].
    pub number: u64,
    /// As in [`ItemGrant`].
    pub carries: bool,
    /// The encoded item.
    pub blob: BlobId,
    /// How many bytes it has.
    pub bytes: u64,
}

/// A lock that is held now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockGrant {
    /// The number of this holding, by which to release it. It is never used again in the life of the manager. Acquiring
    /// a reentrant lock once more keeps it, and so does a wait for a condition that gives the lock up and has it again.
    pub holding: u64,
    /// The fencing token. It grows each time that any lock of the manager is taken, also at the end of a wait for a
    /// condition, so that an outside resource can refuse a former holder. Acquiring a reentrant lock once more keeps
    /// it.
    pub token: u64,
    /// How often the holder has acquired it and not given it back.
    pub depth: u32,
    /// The last holder, if it did not release the lock.
    pub abandoned: Option<Abandonment>,
}

/// A former holder that did not give back what it held: its process ended, or its lock was taken by force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandonment {
    /// The process id.
    pub process: u32,
    /// The name of its program.
    pub program: Arc<str>,
    /// What happened, as a text to follow “process 12 (deploy)”, such as “was ended by signal 9 (SIGKILL)”.
    pub how: Arc<str>,
    /// For how many nanoseconds it had held it.
    pub held_ns: u64,
}

/// The process that set an event, when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The process id of the client that set it.
    pub process: u32,
    /// The name of its program.
    #[serde(deserialize_with = "crate::shared_text::deserialize")]
    pub program: Arc<str>,
    /// How many nanoseconds before this reply.
    pub age_ns: u64,
    /// The reason it gave.
    pub reason: Option<Arc<str>>,
}

/// Consecutive calls of one batch that this session is to run in order, and to end with
/// [`CallsEnd`](crate::Request::CallsEnd). The first begins with the grant. The others are *prefetched*: each begins
/// when the one before it has ended, or the session returns it with [`CallsGiveBack`](crate::Request::CallsGiveBack).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsGrant {
    /// The batch they belong to.
    pub batch: ObjectId,
    /// The function to call.
    #[serde(deserialize_with = "crate::shared_text::deserialize")]
    pub function: Arc<str>,
    /// The batch's stop event, which asks the calls to end.
    pub stop: ObjectId,
    /// The number of the first call in the batch.
    pub first: u64,
    /// How many calls; at least one.
    pub calls: u32,
    /// How often these calls were begun before, in workers that died.
    pub retry: u32,
    /// Whether the session is to report the end of each call at once, because the batch limits the time of a call.
    pub report_each: bool,
    /// The encoded arguments of each call, one after the other, each preceded by their length: see
    /// [`calls`](crate::calls).
    pub arguments: Payload,
}

/// One call that this session is to run, and whose arguments are a blob. The session has a reference to the blob now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobCallGrant {
    /// The call, without arguments.
    pub call: CallsGrant,
    /// The encoded arguments, without their length.
    pub blob: BlobId,
    /// How many bytes they have.
    pub bytes: u64,
}

/// Results of a batch, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// Those that were not taken before, as many as fit into a reply.
    pub results: Vec<CallsResult>,
    /// Whether these were the last: every call has ended, and no more will be added.
    pub complete: bool,
}

/// How consecutive calls of a batch ended, all in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsResult {
    /// The number of the first call.
    pub first: u64,
    /// How many calls; at least one.
    pub calls: u32,
    /// How they ended.
    pub outcome: Outcome,
}

/// The progress of a batch, in calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Those that wait for a worker.
    pub waiting: u64,
    /// Those that run.
    pub running: u64,
    /// Those that returned.
    pub returned: u64,
    /// Those that failed.
    pub failed: u64,
}

/// The state of a barrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarrierStatus {
    /// The number of parties that have to come.
    pub parties: u32,
    /// The number of parties that wait there now, including those that wait for the end of an action.
    pub waiting: u32,
    /// What broke it, if it is broken.
    pub broken: Option<Arc<str>>,
}

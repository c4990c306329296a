//! What an inspection of a manager shows: its sessions, objects, holders and waiters.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{Abandonment, BarrierStatus, CallCounts, Cause, Kind, ObjectId, SessionId, ThreadId};

/// One client process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its number.
    pub session: SessionId,
    /// The process id.
    pub process: u32,
    /// The name of its program.
    pub program: Arc<str>,
    /// How many nanoseconds ago it connected.
    pub age_ns: u64,
    /// How many objects it holds references to.
    pub objects: u32,
    /// How many of its requests are blocked.
    pub waits: u32,
    /// How many calls it runs.
    pub calls: u32,
    /// How it ended, and which processes that are bound to it are still there, if that is what it waits for.
    pub ending: Option<Arc<str>>,
}

/// One object in brief, as in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSummary {
    /// Its id.
    pub id: ObjectId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Whether anybody waits for it.
    pub is_awaited: bool,
}

/// One object, with everything the manager knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// Its id.
    pub id: ObjectId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// How many references sessions hold to it.
    pub references: u32,
    /// Its state.
    pub state: ObjectState,
    /// The waiters in the order of the wait queue, a thousand at most. For a queue: consumers, then producers, then
    /// joins.
    pub waiters: Vec<WaiterInfo>,
    /// The number of waiters, listed or not.
    pub waiting: u32,
}

/// The state of an object, by kind. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectState {
    /// An event.
    Event {
        /// Whether a wait clears it.
        auto_reset: bool,
        /// Who set it and why, if it is set.
        set_by: Option<Cause>,
    },
    /// A pool.
    Pool {
        /// How many batches are not complete.
        batches: u32,
        /// Whether it takes no more.
        is_closed: bool,
        /// The calls that run, batch by batch, a thousand at most.
        running: Vec<RunningCallInfo>,
    },
    /// A batch.
    Batch {
        /// The function that it calls.
        function: Arc<str>,
        /// Its progress.
        progress: CallCounts,
    },
    /// A lock or reentrant lock.
    Lock {
        /// Whether its holder may acquire it again.
        is_reentrant: bool,
        /// The thread that holds it, if any.
        holder: Option<HolderInfo>,
        /// The holder that left it behind, if nobody has held it since.
        abandoned: Option<Abandonment>,
    },
    /// A condition.
    Condition {
        /// The lock it is over.
        lock: ObjectId,
    },
    /// A semaphore.
    Semaphore {
        /// How many permits are available, abandoned ones among them.
        available: u64,
        /// How many there are at most, if it is bounded.
        permits_max: Option<u64>,
        /// The sessions that hold permits, in the order of their numbers, a thousand at most.
        holders: Vec<PermitsInfo>,
    },
    /// A barrier.
    Barrier {
        /// The number of parties, how many of them wait, and whether the barrier is broken.
        status: BarrierStatus,
        /// The session that runs the action for which the parties wait, if there is one.
        acting: Option<SessionInfo>,
    },
    /// A latch.
    Latch {
        /// The count that is left.
        count: u64,
    },
    /// A queue.
    Queue {
        /// The number of items in it.
        length: u64,
        /// The most items it may hold, if it is bounded.
        capacity: Option<u64>,
        /// The number of items that were put and are not finished, if it is joinable.
        unfinished: Option<u64>,
        /// Whether it takes no more.
        is_closed: bool,
        /// If it is joinable: the sessions that have unfinished items, and how many, in the order of the sessions'
        /// numbers, a thousand at most.
        holders: Vec<(SessionInfo, u64)>,
    },
}

/// A session that holds permits of a semaphore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitsInfo {
    /// The client process.
    pub session: SessionInfo,
    /// How many it holds.
    pub permits: u64,
    /// For how many nanoseconds it has held at least one permit without a break.
    pub held_ns: u64,
}

/// A call that runs. A worker reports short calls some milliseconds late, and then this is one that it has just ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningCallInfo {
    /// The worker.
    pub session: SessionInfo,
    /// The function.
    pub function: Arc<str>,
    /// The batch.
    pub batch: ObjectId,
    /// The number of the call in its batch.
    pub number: u64,
    /// How often it was begun before.
    pub retry: u32,
    /// For how many nanoseconds it has run.
    pub running_ns: u64,
}

/// A thread that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderInfo {
    /// The process id.
    pub process: u32,
    /// The name of its program.
    pub program: Arc<str>,
    /// The thread, as its client numbers it.
    pub thread: ThreadId,
    /// For how many nanoseconds it has held it.
    pub held_ns: u64,
    /// How often it has acquired it.
    pub depth: u32,
    /// The token of its grant.
    pub token: u64,
    /// As in [`SessionInfo::ending`].
    pub ending: Option<Arc<str>>,
}

/// A thread that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiterInfo {
    /// The process id.
    pub process: u32,
    /// The name of its program.
    pub program: Arc<str>,
    /// The thread, as its client numbers it.
    pub thread: ThreadId,
    /// What it waits for here. The same wait may be for other objects, too.
    pub wants: Wanted,
    /// For how many nanoseconds it has waited.
    pub waited_ns: u64,
    /// The nanoseconds until it times out, if it has a timeout.
    pub remaining_ns: Option<u64>,
}

/// What a waiter wants of an object. Variants are only ever added, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// That the event is set.
    Event,
    /// A call of the pool to run.
    Calls,
    /// Results of the batch.
    Results,
    /// To hold the lock.
    Lock,
    /// To hold again the lock that it gave up for a condition, after a notification or another end of that wait.
    Relock,
    /// A notification of the condition.
    Notification,
    /// Permits of the semaphore.
    Permits {
        /// How many, all in one step.
        permits: u64,
    },
    /// That all parties come to the barrier, or that its action ends.
    Barrier,
    /// That the latch is at zero.
    Latch,
    /// An item of the queue.
    Item,
    /// Room in the queue for an item.
    Room,
    /// That all items of the queue are finished.
    Joined,
}

/// Writes what follows “has waited 2 s for”, such as “3 permits”.
impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Wanted::Event => "the event",
            Wanted::Calls => "a task",
            Wanted::Results => "results",
            Wanted::Lock => "the lock",
            Wanted::Relock => "the lock again, after a condition",
            Wanted::Notification => "a notification",
            Wanted::Permits { permits: 1 } => "1 permit",
            Wanted::Permits { permits } => return write!(formatter, "{permits} permits"),
            Wanted::Barrier => "all parties",
            Wanted::Latch => "the latch",
            Wanted::Item => "an item",
            Wanted::Room => "room for an item",
            Wanted::Joined => "all items to be finished",
        })
    }
}

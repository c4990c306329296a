//! What somebody sees who looks into a manager: sessions, objects, holders, waiters.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{Abandonment, BarrierStatus, Cause, Kind, ObjectId, Progress, SessionId, ThreadId};

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
    /// How many tasks it runs.
    pub tasks: u32,
}

/// One object, in a line.
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
    /// How it is.
    pub state: ObjectState,
    /// Who waits for it, the first in line first, a thousand at most. For a queue: who gets, then who puts, then who
    /// joins.
    pub waiters: Vec<WaiterInfo>,
    /// How many wait for it, listed or not.
    pub waiting: u32,
}

/// How an object is, by kind. Variants are only ever added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectState {
    /// An event.
    Event {
        /// Whether a wait clears it.
        auto_reset: bool,
        /// Who set it, if it is set.
        set_by: Option<Cause>,
    },
    /// A pool.
    Pool {
        /// How many batches are not complete.
        batches: u32,
        /// Whether it takes no more.
        is_closed: bool,
    },
    /// A batch.
    Batch {
        /// The function that its tasks call.
        function: Arc<str>,
        /// How far it is.
        progress: Progress,
    },
    /// A lock or reentrant lock.
    Lock {
        /// Whether its holder may acquire it again.
        is_reentrant: bool,
        /// Who holds it.
        holder: Option<HolderInfo>,
        /// Who left it behind, if nobody holds it since.
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
        /// Who holds permits, in the order of the sessions' numbers, a thousand at most.
        holders: Vec<PermitsInfo>,
    },
    /// A barrier.
    Barrier {
        /// How many have to come, how many wait, and whether it is broken.
        status: BarrierStatus,
        /// Who runs the action now that the parties wait for, if there is one.
        acting: Option<SessionInfo>,
    },
    /// A latch.
    Latch {
        /// What is left to count down.
        count: u64,
    },
    /// A queue.
    Queue {
        /// How many items are in it.
        length: u64,
        /// How many may be, if it is bounded.
        capacity: Option<u64>,
        /// How many items were put and are not finished, if it is joinable.
        unfinished: Option<u64>,
        /// Whether it takes no more.
        is_closed: bool,
        /// If it is joinable: which sessions got how many items that they have not finished, in the order of the
        /// sessions' numbers, a thousand at most.
        holders: Vec<(SessionInfo, u64)>,
    },
}

/// Who holds permits of a semaphore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitsInfo {
    /// The client process.
    pub session: SessionInfo,
    /// How many it holds.
    pub permits: u64,
    /// For how many nanoseconds it has held some without a break.
    pub held_ns: u64,
}

/// Who holds a lock.
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
}

/// Who waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiterInfo {
    /// The process id.
    pub process: u32,
    /// The name of its program.
    pub program: Arc<str>,
    /// The thread, as its client numbers it.
    pub thread: ThreadId,
    /// What it waits for here. It may wait for other objects in the same step.
    pub wants: Wanted,
    /// For how many nanoseconds it has waited.
    pub waited_ns: u64,
    /// In how many nanoseconds it gives up, if it does.
    pub remaining_ns: Option<u64>,
}

/// What a waiter wants of an object. Variants are only ever added, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// That the event is set.
    Event,
    /// A task of the pool.
    Task,
    /// Results of the batch.
    Results,
    /// To hold the lock.
    Lock,
    /// To hold the lock again that it gave up for a condition, which was notified, or whose wait ended otherwise.
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

/// To go after “has waited 2 s for”: as in “3 permits”.
impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Wanted::Event => "the event",
            Wanted::Task => "a task",
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

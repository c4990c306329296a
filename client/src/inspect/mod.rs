//! What is in a manager: its sessions, its objects, their holders and their waiters.
//!
//! It answers questions such as: who holds this lock, who waits for it, why did my job stop? Everything here is a
//! picture of one moment, and may be out of date when the caller looks at it. Inspection changes nothing. Every listed
//! process lives, as far as the manager knows.
//!
//! All durations are from the moment when the manager answered. Everything implements `Display`, too:
//!
//! ```no_run
//! # use client as rallypoint;
//! # fn main() -> rallypoint::Result<()> {
//! let manager = rallypoint::Manager::connect()?;
//! let deploy = manager.inspect("deploy")?;
//! println!("{deploy}");
//! // lock "deploy": held by pid 12 (deploy), thread 1, for 3.2 s
//! //   1. pid 14 (deploy), thread 2, has waited 1.5 s for the lock
//! # Ok(())
//! # }
//! ```

mod display;
mod query;

use std::sync::Arc;
use std::time::Duration;

pub use protocol::{Kind, ObjectId, SessionId, TaskCounts, ThreadId, Wanted};

use crate::{Abandonment, EventCause};

/// One client process: all handles, proxies and threads of it together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its number: from 1, never used again while the manager lives.
    pub session: SessionId,
    /// The process id.
    pub process: u32,
    /// The name of its program, as it gave it to the manager.
    pub program: Arc<str>,
    /// How long ago it connected.
    pub connected: Duration,
    /// How many objects it holds proxies of.
    pub objects: u32,
    /// How many of its calls wait for something.
    pub waits: u32,
    /// How many tasks of pools it runs.
    pub tasks: u32,
}

/// One object, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectSummary {
    /// Its id.
    pub id: ObjectId,
    /// Its name; none if it is anonymous.
    pub name: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Whether anybody waits for it.
    pub is_awaited: bool,
}

/// One object, with everything that the manager knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its id.
    pub id: ObjectId,
    /// Its name; none if it is anonymous.
    pub name: Option<String>,
    /// How many references proxies hold. The clones of one proxy share one.
    pub references: u32,
    /// Its state.
    pub state: ObjectState,
    /// Its waiters, in the order of the wait queue, a thousand at most. For a queue: those that get, then those that
    /// put, then those that join.
    pub waiters: Vec<WaiterInfo>,
    /// How many wait for it, listed or not.
    pub waiting: u32,
}

/// The state of an object, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectState {
    /// An event.
    Event {
        /// Whether a wait clears it.
        auto_reset: bool,
        /// What set it, when, and why; none if it is not set.
        set: Option<EventCause>,
    },
    /// A pool.
    Pool {
        /// How many batches are not complete.
        batches: u32,
        /// Whether it takes no more.
        is_closed: bool,
    },
    /// The tasks of one call to a pool.
    Batch {
        /// The function that its tasks call.
        function: Arc<str>,
        /// How far it is.
        progress: TaskCounts,
    },
    /// A lock.
    Lock {
        /// Whether its holder may acquire it again.
        is_reentrant: bool,
        /// Its holder; none if nobody holds it.
        holder: Option<HolderInfo>,
        /// The holder that left it behind, if nobody has taken it since.
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
        /// How many there are at most; none if it is not bounded.
        permits_max: Option<u64>,
        /// The holders of permits, in the order of the sessions' numbers, a thousand at most.
        holders: Vec<PermitsInfo>,
    },
    /// A barrier.
    Barrier {
        /// How many have to come.
        parties: u32,
        /// How many wait there now; while an action runs, those that wait for its end are among them.
        waiting: u32,
        /// What broke it; none if it is not broken.
        broken: Option<String>,
        /// The session that runs the action that the parties wait for; none if no action runs.
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
        /// How many items it may have; none if there is no bound.
        capacity: Option<u64>,
        /// How many items were put and are not finished; none if the queue is not joinable.
        unfinished: Option<u64>,
        /// Whether it takes no more.
        is_closed: bool,
        /// How many items of a joinable queue each session got and has not finished, in the order of the sessions'
        /// numbers, a thousand at most.
        holders: Vec<(SessionInfo, u64)>,
    },
}

/// A holder of permits of a semaphore.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermitsInfo {
    /// The client process.
    pub session: SessionInfo,
    /// How many it holds.
    pub permits: u64,
    /// How long it has held permits without a break.
    pub held: Duration,
}

/// The holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HolderInfo {
    /// The process id.
    pub process: u32,
    /// The name of its program, as it gave it to the manager.
    pub program: Arc<str>,
    /// The thread, as the client library numbers those that call it: from 1.
    pub thread: ThreadId,
    /// How long it has held the lock.
    pub held: Duration,
    /// How often it has acquired it.
    pub depth: u32,
    /// The token of its guard.
    pub token: u64,
}

/// A waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaiterInfo {
    /// The process id.
    pub process: u32,
    /// The name of its program, as it gave it to the manager.
    pub program: Arc<str>,
    /// The thread, as the client library numbers those that call it: from 1.
    pub thread: ThreadId,
    /// What it waits for here. It may wait for other objects in the same step.
    pub wants: Wanted,
    /// How long it has waited.
    pub waited: Duration,
    /// How long until it gives up; none if it never does.
    pub remaining: Option<Duration>,
}

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
mod processes;
mod query;
mod state;

pub use protocol::{CallCounts, Kind, ObjectId, SessionId, ThreadId, Wanted};

pub use self::processes::{HolderInfo, PermitsInfo, RunningCallInfo, SessionInfo, WaiterInfo};
pub use self::state::ObjectState;

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

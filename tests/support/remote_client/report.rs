//! What a remote client reports about an order that it has followed.

use client::{EventCause, LockGuard, Permit, Result};
use serde::{Deserialize, Serialize};

/// The outcome of an order.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ClientReport {
    /// It is done.
    Done,
    /// Yes or no.
    Flag(bool),
    /// A number of things.
    Count(u64),
    /// What is left of a latch.
    Left(u64),
    /// The wait for an event has ended, with this cause or by its timeout.
    Waited(Option<Setter>),
    /// The waits of a crowd have ended like this.
    Crowd(Vec<Result<Option<Setter>>>),
    /// The event was set.
    Set,
    /// The client holds this now; none if its wait timed out.
    Held(Option<HeldGrant>),
    /// The client holds all of these now.
    All(Vec<HeldGrant>),
    /// The client was notified, and holds the condition's lock again.
    Notified(HeldGrant),
    /// The client was not notified in time, and holds the condition's lock again.
    TimedOut(HeldGrant),
    /// An item, or none in time.
    Item(Option<u64>),
    /// All items.
    Items(Vec<u64>),
    /// The place among the parties of a barrier.
    Passed { index: u32, leads: bool },
    /// The order panicked, with this text.
    Panicked(String),
}

/// Which client set an event, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setter {
    pub(crate) process: u32,
    pub(crate) program: String,
    pub(crate) reason: Option<String>,
}

impl From<EventCause> for Setter {
    fn from(cause: EventCause) -> Setter {
        Setter {
            process: cause.process,
            program: cause.program.to_string(),
            reason: cause.reason.map(|reason| reason.to_string()),
        }
    }
}

/// What a client holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeldGrant {
    /// The token of a lock, or 0.
    pub(crate) token: u64,
    /// The depth of a lock, or the number of permits.
    pub(crate) depth: u64,
    /// Which process abandoned it, and the whole sentence about that.
    pub(crate) abandoned: Option<(u32, String)>,
}

impl From<&LockGuard> for HeldGrant {
    fn from(guard: &LockGuard) -> HeldGrant {
        HeldGrant {
            token: guard.token(),
            depth: guard.depth().into(),
            abandoned: guard.abandoned().map(|left| (left.process, left.to_string())),
        }
    }
}

impl From<&Permit> for HeldGrant {
    fn from(permit: &Permit) -> HeldGrant {
        HeldGrant {
            token: 0,
            depth: permit.permits(),
            abandoned: permit.abandoned().map(|left| (left.process, left.to_string())),
        }
    }
}

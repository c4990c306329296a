//! The kinds of objects, and with which parameters each is made.

use core::fmt;

use serde::{Deserialize, Serialize};

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A flag that processes wait for.
    Event,
    /// A queue of tasks that worker processes serve.
    Pool,
    /// The tasks of one call to a pool, and their results.
    Batch,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Event => "event",
            Kind::Pool => "pool",
            Kind::Batch => "batch",
        })
    }
}

/// The parameters with which an object is made. Opening one by name needs the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spec {
    /// An event, not set at first.
    Event {
        /// Whether a wait that succeeds clears it, so that one `set` wakes one waiter.
        auto_reset: bool,
    },
    /// A pool without workers or tasks at first.
    Pool,
}

impl Spec {
    /// The kind of the object that this makes.
    pub fn kind(&self) -> Kind {
        match self {
            Spec::Event { .. } => Kind::Event,
            Spec::Pool => Kind::Pool,
        }
    }
}

/// Says kind and parameters, as in “an event (manual reset)”.
impl fmt::Display for Spec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::Event { auto_reset: false } => formatter.write_str("an event (manual reset)"),
            Spec::Event { auto_reset: true } => formatter.write_str("an event (auto reset)"),
            Spec::Pool => formatter.write_str("a pool"),
        }
    }
}

//! The kinds of objects, and the parameters with which each is made.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ObjectId;

/// What an object is. Variants are only ever added, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A flag that processes wait for.
    Event,
    /// A queue of calls that worker processes run.
    Pool,
    /// The calls of one submission to a pool, and their results.
    Batch,
    /// A lock that one thread holds at a time.
    Lock,
    /// A lock that its holder may acquire again.
    RLock,
    /// A place to wait for a notification, under a lock.
    Condition,
    /// A number of permits.
    Semaphore,
    /// A place where a number of parties wait for each other.
    Barrier,
    /// A count that goes down to zero once.
    Latch,
    /// Items on their way from producers to consumers.
    Queue,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Event => "event",
            Kind::Pool => "pool",
            Kind::Batch => "batch",
            Kind::Lock => "lock",
            Kind::RLock => "reentrant lock",
            Kind::Condition => "condition",
            Kind::Semaphore => "semaphore",
            Kind::Barrier => "barrier",
            Kind::Latch => "latch",
            Kind::Queue => "queue",
        })
    }
}

/// The parameters with which an object is made. Opening one by name needs the same. Variants are only ever added, at
/// the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spec {
    /// An event, not set at first.
    Event {
        /// Whether a wait that succeeds clears it, so that one `set` wakes one waiter.
        auto_reset: bool,
    },
    /// A pool without workers or calls at first.
    Pool,
    /// A lock, free at first.
    Lock,
    /// A reentrant lock, free at first.
    RLock,
    /// A condition over a lock.
    Condition {
        /// The lock that is released during a wait and held after it.
        over: LockChoice,
    },
    /// A semaphore.
    Semaphore {
        /// The number of permits at first.
        permits: u64,
        /// Whether there are never more permits than at first. A bounded semaphore has at least one.
        is_bounded: bool,
    },
    /// A barrier, at which nobody waits at first.
    Barrier {
        /// The number of parties that have to come; at least one.
        parties: u32,
    },
    /// A latch.
    Latch {
        /// The count at first; with 0 the latch is open at once.
        count: u64,
    },
    /// A queue, empty at first.
    Queue {
        /// The most items that it holds, at least one; none bounds it only by the manager's limits.
        capacity: Option<u64>,
        /// Whether an item is unfinished until its receiver sends `QueueItemDone`.
        is_joinable: bool,
    },
}

/// Which lock a condition is over. Variants are only ever added, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockChoice {
    /// One that is made with the condition, and for it alone.
    Own {
        /// The id that the lock gets if this makes it; not the condition's. It is ignored when the parameters of an
        /// existing condition are compared.
        id: ObjectId,
        /// Whether it is reentrant, as Python's is by default.
        is_reentrant: bool,
    },
    /// A lock or reentrant lock that exists already.
    Given {
        /// The lock.
        id: ObjectId,
    },
}

impl Spec {
    /// Returns the kind of the object that this makes.
    pub fn kind(&self) -> Kind {
        match self {
            Spec::Event { .. } => Kind::Event,
            Spec::Pool => Kind::Pool,
            Spec::Lock => Kind::Lock,
            Spec::RLock => Kind::RLock,
            Spec::Condition { .. } => Kind::Condition,
            Spec::Semaphore { .. } => Kind::Semaphore,
            Spec::Barrier { .. } => Kind::Barrier,
            Spec::Latch { .. } => Kind::Latch,
            Spec::Queue { .. } => Kind::Queue,
        }
    }
}

/// Writes kind and parameters, as in “an event (manual reset)”.
impl fmt::Display for Spec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::Event { auto_reset: false } => formatter.write_str("an event (manual reset)"),
            Spec::Event { auto_reset: true } => formatter.write_str("an event (auto reset)"),
            Spec::Pool => formatter.write_str("a pool"),
            Spec::Lock => formatter.write_str("a lock"),
            Spec::RLock => formatter.write_str("a reentrant lock"),
            Spec::Condition { over: LockChoice::Own { is_reentrant: false, .. } } => {
                formatter.write_str("a condition with a lock of its own")
            }
            Spec::Condition { over: LockChoice::Own { is_reentrant: true, .. } } => {
                formatter.write_str("a condition with a reentrant lock of its own")
            }
            Spec::Condition { over: LockChoice::Given { id } } => {
                write!(formatter, "a condition over lock {id}")
            }
            Spec::Semaphore { permits, is_bounded } => {
                let ending = if *permits == 1 { "" } else { "s" };
                let bounded = if *is_bounded { " (bounded)" } else { "" };
                write!(formatter, "a semaphore of {permits} permit{ending}{bounded}")
            }
            Spec::Barrier { parties: 1 } => formatter.write_str("a barrier of 1 party"),
            Spec::Barrier { parties } => write!(formatter, "a barrier of {parties} parties"),
            Spec::Latch { count } => write!(formatter, "a latch of {count}"),
            Spec::Queue { capacity, is_joinable } => {
                formatter.write_str(if *is_joinable { "a joinable queue" } else { "a queue" })?;
                match capacity {
                    Some(1) => formatter.write_str(" of at most 1 item"),
                    Some(capacity) => write!(formatter, " of at most {capacity} items"),
                    None => formatter.write_str(" without a bound"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn one_of_a_thing_is_not_many() {
        for (spec, text) in [
            (Spec::Semaphore { permits: 1, is_bounded: true }, "a semaphore of 1 permit (bounded)"),
            (Spec::Semaphore { permits: 2, is_bounded: false }, "a semaphore of 2 permits"),
            (Spec::Barrier { parties: 1 }, "a barrier of 1 party"),
            (Spec::Barrier { parties: 0 }, "a barrier of 0 parties"),
            (Spec::Queue { capacity: Some(1), is_joinable: true }, "a joinable queue of at most 1 item"),
            (Spec::Queue { capacity: Some(3), is_joinable: false }, "a queue of at most 3 items"),
        ] {
            assert_eq!(spec.to_string(), text);
        }
    }
}

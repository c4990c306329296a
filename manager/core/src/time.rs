//! Time as the core knows it: nanoseconds since some moment that its driver chose, never going back.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Time {
    /// Nanoseconds since the driver's moment zero.
    nanoseconds: u64,
}

impl Time {
    /// The driver's moment zero.
    pub const ZERO: Time = Time { nanoseconds: 0 };

    /// The moment that is this many nanoseconds after moment zero.
    pub fn from_nanoseconds(nanoseconds: u64) -> Time {
        Time { nanoseconds }
    }

    /// The nanoseconds since moment zero.
    pub(crate) fn nanoseconds(self) -> u64 {
        self.nanoseconds
    }

    /// The last moment, after 584 years. One number is left for what never comes.
    pub(crate) const LAST: Time = Time { nanoseconds: u64::MAX - 1 };

    /// The moment that is this many nanoseconds later, or the last one.
    pub fn after_ns(self, nanoseconds: u64) -> Time {
        Time { nanoseconds: self.nanoseconds.saturating_add(nanoseconds) }.min(Time::LAST)
    }

    /// The nanoseconds from an earlier moment to this, 0 if it is not earlier.
    pub fn ns_since(self, earlier: Time) -> u64 {
        self.nanoseconds.saturating_sub(earlier.nanoseconds)
    }

    /// The time from an earlier moment to this, zero if it is not earlier.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.ns_since(earlier))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", Duration::from_nanos(self.nanoseconds))
    }
}

//! The one clock of the event loop.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use manager_core::Time;

/// Tells the time since the manager began, on a clock that never goes back.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Moment zero.
    began: Instant,
}

impl Clock {
    /// A clock whose moment zero is now.
    pub(crate) fn new() -> Clock {
        Clock { began: Instant::now() }
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO.after_ns(nanoseconds(self.began.elapsed()))
    }
}

/// A duration in nanoseconds, at most the longest that a `u64` holds (584 years).
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The token of the first lock grant: the nanoseconds of the system's clock, which grow faster than a manager can
/// grant, so that tokens grow from one life of a manager to the next. Only setting the clock back breaks this.
pub(crate) fn first_token() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, nanoseconds)
}

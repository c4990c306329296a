//! Waiting for conditions.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long something that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    within(PATIENCE, what, condition);
}

/// Waits until the condition holds, for a time that is itself under test.
pub(crate) fn within(time: Duration, what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {time:?}: {what}");
        sleep(Duration::from_millis(2));
    }
}

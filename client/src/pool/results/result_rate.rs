//! The rate at which the results of a batch come, and so how many of them to wait for at a time: as many as come in a
//! moment, so that the waiter does not wake up for each.

use std::time::Duration;

use client_core::operations::ResultsTarget;
use protocol::ObjectId;

/// How long results may gather in the manager before a waiter fetches those that have come. The progress of a batch is
/// out of date by no more than that.
pub(crate) const GATHERING_TIME_MAX: Duration = Duration::from_millis(20);

/// The time in which the results that a waiter waits for should come.
const GATHERING_TIME: Duration = Duration::from_millis(5);

/// Results that come more slowly than one in this time are taken one by one.
const SLOW: Duration = Duration::from_micros(500);

/// The most results to wait for.
const RESULTS_MAX: u128 = 4096;

/// How fast results come.
#[derive(Debug)]
pub(crate) struct ResultRate {
    least: u32,
}

impl ResultRate {
    /// The rate of a batch without results.
    pub(crate) fn new() -> ResultRate {
        ResultRate { least: 1 }
    }

    /// Whether results come fast enough to wait for several.
    pub(crate) fn is_fast(&self) -> bool {
        self.least > 1
    }

    /// How many results to wait for.
    pub(crate) fn target(&self, batch: ObjectId) -> ResultsTarget {
        ResultsTarget { batch, least: self.least }
    }

    /// Notes that this many results have come in this time. Zero means that they come more slowly than before.
    pub(crate) fn note(&mut self, results: u64, time: Duration) {
        let each = time.as_nanos() / u128::from(results.max(1));
        self.least = match results {
            0 => 1,
            _ if each > SLOW.as_nanos() => 1,
            _ => (GATHERING_TIME.as_nanos() / each.max(1)).clamp(1, RESULTS_MAX) as u32,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_results_are_waited_for_together_and_slow_ones_one_by_one() {
        let mut rate = ResultRate::new();
        assert!(!rate.is_fast());
        rate.note(1, Duration::from_micros(50));
        assert_eq!(rate.least, 100);
        rate.note(1_000_000, Duration::from_millis(1));
        assert_eq!(rate.least, 4096);
        for (results, time) in [(0, 20), (10, 50), (1, 1000)] {
            rate.note(1, Duration::ZERO);
            assert!(rate.is_fast());
            rate.note(results, Duration::from_millis(time));
            assert!(!rate.is_fast(), "{results} in {time} ms");
        }
    }
}

//! How many results to wait for at a time when all of a batch are wanted: as many as come in a moment, so that whoever
//! waits is not woken for each.

use std::time::Duration;

use protocol::{ObjectId, Target};

/// For how long results may gather in the manager before they are asked for whatever there is. The progress of a batch
/// is out of date by no more than that.
pub(crate) const GATHERING_TIME_MAX: Duration = Duration::from_millis(20);

/// How long it is to take until as many have come as are waited for.
const GATHERING_TIME: Duration = Duration::from_millis(5);

/// Results that come slower than this are taken one by one.
const SLOW: Duration = Duration::from_micros(500);

/// The most results to wait for.
const RESULTS_MAX: u128 = 4096;

/// How many results to wait for.
#[derive(Debug)]
pub(crate) struct ResultRate {
    least: u32,
}

impl ResultRate {
    /// The flow of a batch of which nothing has come.
    pub(crate) fn new() -> ResultRate {
        ResultRate { least: 1 }
    }

    /// Whether results come so fast that several are waited for.
    pub(crate) fn is_fast(&self) -> bool {
        self.least > 1
    }

    /// What to wait for.
    pub(crate) fn target(&self, batch: ObjectId) -> Target<'static> {
        match self.least {
            1 => Target::Results { batch },
            least => Target::ManyResults { batch, least },
        }
    }

    /// Notes that so many have come in this time. None: they do not come as fast as they did.
    pub(crate) fn note(&mut self, results: usize, time: Duration) {
        let each = time.as_nanos() / (results.max(1) as u128);
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
        let mut flow = ResultRate::new();
        assert!(!flow.is_fast());
        flow.note(1, Duration::from_micros(50));
        assert_eq!(flow.least, 100);
        flow.note(1_000_000, Duration::from_millis(1));
        assert_eq!(flow.least, 4096);
        for (results, time) in [(0, 20), (10, 50), (1, 1000)] {
            flow.note(1, Duration::ZERO);
            assert!(flow.is_fast());
            flow.note(results, Duration::from_millis(time));
            assert!(!flow.is_fast(), "{results} in {time} ms");
        }
    }
}

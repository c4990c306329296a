//! Runs: consecutive calls of a batch that ended in the same way, as the manager tells them, until the program takes
//! their results.

use std::collections::{BTreeMap, VecDeque};

use protocol::Outcome;

use crate::values::payload::OwnBlob;

/// Consecutive calls that ended in the same way.
#[derive(Debug)]
pub(crate) struct ResultRun {
    /// The number of the first.
    pub(crate) first: u64,
    /// How many there are.
    pub(crate) calls: u32,
    /// How they ended.
    pub(crate) outcome: Outcome,
    /// The encoded result, if it is a blob.
    pub(crate) blob: Option<OwnBlob>,
}

impl ResultRun {
    /// The number of the call behind the last.
    pub(crate) fn end(&self) -> u64 {
        self.first.saturating_add(self.calls.into())
    }
}

/// The runs that were not taken.
#[derive(Debug)]
pub(crate) enum Runs {
    /// Those of a batch that was submitted as a whole, by their first call. They stay, so that the program can ask for
    /// results again.
    Whole(BTreeMap<u64, ResultRun>),
    /// Those of a batch whose results the program takes in the order of its input, by their first call.
    InOrder {
        /// Those that were not taken.
        runs: BTreeMap<u64, ResultRun>,
        /// The number of the first call that was not taken.
        next: u64,
    },
    /// Those of a batch whose results the program takes as they come, in the order in which they came.
    AsTheyCome(VecDeque<ResultRun>),
}

impl Runs {
    /// Adds a run. Returns false if one of its calls has ended before.
    pub(crate) fn add(&mut self, run: ResultRun) -> bool {
        let (runs, next) = match self {
            Runs::Whole(runs) => (runs, 0),
            Runs::InOrder { runs, next } => (runs, *next),
            Runs::AsTheyCome(runs) => {
                runs.push_back(run);
                return true;
            }
        };
        let before = runs.range(..=run.first).next_back().map_or(next, |(_, before)| before.end());
        let after = runs.range(run.first..).next().map_or(u64::MAX, |(&after, _)| after);
        let is_new = before.max(next) <= run.first && run.end() <= after;
        if is_new {
            runs.insert(run.first, run);
        }
        is_new
    }

    /// Whether there is a run that can be taken.
    pub(crate) fn has_next(&self) -> bool {
        match self {
            Runs::Whole(_) => false,
            Runs::InOrder { runs, next } => runs.first_key_value().is_some_and(|(first, _)| first == next),
            Runs::AsTheyCome(runs) => !runs.is_empty(),
        }
    }

    /// Takes the next run, if there is one.
    pub(crate) fn take_next(&mut self) -> Option<ResultRun> {
        match self {
            Runs::Whole(_) => None,
            Runs::InOrder { runs, next } => {
                let run = runs.first_entry().filter(|entry| entry.key() == next)?.remove();
                *next = run.end();
                Some(run)
            }
            Runs::AsTheyCome(runs) => runs.pop_front(),
        }
    }

    /// All runs, in the order of the input, each behind the number of calls before it that have not ended.
    pub(crate) fn in_order(&self) -> Vec<(u64, &ResultRun)> {
        let (runs, mut next): (Vec<&ResultRun>, _) = match self {
            Runs::Whole(runs) => (runs.values().collect(), Some(0)),
            Runs::InOrder { runs, next } => (runs.values().collect(), Some(*next)),
            Runs::AsTheyCome(runs) => {
                let mut runs: Vec<&ResultRun> = runs.iter().collect();
                runs.sort_unstable_by_key(|run| run.first);
                // Nobody knows which of the calls between them were taken.
                (runs, None)
            }
        };
        let mut placed = Vec::with_capacity(runs.len());
        for run in runs {
            placed.push((next.map_or(0, |next| run.first - next), run));
            next = next.and(Some(run.end()));
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use protocol::Payload;

    use super::*;

    fn run(first: u64, calls: u32) -> ResultRun {
        ResultRun { first, calls, outcome: Outcome::Returned(Payload::from([].as_slice())), blob: None }
    }

    fn shape(runs: &Runs) -> Vec<(u64, u64)> {
        runs.in_order().into_iter().map(|(open, run)| (open, run.first)).collect()
    }

    #[test]
    fn runs_are_taken_in_order_or_as_they_come() {
        let mut ordered = Runs::InOrder { runs: BTreeMap::new(), next: 0 };
        let mut unordered = Runs::AsTheyCome(VecDeque::new());
        for runs in [&mut ordered, &mut unordered] {
            assert!(!runs.has_next() && runs.take_next().is_none());
            assert!(runs.add(run(5, 2)) && runs.add(run(9, 1)) && runs.add(run(0, 5)));
        }
        assert_eq!(shape(&ordered), [(0, 0), (0, 5), (2, 9)]);
        assert_eq!(shape(&unordered), [(0, 0), (0, 5), (0, 9)]);
        let firsts = |runs: &mut Runs| -> Vec<u64> {
            std::iter::from_fn(|| runs.has_next().then(|| runs.take_next().unwrap().first)).collect()
        };
        assert_eq!(firsts(&mut unordered), [5, 9, 0]);
        assert_eq!(firsts(&mut ordered), [0, 5], "7 and 8 have not ended");
        assert_eq!(shape(&ordered), [(2, 9)]);
        assert!(!ordered.add(run(6, 1)), "it was taken");
        assert!(ordered.add(run(7, 2)));
        assert_eq!(firsts(&mut ordered), [7, 9]);
    }

    #[test]
    fn no_call_ends_twice() {
        let mut runs = Runs::Whole(BTreeMap::new());
        assert!(runs.add(run(10, 10)));
        for (first, calls) in [(10, 10), (0, 11), (19, 5), (12, 1), (0, 100), (20, u32::MAX)] {
            assert_eq!(runs.add(run(first, calls)), first == 20, "{first}, {calls}");
        }
        assert!(runs.add(run(0, 10)));
        assert_eq!(shape(&runs), [(0, 0), (0, 10), (0, 20)]);
    }
}

//! The outcomes of a batch that have come so far. Nothing here knows how they come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use protocol::{CallsResult, FailureKind, Outcome, Results};

use crate::connection::link::Link;
use crate::pool::errors::protocol_fault;
use crate::pool::results::runs::{ResultRun, Runs};
use crate::values::payload::OwnBlob;
use crate::{Error, ErrorKind};

/// The outcomes of a batch that have come so far.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// Those that were not taken.
    pub(crate) runs: Runs,
    /// How many calls were submitted.
    pub(crate) calls: u64,
    /// How many calls returned.
    pub(crate) returned: u64,
    /// How many calls failed.
    pub(crate) failed: u64,
    /// How many results the program has taken from an iterator.
    pub(crate) taken: u64,
    /// How many calls may be submitted and not taken, of a batch whose input is drawn lazily.
    pub(crate) window: u64,
    /// Whether the batch takes no more calls.
    pub(crate) is_sealed: bool,
    /// The reason why the input was not drawn to its end, until the program has this error.
    pub(crate) cut: Option<Error>,
    /// Whether the manager has said that no more outcomes come.
    has_all_come: bool,
    /// Why the manager cannot be asked for more.
    pub(crate) broken: Option<Error>,
    /// Whether the program has dropped the results, so that it waits only for the end.
    is_detached: bool,
    /// The way to the manager, for results that are blobs.
    link: Option<Arc<Link>>,
}

impl Outcomes {
    fn new(runs: Runs) -> Outcomes {
        Outcomes {
            runs,
            calls: 0,
            returned: 0,
            failed: 0,
            taken: 0,
            window: u64::MAX,
            is_sealed: false,
            cut: None,
            has_all_come: false,
            broken: None,
            is_detached: false,
            link: None,
        }
    }

    /// The same, of a batch of this manager.
    pub(crate) fn with_link(self, link: &Arc<Link>) -> Outcomes {
        Outcomes { link: Some(Arc::clone(link)), ..self }
    }

    /// A batch without outcomes that was submitted as a whole, with this number of calls.
    pub(crate) fn of_whole(calls: u64) -> Outcomes {
        Outcomes { calls, is_sealed: true, ..Outcomes::new(Runs::Whole(BTreeMap::new())) }
    }

    /// A batch without outcomes whose input is drawn lazily.
    pub(crate) fn of_stream(window: u64, is_ordered: bool) -> Outcomes {
        let runs = match is_ordered {
            true => Runs::InOrder { runs: BTreeMap::new(), next: 0 },
            false => Runs::AsTheyCome(VecDeque::new()),
        };
        Outcomes { window, ..Outcomes::new(runs) }
    }

    /// A batch without outcomes whose results the program has dropped.
    pub(crate) fn of_detached() -> Outcomes {
        Outcomes { is_detached: true, ..Outcomes::new(Runs::AsTheyCome(VecDeque::new())) }
    }

    /// Whether all calls have ended and no more outcomes will come.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_sealed && self.open() == 0
    }

    /// How many calls have not ended.
    pub(crate) fn open(&self) -> u64 {
        self.calls - self.returned - self.failed
    }

    /// Whether it was submitted as a whole.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.runs, Runs::Whole(_))
    }

    /// Whether this process still draws its input.
    pub(crate) fn is_drawing(&self) -> bool {
        !self.is_sealed && !self.is_detached
    }

    /// Whether there is something left to ask the manager for.
    pub(crate) fn has_more_to_come(&self) -> bool {
        !self.has_all_come && self.broken.is_none()
    }

    /// Takes results in. Returns true if they show that the batch was stopped, so that more input would be of no use.
    pub(crate) fn take_in(&mut self, results: Results) -> bool {
        let mut is_stopped = false;
        for result in results.results {
            // Whatever becomes of it, this process has a reference to it now.
            let blob = self.blob_of(&result.outcome);
            if self.is_detached {
                continue;
            }
            is_stopped |= is_cancelled(&result.outcome);
            if let Err(error) = self.take_in_one(result, blob) {
                self.broken.get_or_insert(error);
            }
        }
        if results.complete {
            self.note_all_come();
        }
        is_stopped && !self.is_sealed
    }

    fn blob_of(&self, outcome: &Outcome) -> Option<OwnBlob> {
        match (outcome, &self.link) {
            (&Outcome::ReturnedBlob { blob: id, bytes }, Some(link)) => {
                Some(OwnBlob { link: Arc::clone(link), id, bytes })
            }
            _ => None,
        }
    }

    fn take_in_one(&mut self, result: CallsResult, blob: Option<OwnBlob>) -> Result<(), Error> {
        let CallsResult { first, calls, outcome } = result;
        let has_returned = !matches!(outcome, Outcome::Failed(_));
        let run = ResultRun { first, calls, outcome, blob };
        if calls == 0 || run.end() > self.calls || u64::from(calls) > self.open() || !self.runs.add(run) {
            return Err(protocol_fault("a result came for a call that was not submitted"));
        }
        *(if has_returned { &mut self.returned } else { &mut self.failed }) += u64::from(calls);
        Ok(())
    }

    fn note_all_come(&mut self) {
        self.has_all_come = true;
        if !self.is_sealed {
            self.is_sealed = true;
            if !self.is_detached {
                let text = "the batch was ended before all of its input was drawn";
                self.cut = Some(Error::new(ErrorKind::Terminated, text));
            }
        } else if self.is_whole() && !self.is_complete() {
            self.broken.get_or_insert(protocol_fault("a batch is complete, and a result is missing"));
        }
    }

    /// Adds this many calls.
    pub(crate) fn add(&mut self, calls: u32) {
        self.calls += u64::from(calls);
    }

    /// Takes back the calls that were added last, since the manager refused them.
    pub(crate) fn take_back_last(&mut self, calls: u32) {
        self.calls -= u64::from(calls).min(self.open());
    }

    /// Whether a call has ended that can be taken.
    pub(crate) fn has_next(&self) -> bool {
        self.runs.has_next()
    }

    /// Takes the next calls that have ended.
    pub(crate) fn take_next(&mut self) -> Option<ResultRun> {
        self.runs.take_next()
    }

    /// Whether every call returned.
    pub(crate) fn is_successful(&self) -> bool {
        self.failed == 0
    }
}

fn is_cancelled(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Cancelled)
}

#[cfg(test)]
mod tests {
    use protocol::{Failure, Payload};

    use super::*;

    fn returned(first: u64, calls: u32) -> CallsResult {
        CallsResult { first, calls, outcome: Outcome::Returned(Payload::from([].as_slice())) }
    }

    fn cancelled(first: u64, calls: u32) -> CallsResult {
        let failure = Failure { kind: FailureKind::Cancelled, text: "".into() };
        CallsResult { first, calls, outcome: Outcome::Failed(failure) }
    }

    fn results(results: &[CallsResult], complete: bool) -> Results {
        Results { results: results.to_vec(), complete }
    }

    #[test]
    fn a_whole_batch_is_complete_when_all_has_come() {
        let mut outcomes = Outcomes::of_whole(5);
        assert!(!outcomes.take_in(results(&[returned(3, 2)], false)));
        assert!(!outcomes.is_complete() && outcomes.has_more_to_come());
        outcomes.take_in(results(&[cancelled(0, 3)], true));
        assert!(outcomes.is_complete() && !outcomes.has_more_to_come() && !outcomes.is_successful());
        assert_eq!((outcomes.calls, outcomes.returned, outcomes.failed), (5, 2, 3));
    }

    #[test]
    fn impossible_results_are_a_fault_of_the_manager() {
        let faults = [
            results(&[returned(2, 1)], false),
            results(&[returned(1, 2)], false),
            results(&[returned(0, 0)], false),
            results(&[returned(u64::MAX, u32::MAX)], false),
            results(&[returned(0, 1), returned(0, 1)], false),
            results(&[], true),
        ];
        for fault in faults {
            let mut outcomes = Outcomes::of_whole(2);
            outcomes.take_in(fault);
            assert!(outcomes.broken.is_some());
        }
        let mut outcomes = Outcomes::of_stream(100, false);
        outcomes.add(1);
        outcomes.take_in(results(&[returned(0, 1), returned(0, 1)], false));
        assert!(outcomes.broken.is_some());
    }

    #[test]
    fn a_stream_gives_in_order_or_as_they_come() {
        for (is_ordered, expected) in [(true, [10, 20]), (false, [20, 10])] {
            let mut outcomes = Outcomes::of_stream(100, is_ordered);
            outcomes.add(10);
            outcomes.add(20);
            outcomes.take_in(results(&[returned(10, 20)], false));
            assert_eq!(outcomes.take_next().is_some(), !is_ordered);
            outcomes.take_in(results(&[returned(0, 10)], false));
            let rest: Vec<u32> = std::iter::from_fn(|| outcomes.take_next()).map(|run| run.calls).collect();
            assert_eq!(rest, expected[usize::from(!is_ordered)..]);
            assert!(!outcomes.is_complete(), "more may be added");
        }
    }

    #[test]
    fn a_stream_that_others_end_says_so() {
        let mut outcomes = Outcomes::of_stream(100, true);
        outcomes.add(1);
        outcomes.add(3);
        outcomes.take_back_last(3);
        assert!(outcomes.take_in(results(&[cancelled(0, 1)], false)), "no more should be drawn");
        outcomes.take_in(results(&[], true));
        assert!(outcomes.is_complete() && outcomes.cut.as_ref().is_some_and(Error::is_terminated));
    }
}

//! The outcomes of a batch that have come so far. Nothing here knows how they come.

use std::collections::VecDeque;

use protocol::{FailureKind, Outcome, Results};

use crate::pool::errors::protocol_fault;
use crate::pool::results::slots::{ChunkSlot, Slots};
use crate::{Error, ErrorKind};

/// The outcomes of a batch that have come so far.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// The slots of its chunks.
    pub(crate) slots: Slots,
    /// How many of these slots have an outcome.
    ended: usize,
    /// Numbers of slots in the order in which their outcomes came, if the program takes them in that order.
    arrivals: Option<VecDeque<u64>>,
    /// How many calls were submitted.
    pub(crate) calls: u64,
    /// How many calls were in chunks that returned.
    pub(crate) returned: u64,
    /// How many calls were in chunks that failed.
    pub(crate) failed: u64,
    /// How many results the program has taken from an iterator.
    pub(crate) taken: u64,
    /// How many calls may be submitted and not taken, of a batch whose input is drawn lazily.
    pub(crate) window: u64,
    /// Whether the batch takes no more chunks.
    pub(crate) is_sealed: bool,
    /// The reason why the input was not drawn to its end, until the program has this error.
    pub(crate) cut: Option<Error>,
    /// Whether the manager has said that no more outcomes come.
    has_all_come: bool,
    /// Why the manager cannot be asked for more.
    pub(crate) broken: Option<Error>,
    /// Whether the program has dropped the results, so that it waits only for the end.
    is_detached: bool,
}

impl Outcomes {
    fn new(slots: Slots) -> Outcomes {
        Outcomes {
            slots,
            ended: 0,
            arrivals: None,
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
        }
    }

    /// A batch without outcomes that was submitted as a whole, in chunks with these numbers of calls.
    pub(crate) fn of_whole(counts: impl Iterator<Item = u32> + Clone) -> Outcomes {
        let calls = counts.clone().map(u64::from).sum();
        Outcomes { calls, is_sealed: true, ..Outcomes::new(Slots::whole(counts)) }
    }

    /// A batch without outcomes whose input is drawn lazily.
    pub(crate) fn of_stream(window: u64, is_ordered: bool) -> Outcomes {
        let arrivals = (!is_ordered).then(VecDeque::new);
        Outcomes { window, arrivals, ..Outcomes::new(Slots::passing()) }
    }

    /// A batch without outcomes whose results the program has dropped.
    pub(crate) fn of_detached() -> Outcomes {
        Outcomes { is_detached: true, ..Outcomes::new(Slots::passing()) }
    }

    /// Whether all calls have ended and no more outcomes will come.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_sealed && self.ended == self.slots.len()
    }

    /// Whether it was submitted as a whole.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.slots, Slots::Whole(_))
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
            if self.is_detached {
                continue;
            }
            is_stopped |= is_cancelled(&result.outcome);
            if let Err(error) = self.take_in_one(result.task, result.outcome) {
                self.broken.get_or_insert(error);
            }
        }
        if results.complete {
            self.note_all_come();
        }
        is_stopped && !self.is_sealed
    }

    fn take_in_one(&mut self, task: u32, outcome: Outcome) -> Result<(), Error> {
        let (number, slot) = self
            .slots
            .find(task)
            .filter(|(_, slot)| slot.outcome.is_none())
            .ok_or_else(|| protocol_fault("a result came for a task that was not submitted"))?;
        match outcome {
            Outcome::Returned(_) => self.returned += u64::from(slot.count),
            Outcome::Failed(_) => self.failed += u64::from(slot.count),
        }
        slot.outcome = Some(outcome);
        self.ended += 1;
        self.arrivals.iter_mut().for_each(|arrivals| arrivals.push_back(number));
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

    /// Adds a chunk of this many calls.
    pub(crate) fn add(&mut self, count: u32) {
        self.slots.add(count);
        self.calls += u64::from(count);
    }

    /// Takes back the chunk that was added last.
    pub(crate) fn take_back_last(&mut self) {
        let count = self.slots.take_back_last().map_or(0, |slot| slot.count);
        self.calls -= u64::from(count);
    }

    /// Whether a chunk has ended that can be taken.
    pub(crate) fn has_next(&self) -> bool {
        match &self.arrivals {
            Some(arrivals) => !arrivals.is_empty(),
            None => self.slots.has_first_ended(),
        }
    }

    /// Takes the next chunk that has ended.
    pub(crate) fn take_next(&mut self) -> Option<ChunkSlot> {
        let slot = match &mut self.arrivals {
            Some(arrivals) => arrivals.pop_front().and_then(|number| self.slots.take(number)),
            None => self.slots.take_first_ended(),
        };
        self.ended -= usize::from(slot.is_some());
        slot
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
    use protocol::{Failure, Payload, TaskResult};

    use super::*;

    fn returned(task: u32) -> TaskResult {
        TaskResult { task, outcome: Outcome::Returned(Payload::from([].as_slice())) }
    }

    fn cancelled(task: u32) -> TaskResult {
        let failure = Failure { kind: FailureKind::Cancelled, text: "".into() };
        TaskResult { task, outcome: Outcome::Failed(failure) }
    }

    fn results(results: &[TaskResult], complete: bool) -> Results {
        Results { results: results.to_vec(), complete }
    }

    #[test]
    fn a_whole_batch_is_complete_when_all_has_come() {
        let mut outcomes = Outcomes::of_whole([3, 2].into_iter());
        assert!(!outcomes.take_in(results(&[returned(1)], false)));
        assert!(!outcomes.is_complete() && outcomes.has_more_to_come());
        outcomes.take_in(results(&[cancelled(0)], true));
        assert!(outcomes.is_complete() && !outcomes.has_more_to_come() && !outcomes.is_successful());
        assert_eq!((outcomes.calls, outcomes.returned, outcomes.failed), (5, 2, 3));
    }

    #[test]
    fn impossible_results_are_a_fault_of_the_manager() {
        for fault in
            [results(&[returned(1)], false), results(&[returned(0), returned(0)], false), results(&[], true)]
        {
            let mut outcomes = Outcomes::of_whole([1].into_iter());
            outcomes.take_in(fault);
            assert!(outcomes.broken.is_some());
        }
    }

    #[test]
    fn a_stream_gives_in_order_or_as_they_come() {
        for (is_ordered, expected) in [(true, [10, 20]), (false, [20, 10])] {
            let mut outcomes = Outcomes::of_stream(100, is_ordered);
            outcomes.add(10);
            outcomes.add(20);
            outcomes.take_in(results(&[returned(1)], false));
            assert_eq!(outcomes.take_next().is_some(), !is_ordered);
            outcomes.take_in(results(&[returned(0)], false));
            let rest: Vec<u32> = std::iter::from_fn(|| outcomes.take_next()).map(|slot| slot.count).collect();
            assert_eq!(rest, expected[usize::from(!is_ordered)..]);
            assert!(!outcomes.is_complete(), "more may be added");
        }
    }

    #[test]
    fn a_stream_that_others_end_says_so() {
        let mut outcomes = Outcomes::of_stream(100, true);
        outcomes.add(1);
        assert!(outcomes.take_in(results(&[cancelled(0)], false)), "no more should be drawn");
        outcomes.take_in(results(&[], true));
        assert!(outcomes.is_complete() && outcomes.cut.as_ref().is_some_and(Error::is_terminated));
    }
}

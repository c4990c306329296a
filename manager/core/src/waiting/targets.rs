//! The targets of a wait: which go together, who may wait for them, and what each wants of its object.

use alloc::format;

use protocol::limits::WAIT_TARGETS_MAX;
use protocol::{Code, Refusal, RequestId, Targets, WaitMode};
use smallvec::SmallVec;

use crate::State;
use crate::objects::preconditions::{brings_item, check_part_of_all, is_condition, is_lock};
use crate::objects::queue::Brought;
use crate::store::slab::Key;
use crate::waiting::wait::Caller;
use crate::waiting::wait_queue::WaitQueueEntry;

impl State {
    /// Refuses a wait whose request is not allowed.
    pub(crate) fn check_wait(
        &self,
        request: RequestId,
        mode: WaitMode,
        targets: &Targets<'_>,
    ) -> Result<(), Refusal> {
        if !request.wants_answer() {
            return Err(Refusal::new(Code::BadArgument, "a wait needs an answer, so it cannot be one-way"));
        }
        self.check_targets(mode, targets)
    }

    fn check_targets(&self, mode: WaitMode, targets: &Targets<'_>) -> Result<(), Refusal> {
        let bad = |text: &str| Err(Refusal::new(Code::BadTarget, text));
        let targets_max = self.limits.wait_targets_max.min(WAIT_TARGETS_MAX);
        if targets.is_empty() {
            return bad("a wait needs at least one target");
        }
        if targets.len() > targets_max {
            let text = format!("a wait has at most {targets_max} targets, this one has {}", targets.len());
            return Err(Refusal::new(Code::LimitReached, text));
        }
        let conditions = targets.iter().filter(|target| is_condition(target)).count();
        if conditions > 1 {
            return bad("a wait has at most one condition among its targets");
        }
        // It could get the other lock and then not its own, while another thread does the same the other way round.
        if conditions == 1 && targets.iter().any(is_lock) {
            return bad("a wait for a condition cannot include a lock");
        }
        if mode == WaitMode::All && targets.len() > 1 {
            self.check_all_targets(targets)?;
        }
        Ok(())
    }

    /// Refuses targets that cannot be part of a wait for all.
    fn check_all_targets(&self, targets: &Targets<'_>) -> Result<(), Refusal> {
        let bad = |text: &str| Err(Refusal::new(Code::BadTarget, text));
        targets.iter().try_for_each(check_part_of_all)?;
        let items = targets.iter().filter(|target| brings_item(target)).count();
        if items > 1 {
            return bad("items can be large, so a wait for all brings at most one");
        }
        let mut objects: SmallVec<[_; 8]> = targets.iter().map(|target| target.object().0).collect();
        objects.sort_unstable();
        if objects.windows(2).any(|pair| pair[0] == pair[1]) {
            return bad("a wait for all names each object once");
        }
        Ok(())
    }

    /// The objects of targets that this caller may wait for as things are.
    pub(crate) fn find_targets(
        &self,
        caller: Caller,
        targets: &Targets<'_>,
    ) -> Result<SmallVec<[Key; 1]>, Refusal> {
        let mut objects = SmallVec::new();
        let mut brought = Brought::default();
        for target in targets {
            objects.push(self.find_target(caller, target, &mut brought)?);
        }
        Ok(objects)
    }

    /// What a waiter for these targets waits for.
    pub(crate) fn entries(
        &mut self,
        caller: Caller,
        targets: &Targets<'_>,
    ) -> Result<SmallVec<[WaitQueueEntry; 1]>, Refusal> {
        // Finds all objects before it stores any item, so that a refusal stores nothing.
        let objects = self.find_targets(caller, targets)?;
        let mut entries = SmallVec::with_capacity(targets.len());
        for (&object, target) in objects.iter().zip(targets) {
            entries.push(WaitQueueEntry::new(object, self.want(object, target)));
        }
        Ok(entries)
    }
}

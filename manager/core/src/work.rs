//! How much one input does, and what is left for later ones.
//!
//! No input takes long, so that no client keeps the manager from others. The core counts *steps*: the waiters that it
//! examines, the targets of a wait, the locks on a way through a graph. What needs more steps than an input may take is
//! left, and goes on in slices: [`State::next_deadline`] is at once as long as something is left, and each
//! [`Input::TimePassed`](crate::Input::TimePassed) does one slice. Other inputs may come in between.

use alloc::boxed::Box;
use core::cell::Cell;

use protocol::{RequestId, SessionId};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::barrier::ToldParties;
use crate::objects::condition::Notifying;
use crate::objects::event::EventSetting;
use crate::pools::termination::Termination;
use crate::store::catalog::Handle;
use crate::store::lifetime::Remains;
use crate::store::slab::Key;

/// The most steps of one input. A step takes some ten nanoseconds as a rule, and some hundred at worst.
const STEPS_MAX: u64 = 16_384;

/// How many steps it counts to free a part of the memory that objects or waiters had: some megabytes.
pub(crate) const STEPS_PER_PART: u64 = 8_192;

/// How much the current input has done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Meter {
    steps: Cell<u64>,
    steps_max: Cell<u64>,
}

/// Work on many things that goes on in slices.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum LongWork {
    /// The calls of a batch end that will never begin.
    EndCalls(Handle),
    /// A pool is terminated.
    Terminate(Box<Termination>),
    /// The events are set that are tied to one that was set.
    Set(Box<EventSetting>),
    /// What a removed object kept is freed.
    LetGo(Box<Remains>),
    /// Waiters of a condition are notified together.
    Notify(Box<Notifying>),
    /// Waiters at a barrier are let go or refused together.
    Barrier(Box<ToldParties>),
    /// A process that is to end is refused its waits for calls, from this request on.
    RefuseWaitsForCalls(SessionId, RequestId),
}

impl LongWork {
    /// Whether each of its steps ends something: a wait, a call, an object. An event may be set again and again.
    pub(crate) fn ends_things(&self) -> bool {
        !matches!(self, LongWork::Set(_))
    }

    /// Whether it goes on with the waiters of this object, or with events that are set since this one was.
    pub(crate) fn concerns(&self, object: Key) -> bool {
        match self {
            LongWork::Set(setting) => setting.is_of(object),
            LongWork::Notify(notifying) => notifying.concerns(object),
            LongWork::Barrier(turn) => turn.concerns(object),
            LongWork::EndCalls(_)
            | LongWork::Terminate(_)
            | LongWork::LetGo(_)
            | LongWork::RefuseWaitsForCalls(..) => false,
        }
    }

    /// Whether it has waiters join the wait queue of this lock.
    pub(crate) fn joins(&self, lock: Key) -> bool {
        matches!(self, LongWork::Notify(notifying) if notifying.joins(lock))
    }
}

impl Meter {
    pub(crate) fn new() -> Meter {
        Meter { steps: Cell::new(0), steps_max: Cell::new(STEPS_MAX) }
    }

    pub(crate) fn begin_input(&mut self) {
        self.steps.set(0);
    }

    /// Ends the current input, so that the driver can answer what it was asked before anything else goes on. An input
    /// without a limit goes on without the answer.
    pub(crate) fn end_input(&mut self) {
        self.steps.set(self.steps.get().max(STEPS_MAX));
    }

    /// Counts steps.
    #[inline]
    pub(crate) fn step(&self, steps: u64) {
        self.steps.set(self.steps.get() + steps);
    }

    /// Whether the current input has done enough.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.steps.get() >= self.steps_max.get()
    }
}

impl State {
    /// Counts steps.
    #[inline]
    pub(crate) fn step(&self, steps: u64) {
        self.meter.step(steps);
    }

    /// Whether this input has done enough, and leaves the rest for later.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.meter.is_over()
    }

    /// Whether this input has done so much that a part of its steps, such as one sixteenth, is used up.
    #[inline]
    pub(crate) fn is_over_part(&self, part: u64) -> bool {
        self.meter.steps.get() >= self.meter.steps_max.get() / part
    }

    /// Does something within a part of this input's steps, such as one half.
    pub(crate) fn within(&mut self, part: u64, work: impl FnOnce(&mut State)) {
        let steps_max = self.meter.steps_max.get();
        self.meter.steps_max.set(steps_max.div_ceil(part));
        work(self);
        self.meter.steps_max.set(steps_max);
    }

    /// Does something without a limit to its steps.
    pub(crate) fn without_limit(&mut self, work: impl FnOnce(&mut State)) {
        let steps_max = self.meter.steps_max.replace(u64::MAX);
        work(self);
        self.meter.steps_max.set(steps_max);
    }

    /// Asks a question without a limit to its steps, and does not count them.
    pub(crate) fn uncounted<T>(&self, ask: impl FnOnce() -> T) -> T {
        let meter = (self.meter.steps.get(), self.meter.steps_max.replace(u64::MAX));
        let answer = ask();
        self.meter.steps.set(meter.0);
        self.meter.steps_max.set(meter.1);
        answer
    }

    /// Goes on with something later: at the end of this input or, if that is over, in later ones.
    pub(crate) fn go_on_later(&mut self, work: LongWork) {
        self.agenda.push(self.ticket, work);
        self.note_agenda();
    }

    /// Goes on with something, which is done then or comes later again.
    pub(crate) fn go_on_with(&mut self, work: LongWork) {
        match work {
            LongWork::EndCalls(batch) => self.go_on_ending_calls(batch),
            LongWork::Terminate(termination) => self.go_on_terminating(termination),
            LongWork::Set(setting) => self.go_on_setting(setting),
            LongWork::LetGo(remains) => self.let_go_of(remains),
            LongWork::Notify(notifying) => self.go_on_notifying(notifying),
            LongWork::Barrier(turn) => self.go_on_with_barrier(turn),
            LongWork::RefuseWaitsForCalls(session, from) => self.refuse_waits_for_calls(session, from),
        }
    }

    /// Whether nothing is left of earlier inputs.
    #[doc(hidden)]
    #[inline]
    pub fn is_idle(&self) -> bool {
        !self.has_unfinished && self.searches.is_idle() && self.teardowns.is_empty() && !self.has_retired()
    }

    /// Does one slice of what earlier inputs have left.
    pub(crate) fn work_on(&mut self) {
        // First those who wait, and then what frees more.
        if self.has_unfinished {
            self.within(if self.teardowns.is_empty() { 1 } else { 2 }, State::serve_unfinished);
        }
        if !self.is_over() {
            self.go_on_tearing_down();
        }
        if !self.is_over() && !self.searches.is_idle() {
            self.go_on_searching();
        }
        if self.has_retired() {
            self.free_retired();
        }
    }

    /// Whether memory is still to be freed that objects or waiters had.
    fn has_retired(&self) -> bool {
        self.waiters.has_retired() || self.catalog.has_retired()
    }

    /// Frees memory that objects or waiters had, or a part of it.
    #[cold]
    fn free_retired(&mut self) {
        // It is no hurry, and takes none of what other work has left of this input.
        let mut is_first = self.steps() == 0;
        while self.has_retired() && (is_first || !self.is_over_part(2)) {
            is_first = false;
            self.step(STEPS_PER_PART);
            self.waiters.free_retired();
            self.catalog.free_retired();
        }
    }

    /// How many steps the last input took, about: a measure of its work. Releases that were found and ends of sessions
    /// count with what came before them, and get no steps of their own.
    pub fn steps(&self) -> u64 {
        self.meter.steps.get()
    }

    /// Sets how many steps one input may take, for tests that cannot have large graphs.
    #[doc(hidden)]
    pub fn set_steps_max(&mut self, steps_max: u64) {
        self.meter.steps_max.set(steps_max);
    }
}

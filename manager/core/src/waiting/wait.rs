//! The one wait: for any or all of some targets, with a deadline, decided atomically.
//!
//! A request that cannot be decided at once becomes a [`Waiter`], which is in the wait queue of each of its targets
//! until it is served (`serve`), times out, is cancelled, or its session or an object ends.
//!
//! # Fairness
//!
//! First come, first served: no waiter takes what an earlier one could take, nor anything of which an earlier one in
//! the wait queue wants more. A wait for all holds nobody up. It is examined in its turn, and takes when it finds
//! everything ready; so under steady demand it may wait long. If a step frees several objects, as a death does, the
//! waiters for all of them are served in the order in which they came; see [`agenda`](crate::waiting::agenda).
//!
//! # Waits that hold a lock again
//!
//! A wait for a condition gives up its lock when it blocks. When it is decided, by whichever target or by time, it
//! becomes a waiter for that lock alone, and gets its answer when it holds the lock.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use core::mem::replace;
use core::num::{NonZeroU32, NonZeroU64};

use protocol::{Code, Grant, Refusal, Reply, RequestId, SessionId, Targets, ThreadId, WaitMode};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use crate::objects::object_body::ObjectBody;
use crate::objects::{Unconfirmed, Want, moves_nothing};
use crate::pools::outcomes;
use crate::state::Due;
use crate::store::memory::{DECISION_BYTES, TARGET_BYTES, WAITER_BYTES};
use crate::store::slab::Key;
use crate::waiting::serve::Verdict;
use crate::waiting::wait_queue::{self, Position, WaitQueueEntry};
use crate::{State, Time};

/// How much longer a wait goes on if it may yet be served.
const PUT_OFF_NS: u64 = 1_000_000;

/// How many steps a waiter counts when it comes and when it leaves, apart from its targets.
const STEPS_PER_WAITER: u64 = 4;

/// The caller: one thread of one client process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Caller {
    pub(crate) session: SessionId,
    pub(crate) thread: ThreadId,
}

/// A blocked request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Waiter {
    pub(crate) caller: Caller,
    pub(crate) request: RequestId,
    /// When it came.
    pub(crate) since: Time,
    deadline: Option<Deadline>,
    /// Its number among all waiters, in the order in which they came; the last of all before it is in wait queues.
    pub(crate) arrival: u64,
    pub(crate) mode: WaitMode,
    /// In a wait for all: a target that could not be taken when the wait was examined last.
    pub(crate) lacking: u32,
    pub(crate) targets: SmallVec<[WaitQueueEntry; 1]>,
    /// The lock that it gave up, and must hold again before it gets its answer.
    pub(crate) relock: Option<Relock>,
    /// How it was decided, if it now waits only for its lock.
    pub(crate) decided: Option<Box<Decision>>,
}

/// When a waiter gives up. An absent deadline takes no extra space.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Deadline(NonZeroU64);

/// A lock to hold again: in the same holding, and as often as its holder had acquired it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Relock {
    pub(crate) lock: Key,
    /// The serial of the lock: it may have ended meanwhile, and its key may be another's.
    pub(crate) serial: u64,
    pub(crate) holding: u64,
    pub(crate) depth: NonZeroU32,
}

/// Whether an object would serve a waiter now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It would.
    Ready,
    /// It may later.
    NotYet,
    /// It never will; the wait is refused.
    Never(Refusal),
}

impl Readiness {
    pub(crate) fn when(ready: bool) -> Readiness {
        if ready { Readiness::Ready } else { Readiness::NotYet }
    }
}

/// How a wait was decided.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Decision {
    /// With these grants, and those of them that must not be lost with their receiver.
    Taken { index: u32, grants: SmallVec<[Grant; 1]>, unconfirmed: SmallVec<[Unconfirmed; 1]> },
    /// By time.
    TimedOut,
}

impl State {
    /// Begins a wait. It gets its answer here or, if it blocks, later.
    pub(crate) fn wait(
        &mut self,
        caller: Caller,
        request: RequestId,
        mode: WaitMode,
        targets: &Targets<'_>,
        timeout_ns: Option<u64>,
    ) -> Result<(), Refusal> {
        self.check_wait(request, mode, targets)?;
        let mut waiter = Waiter {
            caller,
            request,
            since: self.now,
            deadline: timeout_ns.map(|timeout_ns| Deadline::at(self.now.after_ns(timeout_ns))),
            arrival: u64::MAX,
            mode: if targets.len() == 1 { WaitMode::Any } else { mode },
            lacking: 0,
            targets: self.entries(caller, targets)?,
            relock: None,
            decided: None,
        };
        match self.verdict(&waiter) {
            Verdict::Blocked
                if timeout_ns == Some(0) && !waiter.affects_others() && !self.may_be_unfinished(targets) =>
            {
                self.conclude(&mut waiter, Decision::TimedOut);
                Ok(())
            }
            Verdict::Blocked => self.block(waiter),
            verdict => {
                self.carry_out(&mut waiter, verdict);
                Ok(())
            }
        }
    }

    /// Parks a waiter that cannot be decided at once, if it may wait.
    fn block(&mut self, mut waiter: Waiter) -> Result<(), Refusal> {
        let admitted = self.check_room_to_wait(waiter.caller.session, waiter.request);
        // One that waits for a condition is charged more, once it has given up its lock.
        let admitted = admitted.and_then(|()| self.check_memory(waiter.bytes() + DECISION_BYTES));
        match admitted.and_then(|()| self.check_deadlock(&waiter)) {
            Ok(false) => {}
            Ok(true) => self.search_for(waiter.caller),
            Err(refusal) => {
                self.discard(&mut waiter.targets);
                return Err(refusal);
            }
        }
        waiter.relock = self.give_up_lock(&waiter);
        self.park(waiter);
        Ok(())
    }

    /// Refuses a request that may not block.
    pub(crate) fn check_room_to_wait(&self, session: SessionId, request: RequestId) -> Result<(), Refusal> {
        let session = &self.sessions[&session];
        if session.waits() >= self.limits.session_waits_max {
            let text = format!("a session has at most {} blocked requests", self.limits.session_waits_max);
            return Err(Refusal::new(Code::LimitReached, text));
        }
        if session.waiter_of(request).is_some() {
            let text = format!("request {request} is blocked already; ids are used once");
            return Err(Refusal::new(Code::BadArgument, text));
        }
        Ok(())
    }

    /// Puts a waiter into the wait queue of each of its targets.
    pub(crate) fn park(&mut self, mut waiter: Waiter) -> Key {
        self.arrivals += 1;
        waiter.arrival = self.arrivals;
        let (caller, request, deadline) = (waiter.caller, waiter.request, waiter.deadline());
        let targets = waiter.targets.len() as u32;
        self.memory.charge(waiter.bytes());
        let key = self.waiters.insert(waiter);
        self.searches.thread_moved(caller);
        self.step(STEPS_PER_WAITER + u64::from(targets));
        self.session_at(caller.session).add_wait(request, key);
        self.blocked.insert((caller, key));
        for target in 0..targets {
            let position = Position::new(key, target);
            let entry = wait_queue::entry(&self.waiters, position);
            let object = entry.object;
            let is_served_together = entry.want.is_served_together();
            let is_for_lock = entry.want.is_lock();
            let lane = entry.want.lane();
            self.catalog.at_mut(object).wait_queue_mut(lane).push(&mut self.waiters, position);
            if is_served_together {
                self.touch(object);
            }
            if is_for_lock {
                self.lock_wanted(object, true);
            }
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, Due::Waiter { arrival: self.arrivals, key }));
        }
        key
    }

    /// Takes a waiter out of the wait queues of its targets, and out of the state.
    pub(crate) fn unpark(&mut self, key: Key) -> Waiter {
        self.unpark_from(key, None)
    }

    /// The same in a walk of a wait queue, which goes on with those behind it there.
    pub(crate) fn unpark_from(&mut self, key: Key, walked: Option<(Key, Lane)>) -> Waiter {
        for target in 0..self.waiters[key].targets.len() as u32 {
            self.leave_queue(Position::new(key, target));
        }
        let waiter = self.waiters.remove(key);
        self.memory.give_back(waiter.bytes());
        self.searches.thread_moved(waiter.caller);
        self.step(STEPS_PER_WAITER + waiter.targets.len() as u64);
        if let Some(deadline) = waiter.deadline() {
            self.deadlines.remove(&(deadline, Due::Waiter { arrival: waiter.arrival, key }));
        }
        if let Some(session) = self.sessions.get_mut(&waiter.caller.session) {
            session.remove_wait(waiter.request);
        }
        self.blocked.remove(&(waiter.caller, key));
        // It may now be possible to serve a waiter behind this one, such as one behind a large request that gave up.
        if waiter.has_claim() {
            for entry in &waiter.targets {
                if let Some(next) = entry.behind().filter(|next| next.waiter != key)
                    && walked != Some((entry.object, entry.want.lane()))
                    && self.catalog.at(entry.object).body.is_used_up(&entry.want)
                {
                    self.touch_from(entry.object, entry.want.lane(), next);
                }
            }
        }
        waiter
    }

    /// Takes one entry of a waiter out of its wait queue, if it is in one.
    fn leave_queue(&mut self, position: Position) {
        let WaitQueueEntry { object, ref want, .. } = *wait_queue::entry(&self.waiters, position);
        if !matches!(want, Want::Settled) {
            let lane = want.lane();
            if self.has_unfinished || !self.agenda.has_no_places() {
                self.leave_place(object, lane, position);
            }
            let object_at = self.catalog.at_mut(object);
            let seeks = object_at.wait_queue_mut(lane).remove(&mut self.waiters, position);
            if object_at.has_ended() {
                self.left_ended(object);
            }
            self.seeks_claimants |= seeks;
        }
    }

    /// Takes a waiter out of all wait queues but that of this entry, so that it takes nothing else any more. Its other
    /// entries lose what they want; their positions stay.
    pub(crate) fn leave_other_queues(&mut self, here: Position) {
        let object = wait_queue::entry(&self.waiters, here).object;
        for target in 0..self.waiters[here.waiter].targets.len() as u32 {
            let position = Position::new(here.waiter, target);
            if position != here {
                self.leave_queue(position);
                let left = replace(
                    wait_queue::entry_mut(&mut self.waiters, position),
                    WaitQueueEntry::new(object, Want::Settled),
                );
                // A waiter behind it may be served now.
                if let Some(next) = left.behind().filter(|next| next.waiter != here.waiter) {
                    self.touch_from(left.object, left.want.lane(), next);
                }
                self.discard_entry(left);
            }
        }
    }

    /// Ends a blocked request with a refusal. It does not hold again a lock that it gave up.
    pub(crate) fn refuse_waiter(&mut self, key: Key, refusal: Refusal) {
        let mut waiter = self.unpark(key);
        self.refuse(&mut waiter, refusal);
    }

    /// Refuses a waiter that is in no wait queue. One that waits only to hold its lock again passes on what it took; if
    /// that is impossible, its answer brings what it took, and it does not hold the lock.
    pub(crate) fn refuse(&mut self, waiter: &mut Waiter, refusal: Refusal) {
        self.discard(&mut waiter.targets);
        if let Some(decision) = waiter.decided.take() {
            if decision.is_final() {
                return self.answer(waiter, *decision, None);
            }
            self.take_blobs_back(waiter.caller.session, decision.grants());
            decision.unconfirmed().for_each(|grant| self.give_back(grant));
        }
        self.reply(waiter.caller.session, waiter.request, Reply::Refused(refusal));
    }

    /// Undoes the wait of a session that is gone, and returns what it took and must give back.
    pub(crate) fn undo_wait(&mut self, key: Key, why: &str) -> impl Iterator<Item = Unconfirmed> + use<> {
        self.break_barriers_of(key, |_| why.to_owned());
        let mut waiter = self.unpark(key);
        self.discard(&mut waiter.targets);
        if let Some(decision) = &waiter.decided {
            self.take_blobs_back(waiter.caller.session, decision.grants());
        }
        waiter.decided.into_iter().flat_map(|decision| decision.unconfirmed())
    }

    pub(crate) fn cancel(&mut self, session: SessionId, request: RequestId) -> Reply {
        if let Some(key) = self.sessions[&session].waiter_of(request)
            && !self.waiters[key].decided.as_ref().is_some_and(|decision| decision.is_final())
        {
            self.break_barriers_of(key, |state| {
                format!("{} cancelled its wait", state.describe_session(session))
            });
            self.refuse_waiter(key, Refusal::new(Code::Cancelled, "the wait was cancelled"));
        }
        Reply::Done
    }

    /// Whether waits are to give up, or the time of calls is over.
    #[inline]
    pub(crate) fn is_something_due(&self) -> bool {
        self.deadlines.first().is_some_and(|(deadline, _)| *deadline <= self.now)
    }

    /// Ends whatever is due, up to a part of this input's steps.
    pub(crate) fn expire(&mut self, part: u64) {
        self.is_behind = false;
        while let Some(&(deadline, due)) = self.deadlines.first() {
            if deadline > self.now {
                break;
            }
            if self.is_over_part(part) {
                self.is_behind = true;
                break;
            }
            match due {
                Due::Waiter { key, .. } => self.waiter_overdue(key),
                Due::Call { batch, range } => self.call_overdue(batch, range),
            }
        }
        self.within(if part == 1 { 1 } else { 2 }, State::settle);
    }

    fn waiter_overdue(&mut self, key: Key) {
        if self.has_unfinished && self.may_yet_be_served(key) {
            return self.put_off(key);
        }
        let session = self.waiters[key].caller.session;
        self.break_barriers_of(key, |state| {
            format!("{} did not wait longer", state.describe_session(session))
        });
        let mut waiter = self.unpark(key);
        self.conclude(&mut waiter, Decision::TimedOut);
    }
}

impl State {
    /// Lets a waiter wait a little longer.
    fn put_off(&mut self, key: Key) {
        let later = Deadline::at(self.now.after_ns(PUT_OFF_NS));
        let due = Due::Waiter { arrival: self.waiters[key].arrival, key };
        if let Some(before) = self.waiters[key].deadline.replace(later) {
            self.deadlines.remove(&(before.time(), due));
        }
        self.deadlines.insert((later.time(), due));
    }
}

/// Which of an object's wait queues: only a queue has more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Lane {
    Main,
    Putters,
    Joiners,
}

impl Deadline {
    fn at(time: Time) -> Deadline {
        Deadline(NonZeroU64::new(!time.nanoseconds()).unwrap_or(NonZeroU64::MIN))
    }

    fn time(self) -> Time {
        Time::from_nanoseconds(!self.0.get())
    }
}

impl Waiter {
    /// When it gives up.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadline.map(Deadline::time)
    }

    /// The same waiter once it was decided, for the lock alone that it gave up.
    pub(crate) fn for_its_lock(&self, lock: Key, decision: Decision) -> Waiter {
        Waiter {
            mode: WaitMode::Any,
            deadline: None,
            arrival: u64::MAX,
            targets: smallvec![WaitQueueEntry::new(lock, Want::Relock)],
            decided: Some(Box::new(decision)),
            ..*self
        }
    }

    /// Whether even a wait that gives up at once has an effect.
    fn affects_others(&self) -> bool {
        self.targets.iter().any(|entry| entry.want.affects_others())
    }

    /// How much memory it takes while it is parked.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        let targets = if self.targets.spilled() { TARGET_BYTES * self.targets.len() } else { 0 };
        let decision = match (&self.relock, &self.decided) {
            (None, _) => 0,
            (Some(_), None) => DECISION_BYTES,
            (Some(_), Some(decision)) => DECISION_BYTES + decision.stored_bytes(),
        };
        WAITER_BYTES + targets + decision
    }

    /// Whether it waits for calls, perhaps among other things.
    pub(crate) fn wants_calls(&self) -> bool {
        self.targets.iter().any(|entry| matches!(entry.want, Want::Calls { .. }))
    }

    /// Whether it comes before those behind it in a wait queue.
    pub(crate) fn has_claim(&self) -> bool {
        self.mode == WaitMode::Any
    }

    /// Whether it waits only to hold its lock again.
    pub(crate) fn is_relocking(&self) -> bool {
        self.decided.is_some()
    }
}

impl Decision {
    /// Whether it moved something that would be lost if its answer were lost: permits, calls, results and the like.
    fn is_final(&self) -> bool {
        match self {
            Decision::Taken { grants, unconfirmed, .. } => {
                unconfirmed.is_empty() && !grants.iter().all(moves_nothing)
            }
            Decision::TimedOut => false,
        }
    }

    /// The bytes of results that it has moved; those of calls and items are counted elsewhere until they have ended.
    #[cold]
    #[inline(never)]
    fn stored_bytes(&self) -> usize {
        let stored_bytes = |grant: &Grant| match grant {
            Grant::Results(results) => {
                results.results.iter().map(|result| outcomes::stored_bytes(&result.outcome)).sum()
            }
            _ => 0,
        };
        match self {
            Decision::Taken { grants, .. } => grants.iter().map(stored_bytes).sum(),
            Decision::TimedOut => 0,
        }
    }

    /// What it took.
    fn grants(&self) -> &[Grant] {
        match self {
            Decision::Taken { grants, .. } => grants,
            Decision::TimedOut => &[],
        }
    }

    /// The grants that can go to other waiters.
    fn unconfirmed(self) -> impl Iterator<Item = Unconfirmed> {
        match self {
            Decision::Taken { unconfirmed, .. } => unconfirmed.into_iter(),
            Decision::TimedOut => SmallVec::new().into_iter(),
        }
    }
}

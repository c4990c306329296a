//! Serving: which waiters can take what they want now, taking it, and going on until none can.
//!
//! The [agenda](crate::waiting::agenda) says whom to examine. A waiter leaves all of its wait queues in the moment its
//! wait is decided, so no wait is decided twice, and it takes what it takes in that same moment, so nothing is granted
//! twice either.

use alloc::format;
use core::mem::take;

use protocol::limits::FRAME_BYTES_MAX;
use protocol::{Code, LockGrant, Refusal, Reply, WaitMode, WaitResult};
use smallvec::{SmallVec, smallvec};

use crate::State;
use crate::objects::Want;
use crate::objects::object_body::ObjectBody;
use crate::store::slab::Key;
use crate::waiting::wait::{Decision, Lane, Readiness, Relock, Waiter};
use crate::waiting::wait_queue::{Claimant, WaitQueueEntry};

/// The most bytes of one grant in an answer, without an item, a call or results: a cause or an abandonment, with the
/// name of a program and a reason.
const GRANT_BYTES_MAX: usize = 2048;

/// What is to become of a waiter.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It goes on waiting.
    Blocked,
    /// It takes the target at this position.
    TakeOne(usize),
    /// It takes all of its targets.
    TakeAll,
    /// It cannot be served any more.
    Refuse(Refusal),
}

impl State {
    /// Whether and how a waiter can be served now.
    pub(crate) fn verdict(&self, waiter: &Waiter) -> Verdict {
        let is_first = |target: usize| self.is_first_in_queue(waiter, &waiter.targets[target]);
        self.step(waiter.targets.len() as u64);
        let mut ready = 0;
        for (target, entry) in waiter.targets.iter().enumerate() {
            match (self.readiness(waiter, entry), waiter.mode) {
                (Readiness::Ready, WaitMode::Any) if is_first(target) => {
                    let is_last = target + 1 == waiter.targets.len();
                    let ended = if is_last { None } else { self.end_of(&waiter.targets[target..]) };
                    return ended.unwrap_or(Verdict::TakeOne(target));
                }
                (Readiness::Ready, WaitMode::All) => ready += 1,
                (Readiness::Ready, WaitMode::Any) | (Readiness::NotYet, _) => {}
                (Readiness::Never(refusal), _) => {
                    return self.end_of(&waiter.targets[target..]).unwrap_or(Verdict::Refuse(refusal));
                }
            }
        }
        let takes_all = ready == waiter.targets.len() && (0..ready).all(is_first);
        match takes_all.then(|| self.check_answer_fits(&waiter.targets)) {
            Some(Ok(())) => Verdict::TakeAll,
            Some(Err(refusal)) => Verdict::Refuse(refusal),
            None => Verdict::Blocked,
        }
    }

    /// The refusal of a waiter, if the object of one of these entries has ended: that counts even if another is ready
    /// by now, or closed.
    #[inline(never)]
    fn end_of(&self, entries: &[WaitQueueEntry]) -> Option<Verdict> {
        let refusal = |entry: &WaitQueueEntry| self.catalog.at(entry.object).body.refusal_of_ended();
        entries.iter().find_map(refusal).map(Verdict::Refuse)
    }

    /// Whether a waiter that is in wait queues cannot be served now.
    pub(crate) fn is_blocked(&self, key: Key) -> bool {
        matches!(self.verdict(&self.waiters[key]), Verdict::Blocked)
    }

    /// Whether the object of an entry would serve its waiter, apart from others in the wait queue. While that is being
    /// served, it serves none who came later.
    fn readiness(&self, waiter: &Waiter, entry: &WaitQueueEntry) -> Readiness {
        let readiness = self.catalog.at(entry.object).body.readiness(&entry.want, waiter.caller);
        match readiness {
            Readiness::Ready if self.has_unfinished && self.is_reserved(waiter, entry) => Readiness::NotYet,
            readiness => readiness,
        }
    }

    /// Whether no waiter that came before in the wait queue of this entry has a claim on what it would take.
    fn is_first_in_queue(&self, waiter: &Waiter, entry: &WaitQueueEntry) -> bool {
        let object = self.catalog.at(entry.object);
        let claimant = object.wait_queue(&entry.want).claimant();
        if claimant == Claimant::Nobody
            || !object.body.is_used_up(&entry.want)
            || object.body.is_held_by(waiter.caller)
        {
            return true;
        }
        match claimant {
            Claimant::Waiter(claimant) => self.waiters[claimant].arrival >= waiter.arrival,
            // Nobody before the place of the wait queue has a claim, and those behind it are examined in their turn.
            _ => !self.comes_to((entry.object, entry.want.lane()), waiter.arrival),
        }
    }

    /// Takes what the verdict says and answers, or has the waiter wait for its lock. It is in no wait queue.
    pub(crate) fn carry_out(&mut self, waiter: &mut Waiter, verdict: Verdict) {
        if let Verdict::Refuse(refusal) = verdict {
            return self.refuse(waiter, refusal);
        }
        if let Some(decision) = waiter.decided.take() {
            let relock = waiter.relock.expect("a decided waiter has given up a lock");
            let reacquired = self.lock_retake(relock, waiter.caller);
            return self.answer(waiter, *decision, Some(reacquired));
        }
        let mut unconfirmed = SmallVec::new();
        let (index, grants) = match verdict {
            Verdict::TakeOne(target) => {
                let entry = waiter.targets.swap_remove(target);
                (target as u32, smallvec![self.take(entry, waiter.caller, &mut unconfirmed)])
            }
            Verdict::TakeAll => {
                let entries = take(&mut waiter.targets).into_iter();
                (0, entries.map(|entry| self.take(entry, waiter.caller, &mut unconfirmed)).collect())
            }
            Verdict::Blocked | Verdict::Refuse(_) => unreachable!("such a waiter takes nothing"),
        };
        self.conclude(waiter, Decision::Taken { index, grants, unconfirmed });
    }

    /// Refuses to take all targets of a wait if the answer could be larger than a frame, so that nothing is taken that
    /// its taker never learns of. A single grant always fits.
    fn check_answer_fits(&self, targets: &[WaitQueueEntry]) -> Result<(), Refusal> {
        let item_bytes = |entry: &WaitQueueEntry| match entry.want {
            Want::Item => self.next_item_bytes(entry.object),
            _ => 0,
        };
        let items: usize = targets.iter().map(item_bytes).sum();
        if items + targets.len() * GRANT_BYTES_MAX <= FRAME_BYTES_MAX {
            return Ok(());
        }
        let text = format!(
            "an item of {items} bytes and what the {} other targets bring could be more than the \
             {FRAME_BYTES_MAX} bytes of an answer; wait for the item alone",
            targets.len() - 1
        );
        Err(Refusal::new(Code::LimitReached, text))
    }

    /// Discards what entries that were not served brought along.
    pub(crate) fn discard(&mut self, entries: &mut SmallVec<[WaitQueueEntry; 1]>) {
        while let Some(entry) = entries.pop() {
            self.discard_entry(entry);
        }
    }

    /// Discards what an entry that was not served brought along.
    pub(crate) fn discard_entry(&mut self, entry: WaitQueueEntry) {
        if let Want::Room(item) = entry.want {
            self.discard_item(*item);
        }
    }

    /// Ends a wait that was decided: with its answer, or with a wait for the lock that it gave up.
    pub(crate) fn conclude(&mut self, waiter: &mut Waiter, decision: Decision) {
        self.discard(&mut waiter.targets);
        // A party that has come to a barrier is in no other wait queue: its condition and the lock may have ended.
        let lives = |relock: &Relock| {
            self.catalog.get(relock.lock).is_some_and(|object| object.serial == relock.serial)
        };
        let Some(Relock { lock, .. }) = waiter.relock.filter(lives) else {
            return self.answer(waiter, decision, None);
        };
        let mut waiter = waiter.for_its_lock(lock, decision);
        match self.verdict(&waiter) {
            Verdict::Blocked => {
                let key = self.park(waiter);
                self.agenda.relocking.push(key);
                self.note_agenda();
            }
            verdict => self.carry_out(&mut waiter, verdict),
        }
    }

    pub(crate) fn answer(&mut self, waiter: &Waiter, decision: Decision, reacquired: Option<LockGrant>) {
        let session = waiter.caller.session;
        let reply = match decision {
            Decision::TimedOut => Reply::TimedOut { reacquired },
            Decision::Taken { index, grants, unconfirmed } => {
                for grant in unconfirmed {
                    self.session_at(session).grant_unconfirmed(grant);
                }
                Reply::Taken(WaitResult { index, grants, reacquired })
            }
        };
        self.reply(session, waiter.request, reply);
    }

    /// Whether a wait for all cannot be served, although the object of this entry has changed. As a rule it lacks the
    /// same target as before, so that one look is enough; and nothing that it lacks can be taken before its object
    /// changes.
    #[inline]
    fn lacks_a_target(&mut self, key: Key, changed: usize) -> bool {
        let waiter = &self.waiters[key];
        if waiter.mode == WaitMode::Any {
            return false;
        }
        self.step(1);
        let entries = &waiter.targets;
        match self.readiness(waiter, &entries[changed]) {
            Readiness::Ready => {}
            Readiness::NotYet => return true,
            Readiness::Never(_) => return false,
        }
        let before = waiter.lacking as usize;
        let order = (before..entries.len()).chain(0..before);
        let mut counted = 0;
        let lacking = order.inspect(|_| counted += 1).find_map(|target| {
            match self.readiness(waiter, &entries[target]) {
                Readiness::Ready => None,
                Readiness::NotYet => Some(Some(target)),
                Readiness::Never(_) => Some(None),
            }
        });
        self.step(counted);
        match lacking.flatten() {
            Some(target) => {
                self.waiters[key].lacking = target as u32;
                true
            }
            None => false,
        }
    }

    /// Examines a waiter, of which this target may have changed, and serves it if it can be served. Returns false if
    /// nobody behind it in its wait queue can be.
    pub(crate) fn examine(&mut self, key: Key, target: u32, walked: Option<(Key, Lane)>) -> bool {
        if self.has_unfinished && self.is_decided(key) {
            // It is told soon. If it was not meant after all, it is examined then.
            self.step(self.waiters[key].targets.len() as u64);
            self.unfinished.agenda.examine_single(self.ticket, self.waiters[key].arrival, key);
            return true;
        }
        if self.lacks_a_target(key, target as usize) {
            return true;
        }
        let waiter = &self.waiters[key];
        if self.is_torn_down(waiter.caller.session) || (self.has_unfinished && self.is_to_be_refused(waiter))
        {
            // It leaves the wait queue soon, and those behind it are examined then.
            return !waiter.has_claim();
        }
        match self.verdict(waiter) {
            Verdict::Blocked => !waiter.has_claim(),
            verdict => {
                let mut waiter = self.unpark_from(key, walked);
                self.carry_out(&mut waiter, verdict);
                true
            }
        }
    }
}

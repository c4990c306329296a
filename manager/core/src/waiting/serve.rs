//! Serving: which waiters can take what they want now, taking it, and going on until none can.
//!
//! Code that changes an object so that a waiter may be served *touches* it; at the end of each input `settle` walks the
//! wait queues of touched objects from the front. A waiter leaves all of its wait queues in the moment its wait is
//! decided, so no wait is decided twice, and it takes what it takes in that same moment, so nothing is granted twice
//! either.

use alloc::boxed::Box;
use alloc::format;
use core::mem::take;

use protocol::limits::FRAME_BYTES_MAX;
use protocol::{Code, LockGrant, Refusal, Reply, WaitMode, WaitResult};
use smallvec::{SmallVec, smallvec};

use crate::State;
use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Want};
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Decision, Lane, Readiness, Relock, Waiter};
use crate::waiting::wait_queue::{self, Position, WaitQueueEntry};

/// The most bytes of one grant in an answer, without an item, a task or results: a cause or an abandonment, with the
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
    /// Whether and how a waiter can be served now. `parked` is its key, if it is in wait queues.
    pub(crate) fn verdict(&self, waiter: &Waiter, parked: Option<Key>) -> Verdict {
        let is_first = |target: usize| {
            let position = parked.map(|waiter| Position::new(waiter, target as u32));
            self.is_first_in_queue(waiter.caller, &waiter.targets[target], position)
        };
        self.step(waiter.targets.len() as u64);
        let mut ready = 0;
        for (target, entry) in waiter.targets.iter().enumerate() {
            match (self.readiness(waiter.caller, entry), waiter.mode) {
                (Readiness::Ready, WaitMode::Any) if is_first(target) => return Verdict::TakeOne(target),
                (Readiness::Ready, WaitMode::All) => ready += 1,
                (Readiness::Ready, WaitMode::Any) | (Readiness::NotYet, _) => {}
                (Readiness::Never(refusal), _) => return Verdict::Refuse(refusal),
            }
        }
        // The wait queues come last, because they may be long, and most waits for all lack something.
        let takes_all = ready == waiter.targets.len() && (0..ready).all(is_first);
        match takes_all.then(|| self.check_answer_fits(&waiter.targets)) {
            Some(Ok(())) => Verdict::TakeAll,
            Some(Err(refusal)) => Verdict::Refuse(refusal),
            None => Verdict::Blocked,
        }
    }

    /// Whether a waiter that is in wait queues cannot be served now.
    pub(crate) fn is_blocked(&self, key: Key) -> bool {
        matches!(self.verdict(&self.waiters[key], Some(key)), Verdict::Blocked)
    }

    /// Whether the object of an entry would serve it, apart from other waiters.
    fn readiness(&self, caller: Caller, entry: &WaitQueueEntry) -> Readiness {
        self.catalog.at(entry.object).body.readiness(&entry.want, caller)
    }

    /// Whether no waiter before this entry in its wait queue has a claim on what it would take. An entry without a
    /// position would be the last.
    fn is_first_in_queue(&self, caller: Caller, entry: &WaitQueueEntry, position: Option<Position>) -> bool {
        let object = self.catalog.at(entry.object);
        let queue = object.wait_queue(&entry.want);
        if queue.has_no_claims() || !object.body.is_used_up(&entry.want) || object.body.is_held_by(caller) {
            return true;
        }
        let mut before = match position {
            Some(position) => wait_queue::previous(&self.waiters, position),
            None => queue.last(),
        };
        while let Some(at) = before {
            let is_another = position.is_none_or(|position| position.waiter != at.waiter);
            if is_another && self.waiters[at.waiter].has_claim() {
                return false;
            }
            self.step(1);
            before = wait_queue::previous(&self.waiters, at);
        }
        true
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
        let mut waiter = Waiter {
            mode: WaitMode::Any,
            deadline: None,
            targets: smallvec![WaitQueueEntry::new(lock, Want::Relock)],
            decided: Some(Box::new(decision)),
            ..*waiter
        };
        match self.verdict(&waiter, None) {
            Verdict::Blocked => {
                let key = self.park(waiter);
                self.relocking.push(key);
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

    /// Notes that a waiter for this object may now be served.
    pub(crate) fn touch(&mut self, key: Key) {
        if !core::mem::replace(&mut self.catalog.at_mut(key).is_touched, true) {
            self.touched.push_back(key);
        }
    }

    /// Serves the waiters that can be served after a change, breaks the cycles that remain then, and frees what is not
    /// used, until nothing changes.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !self.is_settled() {
            self.settle_all();
        }
    }

    /// Whether everything that has changed was dealt with.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.touched.is_empty() && self.relocking.is_empty() && self.unused.is_empty()
    }

    fn settle_all(&mut self) {
        loop {
            if let Some(key) = self.touched.pop_front() {
                if self.catalog.get(key).is_some() {
                    self.catalog.at_mut(key).is_touched = false;
                    self.serve(key);
                }
            } else if let Some(key) = self.relocking.pop() {
                self.break_deadlock(key);
            } else if let Some(noted) = self.unused.pop() {
                self.free(noted);
            } else {
                return;
            }
        }
    }

    fn serve(&mut self, key: Key) {
        Body::serve(self, key);
    }

    /// Whether a wait for all cannot be served, although the object of this entry has changed. As a rule it lacks the
    /// same target as before, so that one look is enough; and nothing that it lacks can be taken before its object
    /// changes.
    fn lacks_a_target(&mut self, position: Position) -> bool {
        let waiter = &self.waiters[position.waiter];
        if waiter.mode == WaitMode::Any {
            return false;
        }
        self.step(1);
        let entries = &waiter.targets;
        match self.readiness(waiter.caller, &entries[position.target() as usize]) {
            Readiness::Ready => {}
            Readiness::NotYet => return true,
            Readiness::Never(_) => return false,
        }
        let before = waiter.lacking as usize;
        let order = (before..entries.len()).chain(0..before);
        let mut counted = 0;
        let lacking = order.inspect(|_| counted += 1).find_map(|target| {
            match self.readiness(waiter.caller, &entries[target]) {
                Readiness::Ready => None,
                Readiness::NotYet => Some(Some(target)),
                Readiness::Never(_) => Some(None),
            }
        });
        self.step(counted);
        match lacking.flatten() {
            Some(target) => {
                self.waiters[position.waiter].lacking = target as u32;
                true
            }
            None => false,
        }
    }

    /// Walks a wait queue from the front, up to a waiter that cannot be served and has a claim before those behind it.
    pub(crate) fn serve_wait_queue(&mut self, key: Key, lane: Lane) {
        let mut next = self.catalog.at(key).wait_queue_in(lane).first();
        while let Some(position) = next {
            next = wait_queue::next_waiter(&self.waiters, position);
            if self.lacks_a_target(position) {
                continue;
            }
            let waiter = &self.waiters[position.waiter];
            match self.verdict(waiter, Some(position.waiter)) {
                Verdict::Blocked if waiter.has_claim() => return self.serve_holder(key),
                Verdict::Blocked => {}
                verdict => {
                    let mut waiter = self.unpark(position.waiter);
                    self.carry_out(&mut waiter, verdict);
                }
            }
        }
    }

    /// Serves other waits of the thread that holds a reentrant lock: a thread need not queue for what it holds.
    fn serve_holder(&mut self, key: Key) {
        let Body::Lock(lock) = &self.catalog.at(key).body else { return };
        let Some(caller) = lock.reentrant_holder() else { return };
        let is_for = |waiter: Key| self.waiters[waiter].targets.iter().any(|entry| entry.object == key);
        if !self.waiters_of_thread(caller).any(is_for) {
            return;
        }
        let mut next = self.catalog.at(key).wait_queue_in(Lane::Main).first();
        while let Some(position) = next {
            let waiter = &self.waiters[position.waiter];
            next = wait_queue::next_waiter(&self.waiters, position);
            if waiter.caller == caller {
                let verdict = self.verdict(waiter, Some(position.waiter));
                if !matches!(verdict, Verdict::Blocked) {
                    let mut waiter = self.unpark(position.waiter);
                    self.carry_out(&mut waiter, verdict);
                }
            }
        }
    }
}

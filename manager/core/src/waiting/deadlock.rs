//! Deadlocks: found when a request would close a cycle, and described in words.
//!
//! A thread is *doomed* if it is blocked without a deadline and nothing it waits for can come: each of its targets
//! (one of them, in a wait for all) is a lock whose holder is doomed too. A wait for anything but a lock may be served
//! by a thread outside the cycle, and a wait with a deadline ends in time; neither dooms its thread. A blocking request
//! that would doom its own thread is refused, so no thread is ever doomed for long. One more way leads into a cycle: a
//! notified waiter that cannot have its lock again. Its wait must not fail, so the core refuses the youngest other
//! request in the cycle.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;

use protocol::{Code, Refusal, WaitMode};

use crate::State;
use crate::objects::{Body, Want};
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Waiter};

/// The most threads to examine for a deadlock. Longer chains of locks are not searched to their end.
const THREADS_MAX: usize = 4096;

impl State {
    /// Refuses a wait that would doom its thread. It is not parked yet.
    pub(crate) fn check_deadlock(&self, waiter: &Waiter) -> Result<(), Refusal> {
        match self.find_cycle(waiter) {
            Some(cycle) => {
                let text = format!("this wait would never end: {}", self.describe_cycle(waiter, &cycle));
                Err(Refusal::new(Code::Deadlock, text))
            }
            None => Ok(()),
        }
    }

    /// Breaks the cycles that a waiter which must have its lock again closes, by refusing another request in each. The
    /// waiter may have been served meanwhile, and its key may be another's.
    pub(crate) fn break_deadlock(&mut self, relocking: Key) {
        while let Some(waiter) = self.waiters.get(relocking)
            && let Some(cycle) = self.find_cycle(waiter)
        {
            let text = self.describe_cycle(waiter, &cycle);
            let text = format!("this wait would never end: {text}");
            let requests = cycle.iter().filter_map(|(_, caller)| self.blocked.get(caller)).flatten();
            let refusable = requests.filter(|&&key| !self.waiters[key].is_relocking());
            let youngest = refusable.max_by_key(|&&key| (self.waiters[key].since, self.waiters[key].request));
            // A waiter that must have its lock again took no lock since it gave it up. So in a cycle of such waiters
            // alone each would have begun to wait before the next, which cannot be, unless one thread waits in several
            // ways.
            let Some(&youngest) = youngest else {
                return;
            };
            self.refuse_waiter(youngest, Refusal::new(Code::Deadlock, text));
        }
    }

    /// If this wait dooms its thread: the locks on the way round, each with its holder.
    fn find_cycle(&self, waiter: &Waiter) -> Option<VecDeque<(Key, Caller)>> {
        // Nearly all waits end here: they have a way out of their own, or the holder of the lock goes on.
        let locks = self.blocking_locks(waiter)?;
        let goes_on = |holder: &Caller| *holder != waiter.caller && !self.blocked.contains_key(holder);
        let has_way_out = match waiter.mode {
            WaitMode::Any => locks.values().any(goes_on),
            WaitMode::All => locks.values().all(goes_on),
        };
        if has_way_out {
            return None;
        }
        let doomed = self.doomed(waiter)?;
        let mut cycle = VecDeque::new();
        let mut seen = BTreeSet::from([waiter.caller]);
        let mut at = waiter;
        loop {
            let locks = self.blocking_locks(at)?;
            let (&lock, &holder) = locks.iter().find(|(_, holder)| doomed.contains(holder))?;
            cycle.push_back((lock, holder));
            if !seen.insert(holder) {
                // This leaves out what leads into the cycle and is not part of it, unless it is the caller's own way.
                return Some(cycle);
            }
            at = &self.waiters[*self.blocked.get(&holder)?.first()?];
        }
    }

    /// The threads that are doomed if this one waits, including this one; none if it is not doomed.
    fn doomed(&self, waiter: &Waiter) -> Option<BTreeSet<Caller>> {
        let mut doomed = BTreeSet::from([waiter.caller]);
        let mut reached = VecDeque::from([waiter.caller]);
        let mut order = VecDeque::new();
        while let Some(caller) = reached.pop_front() {
            if doomed.len() > THREADS_MAX {
                return None;
            }
            order.push_front(caller);
            for holder in self.holders_before(caller, waiter) {
                if doomed.insert(holder) {
                    reached.push_back(holder);
                }
            }
        }
        // All count as doomed at first. Each round saves those that have a way out, until it saves nobody. It examines
        // the farthest first, so that one round does a long chain.
        loop {
            let before = doomed.len();
            for caller in &order {
                if doomed.contains(caller) && !self.stays_doomed(*caller, waiter, &doomed) {
                    doomed.remove(caller);
                }
            }
            if !doomed.contains(&waiter.caller) {
                return None;
            }
            if doomed.len() == before {
                return Some(doomed);
            }
        }
    }

    fn stays_doomed(&self, caller: Caller, asking: &Waiter, doomed: &BTreeSet<Caller>) -> bool {
        let mut waits = self.waits_of(caller, asking).peekable();
        waits.peek().is_some()
            && waits.all(|waiter| match (self.blocking_locks(waiter), waiter.mode) {
                (None, _) => false,
                (Some(locks), WaitMode::Any) => locks.values().all(|holder| doomed.contains(holder)),
                (Some(locks), WaitMode::All) => locks.values().any(|holder| doomed.contains(holder)),
            })
    }

    fn holders_before(&self, caller: Caller, asking: &Waiter) -> BTreeSet<Caller> {
        let locks = self.waits_of(caller, asking).filter_map(|waiter| self.blocking_locks(waiter));
        locks.flat_map(BTreeMap::into_values).collect()
    }

    /// The blocked requests of a thread, and the one that asks if it is this thread's.
    fn waits_of<'a>(&'a self, caller: Caller, asking: &'a Waiter) -> impl Iterator<Item = &'a Waiter> {
        let parked = self.blocked.get(&caller).into_iter().flatten().map(|&key| &self.waiters[key]);
        let others =
            parked.filter(move |waiter| waiter.request != asking.request || waiter.caller != asking.caller);
        others.chain((caller == asking.caller).then_some(asking))
    }

    /// The held locks that block a wait, with their holders; none if it has another way out.
    fn blocking_locks(&self, waiter: &Waiter) -> Option<BTreeMap<Key, Caller>> {
        if waiter.deadline.is_some() {
            return None;
        }
        let mut locks = BTreeMap::new();
        for entry in &waiter.targets {
            let holder = match (&self.catalog.at(entry.object).body, &entry.want) {
                (Body::Lock(lock), Want::Lock | Want::Relock) => lock.holder(),
                _ => None,
            };
            match holder {
                Some(holder) => {
                    locks.insert(entry.object, holder.caller);
                }
                None if waiter.mode == WaitMode::Any => return None,
                None => {}
            }
        }
        Some(locks)
    }

    fn describe_cycle(&self, waiter: &Waiter, cycle: &VecDeque<(Key, Caller)>) -> String {
        let mut text = self.describe_caller(waiter.caller);
        for (position, (lock, holder)) in cycle.iter().enumerate() {
            let joint = if position == 0 { "" } else { ", which" };
            let (lock, holder) = (self.describe(*lock), self.describe_caller(*holder));
            text.push_str(&format!("{joint} waits for {lock}, held by {holder}"));
        }
        text
    }
}

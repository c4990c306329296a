//! The search for deadlocked threads: which of the threads that a wait leads to can never go on.
//!
//! Threads, their waits and the locks that they wait for are a graph. A thread is *saved* if one of its waits may be
//! served: a wait for any if one of its locks may become free, a wait for all if all of them may. The search first
//! reaches every thread that counts, and reads each wait once. Then each saved thread opens its locks, and each wait
//! is notified once of each of its locks that opens. Whoever is not saved in the end is deadlocked.
//!
//! So a search takes as many steps as the graph has edges. It can stop after any number of them and go on later, while
//! the threads go on as well: being deadlocked lasts, so whoever moves meanwhile was not deadlocked, and is saved.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem::take;

use protocol::WaitMode;
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::{Body, Want};
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Waiter};
use crate::waiting::wait_queue::WaitQueueEntry;

/// A search, finished or not.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Search {
    /// The threads that it begins with and has not reached yet.
    begin_with: Vec<Caller>,
    /// The threads that it has reached, in that order.
    threads: Vec<Thread>,
    /// The index of each thread.
    numbers: BTreeMap<Caller, u32>,
    /// The waits that it has read.
    waits: Vec<SearchedWait>,
    /// For each lock, the waits that one of its threads holds up by it.
    behind: BTreeMap<Key, Vec<u32>>,
    /// The thread whose waits it reads, and the next of them.
    reading: (u32, Key),
    /// Saved threads whose locks have to open.
    saved: Vec<u32>,
    /// The waits behind locks that have opened, to be told.
    opened: Vec<Vec<u32>>,
    /// The way that it follows to a cycle, once it has finished.
    way: Way,
}

/// A blocked thread.
#[derive(Debug, Serialize, Deserialize)]
struct Thread {
    caller: Caller,
    is_saved: bool,
    /// The locks that it holds, as far as the search has met them.
    locks: Vec<Key>,
}

/// A wait of a thread.
#[derive(Debug, Serialize, Deserialize)]
struct SearchedWait {
    thread: u32,
    /// How many more of its locks have to open before it may be served.
    missing: u32,
}

/// A way from one deadlocked thread to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Way {
    /// The locks, each with its holder.
    locks: Vec<(Key, Caller)>,
    /// The threads on it.
    seen: BTreeSet<Caller>,
}

impl Search {
    /// A search that begins with these threads.
    pub(crate) fn of(callers: impl IntoIterator<Item = Caller>) -> Search {
        let mut search = Search { begin_with: callers.into_iter().collect(), ..Search::default() };
        if let Some(caller) = search.begin_with.pop() {
            search.reach(caller);
        }
        search
    }

    /// Goes on until it is finished, or this input is over. Returns whether it is finished. `asking` is a wait that is
    /// not parked yet; then only its thread counts.
    pub(crate) fn go_on(&mut self, state: &State, asking: Option<&Waiter>) -> bool {
        loop {
            if asking.is_some() && self.threads[0].is_saved {
                return true;
            }
            if state.is_over() {
                return false;
            }
            state.step(1);
            if let Some(waits) = self.opened.last_mut() {
                match waits.pop() {
                    Some(wait) => self.tell(wait),
                    None => drop(self.opened.pop()),
                }
            } else if let Some(&thread) = self.saved.last() {
                match self.threads[thread as usize].locks.pop() {
                    Some(lock) => self.open(lock),
                    None => drop(self.saved.pop()),
                }
            } else if let Some(caller) = self.begin_with.pop() {
                self.reach(caller);
            } else if !self.read_on(state, asking) {
                return true;
            }
        }
    }

    /// Whether a thread was reached and is not saved. It is deadlocked if the search is finished.
    pub(crate) fn is_deadlocked(&self, caller: Caller) -> bool {
        self.numbers.get(&caller).is_some_and(|&number| !self.threads[number as usize].is_saved)
    }

    /// Notes that a thread does something else than waiting as before. Returns whether that saves it.
    pub(crate) fn thread_moved(&mut self, caller: Caller) -> bool {
        let Some(&number) = self.numbers.get(&caller) else { return false };
        let was_saved = self.threads[number as usize].is_saved;
        self.save(number);
        !was_saved
    }

    /// Notes that a lock is free.
    pub(crate) fn open(&mut self, lock: Key) {
        if let Some(waits) = self.behind.remove(&lock) {
            self.opened.push(waits);
            self.way = Way::default();
        }
    }

    fn reach(&mut self, caller: Caller) -> u32 {
        let next = self.threads.len() as u32;
        let number = *self.numbers.entry(caller).or_insert(next);
        if number == next {
            self.threads.push(Thread { caller, is_saved: false, locks: Vec::new() });
        }
        number
    }

    fn save(&mut self, number: u32) {
        let thread = &mut self.threads[number as usize];
        if !thread.is_saved {
            thread.is_saved = true;
            self.saved.push(number);
            self.way = Way::default();
        }
    }

    /// Tells a wait that one of its locks has opened.
    fn tell(&mut self, wait: u32) {
        let wait = &mut self.waits[wait as usize];
        wait.missing = wait.missing.saturating_sub(1);
        if wait.missing == 0 {
            let thread = wait.thread;
            self.save(thread);
        }
    }

    /// Reads the next wait of the threads that were reached. Returns false if there is none.
    fn read_on(&mut self, state: &State, asking: Option<&Waiter>) -> bool {
        let (number, from) = self.reading;
        let Some(&Thread { caller, is_saved, .. }) = self.threads.get(number as usize) else { return false };
        let parked = state.blocked.range((caller, from)..=(caller, Key::MAX)).next();
        match parked.filter(|_| !is_saved) {
            Some(&(_, key)) => {
                // Before a key is this large, memory has run out.
                self.reading = (number, key.saturating_add(1));
                self.read_wait(number, &state.waiters[key], state, asking);
            }
            None => {
                self.reading = (number + 1, 0);
                match asking.filter(|asking| asking.caller == caller) {
                    Some(waiter) if !is_saved => self.read_wait(number, waiter, state, asking),
                    None if from == 0 => self.save(number),
                    _ => {}
                }
            }
        }
        true
    }

    fn read_wait(&mut self, thread: u32, waiter: &Waiter, state: &State, asking: Option<&Waiter>) {
        if waiter.deadline().is_some() {
            return self.save(thread);
        }
        let wait = self.waits.len() as u32;
        // Until all of it is read.
        self.waits.push(SearchedWait { thread, missing: u32::MAX });
        let mut missing = 0;
        for entry in &waiter.targets {
            state.step(1);
            let holder = state
                .holder_before(waiter.caller, entry)
                .filter(|&holder| self.may_be_deadlocked(holder, state, asking));
            match (holder, waiter.mode) {
                (Some(holder), _) => {
                    missing += 1;
                    self.note_edge(entry.object, holder, wait);
                }
                (None, WaitMode::Any) => return self.save(thread),
                (None, WaitMode::All) => {}
            }
        }
        if missing == 0 {
            return self.save(thread);
        }
        self.waits[wait as usize].missing = if waiter.mode == WaitMode::Any { 1 } else { missing };
    }

    /// Whether a holder waits, and is not known to be saved.
    fn may_be_deadlocked(&self, holder: Caller, state: &State, asking: Option<&Waiter>) -> bool {
        match self.numbers.get(&holder) {
            Some(&number) => !self.threads[number as usize].is_saved,
            None => state.is_waiting(holder) || asking.is_some_and(|asking| asking.caller == holder),
        }
    }

    /// Notes that a thread holds up a wait by a lock.
    fn note_edge(&mut self, lock: Key, holder: Caller, wait: u32) {
        if let Some(waits) = self.behind.get_mut(&lock) {
            return waits.push(wait);
        }
        self.behind.insert(lock, Vec::from([wait]));
        let holder = self.reach(holder);
        self.threads[holder as usize].locks.push(lock);
    }

    /// Follows a way by deadlocked threads, from this wait of one of them, until it comes back to a thread or this
    /// input is over. Returns the way once it has come back: each lock, with its holder. What leads to the cycle is
    /// part of it.
    pub(crate) fn way_round(&mut self, state: &State, from: &Waiter) -> Option<Vec<(Key, Caller)>> {
        let broken = "a deadlocked thread waits for another";
        let mut way = take(&mut self.way);
        way.seen.insert(from.caller);
        loop {
            let at = match way.locks.last() {
                Some(&(_, holder)) => &state.waiters[state.waiters_of_thread(holder).next().expect(broken)],
                None => from,
            };
            let next = at.targets.iter().find_map(|entry| {
                state.step(1);
                let holder =
                    state.holder_before(at.caller, entry).filter(|&holder| self.is_deadlocked(holder))?;
                Some((entry.object, holder))
            });
            let (lock, holder) = next.expect(broken);
            way.locks.push((lock, holder));
            if !way.seen.insert(holder) {
                return Some(way.locks);
            }
            if state.is_over() {
                self.way = way;
                return None;
            }
        }
    }
}

impl State {
    /// The waiters of a thread.
    pub(crate) fn waiters_of_thread(&self, caller: Caller) -> impl Iterator<Item = Key> {
        self.blocked.range((caller, Key::MIN)..=(caller, Key::MAX)).map(|&(_, key)| key)
    }

    /// Whether a thread has a blocked request.
    pub(crate) fn is_waiting(&self, caller: Caller) -> bool {
        self.waiters_of_thread(caller).next().is_some()
    }

    /// The thread that holds what this entry of a caller waits for, if that is a held lock. A reentrant lock is ready
    /// for its holder.
    pub(crate) fn holder_before(&self, caller: Caller, entry: &WaitQueueEntry) -> Option<Caller> {
        match (&self.catalog.at(entry.object).body, &entry.want) {
            (Body::Lock(lock), Want::Lock | Want::Relock) if !lock.is_ready_for(caller) => {
                Some(lock.holder()?.caller)
            }
            _ => None,
        }
    }
}

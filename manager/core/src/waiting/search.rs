//! The search for deadlocked threads: which of the threads that a wait leads to can never go on.
//!
//! Threads, their waits and the locks that they wait for are a graph. A thread is *saved* if one of its waits may be
//! served: a wait for any if one of its locks may become free, a wait for all if all of them may. The search first
//! reaches every thread that counts, and reads each wait once. Then each saved thread opens its locks, and each wait
//! is notified once of each of its locks that opens. Whoever is not saved in the end is deadlocked.
//!
//! So a search takes as many steps as the graph has edges. It can stop after any number of them and go on later, while
//! the threads go on as well: being deadlocked lasts, so whoever moves meanwhile was not deadlocked, and is saved.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem::replace;

use protocol::WaitMode;
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::object_body::ObjectBody;
use crate::store::long_queue::LongQueue;
use crate::store::slab::{Key, Slab};
use crate::waiting::wait::{Caller, Waiter};
use crate::waiting::wait_queue::WaitQueueEntry;
use crate::work::{Meter, STEPS_PER_PART};

/// The most locks of a way that are named.
const NAMED_MAX: usize = 100;

/// How many steps it counts to go one step of a search, whose graph may be far larger than a processor's cache.
const STEPS_PER_EDGE: u64 = 4;

/// How many steps it counts to free what a search kept of a few threads or locks.
const STEPS_PER_FREED: u64 = 4;

/// How many threads or locks these are.
const FREED_AT_ONCE: usize = 2;

/// A search, finished or not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Search {
    /// The threads that it begins with and has not reached yet.
    begin_with: LongQueue<Caller>,
    /// Those of them that it has reached and that were not taken from it.
    pub(crate) begun: LongQueue<Caller>,
    /// The threads that it has reached, in that order.
    threads: Slab<Thread>,
    /// The index of each thread.
    numbers: BTreeMap<Caller, u32>,
    /// The waits that it has read.
    waits: Slab<SearchedWait>,
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
    /// The number of the last way that led to it.
    way: u64,
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

/// A way from one deadlocked thread to the next, until it meets itself, and then round the cycle.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Way {
    /// The number of this way, which the threads on it have.
    number: u64,
    named: NamedLocks,
    /// The thread that it has come to; none at first.
    at: Option<Caller>,
    /// The cycle, once it has met itself.
    cycle: Option<CycleWalk>,
}

/// The locks of a way: those that come first, each with its holder, and how many there are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NamedLocks {
    pub(crate) first: Vec<(Key, Caller)>,
    pub(crate) count: usize,
}

/// A cycle of deadlocked threads, whose youngest wait the search seeks.
#[derive(Debug, Serialize, Deserialize)]
struct CycleWalk {
    /// The thread where it begins and ends.
    end: Caller,
    /// The thread whose waits are looked at, and the next of them.
    at: (Caller, Key),
    /// The youngest so far of the waits that may be refused, and its number.
    youngest: Option<(u64, Key)>,
}

/// A way that a search has followed to the end.
#[derive(Debug)]
pub(crate) struct FoundWay {
    pub(crate) named: NamedLocks,
    /// The youngest wait in the cycle that may be refused, if that was looked for and there is one.
    pub(crate) youngest: Option<Key>,
}

impl Search {
    /// A search that begins with these threads, the last first.
    pub(crate) fn of(begin_with: LongQueue<Caller>) -> Search {
        Search {
            begin_with,
            begun: LongQueue::default(),
            threads: Slab::new(),
            numbers: BTreeMap::new(),
            waits: Slab::new(),
            behind: BTreeMap::new(),
            reading: (0, Key::MIN),
            saved: Vec::new(),
            opened: Vec::new(),
            way: Way { number: 1, ..Way::default() },
        }
    }

    /// A search that begins with this thread.
    pub(crate) fn of_one(caller: Caller) -> Search {
        let mut search = Search::of(LongQueue::default());
        search.reach(caller);
        search
    }

    /// Frees a part of what it keeps. Returns false if there is no more.
    pub(crate) fn free_part(&mut self, meter: &Meter) -> bool {
        meter.step(STEPS_PER_FREED);
        let mut freed = 0;
        while freed < FREED_AT_ONCE {
            let is_some = match self.numbers.pop_first() {
                Some((_, number)) => {
                    // Its locks go with it.
                    self.threads.remove(number);
                    true
                }
                None => self.behind.pop_first().is_some() || self.opened.pop().is_some(),
            };
            if !is_some {
                return self.free_slots(meter);
            }
            freed += 1;
        }
        true
    }

    fn free_slots(&mut self, meter: &Meter) -> bool {
        meter.step(STEPS_PER_PART);
        self.waits.retire();
        let has_more = self.threads.has_retired() || self.waits.has_retired();
        self.threads.free_retired();
        self.waits.free_retired();
        has_more
    }

    /// Goes on until it is finished, or this input is over. Returns whether it is finished. `asking` is a wait that is
    /// not parked yet; then only its thread counts.
    pub(crate) fn go_on(&mut self, state: &State, asking: Option<&Waiter>) -> bool {
        loop {
            if asking.is_some() && self.threads[Key::MIN].is_saved {
                return true;
            }
            if state.is_over() {
                return false;
            }
            state.step(STEPS_PER_EDGE);
            if let Some(waits) = self.opened.last_mut() {
                match waits.pop() {
                    Some(wait) => self.tell(wait),
                    None => drop(self.opened.pop()),
                }
            } else if let Some(&thread) = self.saved.last() {
                match self.threads[thread].locks.pop() {
                    Some(lock) => self.open(lock),
                    None => drop(self.saved.pop()),
                }
            } else if let Some(caller) = self.begin_with.pop_back() {
                self.reach(caller);
                self.begun.push_back(caller);
            } else if !self.read_on(state, asking) {
                return true;
            }
        }
    }

    /// Whether a thread was reached and is not saved. It is deadlocked if the search is finished.
    pub(crate) fn is_deadlocked(&self, caller: Caller) -> bool {
        self.numbers.get(&caller).is_some_and(|&number| !self.threads[number].is_saved)
    }

    /// Notes that a thread does something else than waiting as before. Returns whether that saves it.
    pub(crate) fn thread_moved(&mut self, caller: Caller) -> bool {
        let Some(&number) = self.numbers.get(&caller) else { return false };
        let was_saved = self.threads[number].is_saved;
        self.save(number);
        !was_saved
    }

    /// Notes that a lock is free.
    pub(crate) fn open(&mut self, lock: Key) {
        if let Some(waits) = self.behind.remove(&lock) {
            self.opened.push(waits);
            self.begin_way();
        }
    }

    fn reach(&mut self, caller: Caller) -> u32 {
        let threads = &mut self.threads;
        let thread = || threads.insert(Thread { caller, is_saved: false, way: 0, locks: Vec::new() });
        *self.numbers.entry(caller).or_insert_with(thread)
    }

    /// Begins another way.
    fn begin_way(&mut self) {
        self.way = Way { number: self.way.number + 1, ..Way::default() };
    }

    fn save(&mut self, number: u32) {
        let thread = &mut self.threads[number];
        if !thread.is_saved {
            thread.is_saved = true;
            self.saved.push(number);
            self.begin_way();
        }
    }

    /// Tells a wait that one of its locks has opened.
    fn tell(&mut self, wait: u32) {
        let wait = &mut self.waits[wait];
        wait.missing = wait.missing.saturating_sub(1);
        if wait.missing == 0 {
            let thread = wait.thread;
            self.save(thread);
        }
    }

    /// Reads the next wait of the threads that were reached. Returns false if there is none.
    fn read_on(&mut self, state: &State, asking: Option<&Waiter>) -> bool {
        let (number, from) = self.reading;
        let Some(&Thread { caller, is_saved, .. }) = self.threads.get(number) else { return false };
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
        // Until all of it is read.
        let wait = self.waits.insert(SearchedWait { thread, missing: u32::MAX });
        let mut missing = 0;
        for entry in &waiter.targets {
            state.step(STEPS_PER_EDGE);
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
        self.waits[wait].missing = if waiter.mode == WaitMode::Any { 1 } else { missing };
    }

    /// Whether a holder waits, and is not known to be saved.
    fn may_be_deadlocked(&self, holder: Caller, state: &State, asking: Option<&Waiter>) -> bool {
        match self.numbers.get(&holder) {
            Some(&number) => !self.threads[number].is_saved,
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
        self.threads[holder].locks.push(lock);
    }

    /// Follows a way by deadlocked threads, from this wait of one of them, until it meets itself or this input is over.
    /// Returns the way once it has; what leads to the cycle is part of it. Then it goes round the cycle, if its
    /// youngest wait is wanted.
    pub(crate) fn way_round(
        &mut self,
        state: &State,
        from: &Waiter,
        wants_youngest: bool,
    ) -> Option<FoundWay> {
        while self.way.cycle.is_none() {
            let at = self.way.at.unwrap_or(from.caller);
            let number = self.numbers[&at];
            if replace(&mut self.threads[number].way, self.way.number) == self.way.number {
                self.way.cycle = Some(CycleWalk { end: at, at: (at, Key::MIN), youngest: None });
                break;
            }
            let (lock, holder) = self.next_on_way(state, from, at);
            if self.way.named.count < NAMED_MAX {
                self.way.named.first.push((lock, holder));
            }
            self.way.named.count += 1;
            self.way.at = Some(holder);
            if state.is_over() {
                return None;
            }
        }
        let mut cycle = self.way.cycle.take()?;
        if wants_youngest && !self.go_round(state, from, &mut cycle) {
            self.way.cycle = Some(cycle);
            return None;
        }
        let named = self.way.named.clone();
        self.begin_way();
        Some(FoundWay { named, youngest: cycle.youngest.map(|(_, key)| key) })
    }

    /// Goes round a cycle and looks at the waits of its threads, to the end or until this input is over. Returns
    /// whether it has come to the end.
    fn go_round(&self, state: &State, from: &Waiter, cycle: &mut CycleWalk) -> bool {
        loop {
            state.step(STEPS_PER_EDGE);
            let (at, next) = cycle.at;
            match state.blocked.range((at, next)..=(at, Key::MAX)).next() {
                Some(&(_, key)) => {
                    let waiter = &state.waiters[key];
                    if !waiter.is_relocking() {
                        cycle.youngest = cycle.youngest.max(Some((waiter.arrival, key)));
                    }
                    cycle.at = (at, key.saturating_add(1));
                }
                None => {
                    let (_, holder) = self.next_on_way(state, from, at);
                    if holder == cycle.end {
                        return true;
                    }
                    cycle.at = (holder, Key::MIN);
                }
            }
            if state.is_over() {
                return false;
            }
        }
    }

    /// The lock by which a way goes on from a deadlocked thread, and its holder.
    fn next_on_way(&self, state: &State, from: &Waiter, at: Caller) -> (Key, Caller) {
        let broken = "a deadlocked thread waits for another";
        let wait = match at == from.caller {
            true => from,
            false => &state.waiters[state.waiters_of_thread(at).next().expect(broken)],
        };
        let next = wait.targets.iter().find_map(|entry| {
            state.step(STEPS_PER_EDGE);
            let holder =
                state.holder_before(wait.caller, entry).filter(|&holder| self.is_deadlocked(holder))?;
            Some((entry.object, holder))
        });
        next.expect(broken)
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
        self.catalog.at(entry.object).body.holder_before(caller)
    }
}

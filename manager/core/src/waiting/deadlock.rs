//! Deadlocks: found when a request would close a cycle, and described in words.
//!
//! A thread is *deadlocked* if it is blocked without a deadline and nothing it waits for can come: each of its targets
//! (one of them, in a wait for all) is a lock whose holder is deadlocked too. A wait for anything but a lock may be
//! served by a thread outside the cycle, and a wait with a deadline ends in time; neither deadlocks its thread. A
//! blocking request that would deadlock its own thread is refused, so no thread is ever deadlocked for long. One more
//! way leads into a cycle: a notified waiter that cannot have its lock again. Its wait must not fail, so the core
//! refuses the youngest other request in the cycle.
//!
//! # Large graphs
//!
//! The core finds a deadlock at once if that takes no more steps than one input may. Otherwise the wait blocks, and the
//! [search](crate::waiting::search) goes on in slices, between other inputs. If it finds that the wait is deadlocked,
//! the core refuses the youngest request in the cycle, as for a notified waiter.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::mem::take;

use protocol::{Code, Refusal, WaitMode};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::store::long_queue::LongQueue;
use crate::store::slab::Key;
use crate::waiting::search::{FoundWay, NamedLocks, Search};
use crate::waiting::wait::{Caller, Waiter};

/// The searches for deadlocks that take more steps than one input may.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Searches {
    /// The one that goes on.
    current: Option<Box<CurrentSearch>>,
    /// The threads for which the next one looks.
    next: LongQueue<Caller>,
    /// One that has finished, and is freed in slices as well.
    finished: Option<Box<Search>>,
}

/// A search that goes on in slices.
#[derive(Debug, Serialize, Deserialize)]
struct CurrentSearch {
    search: Box<Search>,
    /// The threads that count as saved since one of their waits has ended. If they have others, they may be deadlocked
    /// all the same, which another search finds.
    moved: LongQueue<Caller>,
}

/// What a look for a cycle brought.
#[derive(Debug)]
enum Found {
    /// The wait ends, as far as the core can know.
    NoCycle,
    /// It never ends.
    Cycle(FoundWay),
    /// It would take too many steps to know.
    TooLarge,
}

impl Searches {
    /// Whether a search goes on, or waits for its turn.
    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none() && self.next.is_empty() && self.finished.is_none()
    }

    /// Notes that a thread does something else than waiting as before.
    #[inline]
    pub(crate) fn thread_moved(&mut self, caller: Caller) {
        if let Some(current) = &mut self.current {
            current.note_moved(caller);
        }
    }

    /// Notes that a lock has no holder any more.
    #[inline]
    pub(crate) fn lock_opened(&mut self, lock: Key) {
        if let Some(current) = &mut self.current {
            current.search.open(lock);
        }
    }
}

impl CurrentSearch {
    fn note_moved(&mut self, caller: Caller) {
        if self.search.thread_moved(caller) {
            self.moved.push_back(caller);
        }
    }
}

impl State {
    /// Refuses a wait that would deadlock its thread. It is not parked yet. Returns whether it takes a longer search to
    /// know.
    pub(crate) fn check_deadlock(&self, waiter: &Waiter) -> Result<bool, Refusal> {
        match self.find_cycle(waiter, false) {
            Found::Cycle(way) => {
                let text = format!("this wait would never end: {}", self.describe_way(waiter, &way.named));
                Err(Refusal::new(Code::Deadlock, text))
            }
            Found::NoCycle => Ok(false),
            Found::TooLarge => Ok(true),
        }
    }

    /// Looks in slices whether a thread that waits is deadlocked.
    pub(crate) fn search_for(&mut self, caller: Caller) {
        self.searches.next.push_back(caller);
    }

    /// Breaks the cycles that a waiter which must have its lock again closes, by refusing another request in each. The
    /// waiter may have been served meanwhile, and its key may be another's.
    pub(crate) fn break_deadlock(&mut self, relocking: Key) {
        while let Some(waiter) = self.waiters.get(relocking) {
            match self.find_cycle(waiter, true) {
                Found::NoCycle => return,
                Found::TooLarge => return self.search_for(waiter.caller),
                Found::Cycle(way) => {
                    let text = self.describe_way(waiter, &way.named);
                    // A waiter that must have its lock again took no lock since it gave it up. So in a cycle of such
                    // waiters alone each would have begun to wait before the next, which cannot be, unless one thread
                    // waits in several ways.
                    if !self.refuse_youngest(way.youngest, &text) {
                        return;
                    }
                }
            }
        }
    }

    /// Refuses the youngest request of a cycle that may fail. Returns false if none may.
    fn refuse_youngest(&mut self, youngest: Option<Key>, text: &str) -> bool {
        let text = format!("this wait would never end: {text}");
        youngest.map(|youngest| self.refuse_waiter(youngest, Refusal::new(Code::Deadlock, text))).is_some()
    }

    /// Whether this wait deadlocks its thread, as far as the steps of this input go.
    fn find_cycle(&self, waiter: &Waiter, wants_youngest: bool) -> Found {
        if self.has_way_out(waiter) {
            return Found::NoCycle;
        }
        let mut search = Search::of_one(waiter.caller);
        if !search.go_on(self, Some(waiter)) {
            return Found::TooLarge;
        }
        if !search.is_deadlocked(waiter.caller) {
            return Found::NoCycle;
        }
        search.way_round(self, waiter, wants_youngest).map_or(Found::TooLarge, Found::Cycle)
    }

    /// Whether a wait needs no search, as nearly all: it has a way out of its own, or the holder of the lock goes on.
    pub(crate) fn has_way_out(&self, waiter: &Waiter) -> bool {
        if waiter.deadline().is_some() {
            return true;
        }
        let mut targets = waiter.targets.iter().map(|entry| {
            self.step(1);
            self.holder_before(waiter.caller, entry)
        });
        let goes_on = |holder: Caller| holder != waiter.caller && !self.is_waiting(holder);
        match waiter.mode {
            WaitMode::Any => targets.any(|holder| holder.is_none_or(goes_on)),
            WaitMode::All => targets.all(|holder| holder.is_none_or(goes_on)),
        }
    }

    /// Goes on with a search that takes long, and refuses what it has found to be deadlocked.
    pub(crate) fn go_on_searching(&mut self) {
        while let Some(finished) = &mut self.searches.finished {
            if self.meter.is_over() {
                return;
            }
            if !finished.free_part(&self.meter) {
                self.searches.finished = None;
            }
        }
        if self.searches.is_idle() {
            return;
        }
        let mut current = match self.searches.current.take() {
            Some(current) => current,
            None => {
                let search = Box::new(Search::of(take(&mut self.searches.next)));
                Box::new(CurrentSearch { search, moved: LongQueue::default() })
            }
        };
        while current.search.go_on(self, None) {
            let Some(&caller) = current.search.begun.front() else {
                self.searches.finished = Some(current.search);
                return;
            };
            if !current.search.is_deadlocked(caller) {
                // One that waits no longer looks for deadlocks itself when it waits again.
                while let Some(&moved) = current.moved.front()
                    && !self.is_waiting(moved)
                {
                    self.step(1);
                    current.moved.pop_front();
                    if self.is_over() {
                        self.searches.current = Some(current);
                        return;
                    }
                }
                current.search.begun.pop_front();
                if !current.moved.is_empty() && self.is_waiting(caller) {
                    self.search_for(caller);
                }
                continue;
            }
            let waiter = self.waiters_of_thread(caller).next().expect("a deadlocked thread waits");
            let waiter = &self.waiters[waiter];
            let Some(way) = current.search.way_round(self, waiter, true) else { break };
            let text = self.describe_way(waiter, &way.named);
            self.searches.current = Some(current);
            let is_broken = self.refuse_youngest(way.youngest, &text);
            current = self.searches.current.take().expect("the search was put there");
            if !is_broken {
                current.search.begun.pop_front();
            }
        }
        self.searches.current = Some(current);
    }

    fn describe_way(&self, waiter: &Waiter, locks: &NamedLocks) -> String {
        let mut text = self.describe_caller(waiter.caller);
        for (position, (lock, holder)) in locks.first.iter().enumerate() {
            let joint = if position == 0 { "" } else { ", which" };
            let (lock, holder) = (self.describe(*lock), self.describe_caller(*holder));
            text.push_str(&format!("{joint} waits for {lock}, held by {holder}"));
        }
        match locks.count - locks.first.len() {
            0 => text,
            more => format!("{text}, and so on by {more} more locks"),
        }
    }
}

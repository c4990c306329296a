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
use alloc::vec::Vec;
use core::mem::take;

use protocol::{Code, Refusal, WaitMode};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::store::slab::Key;
use crate::waiting::search::Search;
use crate::waiting::wait::{Caller, Waiter};

/// The most locks of a cycle that a refusal names.
const NAMED_MAX: usize = 100;

/// The searches for deadlocks that take more steps than one input may.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Searches {
    /// The one that goes on.
    current: Option<Box<CurrentSearch>>,
    /// The threads for which the next one looks.
    next: Vec<Caller>,
}

/// A search that goes on in slices.
#[derive(Debug, Serialize, Deserialize)]
struct CurrentSearch {
    search: Search,
    /// The threads for whose sake.
    callers: Vec<Caller>,
    /// The threads that count as saved since one of their waits has ended. If they have others, they may be deadlocked
    /// all the same, which another search finds.
    moved: Vec<Caller>,
}

/// What a look for a cycle brought.
#[derive(Debug)]
enum Found {
    /// The wait ends, as far as the core can know.
    NoCycle,
    /// It never ends: the locks on the way round, each with its holder.
    Cycle(Vec<(Key, Caller)>),
    /// It would take too many steps to know.
    TooLarge,
}

impl Searches {
    /// Whether a search goes on, or waits for its turn.
    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none() && self.next.is_empty()
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
            self.moved.push(caller);
        }
    }
}

impl State {
    /// Refuses a wait that would deadlock its thread. It is not parked yet. Returns whether it takes a longer search to
    /// know.
    pub(crate) fn check_deadlock(&self, waiter: &Waiter) -> Result<bool, Refusal> {
        match self.find_cycle(waiter) {
            Found::Cycle(cycle) => {
                let text = format!("this wait would never end: {}", self.describe_cycle(waiter, &cycle));
                Err(Refusal::new(Code::Deadlock, text))
            }
            Found::NoCycle => Ok(false),
            Found::TooLarge => Ok(true),
        }
    }

    /// Looks in slices whether a thread that waits is deadlocked.
    pub(crate) fn search_for(&mut self, caller: Caller) {
        self.searches.next.push(caller);
    }

    /// Breaks the cycles that a waiter which must have its lock again closes, by refusing another request in each. The
    /// waiter may have been served meanwhile, and its key may be another's.
    pub(crate) fn break_deadlock(&mut self, relocking: Key) {
        while let Some(waiter) = self.waiters.get(relocking) {
            match self.find_cycle(waiter) {
                Found::NoCycle => return,
                Found::TooLarge => return self.search_for(waiter.caller),
                Found::Cycle(cycle) => {
                    let text = self.describe_cycle(waiter, &cycle);
                    // A waiter that must have its lock again took no lock since it gave it up. So in a cycle of such
                    // waiters alone each would have begun to wait before the next, which cannot be, unless one thread
                    // waits in several ways.
                    if !self.refuse_youngest(&cycle, text) {
                        return;
                    }
                }
            }
        }
    }

    /// Refuses the youngest request of a cycle that may fail. Returns false if none may.
    fn refuse_youngest(&mut self, cycle: &[(Key, Caller)], text: String) -> bool {
        let requests = cycle.iter().flat_map(|&(_, caller)| self.waiters_of_thread(caller));
        let refusable = requests.filter(|&key| !self.waiters[key].is_relocking());
        let youngest = refusable.max_by_key(|&key| self.waiters[key].arrival);
        let text = format!("this wait would never end: {text}");
        youngest.map(|youngest| self.refuse_waiter(youngest, Refusal::new(Code::Deadlock, text))).is_some()
    }

    /// Whether this wait deadlocks its thread, as far as the steps of this input go.
    fn find_cycle(&self, waiter: &Waiter) -> Found {
        if self.has_way_out(waiter) {
            return Found::NoCycle;
        }
        let mut search = Search::of([waiter.caller]);
        if !search.go_on(self, Some(waiter)) {
            return Found::TooLarge;
        }
        if !search.is_deadlocked(waiter.caller) {
            return Found::NoCycle;
        }
        search.way_round(self, waiter).map_or(Found::TooLarge, Found::Cycle)
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
        let mut current = match self.searches.current.take() {
            Some(current) => current,
            None => {
                let callers = take(&mut self.searches.next);
                let search = Search::of(callers.iter().copied());
                Box::new(CurrentSearch { search, callers, moved: Vec::new() })
            }
        };
        while current.search.go_on(self, None) {
            let Some(&caller) = current.callers.last() else { return };
            if !current.search.is_deadlocked(caller) {
                current.callers.pop();
                self.step(current.moved.len() as u64);
                if self.is_waiting(caller) && current.moved.iter().any(|&moved| self.is_waiting(moved)) {
                    self.search_for(caller);
                }
                continue;
            }
            let waiter = self.waiters_of_thread(caller).next().expect("a deadlocked thread waits");
            let waiter = &self.waiters[waiter];
            let Some(way) = current.search.way_round(self, waiter) else { break };
            let text = self.describe_cycle(waiter, &way);
            let cycle = without_lead(&way);
            self.searches.current = Some(current);
            let is_broken = self.refuse_youngest(cycle, text);
            current = self.searches.current.take().expect("the search was put there");
            if !is_broken {
                current.callers.pop();
            }
        }
        self.searches.current = Some(current);
    }

    fn describe_cycle(&self, waiter: &Waiter, cycle: &[(Key, Caller)]) -> String {
        let mut text = self.describe_caller(waiter.caller);
        for (position, (lock, holder)) in cycle.iter().take(NAMED_MAX).enumerate() {
            let joint = if position == 0 { "" } else { ", which" };
            let (lock, holder) = (self.describe(*lock), self.describe_caller(*holder));
            text.push_str(&format!("{joint} waits for {lock}, held by {holder}"));
        }
        if cycle.len() > NAMED_MAX {
            text.push_str(&format!(", and so on by {} more locks", cycle.len() - NAMED_MAX));
        }
        text
    }
}

/// A way round without what leads to its cycle.
fn without_lead(way: &[(Key, Caller)]) -> &[(Key, Caller)] {
    let last = way.last().map(|&(_, holder)| holder);
    let first = way.iter().position(|&(_, holder)| Some(holder) == last).unwrap_or(0);
    // Its last lock leads back to the holder of the first, or to the thread where the way began.
    if first + 1 == way.len() { way } else { &way[first + 1..] }
}

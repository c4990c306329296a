//! Wait queues: the waiters of one object, first come, first served.
//!
//! A wait queue is a linked list through the waiters in it: a waiter has one *entry* for each of its targets. So
//! joining and leaving a wait queue cost the same however long it is, and a wait queue allocates nothing.

use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::objects::Want;
use crate::store::slab::{Key, Slab};
use crate::waiting::wait::Waiter;

/// A waiter's entry in the wait queue of one of its targets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WaitQueueEntry {
    /// The object that it waits for.
    pub(crate) object: Key,
    /// What it wants of it.
    pub(crate) want: Want,
    previous: Option<Position>,
    next: Option<Position>,
}

/// Names an entry: which waiter, and which of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) waiter: Key,
    /// The index of the target, counted from one, so that an optional position is no larger than a position.
    number: NonZeroU32,
}

/// The waiters of one object, or those that want one thing of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct WaitQueue {
    first: Option<Position>,
    last: Option<Position>,
    /// How many waiters are in it; one that names the object twice counts once.
    length: u32,
    /// The first waiter that comes before those behind it: its key, counted from one, so that none is no larger.
    claimant: Option<NonZeroU32>,
}

/// What is known of the first waiter in a wait queue that comes before those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimant {
    /// There is none.
    Nobody,
    /// It is this one.
    Waiter(Key),
    /// The agenda comes to it, or to the end of the wait queue.
    Sought,
}

/// How many waiters are passed at once to find the next claimant. The agenda seeks it behind these, in steps.
const PASSED_MAX: usize = 64;

/// Stands for a claimant that is sought. No slab has a slot of this number.
const SOUGHT: NonZeroU32 = NonZeroU32::MAX;

impl WaitQueueEntry {
    pub(crate) fn new(object: Key, want: Want) -> WaitQueueEntry {
        WaitQueueEntry { object, want, previous: None, next: None }
    }

    /// The entry that was behind it when it left the wait queue, of whichever waiter.
    pub(crate) fn behind(&self) -> Option<Position> {
        self.next
    }
}

impl Position {
    /// The entry of a waiter for the target at this index.
    pub(crate) fn new(waiter: Key, target: u32) -> Position {
        Position { waiter, number: NonZeroU32::MIN.saturating_add(target) }
    }

    /// The index of the target.
    pub(crate) fn target(self) -> u32 {
        self.number.get() - 1
    }
}

impl WaitQueue {
    pub(crate) fn first(&self) -> Option<Position> {
        self.first
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The first waiter in it that comes before those behind it.
    pub(crate) fn claimant(&self) -> Claimant {
        match self.claimant {
            None => Claimant::Nobody,
            Some(SOUGHT) => Claimant::Sought,
            Some(number) => Claimant::Waiter(number.get() - 1),
        }
    }

    /// Notes who the claimant is that was sought: this one, or nobody.
    pub(crate) fn found_claimant(&mut self, found: Option<Key>) {
        if self.claimant == Some(SOUGHT) {
            self.claimant = found.map(number_of);
        }
    }

    /// How many waiters are in it.
    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    pub(crate) fn push(&mut self, waiters: &mut Slab<Waiter>, position: Position) {
        entry_mut(waiters, position).previous = self.last;
        match self.last {
            Some(last) => entry_mut(waiters, last).next = Some(position),
            None => self.first = Some(position),
        }
        self.length += u32::from(!is_of(self.last, position.waiter));
        self.last = Some(position);
        if self.claimant.is_none() && waiters[position.waiter].has_claim() {
            self.claimant = Some(number_of(position.waiter));
        }
    }

    /// Takes an entry out. Returns whether its claimant is now sought.
    pub(crate) fn remove(&mut self, waiters: &mut Slab<Waiter>, position: Position) -> bool {
        let WaitQueueEntry { previous, next, .. } = *entry(waiters, position);
        match previous {
            Some(previous) => entry_mut(waiters, previous).next = next,
            None => self.first = next,
        }
        match next {
            Some(next) => entry_mut(waiters, next).previous = previous,
            None => self.last = previous,
        }
        // Its entries are side by side.
        self.length -= u32::from(!is_of(previous, position.waiter) && !is_of(next, position.waiter));
        if self.claimant == Some(number_of(position.waiter)) && !is_of(previous, position.waiter) {
            self.claimant = next_claimant(waiters, next);
            return self.claimant == Some(SOUGHT);
        }
        false
    }
}

/// The first claimant from this entry on, if few are before it; otherwise it is to be sought.
fn next_claimant(waiters: &Slab<Waiter>, mut at: Option<Position>) -> Option<NonZeroU32> {
    for _ in 0..PASSED_MAX {
        let position = at?;
        if waiters[position.waiter].has_claim() {
            return Some(number_of(position.waiter));
        }
        at = entry(waiters, position).next;
    }
    at.map(|_| SOUGHT)
}

fn number_of(waiter: Key) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(waiter)
}

/// Whether there is an entry, and this waiter has it.
fn is_of(position: Option<Position>, waiter: Key) -> bool {
    position.is_some_and(|position| position.waiter == waiter)
}

pub(crate) fn entry(waiters: &Slab<Waiter>, position: Position) -> &WaitQueueEntry {
    &waiters[position.waiter].targets[position.target() as usize]
}

pub(crate) fn entry_mut(waiters: &mut Slab<Waiter>, position: Position) -> &mut WaitQueueEntry {
    &mut waiters[position.waiter].targets[position.target() as usize]
}

/// The next entry of another waiter, as a wait for any may name an object twice.
pub(crate) fn next_waiter(waiters: &Slab<Waiter>, position: Position) -> Option<Position> {
    let mut next = entry(waiters, position).next;
    while let Some(at) = next.filter(|at| at.waiter == position.waiter) {
        next = entry(waiters, at).next;
    }
    next
}

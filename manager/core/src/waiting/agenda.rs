//! The agenda: which waiters are to be examined, in the order in which they came.
//!
//! Code that changes an object so that a waiter may be served *touches* it. If that is the only object that has
//! waiters, its wait queue is walked from the front. Otherwise each wait queue gets a *place* on the agenda, the next
//! of its waiters to examine, and whoever came first among these is examined first. A place goes back when its object
//! is touched again. So no waiter is overtaken by one that came later, over all objects that an input has freed.
//!
//! [Long work](LongWork) comes before the waiters, since it may touch further objects. After the waiters come the
//! barriers at which all may have come, then the cycles that waits for their own locks may have closed, then the
//! objects that nothing keeps any more.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::object_body::{ObjectBody, Served};
use crate::store::catalog::Handle;
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Lane, Waiter};
use crate::waiting::wait_queue::{self, Position};
use crate::work::LongWork;

/// What is to be done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Agenda {
    /// Work that comes before the waiters.
    pub(crate) long: VecDeque<LongWork>,
    /// For each wait queue, the next of its waiters to examine, and when that one came.
    places: BTreeMap<(Key, Lane), (u64, Position)>,
    /// The same, and single waiters, in the order in which the waiters came.
    order: BTreeSet<(u64, Candidate)>,
    /// The threads that have taken a reentrant lock, and the next of their waiters to put into the order.
    takers: Vec<(Caller, Key)>,
    /// The barriers at which all may have come.
    full: VecDeque<Key>,
    /// The waiters that have begun to wait for their lock again, and may have closed a cycle.
    pub(crate) relocking: Vec<Key>,
    /// The objects that seemed unused.
    pub(crate) unused: Vec<Handle>,
}

/// Whom to examine next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Candidate {
    /// The waiter at the place of a wait queue.
    Queued(Key, Lane),
    /// This one, whatever is ahead of it.
    Single(Key),
}

impl Agenda {
    pub(crate) fn is_empty(&self) -> bool {
        self.long.is_empty()
            && self.order.is_empty()
            && self.takers.is_empty()
            && self.full.is_empty()
            && self.relocking.is_empty()
            && self.unused.is_empty()
    }

    /// Whether no wait queue has a place.
    pub(crate) fn has_no_places(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether a wait queue has a place, at or before a waiter that came as this number.
    pub(crate) fn comes_to(&self, queue: (Key, Lane), arrival: u64) -> bool {
        self.places.get(&queue).is_some_and(|&(place, _)| place <= arrival)
    }

    /// Whether a wait queue of an object has a place.
    pub(crate) fn comes_to_any(&self, object: Key) -> bool {
        self.places.range((object, Lane::Main)..=(object, Lane::Joiners)).next().is_some()
    }

    /// Whether a wait queue of an object has a place, or long work goes on with its waiters.
    pub(crate) fn concerns(&self, object: Key) -> bool {
        self.comes_to_any(object) || self.long.iter().any(|work| work.concerns(object))
    }

    /// Whether waiters are to join the line of this lock, ahead of those who come now.
    pub(crate) fn joins(&self, lock: Key) -> bool {
        self.long.iter().any(|work| work.joins(lock))
    }

    /// Has a waiter examined again that could not be now.
    pub(crate) fn examine_later(&mut self, arrival: u64, waiter: Key) {
        self.order.insert((arrival, Candidate::Single(waiter)));
    }

    /// Whether it comes to a waiter without its wait queues.
    pub(crate) fn comes_to_waiter(&self, key: Key, waiter: &Waiter) -> bool {
        self.order.contains(&(waiter.arrival, Candidate::Single(key)))
            || self.takers.iter().any(|&(caller, _)| caller == waiter.caller)
    }

    /// Adds all of another.
    pub(crate) fn append(&mut self, other: Agenda) {
        let Agenda { long, places, order, takers, full, relocking, unused } = other;
        self.long.extend(long);
        places.into_iter().for_each(|(queue, place)| self.lower(queue, place));
        self.order.extend(order.into_iter().filter(|(_, next)| matches!(next, Candidate::Single(_))));
        self.takers.extend(takers);
        self.full.extend(full);
        self.relocking.extend(relocking);
        self.unused.extend(unused);
    }

    /// Moves the place of a wait queue that is at this waiter to another, or takes it away.
    fn leave(&mut self, queue: (Key, Lane), waiter: Key, next: Option<(u64, Position)>) {
        if self.places.get(&queue).is_some_and(|(_, at)| at.waiter == waiter) {
            self.set(queue, next);
        }
    }

    /// Has a wait queue examined from this place on, or from an earlier one if it has that.
    fn lower(&mut self, queue: (Key, Lane), place: (u64, Position)) {
        if !self.comes_to(queue, place.0) {
            self.set(queue, Some(place));
        }
    }

    /// Moves the place of a wait queue, or takes it away.
    fn set(&mut self, queue: (Key, Lane), place: Option<(u64, Position)>) {
        let before = match place {
            Some(place) => self.places.insert(queue, place),
            None => self.places.remove(&queue),
        };
        if let Some((arrival, _)) = before {
            self.order.remove(&(arrival, Candidate::Queued(queue.0, queue.1)));
        }
        if let Some((arrival, _)) = place {
            self.order.insert((arrival, Candidate::Queued(queue.0, queue.1)));
        }
    }
}

impl State {
    /// Notes that a waiter for this object may now be served.
    pub(crate) fn touch(&mut self, key: Key) {
        if !core::mem::replace(&mut self.catalog.at_mut(key).is_touched, true) {
            self.touched.push_back(key);
            self.is_unsettled = true;
        }
    }

    /// Notes that a waiter in one wait queue of an object may now be served.
    pub(crate) fn touch_lane(&mut self, object: Key, lane: Lane) {
        if let Some(first) = self.catalog.at(object).wait_queue_in(lane).first() {
            self.touch_from(object, lane, first);
        }
    }

    /// Notes that a waiter in this wait queue may now be served, from this one on.
    pub(crate) fn touch_from(&mut self, object: Key, lane: Lane, position: Position) {
        let place = (self.waiters[position.waiter].arrival, position);
        if self.has_unfinished && self.unfinished.agenda.places.contains_key(&(object, lane)) {
            self.unfinished.agenda.lower((object, lane), place);
            self.unfinished.has_grown = true;
            return;
        }
        self.agenda.lower((object, lane), place);
        self.note_agenda();
    }

    /// Notes that a thread has taken a reentrant lock: it need not queue for it, whichever of its waits is for it.
    pub(crate) fn touch_waits_of(&mut self, caller: Caller) {
        if self.is_waiting(caller) {
            self.agenda.takers.push((caller, Key::MIN));
            self.note_agenda();
        }
    }

    /// Notes that something is on the agenda.
    pub(crate) fn note_agenda(&mut self) {
        self.has_agenda = true;
        self.is_unsettled = true;
    }

    /// Moves the places that are at an entry which leaves its wait queue.
    pub(crate) fn leave_place(&mut self, object: Key, lane: Lane, position: Position) {
        let next = wait_queue::next_waiter(&self.waiters, position);
        let next = next.map(|next| (self.waiters[next.waiter].arrival, next));
        self.agenda.leave((object, lane), position.waiter, next);
        if self.has_unfinished {
            self.unfinished.agenda.leave((object, lane), position.waiter, next);
        }
    }

    /// Does what is to be done after a change, until nothing is, or leaves it.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.is_unsettled {
            self.settle_all();
        }
    }

    /// Does at least one thing, and leaves the rest if this input is over.
    pub(crate) fn settle_all(&mut self) {
        loop {
            while !self.touched.is_empty() {
                self.schedule();
            }
            if !self.has_agenda || !self.do_next() {
                break;
            }
            if self.is_over() {
                while !self.touched.is_empty() {
                    self.schedule();
                }
                if !self.agenda.is_empty() {
                    self.postpone_agenda();
                }
                break;
            }
        }
        self.is_unsettled = false;
        self.has_agenda = false;
    }

    /// Puts the wait queues of touched objects on the agenda; or walks one, if there is no other.
    fn schedule(&mut self) {
        let mut alone = None;
        while let Some(key) = self.touched.pop_front() {
            let Some(object) = self.catalog.get_mut(key) else { continue };
            object.is_touched = false;
            match object.body.service(object.wait_queue_in(Lane::Main).len()) {
                Served::Nobody => {}
                Served::Together if alone.is_none() && self.touched.is_empty() && !self.has_agenda => {
                    return self.barrier_serve(key);
                }
                Served::Together => {
                    self.agenda.full.push_back(key);
                    self.note_agenda();
                }
                Served::Queues => {
                    for &lane in object.lanes() {
                        let Some(first) = self.catalog.at(key).wait_queue_in(lane).first() else { continue };
                        if self.has_unfinished && self.unfinished.agenda.places.contains_key(&(key, lane)) {
                            self.touch_from(key, lane, first);
                        } else if let Some((key, lane, first)) = alone.replace((key, lane, first)) {
                            self.touch_from(key, lane, first);
                        }
                    }
                }
            }
        }
        if let Some((key, lane, first)) = alone {
            match self.has_agenda {
                false => self.walk(key, lane, first),
                true => self.touch_from(key, lane, first),
            }
        }
    }

    /// Walks a wait queue from its first waiter up to one that cannot be served and has a claim before those behind it;
    /// or until something else is touched, so that the order of all waiters counts.
    fn walk(&mut self, object: Key, lane: Lane, first: Position) {
        self.is_unsettled = false;
        let mut next = Some(first);
        while let Some(position) = next {
            if self.is_unsettled || self.is_over() {
                return self.touch_from(object, lane, position);
            }
            next = wait_queue::next_waiter(&self.waiters, position);
            if !self.examine(position.waiter, position.target(), Some((object, lane))) {
                return;
            }
        }
    }

    /// Does the first thing on the agenda. Returns false if there is none.
    fn do_next(&mut self) -> bool {
        let agenda = &mut self.agenda;
        if let Some(work) = agenda.long.pop_front() {
            self.go_on_with(work);
        } else if let Some(&(caller, from)) = agenda.takers.last() {
            self.list_waits_of(caller, from);
        } else if let Some(&(arrival, next)) = agenda.order.first() {
            match next {
                Candidate::Queued(object, lane) => self.examine_place(object, lane),
                Candidate::Single(waiter) => {
                    agenda.order.pop_first();
                    if self.waiters.get(waiter).is_some_and(|waiter| waiter.arrival == arrival) {
                        self.examine(waiter, 0, None);
                    }
                }
            }
        } else if let Some(key) = agenda.full.pop_front() {
            // It may have ended, and what has its key may be something else.
            if let Some(object) = self.catalog.get(key)
                && object.body.service(object.wait_queue_in(Lane::Main).len()) == Served::Together
            {
                self.barrier_serve(key);
            }
        } else if let Some(key) = agenda.relocking.pop() {
            self.break_deadlock(key);
        } else if let Some(noted) = agenda.unused.pop() {
            self.free(noted);
        } else {
            return false;
        }
        true
    }

    /// Examines the waiter at the place of a wait queue.
    fn examine_place(&mut self, object: Key, lane: Lane) {
        let queue = (object, lane);
        let (_, position) = self.agenda.places[&queue];
        let next = wait_queue::next_waiter(&self.waiters, position);
        self.agenda.set(queue, next.map(|next| (self.waiters[next.waiter].arrival, next)));
        if !self.examine(position.waiter, position.target(), None) {
            self.agenda.set(queue, None);
        }
    }

    /// Puts the waiters of a thread into the order.
    fn list_waits_of(&mut self, caller: Caller, from: Key) {
        self.step(1);
        let next = self.blocked.range((caller, from)..=(caller, Key::MAX)).next();
        match next {
            Some(&(_, key)) => {
                self.agenda.order.insert((self.waiters[key].arrival, Candidate::Single(key)));
                if let Some(taker) = self.agenda.takers.last_mut() {
                    taker.1 = key.saturating_add(1);
                }
            }
            None => drop(self.agenda.takers.pop()),
        }
    }
}

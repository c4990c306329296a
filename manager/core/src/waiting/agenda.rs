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
//!
//! What one input left is done before what later ones leave: it has the [ticket](Ticket) of that input, and so has what
//! follows from it. So whoever asks for more and more cannot keep the others waiting. Long work that ends things comes
//! before all tickets. There is never more of it than was begun: each wait, call or object ends once.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::object_body::{ObjectBody, Served};
use crate::store::catalog::Handle;
use crate::store::slab::Key;
use crate::waiting::ticket_queue::{Ticket, TicketQueue};
use crate::waiting::wait::{Caller, Lane, Waiter};
use crate::waiting::wait_queue::{self, Claimant, Position};
use crate::work::LongWork;

/// How many steps it counts to put a waiter of a thread into the order.
const STEPS_PER_LISTED: u64 = 4;

/// What is to be done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Agenda {
    /// Long work that ends waits, calls or objects.
    ending: TicketQueue<LongWork>,
    /// Other long work.
    long: TicketQueue<LongWork>,
    /// For each wait queue, the next of its waiters to examine.
    places: BTreeMap<(Key, Lane), QueuePlace>,
    /// The same, and single waiters, in the order in which the waiters came.
    order: BTreeSet<(Ticket, u64, Candidate)>,
    /// The tickets of the single waiters by their arrivals.
    singles: BTreeMap<u64, Ticket>,
    /// The threads that have taken a reentrant lock, and the next of their waiters to put into the order.
    takers: TicketQueue<(Caller, Key)>,
    /// The barriers at which all may have come.
    full: TicketQueue<Key>,
    /// The objects that seemed unused.
    unused: Vec<(Ticket, Handle)>,
    /// The waiters that have begun to wait for their lock again, and may have closed a cycle.
    pub(crate) relocking: Vec<Key>,
}

/// The next waiter to examine of a wait queue.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct QueuePlace {
    ticket: Ticket,
    /// When the waiter came.
    arrival: u64,
    position: Position,
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
        self.ending.is_empty()
            && self.long.is_empty()
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

    /// The earliest ticket of all that is to be done.
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket_to_serve().min(self.ending.ticket()).min(self.ticket_to_free())
    }

    #[inline]
    fn ticket_to_free(&self) -> Ticket {
        self.unused.first().map_or(Ticket::NEVER, |(ticket, _)| *ticket)
    }

    /// The earliest ticket of what may serve waiters.
    #[inline]
    fn ticket_to_serve(&self) -> Ticket {
        let order = self.order.first().map_or(Ticket::NEVER, |&(ticket, ..)| ticket);
        order.min(self.long.ticket()).min(self.takers.ticket()).min(self.full.ticket())
    }

    /// Whether a wait queue has a place, at or before a waiter that came as this number.
    pub(crate) fn comes_to(&self, queue: (Key, Lane), arrival: u64) -> bool {
        self.places.get(&queue).is_some_and(|place| place.arrival <= arrival)
    }

    /// Whether a wait queue of an object has a place.
    pub(crate) fn comes_to_any(&self, object: Key) -> bool {
        self.places.range((object, Lane::Main)..=(object, Lane::Joiners)).next().is_some()
    }

    /// Whether a wait queue of an object has a place, or long work goes on with its waiters.
    pub(crate) fn concerns(&self, object: Key) -> bool {
        self.comes_to_any(object) || self.long_work().any(|work| work.concerns(object))
    }

    /// Whether waiters are to join the wait queue of this lock, ahead of those who come now.
    pub(crate) fn joins(&self, lock: Key) -> bool {
        self.long_work().any(|work| work.joins(lock))
    }

    /// Whether it comes to a waiter without its wait queues.
    pub(crate) fn comes_to_waiter(&self, waiter: &Waiter) -> bool {
        self.singles.contains_key(&waiter.arrival)
            || self.takers.iter().any(|&(caller, _)| caller == waiter.caller)
    }

    /// Adds all of another.
    pub(crate) fn append(&mut self, other: Agenda) {
        let Agenda { ending, long, places, order, singles: _, takers, full, unused, relocking } = other;
        self.ending.append(ending);
        self.long.append(long);
        places.into_iter().for_each(|(queue, place)| self.lower(queue, place));
        for (ticket, arrival, candidate) in order {
            if let Candidate::Single(waiter) = candidate {
                self.examine_single(ticket, arrival, waiter);
            }
        }
        self.takers.append(takers);
        self.full.append(full);
        self.unused.extend(unused);
        self.relocking.extend(relocking);
    }

    /// Does this later, at its place among all other work.
    pub(crate) fn push(&mut self, ticket: Ticket, work: LongWork) {
        if work.ends_things() { &mut self.ending } else { &mut self.long }.push(ticket, work);
    }

    fn long_work(&self) -> impl Iterator<Item = &LongWork> {
        self.ending.iter().chain(self.long.iter())
    }

    /// Has a waiter examined, whatever is ahead of it in its wait queues.
    pub(crate) fn examine_single(&mut self, ticket: Ticket, arrival: u64, waiter: Key) {
        if let Some(before) = self.singles.insert(arrival, ticket) {
            self.order.remove(&(before, arrival, Candidate::Single(waiter)));
        }
        self.order.insert((ticket, arrival, Candidate::Single(waiter)));
    }

    /// Moves the place of a wait queue that is at this waiter to another, or takes it away. Returns whether it was
    /// there.
    fn leave(&mut self, queue: (Key, Lane), waiter: Key, next: Option<(u64, Position)>) -> bool {
        let Some(place) = self.places.get(&queue).filter(|place| place.position.waiter == waiter) else {
            return false;
        };
        let ticket = place.ticket;
        self.set(queue, next.map(|(arrival, position)| QueuePlace { ticket, arrival, position }));
        true
    }

    /// Has a wait queue examined from this place on, or from an earlier one if it has that, with the earlier ticket.
    fn lower(&mut self, queue: (Key, Lane), place: QueuePlace) {
        let place = match self.places.get(&queue) {
            Some(&before) if before.arrival <= place.arrival && before.ticket <= place.ticket => return,
            Some(&before) if before.arrival <= place.arrival => QueuePlace { ticket: place.ticket, ..before },
            Some(before) => QueuePlace { ticket: place.ticket.min(before.ticket), ..place },
            None => place,
        };
        self.set(queue, Some(place));
    }

    /// Has a wait queue that has a place examined from this one on, or from that. Takes the later ticket, and returns
    /// the one that it had.
    fn renew(&mut self, queue: (Key, Lane), place: QueuePlace) -> Option<Ticket> {
        let before = *self.places.get(&queue)?;
        let later = QueuePlace { ticket: place.ticket, ..before };
        self.set(queue, Some(if before.arrival <= place.arrival { later } else { place }));
        Some(before.ticket)
    }

    /// Moves the place of a wait queue, or takes it away.
    fn set(&mut self, queue: (Key, Lane), place: Option<QueuePlace>) {
        let entry = |place: QueuePlace| (place.ticket, place.arrival, Candidate::Queued(queue.0, queue.1));
        let before = match place {
            Some(place) => self.places.insert(queue, place),
            None => self.places.remove(&queue),
        };
        if let Some(before) = before {
            self.order.remove(&entry(before));
        }
        if let Some(place) = place {
            self.order.insert(entry(place));
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
        let place =
            QueuePlace { ticket: self.ticket, arrival: self.waiters[position.waiter].arrival, position };
        if self.has_unfinished
            && let Some(before) = self.unfinished.agenda.renew((object, lane), place)
        {
            return self.unfinished.note_renewed(before, self.ticket);
        }
        self.agenda.lower((object, lane), place);
        self.note_agenda();
    }

    /// Notes that a thread has taken a reentrant lock: it need not queue for it, whichever of its waits is for it.
    pub(crate) fn touch_waits_of(&mut self, caller: Caller) {
        if self.is_waiting(caller) {
            self.agenda.takers.push(self.ticket, (caller, Key::MIN));
            self.note_agenda();
        }
    }

    /// Frees an object later, if nothing keeps it then.
    pub(crate) fn free_later(&mut self, object: Handle) {
        self.agenda.unused.push((self.ticket, object));
        self.note_agenda();
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
        let mut was_there = self.agenda.leave((object, lane), position.waiter, next);
        if self.has_unfinished {
            was_there |= self.unfinished.agenda.leave((object, lane), position.waiter, next);
        }
        if was_there && next.is_none() {
            self.found_claimant(object, lane, None);
        }
    }

    /// Whether a wait queue has a place, at or before a waiter that came as this number.
    #[cold]
    pub(crate) fn comes_to(&self, queue: (Key, Lane), arrival: u64) -> bool {
        self.agenda.comes_to(queue, arrival)
            || (self.has_unfinished && self.unfinished.agenda.comes_to(queue, arrival))
    }

    /// Notes who has the first claim in a wait queue, if that is sought.
    fn found_claimant(&mut self, object: Key, lane: Lane, found: Option<Key>) {
        // The object may have ended with its last waiter.
        if let Some(object) = self.catalog.get_mut(object)
            && object.lanes().contains(&lane)
        {
            object.wait_queue_mut(lane).found_claimant(found);
        }
    }

    /// Whether the claimant of a wait queue is sought: it is the first waiter that is passed by and has a claim.
    fn seeks_claimant(&self, object: Key, lane: Lane) -> bool {
        self.catalog.get(object).is_some_and(|object| {
            object.lanes().contains(&lane) && object.wait_queue_in(lane).claimant() == Claimant::Sought
        })
    }

    /// Notes that a walk of a wait queue has passed a waiter that came as this number, or was stopped by it.
    #[cold]
    fn passed(&mut self, queue: (Key, Lane), (waiter, arrival): (Key, u64), is_last: bool) {
        let (object, lane) = queue;
        if !self.seeks_claimant(object, lane) {
            return;
        }
        let stays = self.waiters.get(waiter).is_some_and(|at| at.arrival == arrival && at.has_claim());
        if stays {
            self.found_claimant(object, lane, Some(waiter));
        } else if is_last && !self.comes_to(queue, u64::MAX) {
            self.found_claimant(object, lane, None);
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
        // Each that was sought was found, or the agenda still comes to it.
        self.seeks_claimants &= self.has_unfinished;
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
                    self.agenda.full.push(self.ticket, key);
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
            let arrival = self.waiters[position.waiter].arrival;
            let goes_on = self.examine(position.waiter, position.target(), Some((object, lane)));
            if self.seeks_claimants {
                self.passed((object, lane), (position.waiter, arrival), next.is_none());
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Does the first thing on the agenda. Returns false if there is none.
    fn do_next(&mut self) -> bool {
        if !self.agenda.ending.is_empty() {
            self.go_on_ending();
            return true;
        }
        let agenda = &mut self.agenda;
        let ticket = agenda.ticket_to_serve();
        if ticket != Ticket::NEVER && ticket <= agenda.ticket_to_free() {
            self.ticket = ticket;
            self.serve_next_of(ticket);
        } else if let Some(key) = agenda.relocking.pop() {
            self.break_deadlock(key);
        } else if let Some((ticket, noted)) = agenda.unused.pop() {
            self.ticket = ticket;
            self.free(noted);
        } else {
            return false;
        }
        true
    }

    fn go_on_ending(&mut self) {
        if let Some((ticket, work)) = self.agenda.ending.pop() {
            self.ticket = ticket;
            self.go_on_with(work);
        }
    }

    /// Does the first thing that has this ticket and may serve waiters.
    fn serve_next_of(&mut self, ticket: Ticket) {
        let agenda = &mut self.agenda;
        if let Some(work) = agenda.long.pop_of(ticket) {
            self.go_on_with(work);
        } else if agenda.takers.ticket() == ticket {
            self.list_waits();
        } else if let Some(&(of, arrival, candidate)) = agenda.order.first()
            && of == ticket
        {
            match candidate {
                Candidate::Queued(object, lane) => self.examine_place(object, lane),
                Candidate::Single(waiter) => {
                    agenda.order.pop_first();
                    agenda.singles.remove(&arrival);
                    if self.waiters.get(waiter).is_some_and(|waiter| waiter.arrival == arrival) {
                        self.examine(waiter, 0, None);
                    }
                }
            }
        } else if let Some(key) = agenda.full.pop_of(ticket) {
            // It may have ended, and what has its key may be something else.
            if let Some(object) = self.catalog.get(key)
                && object.body.service(object.wait_queue_in(Lane::Main).len()) == Served::Together
            {
                self.barrier_serve(key);
            }
        }
    }

    /// Examines the waiter at the place of a wait queue.
    fn examine_place(&mut self, object: Key, lane: Lane) {
        let queue = (object, lane);
        let QueuePlace { ticket, arrival, position } = self.agenda.places[&queue];
        let next = wait_queue::next_waiter(&self.waiters, position);
        let place_at = |next: Position| QueuePlace {
            ticket,
            arrival: self.waiters[next.waiter].arrival,
            position: next,
        };
        self.agenda.set(queue, next.map(place_at));
        if !self.examine(position.waiter, position.target(), None) {
            self.agenda.set(queue, None);
        }
        if self.seeks_claimants {
            self.passed(queue, (position.waiter, arrival), next.is_none());
        }
    }

    /// Puts the waiters of a thread into the order.
    fn list_waits(&mut self) {
        self.step(STEPS_PER_LISTED);
        let Some((caller, from)) = self.agenda.takers.first_mut() else { return };
        match self.blocked.range((*caller, *from)..=(*caller, Key::MAX)).next() {
            Some(&(_, key)) => {
                *from = key.saturating_add(1);
                self.agenda.examine_single(self.ticket, self.waiters[key].arrival, key);
            }
            None => drop(self.agenda.takers.pop()),
        }
    }
}

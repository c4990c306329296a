//! Departures: what a session leaves behind when it ends.
//!
//! It may be much: a million objects, or a hundred thousand batches. So a departure goes on in slices if an input does
//! not do for all of it, between other inputs. Meanwhile the session is still listed, and what the departure has not
//! come to is as if the process lived a moment longer: a lock is held, a batch goes on. First of all go its waits;
//! those of them that have not gone yet are served no more. What another process hands to them all the same, by a
//! notification or at a barrier, is given back with the rest. One that was decided together with others, before the
//! session ended, is told first. The session gets no answers and no signals any more.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use protocol::SessionId;
use serde::{Deserialize, Serialize};

use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Unconfirmed};
use crate::sessions::session::Abandoner;
use crate::store::memory::REFERENCE_BYTES;
use crate::{SessionEnd, State};

/// How many steps it counts to let go of a batch.
const STEPS_PER_BATCH: u64 = 64;

/// How many steps it counts to deal with the calls of a grant.
const STEPS_PER_GRANT: u64 = 32;

/// How many steps it counts to let go of anything else.
const STEPS_PER_THING: u64 = 8;

/// How many process sessions to name that are bound to a session that is ending.
const BOUND_SHOWN_MAX: usize = 8;

/// The departures that take more steps than one input may, the next to go on with first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Departures {
    under_way: VecDeque<Box<Departure>>,
}

/// A session that has ended and still leaves things behind.
#[derive(Debug, Serialize, Deserialize)]
struct Departure {
    session: SessionId,
    ending: SessionEnd,
    abandoner: Abandoner,
    /// What happened, in a sentence.
    what: String,
    /// What its waits took and could not bring to it.
    undelivered: Vec<Unconfirmed>,
    /// What of it goes.
    scope: DepartureScope,
}

/// What of a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum DepartureScope {
    /// Only the waits go, as processes that are bound to the session are still there.
    Waits,
    /// All goes.
    All,
}

impl Departures {
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Takes out the departure of a session, if it has begun.
    fn take_of(&mut self, session: SessionId) -> Option<Box<Departure>> {
        let place = self.under_way.iter().position(|departure| departure.session == session)?;
        self.under_way.remove(place)
    }
}

/// As in `left; what is bound to it has not ended yet: process session 4711`.
fn still_bound(how: &str, bound: &[u32]) -> String {
    let mut text = format!("{how}; what is bound to it has not ended yet: process session");
    bound.iter().take(BOUND_SHOWN_MAX).for_each(|leader| text.push_str(&format!(" {leader}")));
    match bound.len().saturating_sub(BOUND_SHOWN_MAX) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

impl State {
    /// Ends the waits of a session that ends as soon as the processes bound to it are gone. So nothing goes to the
    /// dead, and what it holds stays held.
    pub(crate) fn session_ending(&mut self, id: SessionId, ending: &SessionEnd, bound: &[u32]) {
        let how = still_bound(&ending.to_string(), bound);
        self.session_at(id).ending = Some(how.into());
        self.depart_by(id, ending, DepartureScope::Waits);
    }

    /// Handles the end of a session, at once or in slices.
    pub(crate) fn session_ended(&mut self, id: SessionId, ending: &SessionEnd) {
        let session = self.session_at(id);
        assert!(!session.has_ended, "a session ends once");
        session.has_ended = true;
        self.depart_by(id, ending, DepartureScope::All);
    }

    /// Begins a departure, or goes on with that of the waits.
    fn depart_by(&mut self, id: SessionId, ending: &SessionEnd, scope: DepartureScope) {
        let session = self.session_at(id);
        session.deferral = Default::default();
        let abandoner = Abandoner::of(id, session, ending.to_string().into());
        let what = abandoner.describe();
        let departure = Departure {
            session: id,
            ending: ending.clone(),
            abandoner,
            what,
            undelivered: Vec::new(),
            scope,
        };
        let departure = match self.departures.take_of(id) {
            Some(begun) => Departure { undelivered: begun.undelivered, ..departure },
            None => departure,
        };
        self.depart(Box::new(departure));
    }

    /// Whether a session has ended or is about to, so that nothing goes to it any more.
    pub(crate) fn is_departing(&self, session: SessionId) -> bool {
        !self.departures.is_empty()
            && self
                .sessions
                .get(&session)
                .is_some_and(|session| session.has_ended || session.ending.is_some())
    }

    /// Goes on with the next departure.
    pub(crate) fn go_on_departing(&mut self) {
        if let Some(departure) = self.departures.under_way.pop_front() {
            self.depart(departure);
        }
    }

    fn depart(&mut self, mut departure: Box<Departure>) {
        if self.has_decided_wait(&departure) {
            return self.departures.under_way.push_back(departure);
        }
        while self.leave_next(&mut departure) {
            if self.is_over() || self.has_decided_wait(&departure) {
                return self.departures.under_way.push_back(departure);
            }
        }
        if departure.scope != DepartureScope::Waits
            && let Some(session) = self.sessions.remove(&departure.session)
        {
            self.memory.give_back(session.bytes());
        }
    }

    /// Whether a session has to be told first how a wait of it has ended, together with others.
    fn has_decided_wait(&self, departure: &Departure) -> bool {
        let next = || self.sessions.get(&departure.session).and_then(|session| session.waiters().next());
        self.has_unfinished && next().is_some_and(|waiter| self.is_decided(waiter))
    }

    /// Leaves the next thing behind. Returns false if there is none.
    fn leave_next(&mut self, departure: &mut Departure) -> bool {
        let Departure { session: id, abandoner, what, .. } = departure;
        let next_waiter = self.session_at(*id).waiters().next();
        if let Some(waiter) = next_waiter {
            let undelivered = self.forsake(waiter, what);
            departure.undelivered.extend(undelivered);
            return true;
        }
        if departure.scope == DepartureScope::Waits {
            self.step(STEPS_PER_THING);
            // Backwards, because each goes to the front of its queue.
            let undelivered = departure.undelivered.pop();
            return undelivered.map(|grant| self.give_back(grant)).is_some();
        }
        if let Some(batch) = self.session_at(*id).batches.pop_first() {
            self.step(STEPS_PER_BATCH);
            self.batch_abandoned(batch, abandoner);
            return true;
        }
        self.step(STEPS_PER_THING);
        let session = self.session_at(*id);
        if let Some((granted, found)) = session.pop_grant() {
            self.step(STEPS_PER_GRANT);
            self.calls_left_behind(granted, found.as_ref(), departure.ending.tells_what_has_begun(), what);
        } else if let Some(key) = session.held.pop_first() {
            if Body::abandoned(self, key, abandoner, what) {
                self.session_at(*id).held.insert(key);
            }
        } else if let Some(grant) = departure.undelivered.pop() {
            // Backwards, because each goes to the front of its queue.
            self.give_back(grant);
        } else if let Some(grant) = session.pop_unconfirmed(&departure.ending) {
            match departure.ending {
                SessionEnd::Goodbye => self.let_go(grant),
                SessionEnd::Died(_) => self.give_back(grant),
            }
        } else if let Some((blob, count)) = session.blobs.pop() {
            self.blob_release(blob, count);
        } else if let Some((_, held)) = session.references.pop_first() {
            self.memory.give_back(REFERENCE_BYTES);
            self.release(held);
        } else {
            return false;
        }
        true
    }
}

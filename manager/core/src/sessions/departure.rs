//! Departures: what a session leaves behind when it ends.
//!
//! It may be much: a million objects, or a hundred thousand batches. So a departure goes on in slices if an input does
//! not do for all of it, between other inputs. Meanwhile the session is still listed, and what the departure has not
//! come to is as if the process lived a moment longer: a lock is held, a batch goes on. First of all go its waits, so
//! that nothing goes to the dead; only if they are many, something may, and is given back with the rest. The session
//! gets no answers and no signals any more.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use protocol::SessionId;
use serde::{Deserialize, Serialize};

use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Unconfirmed};
use crate::sessions::session::Abandoner;
use crate::{SessionEnd, State};

/// How many steps it counts to let go of a batch.
const STEPS_PER_BATCH: u64 = 64;

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
    /// Whether the calls that were granted to it are dealt with.
    has_left_calls: bool,
}

impl Departures {
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
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
    /// dead, and what it holds stays held. If the waits are more than an input may end, the others go with the session.
    pub(crate) fn session_ending(&mut self, id: SessionId, ending: &SessionEnd, bound: &[u32]) {
        let how: Arc<str> = ending.to_string().into();
        let session = self.session_at(id);
        session.ending = Some(still_bound(&how, bound).into());
        session.is_terminating = true;
        session.deferral = Default::default();
        let what = Abandoner::of(id, session, how).describe();
        let mut undelivered = Vec::new();
        loop {
            let next_waiter = self.session_at(id).waiters().next();
            let Some(waiter) = next_waiter.filter(|_| !self.is_over()) else { break };
            undelivered.extend(self.forsake(waiter, &what));
        }
        // Backwards, because each goes to the front of its queue.
        undelivered.into_iter().rev().for_each(|grant| self.give_back(grant));
    }

    /// Handles the end of a session, at once or in slices.
    pub(crate) fn session_ended(&mut self, id: SessionId, ending: &SessionEnd) {
        let how = ending.to_string().into();
        let session = self.session_at(id);
        assert!(!session.is_gone, "a session ends once");
        session.is_gone = true;
        session.deferral = Default::default();
        let abandoner = Abandoner::of(id, session, how);
        let what = abandoner.describe();
        let ending = ending.clone();
        let departure = Departure {
            session: id,
            ending,
            abandoner,
            what,
            undelivered: Vec::new(),
            has_left_calls: false,
        };
        self.depart(Box::new(departure));
    }

    /// Goes on with the next departure.
    pub(crate) fn go_on_departing(&mut self) {
        if let Some(departure) = self.departures.under_way.pop_front() {
            self.depart(departure);
        }
    }

    fn depart(&mut self, mut departure: Box<Departure>) {
        while self.leave_next(&mut departure) {
            if self.is_over() {
                return self.departures.under_way.push_back(departure);
            }
        }
        self.sessions.remove(&departure.session);
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
        if let Some(batch) = self.session_at(*id).batches.pop_first() {
            self.step(STEPS_PER_BATCH);
            self.batch_abandoned(batch, abandoner);
            return true;
        }
        self.step(STEPS_PER_THING);
        let session = self.session_at(*id);
        if !departure.has_left_calls {
            departure.has_left_calls = true;
            if let Some(grants) = session.grants.take() {
                self.step(STEPS_PER_THING * grants.len() as u64);
                self.grants_left_behind(&grants, &departure.ending, what);
            }
        } else if let Some(key) = session.held.pop_first() {
            Body::abandoned(self, key, abandoner, what);
        } else if let Some(grant) = departure.undelivered.pop() {
            // Backwards, because each goes to the front of its queue.
            self.give_back(grant);
        } else if let Some(grant) = session.pop_unconfirmed(&departure.ending) {
            match departure.ending {
                SessionEnd::Goodbye => self.let_go(grant),
                SessionEnd::Died(_) => self.give_back(grant),
            }
        } else if let Some((_, held)) = session.references.pop_first() {
            self.release(held);
        } else {
            return false;
        }
        true
    }
}

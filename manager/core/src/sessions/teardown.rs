//! Teardowns: how a session that has ended goes, and what it leaves behind.
//!
//! It may be much: a million objects, or a hundred thousand batches. So a teardown goes on in slices if an input does
//! not do for all of it, between other inputs. Meanwhile the session is still listed, and what the teardown has not
//! come to is as if the process lived a moment longer: a lock is held, a batch goes on. A teardown first ends the
//! session's waits, and from the beginning none of them is served. What another process hands to one of them all the
//! same, by a notification or at a barrier, is given back with the rest. A wait whose outcome was decided together with
//! others before the session ended is answered before that. The session gets no answers and no signals any more.

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

/// How many steps it counts to leave behind what is held, beyond those of anything else.
const STEPS_PER_HELD: u64 = 16;

/// How many steps it counts to let go of anything else.
const STEPS_PER_THING: u64 = 8;

/// How many process sessions to name that are bound to a session that is ending.
const BOUND_SHOWN_MAX: usize = 8;

/// The teardowns that take more steps than one input may, the next to go on with first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Teardowns {
    under_way: VecDeque<Box<Teardown>>,
}

/// A session that has ended, and of which something is left.
#[derive(Debug, Serialize, Deserialize)]
struct Teardown {
    session: SessionId,
    ending: SessionEnd,
    abandoner: Abandoner,
    /// What happened, in a sentence.
    what: String,
    /// What its waits took and could not bring to it.
    undelivered: Vec<Unconfirmed>,
    /// What of it goes.
    scope: TeardownScope,
}

/// What of a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum TeardownScope {
    /// Only the waits go, as processes that are bound to the session are still there.
    Waits,
    /// All goes.
    All,
}

impl Teardowns {
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Takes out the teardown of a session, if it has begun.
    fn take_of(&mut self, session: SessionId) -> Option<Box<Teardown>> {
        let place = self.under_way.iter().position(|teardown| teardown.session == session)?;
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
        self.begin_teardown(id, ending, TeardownScope::Waits);
    }

    /// Handles the end of a session, at once or in slices.
    pub(crate) fn session_ended(&mut self, id: SessionId, ending: &SessionEnd) {
        let session = self.session_at(id);
        assert!(!session.has_ended, "a session ends once");
        session.has_ended = true;
        self.begin_teardown(id, ending, TeardownScope::All);
    }

    /// Begins a teardown, or goes on with that of the waits.
    fn begin_teardown(&mut self, id: SessionId, ending: &SessionEnd, scope: TeardownScope) {
        let session = self.session_at(id);
        session.deferral = Default::default();
        let abandoner = Abandoner::of(id, session, ending.to_string().into());
        let what = abandoner.describe();
        let teardown =
            Teardown { session: id, ending: ending.clone(), abandoner, what, undelivered: Vec::new(), scope };
        let teardown = match self.teardowns.take_of(id) {
            Some(begun) => Teardown { undelivered: begun.undelivered, ..teardown },
            None => teardown,
        };
        self.tear_down(Box::new(teardown));
    }

    /// Whether a session has ended or is about to, so that nothing goes to it any more.
    pub(crate) fn is_torn_down(&self, session: SessionId) -> bool {
        !self.teardowns.is_empty()
            && self
                .sessions
                .get(&session)
                .is_some_and(|session| session.has_ended || session.ending.is_some())
    }

    /// Goes on with the next teardown.
    pub(crate) fn go_on_tearing_down(&mut self) {
        if let Some(teardown) = self.teardowns.under_way.pop_front() {
            self.tear_down(teardown);
        }
    }

    fn tear_down(&mut self, mut teardown: Box<Teardown>) {
        if self.has_decided_wait(&teardown) {
            return self.teardowns.under_way.push_back(teardown);
        }
        while self.tear_down_next(&mut teardown) {
            if self.is_over() || self.has_decided_wait(&teardown) {
                return self.teardowns.under_way.push_back(teardown);
            }
        }
        if teardown.scope != TeardownScope::Waits
            && let Some(session) = self.sessions.remove(&teardown.session)
        {
            self.memory.give_back(session.bytes());
        }
    }

    /// Whether a session has to be told first how a wait of it has ended, together with others.
    fn has_decided_wait(&self, teardown: &Teardown) -> bool {
        let next = || self.sessions.get(&teardown.session).and_then(|session| session.waiters().next());
        self.has_unfinished && next().is_some_and(|waiter| self.is_decided(waiter))
    }

    /// Ends, releases or abandons the next thing. Returns false if there is none.
    fn tear_down_next(&mut self, teardown: &mut Teardown) -> bool {
        let Teardown { session: id, abandoner, what, .. } = teardown;
        let next_waiter = self.session_at(*id).waiters().next();
        if let Some(waiter) = next_waiter {
            let undelivered = self.undo_wait(waiter, what);
            teardown.undelivered.extend(undelivered);
            return true;
        }
        if teardown.scope == TeardownScope::Waits {
            self.step(STEPS_PER_THING);
            // Backwards, because each goes to the front of its queue.
            let undelivered = teardown.undelivered.pop();
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
            self.calls_left_behind(granted, found.as_ref(), teardown.ending.tells_what_has_begun(), what);
        } else if let Some((_, key)) = session.held.pop_first() {
            self.step(STEPS_PER_HELD);
            if Body::abandoned(self, key, abandoner, what) {
                self.session_at(*id).hold(key);
            }
        } else if let Some(grant) = teardown.undelivered.pop() {
            // Backwards, because each goes to the front of its queue.
            self.give_back(grant);
        } else if let Some(grant) = session.pop_unconfirmed(&teardown.ending) {
            match teardown.ending {
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

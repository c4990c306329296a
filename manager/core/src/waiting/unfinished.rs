//! Work that an input could not finish within its steps, such as serving a long wait queue, and that later inputs
//! continue.
//!
//! It is done in slices, between other inputs. Until it is finished:
//!
//! - What the input changed is changed for everyone: an event that was set is set, a lock that was released is free.
//! - The waiters that the agenda has not come to are still blocked, and are served in the order in which they came. No
//!   wait that begins meanwhile, and none that another input serves, takes what one of them could still get: to those
//!   behind its place, such an object is not ready.
//! - A request with an answer that promises something about these waiters gets it when all are served: as always, the
//!   answer to a set comes after those whom the set let through. Until then its session's other requests wait. It does
//!   not wait for what others ask for later: see the [agenda](crate::waiting::agenda).
//! - A wait whose time is over goes on for a moment if the agenda may still come to it. A wait may be cancelled, and
//!   its session may end.
//! - Some decisions are about all that wait at one time: a notification for many, a full barrier, a reset. What becomes
//!   of them is decided at once, and they are told in their order. Until then nothing else becomes of them: no other
//!   target and no time ends such a wait, a cancel of it has to wait, and so does the end of its session.
//! - An object that was removed is gone for everyone at once, and [refuses](crate::objects::ended) its waiters.
//! - A request that would see half of it, or undo it, has to wait as well: see [`holds_back`](State::holds_back). The
//!   clear of an event does not keep those from going on whom its set let through.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem::{swap, take};

use protocol::{Reply, Request, RequestId, SessionId, Target, Targets};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::object_body::{ObjectBody, Served};
use crate::store::slab::Key;
use crate::waiting::agenda::Agenda;
use crate::waiting::ticket_queue::Ticket;
use crate::waiting::wait::{Lane, Relock, Waiter};
use crate::waiting::wait_queue::WaitQueueEntry;

/// What earlier inputs have not finished.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct UnfinishedWork {
    /// What is to be done.
    pub(crate) agenda: Agenda,
    /// The replies that come once all is done that has their tickets or earlier ones.
    delayed_replies: BTreeMap<(Ticket, SessionId), (RequestId, Reply)>,
    /// Whether the current request has left something.
    pub(crate) has_grown: bool,
}

impl UnfinishedWork {
    /// Notes that the current input renewed the place of a wait queue: the replies that came once all of it was
    /// examined still do.
    pub(crate) fn note_renewed(&mut self, before: Ticket, now: Ticket) {
        self.has_grown = true;
        let first = SessionId(0);
        let renewed = self.delayed_replies.extract_if((before, first)..(before.next(), first), |_, _| true);
        let renewed: Vec<_> = renewed.map(|((_, session), answer)| ((now, session), answer)).collect();
        self.delayed_replies.extend(renewed);
    }
}

impl State {
    /// Whether a request has to wait until what earlier inputs have left is done. The driver then applies it later, and
    /// later requests of its session after it; it may ask again after each input. If the driver applies it all the
    /// same, this input first does all that is left, however long that takes.
    pub fn holds_back(&self, session: SessionId, request: &Request<'_>) -> bool {
        self.has_unfinished
            && (self.has_unfinished_request(session) || self.depends_on_unfinished(session, request))
    }

    /// Whether a session has a request that is unfinished: all of its others wait until that is answered.
    pub fn has_unfinished_request(&self, session: SessionId) -> bool {
        self.has_unfinished && self.sessions.get(&session).is_some_and(|session| session.has_delayed_reply)
    }

    /// Whether a target would be taken from waiters who came before.
    fn is_reserved_at(&self, target: &Target<'_>) -> bool {
        let Some(key) = self.catalog.key(target.object().0) else { return false };
        self.catalog.at(key).body.may_be_used_up()
            && (self.unfinished.agenda.comes_to_any(key) || self.unfinished.agenda.joins(key))
    }

    /// Whether this waiter's outcome is already decided and only its answer is still to be sent. Nothing else becomes
    /// of it meanwhile.
    pub(crate) fn is_decided(&self, key: Key) -> bool {
        let waiter = &self.waiters[key];
        waiter.targets.iter().any(|entry| {
            entry.want.affects_others() && self.catalog.at(entry.object).body.decided_upto() >= waiter.arrival
        })
    }

    /// Whether a waiter waits for calls although its process is to end, so that it is refused soon.
    pub(crate) fn is_to_be_refused(&self, waiter: &Waiter) -> bool {
        waiter.wants_calls() && self.sessions[&waiter.caller.session].is_terminating
    }

    /// Whether a wait for these targets has to wait for those who came before, even if it only asks.
    pub(crate) fn may_be_unfinished(&self, targets: &Targets<'_>) -> bool {
        self.has_unfinished && targets.iter().any(|target| self.is_reserved_at(target))
    }

    /// Whether waiters who came before a waiter may still get what it would take of this object.
    pub(crate) fn is_reserved(&self, waiter: &Waiter, entry: &WaitQueueEntry) -> bool {
        let body = &self.catalog.at(entry.object).body;
        self.unfinished.agenda.comes_to((entry.object, entry.want.lane()), waiter.arrival)
            && body.is_used_up(&entry.want)
            && !body.is_held_by(waiter.caller)
    }

    /// Whether what is left may come to a waiter, and serve it.
    pub(crate) fn may_yet_be_served(&self, key: Key) -> bool {
        let waiter = &self.waiters[key];
        self.step(waiter.targets.len() as u64);
        let comes = |entry: &WaitQueueEntry| {
            let object = self.catalog.at(entry.object);
            self.unfinished.agenda.comes_to((entry.object, entry.want.lane()), waiter.arrival)
                || object.body.service(object.wait_queue_in(Lane::Main).len()) == Served::Together
        };
        let is_before = |relock: Relock| self.unfinished.agenda.joins(relock.lock);
        self.unfinished.agenda.comes_to_waiter(waiter)
            || waiter.targets.iter().any(comes)
            || self.is_decided(key)
            || waiter.relock.is_some_and(is_before)
    }

    /// Finishes earlier work that a request would have to wait for, if the driver applies it all the same.
    pub(crate) fn finish_earlier_work(&mut self, session: SessionId, request: &Request<'_>) {
        if self.holds_back(session, request) {
            self.without_limit(|state| {
                while state.has_unfinished {
                    state.serve_unfinished();
                }
            });
        }
        self.unfinished.has_grown = false;
    }

    /// Answers a request, once everything is done that follows from it.
    pub(crate) fn reply_when_done(&mut self, session: SessionId, request: RequestId, reply: Reply) {
        self.settle();
        if self.has_unfinished && self.unfinished.has_grown && request.wants_answer() {
            self.session_at(session).has_delayed_reply = true;
            self.unfinished.delayed_replies.insert((self.ticket, session), (request, reply));
            return;
        }
        self.reply(session, request, reply);
    }

    /// Postpones the agenda to later inputs.
    pub(crate) fn postpone_agenda(&mut self) {
        // One search for all of them takes less than one for each.
        for key in take(&mut self.agenda.relocking) {
            if let Some(waiter) = self.waiters.get(key)
                && !self.has_way_out(waiter)
            {
                self.search_for(waiter.caller);
            }
        }
        if self.agenda.is_empty() {
            return;
        }
        self.has_unfinished = true;
        self.unfinished.has_grown = true;
        if self.unfinished.agenda.is_empty() {
            swap(&mut self.unfinished.agenda, &mut self.agenda);
        } else {
            let agenda = take(&mut self.agenda);
            self.unfinished.agenda.append(agenda);
        }
    }

    /// Goes on with what is left.
    pub(crate) fn serve_unfinished(&mut self) {
        swap(&mut self.unfinished.agenda, &mut self.agenda);
        self.has_unfinished = false;
        self.note_agenda();
        let ticket = self.ticket;
        self.settle_all();
        self.ticket = ticket;
        self.send_delayed_replies();
    }

    /// Sends the replies that were delayed until now.
    fn send_delayed_replies(&mut self) {
        let undone = if self.has_unfinished { self.unfinished.agenda.ticket() } else { Ticket::NEVER };
        while let Some(delayed) = self.unfinished.delayed_replies.first_entry()
            && delayed.key().0 < undone
        {
            let ((_, session), (request, reply)) = delayed.remove_entry();
            if let Some(session) = self.sessions.get_mut(&session) {
                session.has_delayed_reply = false;
            }
            self.reply(session, request, reply);
        }
    }
}

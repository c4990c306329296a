//! Sessions: what a client process refers to and has not confirmed, and what its end leaves behind ("Endings").

use std::collections::BTreeMap;
use std::sync::Arc;

use manager_core::{Peer, SessionEnd};
use protocol::{BlobId, ObjectId, SessionId};

use super::calls::Recorded;
use super::effects::Expected;
use super::events::SetBy;
use super::queues::Item;
use super::waits::Decision;
use super::{Body, Model, Pin, abandonment, how};

pub(crate) struct Session {
    pub(crate) process: u32,
    pub(crate) program: Arc<str>,
    pub(crate) since: u64,
    /// How many answers it was sent.
    pub(crate) answers: u64,
    /// How often it refers to each object, also to those that were removed since.
    pub(crate) references: BTreeMap<ObjectId, (u64, u32)>,
    /// How many references it has to each blob.
    pub(crate) blobs: BTreeMap<BlobId, u64>,
    /// What it was granted, with the number of the answer that brought it.
    pub(crate) unconfirmed: Vec<(u64, Unconfirmed)>,
    /// Whether it shares memory for deferred releases, and how many of its locks are wanted.
    pub(crate) defers: bool,
    pub(crate) wanted: u64,
    /// Whether it shares memory for a call record.
    pub(crate) has_call_record: bool,
    /// Whether it was sent a signal to end, and gets no more calls.
    pub(crate) is_terminating: bool,
    /// How it has ended, and what it waits for, if it waits for processes that are bound to it.
    pub(crate) ending: Option<Arc<str>>,
    /// What its call record says.
    pub(crate) recorded: Option<Recorded>,
}

/// A grant that goes to the next waiter if its receiver dies before it has confirmed the answer.
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) object: Pin,
    pub(crate) what: Used,
}

#[derive(Debug)]
pub(crate) enum Used {
    /// The set of an auto-reset event that had been cleared so often.
    Set {
        cause: SetBy,
        clears: u64,
    },
    Notification,
    Item(Item),
}

impl Session {
    pub(crate) fn new(peer: &Peer, since: u64) -> Session {
        Session {
            process: peer.process,
            program: peer.program.as_str().into(),
            since,
            answers: 0,
            references: BTreeMap::new(),
            blobs: BTreeMap::new(),
            ending: None,
            unconfirmed: Vec::new(),
            defers: false,
            wanted: 0,
            is_terminating: false,
            has_call_record: false,
            recorded: None,
        }
    }
}

impl Model {
    /// Notes that a client has read this many answers. Returns false if that is impossible.
    pub(crate) fn confirm(&mut self, session: SessionId, received: u64) -> bool {
        // Waits of this session may have timed out in the same step, before its request.
        let mut number = self.sessions[&session].answers;
        let mut read = Vec::new();
        for effect in &mut self.effects {
            if let Expected::Reply { session: to, unconfirmed, .. } = effect
                && *to == session
            {
                number += 1;
                if number <= received {
                    read.append(unconfirmed);
                }
            }
        }
        if received > number {
            return false;
        }
        let receiver = self.sessions.get_mut(&session).unwrap();
        let is_read = |(number, _): &mut (u64, Unconfirmed)| *number <= received;
        read.extend(receiver.unconfirmed.extract_if(.., is_read).map(|(_, grant)| grant));
        self.note_if_unused |= !read.is_empty();
        true
    }

    /// Gives a grant that its receiver never got to the next waiter.
    pub(crate) fn pass_on(&mut self, Unconfirmed { object, what }: Unconfirmed) {
        self.note_if_unused = true;
        if self.exists(object) {
            match what {
                Used::Set { cause, clears } => self.event_set_again(object.0, cause, clears),
                Used::Notification => {
                    self.wake_first(object.0, true);
                }
                Used::Item(item) => self.queue(object.0).unwrap().bring_back(item),
            }
        }
    }

    /// Ends the waits of a session that is gone: they vanish, and barriers at which they waited break. Returns what
    /// they had taken.
    fn end_waits(&mut self, id: SessionId) -> Vec<Unconfirmed> {
        self.note_if_unused = true;
        let mut undelivered = Vec::new();
        let its: Vec<u64> =
            self.waits.iter().filter(|(_, wait)| wait.caller.session == id).map(|(&key, _)| key).collect();
        for key in its {
            self.break_barriers_of(key);
            if let Some(Decision::Taken { grants, unconfirmed, .. }) =
                self.waits.remove(&key).unwrap().decided
            {
                self.take_blobs_back(id, &grants);
                undelivered.extend(unconfirmed);
            }
        }
        undelivered
    }

    /// A session's process or connection has ended, and processes that are bound to it have not: only its waits end.
    pub(crate) fn session_ending(&mut self, id: SessionId, ending: &SessionEnd, bound: &[u32]) {
        let undelivered = self.end_waits(id);
        undelivered.into_iter().rev().for_each(|grant| self.pass_on(grant));
        let mut text = format!("{}; what is bound to it has not ended yet: process session", how(ending));
        bound.iter().take(8).for_each(|leader| text += &format!(" {leader}"));
        if bound.len() > 8 {
            text += &format!(" and {} more", bound.len() - 8);
        }
        let session = self.sessions.get_mut(&id).unwrap();
        session.ending = Some(text.into());
        // The memory is gone.
        session.defers = false;
    }

    pub(crate) fn session_ended(&mut self, id: SessionId, ending: &SessionEnd) {
        let how = how(ending);
        let undelivered = self.end_waits(id);
        // It counts as living until what it refers to is given back.
        let what = format!("process {} ({}) {how}", self.sessions[&id].process, self.sessions[&id].program);
        self.abandon_batches(id, &how);
        self.leave_calls(id, ending, &what);
        self.orphan_pools(id, &what);
        let mut gone = self.sessions.remove(&id).unwrap();
        for effect in &mut self.effects {
            if let Expected::Reply { session, unconfirmed, .. } = effect
                && *session == id
            {
                gone.unconfirmed.extend(unconfirmed.drain(..).map(|grant| (u64::MAX, grant)));
            }
        }
        // What it holds of each object.
        let ids: Vec<ObjectId> = self.objects.keys().copied().collect();
        for object in ids {
            let now = self.now;
            match &mut self.objects.get_mut(&object).unwrap().body {
                Body::Lock(lock) => {
                    if let Some(holder) = &lock.holder
                        && holder.caller.session == id
                    {
                        let mark = abandonment(&gone, &how, now - holder.since);
                        lock.abandoned = Some(mark);
                        self.free_lock(object);
                    }
                }
                Body::Semaphore(semaphore) => semaphore.abandon(id, &gone, &how, now),
                Body::Barrier(barrier) if barrier.acting.is_some_and(|(acting, _)| acting == id) => {
                    self.break_barrier(object);
                }
                Body::Queue(queue) => queue.bring_back_unfinished(id),
                _ => {}
            }
        }
        undelivered.into_iter().rev().for_each(|grant| self.pass_on(grant));
        let unconfirmed = gone.unconfirmed.into_iter().rev();
        match ending {
            // A goodbye acknowledges every answer that was sent.
            SessionEnd::Goodbye => drop(unconfirmed),
            SessionEnd::Died(_) => unconfirmed.for_each(|(_, grant)| self.pass_on(grant)),
        }
    }
}

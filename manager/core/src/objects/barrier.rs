//! Barriers: a number of parties wait until all have come, and go on together.
//!
//! As in Python, a barrier *breaks* when a party that waits gives up: by its timeout, by its death, by `abort`. It then
//! refuses all waiters, and all that come until `reset`, with the cause. If parties brought an action, the last of them
//! to come runs it while the others go on waiting; they go when it says so, and the barrier breaks if it fails or dies.
//! A party that leaves a wait for any by another of its targets has not come, and breaks nothing; but while an action
//! runs, the parties it runs for have come, and wait for nothing else.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use protocol::{BarrierStatus, Code, Grant, Kind, ObjectId, ObjectState, Refusal, Reply, SessionId, Spec};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use crate::State;
use crate::objects::object_body::{ObjectBody, Served};
use crate::objects::reason::check_reason;
use crate::objects::{Body, Want};
use crate::sessions::session::Abandoner;
use crate::store::catalog::Object;
use crate::store::lifetime::ObjectEnd;
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Decision, Readiness};
use crate::waiting::wait_queue::{self, Position};

/// What any waiter wants of a barrier: the wait queue does not depend on the details.
const ANYONE: Want = Want::Barrier { has_action: false, index: None };

/// A barrier.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Barrier {
    parties: u32,
    /// How often all parties have come.
    turns: u64,
    /// The session that runs the action of the parties that have come.
    acting: Option<Acting>,
    broken: Option<Arc<str>>,
}

/// The session that runs an action, and the turn: a session that ran an earlier action may report its end late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Acting {
    session: SessionId,
    turn: u64,
}

impl Barrier {
    pub(crate) fn new(parties: u32) -> Result<Barrier, Refusal> {
        if parties == 0 {
            return Err(Refusal::new(Code::BadArgument, "a barrier has at least one party"));
        }
        Ok(Barrier { parties, turns: 0, acting: None, broken: None })
    }

    /// Refuses if it is broken.
    #[inline]
    fn check_whole(&self) -> Result<(), Refusal> {
        match &self.broken {
            Some(why) => Err(Refusal::new(Code::Broken, format!("the barrier is broken: {why}"))),
            None => Ok(()),
        }
    }

    fn status(&self, waiting: u32) -> BarrierStatus {
        BarrierStatus { parties: self.parties, waiting, broken: self.broken.clone() }
    }
}

impl ObjectBody for Barrier {
    fn kind(&self) -> Kind {
        Kind::Barrier
    }

    fn spec(&self, _: &State) -> Option<Spec> {
        Some(Spec::Barrier { parties: self.parties })
    }

    fn inspect(&self, state: &State, object: &Object) -> ObjectState {
        ObjectState::Barrier {
            status: self.status(state.waiters_of(object).count() as u32),
            acting: self.acting.map(|acting| state.session_info(acting.session)),
        }
    }

    /// A barrier never serves one waiter alone; it only refuses.
    fn readiness(&self, want: &Want, _: Caller) -> Readiness {
        match want {
            Want::Settled => Readiness::NotYet,
            _ => match self.check_whole() {
                Ok(()) => Readiness::NotYet,
                Err(refusal) => Readiness::Never(refusal),
            },
        }
    }

    /// A broken barrier refuses its waiters one by one. A whole one lets the parties go if all have come.
    #[inline]
    fn service(&self, waiting: u32) -> Served {
        match (self.broken.is_some(), self.acting.is_none() && waiting >= self.parties) {
            (true, _) => Served::Queues,
            (false, true) => Served::Together,
            (false, false) => Served::Nobody,
        }
    }

    fn abandoned(state: &mut State, key: Key, _: &Abandoner, what: &str) {
        state.barrier_break(key, what);
    }

    fn destroyed(&mut self, state: &mut State, key: Key, _: &ObjectEnd) {
        if let Some(Acting { session, .. }) = self.acting
            && let Some(session) = state.sessions.get_mut(&session)
        {
            session.held.remove(&key);
        }
    }
}

impl State {
    /// Lets the parties go, all of which have come.
    pub(crate) fn barrier_serve(&mut self, key: Key) {
        let parties = self.barrier_at(key).parties as usize;
        let queue = self.barrier_queue(key);
        if let Some(behind) = queue.len().checked_sub(parties) {
            self.barrier_trip(key, queue);
            // Those behind them may already be enough for the next turn.
            if behind >= parties {
                self.touch(key);
            }
        }
    }

    /// Numbers the parties, and lets them go; or, if some brought an action, the one of them that runs it.
    fn barrier_trip(&mut self, key: Key, mut queue: Vec<Position>) {
        let barrier = self.barrier_at(key);
        barrier.turns += 1;
        let turn = barrier.turns;
        queue.truncate(barrier.parties as usize);
        let mut action_runner = None;
        for (number, &position) in queue.iter().enumerate() {
            let entry = wait_queue::entry_mut(&mut self.waiters, position);
            if let Want::Barrier { has_action, index } = &mut entry.want {
                *index = Some(number as u32);
                action_runner = if *has_action { Some(position) } else { action_runner };
            }
        }
        match action_runner {
            Some(position) => {
                let session = self.waiters[position.waiter].caller.session;
                self.barrier_at(key).acting = Some(Acting { session, turn });
                self.session_at(session).held.insert(key);
                queue.iter().for_each(|&party| self.leave_other_queues(party));
                self.barrier_let_go(position, true, turn);
            }
            None => {
                let last = queue.last().copied();
                queue
                    .iter()
                    .for_each(|&position| self.barrier_let_go(position, Some(position) == last, turn));
            }
        }
    }

    /// Ends the wait of a party that was numbered.
    fn barrier_let_go(&mut self, position: Position, leads: bool, turn: u64) {
        let Want::Barrier { index: Some(number), .. } = wait_queue::entry(&self.waiters, position).want
        else {
            unreachable!("only parties that were numbered are let go");
        };
        let mut waiter = self.unpark(position.waiter);
        let grants = smallvec![Grant::Barrier { index: number, leads, turn }];
        self.conclude(
            &mut waiter,
            Decision::Taken { index: position.target(), grants, unconfirmed: SmallVec::new() },
        );
    }

    /// One position for each waiter in the wait queue.
    fn barrier_queue(&self, key: Key) -> Vec<Position> {
        let first = self.catalog.at(key).wait_queue(&ANYONE).first();
        core::iter::successors(first, |&position| wait_queue::next_waiter(&self.waiters, position)).collect()
    }

    pub(crate) fn barrier_pass(
        &mut self,
        session: SessionId,
        id: ObjectId,
        turn: u64,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Barrier)?;
        self.check_acting(key, Acting { session, turn })?;
        self.barrier_action_ended(key);
        for position in self.barrier_queue(key) {
            if matches!(wait_queue::entry(&self.waiters, position).want, Want::Barrier { index: Some(_), .. })
            {
                self.barrier_let_go(position, false, turn);
            }
        }
        self.touch(key);
        Ok(Reply::Done)
    }

    pub(crate) fn barrier_abort(
        &mut self,
        session: SessionId,
        id: ObjectId,
        turn: Option<u64>,
        reason: &str,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Barrier)?;
        check_reason(reason)?;
        if let Some(turn) = turn {
            self.check_acting(key, Acting { session, turn })?;
        }
        let who = self.describe_session(session);
        self.barrier_break(key, &format!("{who} aborted it: {reason}"));
        Ok(Reply::Done)
    }

    /// Refuses a session that does not run the action of this turn.
    fn check_acting(&mut self, key: Key, who: Acting) -> Result<(), Refusal> {
        let barrier = self.barrier_at(key);
        barrier.check_whole()?;
        if barrier.acting != Some(who) {
            let text = format!("this process does not run the action of {}", self.describe(key));
            return Err(Refusal::new(Code::NotOwner, text));
        }
        Ok(())
    }

    pub(crate) fn barrier_reset(&mut self, session: SessionId, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Barrier)?;
        let text = format!("{} was reset by {}", self.describe(key), self.describe_session(session));
        self.barrier_action_ended(key);
        self.barrier_at(key).broken = None;
        self.barrier_refuse_all(key, &Refusal::new(Code::Broken, text));
        Ok(Reply::Done)
    }

    pub(crate) fn barrier_status(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Barrier)?;
        let waiting = self.barrier_queue(key).len() as u32;
        Ok(Reply::Barrier(self.barrier_at(key).status(waiting)))
    }

    /// Breaks the barriers in whose wait queues this waiter is, because it will not wait any longer. Most waiters are
    /// in none, so they need no text that says why.
    pub(crate) fn break_barriers_of(&mut self, waiter: Key, why: impl FnOnce(&State) -> String) {
        let is_barrier = |entry: &&wait_queue::WaitQueueEntry| matches!(entry.want, Want::Barrier { .. });
        let entries = self.waiters[waiter].targets.iter().filter(is_barrier);
        let barriers: SmallVec<[Key; 1]> = entries.map(|entry| entry.object).collect();
        if !barriers.is_empty() {
            let why = why(self);
            barriers.into_iter().for_each(|barrier| self.barrier_break(barrier, &why));
        }
    }

    /// Breaks a barrier, unless it is broken: the first cause counts.
    fn barrier_break(&mut self, key: Key, why: &str) {
        self.barrier_action_ended(key);
        self.barrier_at(key).broken.get_or_insert_with(|| why.into());
        self.touch(key);
    }

    fn barrier_action_ended(&mut self, key: Key) {
        if let Some(Acting { session, .. }) = self.barrier_at(key).acting.take()
            && let Some(session) = self.sessions.get_mut(&session)
        {
            session.held.remove(&key);
        }
    }

    fn barrier_refuse_all(&mut self, key: Key, refusal: &Refusal) {
        for position in self.barrier_queue(key) {
            self.refuse_waiter(position.waiter, refusal.clone());
        }
    }

    fn barrier_at(&mut self, key: Key) -> &mut Barrier {
        match &mut self.catalog.at_mut(key).body {
            Body::Barrier(barrier) => barrier,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}

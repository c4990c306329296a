//! Barriers: a number of parties wait until all have come, and go on together.
//!
//! As in Python, a barrier *breaks* when a party that waits gives up: by its timeout, by its death, by `abort`. It then
//! refuses all waiters, and all that come until `reset`, with the cause. If parties brought an action, the last of them
//! to come runs it while the others go on waiting; they go when it says so, and the barrier breaks if it fails or dies.
//! A party that leaves a wait for any by another of its targets has not come, and breaks nothing; but while an action
//! runs, the parties it runs for have come, and wait for nothing else.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use protocol::{BarrierStatus, Code, Grant, Kind, ObjectId, ObjectState, Refusal, Reply, SessionId, Spec};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use crate::State;
use crate::objects::object_body::{ObjectBody, Served};
use crate::objects::reason::check_reason;
use crate::objects::{Body, Want};
use crate::sessions::session::Abandoner;
use crate::store::catalog::{Object, Pin};
use crate::store::lifetime::ObjectEnd;
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Decision, Readiness};
use crate::waiting::wait_queue::{self, Position};
use crate::work::LongWork;

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
    /// While the parties are told in slices what becomes of them: the number of the last waiter that had come when that
    /// was decided.
    decided_upto: u64,
}

/// What becomes of those who wait when that is decided.
#[derive(Debug, Serialize, Deserialize)]
enum Fate {
    /// All parties have come. They get their numbers: this many have theirs, and the next is here.
    Numbered { numbered: u32, next: Option<Position>, action_runner: Option<Position> },
    /// Those that have a number go. Whether the last of them leads.
    LetGo { turn: u64, leads: bool },
    /// They are refused, up to that of this number.
    Refused { refusal: Refusal, upto: u64 },
}

/// More parties of a barrier are dealt with than one input may.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ToldParties {
    barrier: Pin,
    fate: Fate,
}

impl ToldParties {
    /// Whether it is that of this barrier.
    pub(crate) fn concerns(&self, object: Key) -> bool {
        self.barrier.0.key == object
    }
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
        Ok(Barrier { parties, turns: 0, acting: None, broken: None, decided_upto: 0 })
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
            status: self.status(object.waiting()),
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
        let may_go = self.acting.is_none() && self.decided_upto == 0;
        match (self.broken.is_some(), may_go && waiting >= self.parties) {
            (true, _) => Served::Queues,
            (false, true) => Served::Together,
            (false, false) => Served::Nobody,
        }
    }

    fn decided_upto(&self) -> u64 {
        self.decided_upto
    }

    fn abandoned(state: &mut State, key: Key, _: &Abandoner, what: &str) -> bool {
        state.barrier_break(key, what);
        false
    }

    fn destroyed(&mut self, state: &mut State, key: Key, _: &ObjectEnd) {
        if let Some(Acting { session, .. }) = self.acting
            && let Some(session) = state.sessions.get_mut(&session)
        {
            session.hold_no_more(key);
        }
    }
}

impl State {
    /// Lets the parties go, all of which have come.
    pub(crate) fn barrier_serve(&mut self, key: Key) {
        let first = self.barrier_first(key);
        self.barrier_at(key).turns += 1;
        self.barrier_decide(key, Fate::Numbered { numbered: 0, next: first, action_runner: None });
    }

    /// Answers the waiting parties, as many as this input's steps allow.
    fn barrier_decide(&mut self, key: Key, mut fate: Fate) {
        if self.barrier_tell(key, &mut fate) {
            return self.barrier_told(key);
        }
        let arrivals = self.arrivals;
        self.barrier_at(key).decided_upto = arrivals;
        let barrier = self.pin_at(key);
        self.go_on_later(LongWork::Barrier(Box::new(ToldParties { barrier, fate })));
    }

    /// Goes on telling those who wait at a barrier what becomes of them.
    pub(crate) fn go_on_with_barrier(&mut self, mut turn: Box<ToldParties>) {
        let Some(key) = self.catalog.resolve(turn.barrier.0) else { return };
        if !self.barrier_tell(key, &mut turn.fate) {
            return self.go_on_later(LongWork::Barrier(turn));
        }
        self.barrier_at(key).decided_upto = 0;
        self.barrier_told(key);
        self.unpin(turn.barrier);
    }

    /// Follows up when all were told: those who came meanwhile, or who were behind, may be enough for the next turn.
    fn barrier_told(&mut self, key: Key) {
        let object = self.catalog.at(key);
        if object.body.service(object.waiting()) != Served::Nobody {
            self.touch(key);
        }
    }

    /// Tells as many as this input may what becomes of them. Returns whether that were all.
    fn barrier_tell(&mut self, key: Key, fate: &mut Fate) -> bool {
        let Barrier { parties, turns, .. } = *self.barrier_at(key);
        loop {
            let has_more = match fate {
                Fate::Numbered { numbered, next, action_runner } if *numbered < parties => {
                    let position = next.expect("no party leaves while all get their numbers");
                    *next = wait_queue::next_waiter(&self.waiters, position);
                    if self.barrier_number(position, *numbered) {
                        *action_runner = Some(position);
                    }
                    *numbered += 1;
                    true
                }
                Fate::Numbered { action_runner: Some(runner), .. } => {
                    self.barrier_act(key, *runner, turns);
                    false
                }
                Fate::Numbered { .. } => {
                    *fate = Fate::LetGo { turn: turns, leads: true };
                    true
                }
                Fate::LetGo { turn, leads } => match self.barrier_first_numbered(key) {
                    Some((position, index)) => {
                        let leads = *leads && index + 1 == parties;
                        self.barrier_let_go(position, Grant::Barrier { index, leads, turn: *turn });
                        true
                    }
                    None => false,
                },
                Fate::Refused { refusal, upto } => match self.barrier_first(key) {
                    Some(first) if self.waiters[first.waiter].arrival <= *upto => {
                        self.refuse_waiter(first.waiter, refusal.clone());
                        true
                    }
                    _ => false,
                },
            };
            if !has_more || self.is_over() {
                return !has_more;
            }
        }
    }

    /// Gives a party its number. It has come, and waits for nothing else. Returns whether it brings an action.
    fn barrier_number(&mut self, position: Position, number: u32) -> bool {
        self.step(1);
        let entry = wait_queue::entry_mut(&mut self.waiters, position);
        let Want::Barrier { has_action, index } = &mut entry.want else {
            unreachable!("a party waits for the barrier");
        };
        *index = Some(number);
        let has_action = *has_action;
        let targets = self.waiters[position.waiter].targets.len();
        if targets > 1 {
            self.step(2 * targets as u64);
            self.leave_other_queues(position);
        }
        has_action
    }

    /// Lets the party go that runs the action of the others, which all have their numbers; unless the barrier was
    /// broken meanwhile.
    fn barrier_act(&mut self, key: Key, runner: Position, turn: u64) {
        if self.barrier_at(key).broken.is_some() {
            return;
        }
        let session = self.waiters[runner.waiter].caller.session;
        self.barrier_at(key).acting = Some(Acting { session, turn });
        self.session_at(session).hold(key);
        let Want::Barrier { index: Some(index), .. } = wait_queue::entry(&self.waiters, runner).want else {
            unreachable!("it has its number");
        };
        self.barrier_let_go(runner, Grant::Barrier { index, leads: true, turn });
    }

    /// Ends the wait of a party that has its number.
    fn barrier_let_go(&mut self, position: Position, grant: Grant) {
        let mut waiter = self.unpark(position.waiter);
        let unconfirmed = SmallVec::new();
        let index = position.target();
        self.conclude(&mut waiter, Decision::Taken { index, grants: smallvec![grant], unconfirmed });
    }

    fn barrier_first(&self, key: Key) -> Option<Position> {
        self.catalog.at(key).wait_queue(&ANYONE).first()
    }

    /// The first party, if it has its number. Those that have one are before all others.
    fn barrier_first_numbered(&self, key: Key) -> Option<(Position, u32)> {
        let first = self.barrier_first(key)?;
        match wait_queue::entry(&self.waiters, first).want {
            Want::Barrier { index: Some(index), .. } => Some((first, index)),
            _ => None,
        }
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
        self.barrier_decide(key, Fate::LetGo { turn, leads: false });
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
        let refusal = Refusal::new(Code::Broken, text);
        self.barrier_decide(key, Fate::Refused { refusal, upto: self.arrivals });
        Ok(Reply::Done)
    }

    pub(crate) fn barrier_status(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Barrier)?;
        let waiting = self.catalog.at(key).waiting();
        Ok(Reply::Barrier(self.barrier_at(key).status(waiting)))
    }

    /// Breaks the barriers in whose wait queues this waiter is, because it will not wait any longer. Most waiters are
    /// in none, so they need no text that says why.
    pub(crate) fn break_barriers_of(&mut self, waiter: Key, why: impl FnOnce(&State) -> String) {
        let is_barrier = |entry: &&wait_queue::WaitQueueEntry| {
            matches!(entry.want, Want::Barrier { .. }) && !self.catalog.at(entry.object).has_ended()
        };
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
            session.hold_no_more(key);
        }
    }

    fn barrier_at(&mut self, key: Key) -> &mut Barrier {
        match &mut self.catalog.at_mut(key).body {
            Body::Barrier(barrier) => barrier,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}

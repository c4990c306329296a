//! Pools: where workers get the calls that they run.
//!
//! A pool knows which of its batches have calls to begin, and grants some of each in turn, so that a small
//! batch is not stuck behind a huge one. Workers wait for a pool as for any object, first come, first served. A closed
//! pool in which every call has ended refuses its workers, which then leave.
//!
//! A session that makes a pool with `CreateNew` owns it, and it ends with its owner. A pool made with `OpenOrCreate`
//! has no owner: the processes that serve it come and go.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use core::cmp::Reverse;

use protocol::{Code, Kind, ObjectId, ObjectState, Refusal, Reply, SessionId, Spec};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::inspect::LIST_MAX;
use crate::objects::object_body::ObjectBody;
use crate::objects::reason::check_reason;
use crate::objects::{Body, Want};
use crate::sessions::session::Abandoner;
use crate::store::catalog::Object;
use crate::store::lifetime::ObjectEnd;
use crate::store::slab::Key;
use crate::store::small_map::SmallMap;
use crate::waiting::wait::{Caller, Readiness};

/// A pool.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pool {
    /// The batches with calls to begin, by priority and turn; the first is next, and gets a new turn.
    startable: BTreeMap<(Reverse<i32>, u64), Key>,
    /// The last turn that was given.
    turn_last: u64,
    /// The batches that are not complete.
    open_batches: BTreeSet<Key>,
    /// Those of which calls run: few as a rule, however many batches there are.
    running_batches: SmallMap<Key, ()>,
    /// Whether new batches are refused.
    is_closed: bool,
    /// Whether it starts no more calls.
    is_terminated: bool,
    /// What is said to those that wait for it when it ends with its last batch, if it does.
    removal: Option<String>,
    /// The session with which it ends, if it has an owner.
    owner: Option<SessionId>,
}

impl Pool {
    pub(crate) fn new() -> Pool {
        Pool {
            startable: BTreeMap::new(),
            turn_last: 0,
            open_batches: BTreeSet::new(),
            running_batches: SmallMap::default(),
            is_closed: false,
            is_terminated: false,
            removal: None,
            owner: None,
        }
    }

    /// Refuses if no new batch may come.
    pub(crate) fn check_open(&self) -> Result<(), Refusal> {
        if self.is_closed { Err(closed()) } else { Ok(()) }
    }

    /// Adds a new batch.
    pub(crate) fn add_batch(&mut self, batch: Key) {
        self.open_batches.insert(batch);
    }

    /// Notes that calls of a batch run, or that none do any more.
    pub(crate) fn batch_runs(&mut self, batch: Key, does: bool) {
        if does {
            self.running_batches.insert(batch, ());
        } else {
            self.running_batches.remove(batch);
        }
    }

    /// Gives a turn to a batch that has calls to begin, behind the others of its priority. Returns the turn.
    pub(crate) fn add_startable(&mut self, batch: Key, priority: i32) -> u64 {
        self.turn_last += 1;
        self.startable.insert((Reverse(priority), self.turn_last), batch);
        self.turn_last
    }

    /// Takes the turn from a batch.
    pub(crate) fn remove_startable(&mut self, priority: i32, turn: u64) {
        self.startable.remove(&(Reverse(priority), turn));
    }

    /// Whether no batch has calls to begin.
    pub(crate) fn has_nothing_to_start(&self) -> bool {
        self.is_terminated || self.startable.is_empty()
    }

    /// Whether it starts no more calls, as it was terminated.
    pub(crate) fn is_terminated(&self) -> bool {
        self.is_terminated
    }

    /// Starts no more calls.
    pub(crate) fn terminate(&mut self) {
        self.is_closed = true;
        self.is_terminated = true;
    }

    /// The first of its batches that are not complete, from this key on.
    pub(crate) fn open_batch_from(&self, key: Key) -> Option<Key> {
        self.open_batches.range(key..).next().copied()
    }

    /// Has it end with its last batch.
    pub(crate) fn remove_when_done(&mut self, text: String) {
        self.removal = Some(text);
    }

    /// Forgets a batch that is complete.
    pub(crate) fn remove_batch(&mut self, batch: Key) {
        self.open_batches.remove(&batch);
    }
}

impl ObjectBody for Pool {
    fn kind(&self) -> Kind {
        Kind::Pool
    }

    fn spec(&self, _: &State) -> Option<Spec> {
        Some(Spec::Pool)
    }

    fn inspect(&self, state: &State, _: &Object) -> ObjectState {
        let running = self.running_batches.keys().flat_map(|batch| state.running_calls(batch));
        ObjectState::Pool {
            batches: self.open_batches.len() as u32,
            is_closed: self.is_closed,
            running: running.take(LIST_MAX).collect(),
        }
    }

    fn readiness(&self, _: &Want, _: Caller) -> Readiness {
        if self.is_closed && self.open_batches.is_empty() {
            return Readiness::Never(closed());
        }
        Readiness::when(!self.has_nothing_to_start())
    }

    fn is_used_up(&self, _: &Want) -> bool {
        true
    }

    /// From now on the pool ends with the session that made it.
    fn created_new(state: &mut State, key: Key, session: SessionId) {
        state.pool_at(key).owner = Some(session);
        state.session_at(session).hold(key);
    }

    fn remove(state: &mut State, key: Key, session: SessionId, text: String) -> Result<(), Refusal> {
        let setter = state.set_by(session, Some(&text));
        state.terminate(key, text.into(), setter, true);
        Ok(())
    }

    fn abandoned(state: &mut State, key: Key, abandoner: &Abandoner, what: &str) -> bool {
        state.pool_orphaned(key, abandoner, what);
        false
    }

    /// Has its owner forget it.
    fn destroyed(&mut self, state: &mut State, key: Key, _: &ObjectEnd) {
        if let Some(owner) = self.owner
            && let Some(owner) = state.sessions.get_mut(&owner)
        {
            owner.hold_no_more(key);
        }
    }
}

impl State {
    /// Takes the turn from the batch that is next, and returns it. The pool is ready.
    pub(crate) fn pool_next(&mut self, key: Key) -> Key {
        let (_, batch) = self.pool_at(key).startable.pop_first().expect("a ready pool has a batch to start");
        self.batch_at(batch).turn = None;
        batch
    }

    pub(crate) fn pool_close(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Pool)?;
        self.pool_at(key).is_closed = true;
        self.touch(key);
        Ok(Reply::Done)
    }

    pub(crate) fn pool_terminate(
        &mut self,
        session: SessionId,
        id: ObjectId,
        reason: &str,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Pool)?;
        check_reason(reason)?;
        let setter = self.set_by(session, Some(reason));
        self.terminate(key, reason.into(), setter, false);
        Ok(Reply::Done)
    }

    /// The owner of a pool is gone, and with it the pool: its workers end, and its name is free.
    fn pool_orphaned(&mut self, key: Key, abandoner: &Abandoner, what: &str) {
        self.pool_at(key).owner = None;
        let text = format!("{} has ended with its owner: {what}", self.describe(key));
        let setter = self.set_by_abandoner(abandoner, &text);
        let is_named = self.catalog.at(key).name.is_some();
        self.terminate(key, text.into(), setter, is_named);
    }

    /// Ends a pool if its last batch has ended and it was waiting for that.
    pub(crate) fn pool_end(&mut self, key: Key) {
        let pool = self.pool_at(key);
        if pool.open_batches.is_empty()
            && let Some(text) = pool.removal.take()
        {
            self.destroy(key, &ObjectEnd::Removed(text));
        }
    }

    pub(crate) fn pool_at(&mut self, key: Key) -> &mut Pool {
        match &mut self.catalog.at_mut(key).body {
            Body::Pool(pool) => pool,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}

fn closed() -> Refusal {
    Refusal::new(Code::Closed, "the pool is closed")
}

//! Pools: where tasks meet the workers that run them.
//!
//! A pool knows which of its batches have tasks to start, and hands out one task of each in turn, so that a small
//! batch is not stuck behind a huge one. Workers wait for a pool as for any object, first come, first served. A
//! worker that waits for a closed pool in which every task has ended is refused, and leaves.

use alloc::collections::{BTreeSet, VecDeque};

use protocol::{Code, Failure, FailureKind, Grant, Kind, ObjectId, Refusal, Reply, SessionId};

use crate::State;
use crate::object::Body;
use crate::reason::check_reason;
use crate::slab::Key;
use crate::wait::Readiness;

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The batches with tasks to start; the first is next, and goes to the back.
    startable: VecDeque<Key>,
    /// The batches that are not complete.
    open_batches: BTreeSet<Key>,
    /// Whether new batches are refused.
    is_closed: bool,
}

impl Pool {
    pub(crate) fn new() -> Pool {
        Pool { startable: VecDeque::new(), open_batches: BTreeSet::new(), is_closed: false }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        if self.is_closed && self.open_batches.is_empty() {
            return Readiness::Never(closed());
        }
        Readiness::when(!self.startable.is_empty())
    }

    /// How many batches are not complete.
    pub(crate) fn open_batches(&self) -> u32 {
        self.open_batches.len() as u32
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Refuses if no new batch may come.
    pub(crate) fn check_open(&self) -> Result<(), Refusal> {
        if self.is_closed { Err(closed()) } else { Ok(()) }
    }

    /// Takes a new batch in.
    pub(crate) fn add_batch(&mut self, batch: Key) {
        self.open_batches.insert(batch);
    }

    /// Notes that a batch that had no task to start has one.
    pub(crate) fn add_startable(&mut self, batch: Key) {
        self.startable.push_back(batch);
    }

    /// Forgets the tasks of a batch that are not to be started.
    pub(crate) fn remove_startable(&mut self, batch: Key) {
        self.startable.retain(|other| *other != batch);
    }

    /// Forgets a batch that is complete.
    pub(crate) fn remove_batch(&mut self, batch: Key) {
        self.open_batches.remove(&batch);
    }
}

impl State {
    /// Starts the next task in this session. The pool is ready.
    pub(crate) fn task_take(&mut self, key: Key, session: SessionId) -> Grant {
        let batch = self.pool_at(key).startable.pop_front().expect("a ready pool has a batch to start");
        let (grant, more) = self.batch_start_next(batch, session);
        if more {
            self.pool_at(key).startable.push_back(batch);
        }
        Grant::Task(grant)
    }

    pub(crate) fn pool_close(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Pool)?;
        self.pool_at(key).is_closed = true;
        self.touch(key);
        Ok(Reply::Done)
    }

    pub(crate) fn pool_terminate(&mut self, id: ObjectId, reason: &str) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Pool)?;
        check_reason(reason)?;
        self.terminate(key, reason);
        Ok(Reply::Done)
    }

    /// Closes a pool and fails every task in it that has not ended.
    pub(crate) fn terminate(&mut self, key: Key, reason: &str) {
        let pool = self.pool_at(key);
        pool.is_closed = true;
        pool.startable.clear();
        let batches = core::mem::take(&mut pool.open_batches);
        let failure = Failure { kind: FailureKind::Terminated, text: reason };
        for batch in batches {
            self.batch_fail_rest(batch, &failure);
        }
        self.touch(key);
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

//! Pools: which batch's calls begin next, and what ends a pool ("Pools, batches and calls").

use std::collections::BTreeSet;

use protocol::{Code, FailureKind, ObjectId, Reply, SessionId, check_reason};

use super::effects::Expected;
use super::events::SetBy;
use super::{Body, Model, ModelAnswer};

#[derive(Default)]
pub(crate) struct Pool {
    /// Whether it takes no more batches.
    pub(crate) is_closed: bool,
    /// The session with which it ends, if it was made with `CreateNew`.
    pub(crate) owner: Option<SessionId>,
    /// The batches with calls to begin, in the order of their turns, each with its priority.
    turns: Vec<(i32, ObjectId)>,
}

impl Pool {
    pub(crate) fn has_nothing_to_begin(&self) -> bool {
        self.turns.is_empty()
    }

    /// Takes the turn of the batch that is next: the first of those of the highest priority.
    pub(crate) fn take_turn(&mut self) -> ObjectId {
        let highest = self.turns.iter().map(|(priority, _)| *priority).max();
        let next = self.turns.iter().position(|(priority, _)| Some(*priority) == highest);
        self.turns.remove(next.expect("it has calls to begin")).1
    }
}

impl Model {
    /// The batches of a pool that are not complete.
    pub(crate) fn open_batches(&self, pool: ObjectId) -> Vec<ObjectId> {
        self.batches_where(|batch| batch.pool.0 == pool && !batch.is_complete())
    }

    /// Gives a batch a turn at the end of the queue, if it has calls to begin and no turn.
    pub(crate) fn offer(&mut self, id: ObjectId) {
        let batch = self.batch(id).unwrap();
        if !batch.waiting.is_empty() {
            let (pool, turn) = (batch.pool.0, (batch.options.priority, id));
            let pool = self.pool(pool).unwrap();
            if !pool.turns.contains(&turn) {
                pool.turns.push(turn);
            }
        }
    }

    /// Takes the turn from a batch that has no calls to begin.
    pub(crate) fn withdraw(&mut self, id: ObjectId) {
        let pool = self.batch(id).unwrap().pool;
        if self.exists(pool) {
            self.pool(pool.0).unwrap().turns.retain(|(_, batch)| *batch != id);
        }
    }

    pub(crate) fn pool_close(&mut self, id: ObjectId) -> ModelAnswer {
        self.pool(id)?.is_closed = true;
        Ok(Reply::Done)
    }

    pub(crate) fn pool_terminate(&mut self, session: SessionId, id: ObjectId, reason: &str) -> ModelAnswer {
        self.pool(id)?;
        if check_reason(reason).is_err() {
            return Err(Code::BadArgument);
        }
        let cause = SetBy::new(&self.sessions[&session], self.now, Some(reason));
        self.terminate(id, reason, &cause);
        Ok(Reply::Done)
    }

    /// Closes a pool, has the call records read of those who run its calls, and fails all calls; then sets the stop
    /// events of their batches.
    pub(crate) fn terminate(&mut self, id: ObjectId, reason: &str, cause: &SetBy) {
        self.pool(id).unwrap().is_closed = true;
        let batches = self.open_batches(id);
        for &batch in &batches {
            let granted = &self.batch(batch).unwrap().granted;
            let workers: BTreeSet<SessionId> = granted.iter().map(|granted| granted.session).collect();
            for session in workers {
                if self.sessions[&session].has_call_record {
                    self.effects.push(Expected::ReadCallRecord { session });
                }
            }
        }
        for &batch in &batches {
            self.fail_rest(batch, FailureKind::Terminated, reason);
        }
        for batch in batches {
            self.set_stop_event(batch, cause.clone());
        }
    }

    /// Ends the pools of a session that is gone: nobody serves them any more, and their names are free.
    pub(crate) fn orphan_pools(&mut self, session: SessionId, what: &str) {
        let is_its = |body: &Body| matches!(body, Body::Pool(pool) if pool.owner == Some(session));
        let owned: Vec<ObjectId> =
            self.objects.iter().filter(|(_, object)| is_its(&object.body)).map(|(&id, _)| id).collect();
        // The page does not say which goes first, and one may set the stop events of another's batches, with its own
        // reason.
        let with_batches = owned.iter().filter(|&&id| !self.open_batches(id).is_empty());
        self.is_open |= with_batches.count() > 1;
        for id in owned {
            self.pool(id).unwrap().owner = None;
            let reason = format!("{} has ended with its owner: {what}", self.describe(id));
            let cause = SetBy::new(&self.sessions[&session], self.now, Some(&reason));
            self.terminate(id, &reason, &cause);
            if self.objects[&id].name.is_some() {
                self.destroy(id);
            }
        }
    }
}

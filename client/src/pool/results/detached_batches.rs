//! Batches that go on after the program has dropped their results. A pool can still stop them.

use std::sync::{Arc, Mutex};

use client_core::Operation;
use client_core::operations::GetBatchProgress;
use protocol::ObjectId;

use crate::Result;
use crate::connection::calls::PendingAnswer;
use crate::connection::link::Link;
use crate::sync::lock;

/// How many detached batches a pool remembers before it asks the manager which of them have ended.
const DETACHED_MIN: usize = 64;

/// A batch that goes on after the program has dropped its results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DetachedBatch {
    /// The batch.
    pub(crate) batch: ObjectId,
    /// Its stop event.
    pub(crate) stop: ObjectId,
}

/// The detached batches of one pool. Some may have ended.
#[derive(Debug, Default)]
pub(crate) struct DetachedBatches {
    batches: Mutex<Vec<DetachedBatch>>,
}

impl DetachedBatches {
    /// Adds a batch that may not have ended.
    pub(crate) fn add(&self, detached: DetachedBatch) {
        lock(&self.batches).push(detached);
    }

    /// Takes all batches out.
    pub(crate) fn take_all(&self) -> Vec<DetachedBatch> {
        std::mem::take(&mut *lock(&self.batches))
    }

    /// Forgets the batches that have ended, whenever the list would grow otherwise.
    pub(crate) fn forget_ended(&self, link: &Arc<Link>) -> Result<()> {
        let candidates = {
            let mut batches = lock(&self.batches);
            if batches.len() < DETACHED_MIN || batches.len() < batches.capacity() {
                return Ok(());
            }
            std::mem::take(&mut *batches)
        };
        let ask = |candidate: &DetachedBatch| {
            link.begin_queued(GetBatchProgress { id: candidate.batch }.into_request())
        };
        let asked = candidates.iter().map(ask).collect::<Result<Vec<PendingAnswer>>>()?;
        // The manager answers in order, so the answer to this one comes after all others have left it.
        link.send(GetBatchProgress { id: ObjectId(uuid::Uuid::nil()) }.into_request())?;
        let mut rest: Vec<DetachedBatch> = Vec::new();
        for (candidate, pending) in candidates.into_iter().zip(asked) {
            match pending.wait() {
                Ok(_) => rest.push(candidate),
                Err(error) if error.is_manager_gone() => return Err(error),
                Err(_) => {}
            }
        }
        let mut batches = lock(&self.batches);
        rest.append(&mut batches);
        rest.reserve(rest.len());
        *batches = rest;
        Ok(())
    }
}

//! All batches that were submitted through one pool, so that they can be stopped and waited for together.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use protocol::{ObjectId, Request};

use crate::Result;
use crate::connection::link::{Link, Pending};
use crate::pool::results::batch::Batch;
use crate::pool::results::callbacks::CallbackQueue;
use crate::sync::lock;

/// All batches that were submitted through one pool and may not have ended.
#[derive(Debug, Default)]
pub(crate) struct SubmittedBatches {
    /// Those that somebody has a result or an iterator of.
    batches: Mutex<Vec<Weak<Batch>>>,
    /// Those that run on though nobody wants their results.
    detached: Mutex<Vec<DetachedBatch>>,
    /// Those that are to be called back and have no thread yet.
    pub(crate) line: Mutex<CallbackQueue>,
    /// How many are to be called back.
    callers: Mutex<usize>,
    /// Told when one of these has been called back.
    caller_ended: Condvar,
}

/// A batch that runs on though nobody wants its results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DetachedBatch {
    /// The batch.
    pub(crate) batch: ObjectId,
    /// Its stop event.
    pub(crate) stop: ObjectId,
}

/// A batch that is to be called back, as long as this lives.
#[derive(Debug)]
pub(crate) struct PendingCallback {
    submitted_batches: Arc<SubmittedBatches>,
}

impl SubmittedBatches {
    /// Adds a batch.
    pub(crate) fn add(&self, batch: &Arc<Batch>) {
        let mut batches = lock(&self.batches);
        if batches.len() == batches.capacity() {
            batches.retain(|batch| batch.strong_count() > 0);
            // Half of it is free now, or it grows: the next look is as many submissions away as there are entries.
            let room = batches.len() + 1;
            batches.reserve(room);
        }
        batches.push(Arc::downgrade(batch));
    }

    /// Adds a batch whose results nobody wants any more, and that may not have ended.
    pub(crate) fn add_detached(&self, detached: DetachedBatch) {
        lock(&self.detached).push(detached);
    }

    /// Forgets detached batches that have ended, now and then: whenever there are so many that they should not grow.
    pub(crate) fn tidy(&self, link: &Arc<Link>) -> Result<()> {
        let candidates = {
            let mut detached = lock(&self.detached);
            if detached.len() < DETACHED_MIN || detached.len() < detached.capacity() {
                return Ok(());
            }
            std::mem::take(&mut *detached)
        };
        let ask =
            |candidate: &DetachedBatch| link.begin_queued(Request::BatchProgress { id: candidate.batch });
        let asked = candidates.iter().map(ask).collect::<Result<Vec<Pending>>>()?;
        // They are answered in order, so the last comes after all have left.
        let mut rest: Vec<DetachedBatch> = Vec::new();
        link.send(Request::BatchProgress { id: ObjectId(uuid::Uuid::nil()) })?;
        for (candidate, pending) in candidates.into_iter().zip(asked) {
            match pending.wait() {
                Ok(_) => rest.push(candidate),
                Err(error) if error.is_manager_gone() => return Err(error),
                Err(_) => {}
            }
        }
        let mut detached = lock(&self.detached);
        rest.append(&mut detached);
        rest.reserve(rest.len());
        *detached = rest;
        Ok(())
    }

    /// The batches that somebody has a result or an iterator of.
    pub(crate) fn batches(&self) -> Vec<Arc<Batch>> {
        lock(&self.batches).iter().filter_map(Weak::upgrade).collect()
    }

    /// All batches, also those whose results nobody wants, to be stopped for this reason.
    pub(crate) fn batches_to_stop(&self, link: &Arc<Link>, reason: &str) -> Result<Vec<Arc<Batch>>> {
        let detached = std::mem::take(&mut *lock(&self.detached));
        // Told before they are taken hold of, which takes a round trip each.
        for detached in &detached {
            link.queue(Request::EventSet { id: detached.stop, reason: Some(reason) })?;
        }
        let mut held = Vec::new();
        for detached in detached {
            held.extend(Batch::reopen(link, detached)?);
        }
        held.iter().for_each(|batch| self.add(batch));
        let mut batches = self.batches();
        batches.retain(|batch| !batch.is_over());
        Ok(batches)
    }

    /// Asks all batches to stop, and drops what has not started; does not wait for it.
    pub(crate) fn ask_to_stop(&self, link: &Arc<Link>, reason: &str) -> Result<()> {
        self.batches().iter().try_for_each(|batch| batch.ask_to_stop(reason))?;
        let detached = std::mem::take(&mut *lock(&self.detached));
        detached
            .iter()
            .try_for_each(|detached| link.send(Request::EventSet { id: detached.stop, reason: Some(reason) }))
    }

    /// Counts a batch that is to be called back.
    pub(crate) fn begin_call(self: &Arc<Self>) -> PendingCallback {
        *lock(&self.callers) += 1;
        PendingCallback { submitted_batches: Arc::clone(self) }
    }

    /// Waits until everybody has been called back.
    pub(crate) fn wait_for_callers(&self) {
        let callers = lock(&self.callers);
        let waited = self.caller_ended.wait_while(callers, |callers| *callers > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// How many detached batches are kept in mind before any of them is asked for.
const DETACHED_MIN: usize = 64;

impl Drop for PendingCallback {
    fn drop(&mut self) {
        *lock(&self.submitted_batches.callers) -= 1;
        self.submitted_batches.caller_ended.notify_all();
    }
}

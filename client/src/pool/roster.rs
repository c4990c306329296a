//! All batches that were submitted through one pool, so that they can be stopped and waited for together.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use protocol::{ObjectId, Request};

use super::batch::Batch;
use super::callback::Line;
use crate::Result;
use crate::connection::link::{Link, Pending};
use crate::sync::lock;

/// All batches that were submitted through one pool and may not have ended.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// Those that somebody has a result or an iterator of.
    batches: Mutex<Vec<Weak<Batch>>>,
    /// Those that run on though nobody wants their results.
    loose: Mutex<Vec<Loose>>,
    /// Those that are to be called back and have no thread yet.
    pub(super) line: Mutex<Line>,
    /// How many are to be called back.
    callers: Mutex<usize>,
    /// Told when one of these has been called back.
    caller_ended: Condvar,
}

/// A batch that runs on though nobody wants its results.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loose {
    /// The batch.
    pub(super) batch: ObjectId,
    /// Its stop event.
    pub(super) stop: ObjectId,
}

/// A batch that is to be called back, as long as this lives.
#[derive(Debug)]
pub(super) struct Caller {
    roster: Arc<Roster>,
}

impl Roster {
    /// Adds a batch.
    pub(super) fn add(&self, batch: &Arc<Batch>) {
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
    pub(super) fn add_loose(&self, loose: Loose) {
        lock(&self.loose).push(loose);
    }

    /// Forgets loose batches that have ended, now and then: whenever there are so many that they should not grow.
    pub(super) fn tidy(&self, link: &Arc<Link>) -> Result<()> {
        let candidates = {
            let mut loose = lock(&self.loose);
            if loose.len() < LOOSE_MIN || loose.len() < loose.capacity() {
                return Ok(());
            }
            std::mem::take(&mut *loose)
        };
        let ask = |candidate: &Loose| link.begin_queued(Request::BatchProgress { id: candidate.batch });
        let asked = candidates.iter().map(ask).collect::<Result<Vec<Pending>>>()?;
        // They are answered in order, so the last comes after all have left.
        let mut rest: Vec<Loose> = Vec::new();
        link.send(Request::BatchProgress { id: ObjectId(uuid::Uuid::nil()) })?;
        for (candidate, pending) in candidates.into_iter().zip(asked) {
            match pending.wait() {
                Ok(_) => rest.push(candidate),
                Err(error) if error.is_manager_gone() => return Err(error),
                Err(_) => {}
            }
        }
        let mut loose = lock(&self.loose);
        rest.append(&mut loose);
        rest.reserve(rest.len());
        *loose = rest;
        Ok(())
    }

    /// The batches that somebody has a result or an iterator of.
    pub(super) fn batches(&self) -> Vec<Arc<Batch>> {
        lock(&self.batches).iter().filter_map(Weak::upgrade).collect()
    }

    /// All batches, also those whose results nobody wants, to be stopped for this reason.
    pub(super) fn batches_to_stop(&self, link: &Arc<Link>, reason: &str) -> Result<Vec<Arc<Batch>>> {
        let loose = std::mem::take(&mut *lock(&self.loose));
        // Told before they are taken hold of, which takes a round trip each.
        for loose in &loose {
            link.queue(Request::EventSet { id: loose.stop, reason: Some(reason) })?;
        }
        let mut held = Vec::new();
        for loose in loose {
            held.extend(Batch::reopen(link, loose)?);
        }
        held.iter().for_each(|batch| self.add(batch));
        let mut batches = self.batches();
        batches.retain(|batch| !batch.is_over());
        Ok(batches)
    }

    /// Asks all batches to stop, and drops what has not started; does not wait for it.
    pub(super) fn ask_to_stop(&self, link: &Arc<Link>, reason: &str) -> Result<()> {
        self.batches().iter().try_for_each(|batch| batch.ask_to_stop(reason))?;
        let loose = std::mem::take(&mut *lock(&self.loose));
        loose
            .iter()
            .try_for_each(|loose| link.send(Request::EventSet { id: loose.stop, reason: Some(reason) }))
    }

    /// Counts a batch that is to be called back.
    pub(super) fn begin_call(self: &Arc<Self>) -> Caller {
        *lock(&self.callers) += 1;
        Caller { roster: Arc::clone(self) }
    }

    /// Waits until everybody has been called back.
    pub(super) fn wait_for_callers(&self) {
        let callers = lock(&self.callers);
        let waited = self.caller_ended.wait_while(callers, |callers| *callers > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// How many loose batches are kept in mind before any of them is asked for.
const LOOSE_MIN: usize = 64;

impl Drop for Caller {
    fn drop(&mut self) {
        *lock(&self.roster.callers) -= 1;
        self.roster.caller_ended.notify_all();
    }
}

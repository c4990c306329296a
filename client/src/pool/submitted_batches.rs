//! All batches that were submitted through one pool, so that they can be stopped and joined together.

use std::sync::{Arc, Mutex, Weak};

use client_core::Operation;
use client_core::operations::EventSet;

use crate::Result;
use crate::connection::link::Link;
use crate::pool::results::detached_batches::DetachedBatches;
use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::sync::lock;

/// All batches that were submitted through one pool and may not have ended.
#[derive(Debug, Default)]
pub(crate) struct SubmittedBatches {
    /// Those that the program has a result or an iterator of.
    batches: Mutex<Vec<Weak<SubmittedBatch>>>,
    /// Those that run on though the program has dropped their results. A batch adds itself when it is dropped.
    detached: Arc<DetachedBatches>,
}

impl SubmittedBatches {
    /// Adds a batch.
    pub(crate) fn add(&self, batch: &Arc<SubmittedBatch>) {
        let mut batches = lock(&self.batches);
        if batches.len() == batches.capacity() {
            batches.retain(|batch| batch.strong_count() > 0);
            // Either half of it is free now, or it grows: the next look is as many submissions away as it has entries.
            let room = batches.len() + 1;
            batches.reserve(room);
        }
        batches.push(Arc::downgrade(batch));
    }

    /// Where a batch is remembered once the program has dropped its results.
    pub(crate) fn detached(&self) -> &Arc<DetachedBatches> {
        &self.detached
    }

    /// The batches that the program has a result or an iterator of.
    pub(crate) fn batches(&self) -> Vec<Arc<SubmittedBatch>> {
        lock(&self.batches).iter().filter_map(Weak::upgrade).collect()
    }

    /// All batches that may not have ended, detached ones too, to be stopped for this reason.
    pub(crate) fn batches_to_stop(&self, link: &Arc<Link>, reason: &str) -> Result<Vec<Arc<SubmittedBatch>>> {
        let detached = self.detached.take_all();
        // Their stop events are set before they are attached, which takes a round trip each.
        for detached in &detached {
            link.queue(EventSet { id: detached.stop, reason: Some(reason) }.into_request())?;
        }
        let mut attached = Vec::new();
        for detached in detached {
            attached.extend(SubmittedBatch::attach(link, detached)?);
        }
        attached.iter().for_each(|batch| self.add(batch));
        let mut batches = self.batches();
        batches.retain(|batch| !batch.is_over());
        Ok(batches)
    }

    /// Asks all batches to stop, and drops calls that have not started; does not wait for the end.
    pub(crate) fn ask_to_stop(&self, link: &Arc<Link>, reason: &str) -> Result<()> {
        self.batches().iter().try_for_each(|batch| batch.ask_to_stop(reason))?;
        self.detached.take_all().iter().try_for_each(|detached| {
            link.send(EventSet { id: detached.stop, reason: Some(reason) }.into_request())
        })
    }
}

//! All batches of one pool, for stopping and joining them together.

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
    /// Those of which the program has a result or an iterator.
    batches: Mutex<Vec<Weak<SubmittedBatch>>>,
    /// Those that go on after the program has dropped their results. A batch adds itself when it is dropped.
    detached: Arc<DetachedBatches>,
}

impl SubmittedBatches {
    /// Adds a batch.
    pub(crate) fn add(&self, batch: &Arc<SubmittedBatch>) {
        let mut batches = lock(&self.batches);
        if batches.len() == batches.capacity() {
            batches.retain(|batch| batch.strong_count() > 0);
            // Now half of it is free, or it grows: as many submissions as it has entries go by before the next look.
            let room = batches.len() + 1;
            batches.reserve(room);
        }
        batches.push(Arc::downgrade(batch));
    }

    /// The list that keeps a batch after the program has dropped its results.
    pub(crate) fn detached(&self) -> &Arc<DetachedBatches> {
        &self.detached
    }

    /// The batches of which the program has a result or an iterator.
    pub(crate) fn batches(&self) -> Vec<Arc<SubmittedBatch>> {
        lock(&self.batches).iter().filter_map(Weak::upgrade).collect()
    }

    /// All batches that may not have ended, detached ones too, after asking them to stop for this reason.
    pub(crate) fn batches_to_stop(&self, link: &Arc<Link>, reason: &str) -> Result<Vec<Arc<SubmittedBatch>>> {
        let detached = self.detached.take_all();
        // This sets their stop events before it attaches to them, which takes a round trip each.
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

    /// Asks all batches to stop, and drops calls that have not started. Does not wait for the end.
    pub(crate) fn ask_to_stop(&self, link: &Arc<Link>, reason: &str) -> Result<()> {
        self.batches().iter().try_for_each(|batch| batch.ask_to_stop(reason))?;
        self.detached.take_all().iter().try_for_each(|detached| {
            link.send(EventSet { id: detached.stop, reason: Some(reason) }.into_request())
        })
    }
}

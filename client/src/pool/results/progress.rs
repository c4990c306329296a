//! How far a batch is.

use std::time::Instant;

use client_core::operations::GetBatchProgress;

use crate::Result;
use crate::pool::results::outcomes::Outcomes;
use crate::pool::results::submitted_batch::SubmittedBatch;

/// How far a batch is, in calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Calls that returned. Those that travel in one chunk count when all of them have.
    pub done: u64,
    /// Calls that failed, were cancelled, or were stopped by a signal.
    pub failed: u64,
    /// Calls that workers are in the middle of.
    pub running: u64,
    /// Calls that wait for a worker, or for their turn in a chunk.
    pub waiting: u64,
    /// All of these together: the calls of the batch; of one whose input is drawn lazily, those that were drawn so far.
    pub total: u64,
}

impl Progress {
    /// Calls that have ended, one way or the other.
    pub fn ended(&self) -> u64 {
        self.done + self.failed
    }
}

impl SubmittedBatch {
    /// How far it is.
    pub(crate) fn progress(&self) -> Result<Progress> {
        // What has come is counted before the manager is asked what runs, so that no call is counted twice.
        drop(self.wait_until(Some(Instant::now()), Outcomes::is_complete)?);
        let state = self.lock();
        let (returned, failed, total) =
            (state.outcomes.returned, state.outcomes.failed, state.outcomes.calls);
        let is_complete = state.outcomes.is_complete();
        drop(state);
        let open = total - returned - failed;
        let running = if is_complete { 0 } else { u64::from(self.running()?).min(open) };
        Ok(Progress { done: returned, failed, running, waiting: open - running, total })
    }

    /// How many workers run a chunk of it.
    fn running(&self) -> Result<u32> {
        Ok(self.reference.run(GetBatchProgress { id: self.id() })?.running)
    }
}

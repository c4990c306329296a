//! The progress of a batch.

use std::time::Instant;

use client_core::operations::GetBatchProgress;

use crate::Result;
use crate::pool::results::outcomes::Outcomes;
use crate::pool::results::submitted_batch::SubmittedBatch;

/// The progress of a batch, in calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Calls that returned.
    pub done: u64,
    /// Calls that failed, were cancelled, or were stopped by a signal.
    pub failed: u64,
    /// Calls that workers run now.
    pub running: u64,
    /// Calls that have not begun.
    pub waiting: u64,
    /// All of these together: the calls of the batch, or those drawn so far if the input is drawn lazily.
    pub total: u64,
}

impl Progress {
    /// Calls that have ended, one way or the other.
    pub fn ended(&self) -> u64 {
        self.done + self.failed
    }
}

impl SubmittedBatch {
    /// The progress of this batch.
    pub(crate) fn progress(&self) -> Result<Progress> {
        // This counts the results before it asks the manager which calls run, so that no call counts twice.
        drop(self.wait_until(Some(Instant::now()), Outcomes::is_complete)?);
        let state = self.lock();
        let (returned, failed, total) =
            (state.outcomes.returned, state.outcomes.failed, state.outcomes.calls);
        let is_complete = state.outcomes.is_complete();
        drop(state);
        let open = total - returned - failed;
        let running = if is_complete { 0 } else { self.running()?.min(open) };
        Ok(Progress { done: returned, failed, running, waiting: open - running, total })
    }

    /// How many of its calls run.
    fn running(&self) -> Result<u64> {
        Ok(self.reference.run(GetBatchProgress { id: self.id() })?.running)
    }
}

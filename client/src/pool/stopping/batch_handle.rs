//! A handle to a batch while it runs: it shows the progress, cancels the batch and stops it.

use std::sync::Arc;
use std::time::Duration;

use crate::objects::reason::check_reason;
use crate::pool::results::progress::Progress;
use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::pool::stopping::escalation::stop_batches;
use crate::pool::stopping::stop_report::StopReport;
use crate::{Event, Result};

/// A handle to a batch. It shows the progress of the batch, cancels it and stops it, from any thread, while others wait
/// for its results.
///
/// From [`AsyncResult::handle`](crate::AsyncResult::handle) or
/// [`ResultIterator::handle`](crate::ResultIterator::handle). It keeps the results in memory: drop it when you are done
/// with the batch.
#[derive(Clone, Debug)]
pub struct BatchHandle {
    batch: Arc<SubmittedBatch>,
}

impl BatchHandle {
    pub(crate) fn new(batch: &Arc<SubmittedBatch>) -> BatchHandle {
        BatchHandle { batch: Arc::clone(batch) }
    }

    /// The progress of the batch.
    pub fn progress(&self) -> Result<Progress> {
        self.batch.progress()
    }

    /// The event that asks the batch's tasks to stop. They see it as [`task::stop_event`](crate::task::stop_event).
    /// Setting it stops the batch, as the first step of [`stop`](Self::stop) does.
    pub fn stop_event(&self) -> Event {
        self.batch.stop.clone()
    }

    /// Drops the calls that have not started: they fail with [`Error::is_cancelled`](crate::Error::is_cancelled). Those
    /// that run go on.
    ///
    /// A worker may have prefetched short calls. It may start these for some milliseconds more; those that it has not
    /// started by then are cancelled, too. A call that is reported as cancelled never started. To prevent any
    /// further call from starting, [`stop`](Self::stop) the batch.
    ///
    /// A batch whose input is drawn lazily draws no more of it.
    ///
    /// # Errors
    ///
    /// [`Error::is_manager_gone`](crate::Error::is_manager_gone).
    pub fn cancel(&self) -> Result<()> {
        self.batch.cancel()
    }

    /// Stops the batch, and no other, in three steps, and reports how each call ended.
    ///
    /// 1. It sets the stop event. Calls that have not started are cancelled; tasks that check the event,
    ///    [sleep](crate::task::sleep), or wait for the event, return. They have `grace` for that.
    /// 2. It sends SIGTERM to workers that still run a part of the batch. They have `grace` again, but at most a
    ///    second.
    /// 3. It sends SIGKILL to workers that still run a part of the batch.
    ///
    /// Signals go to the worker's whole process group, and so to the commands that tasks run. The pool replaces workers
    /// that were ended: it goes on with other work, and takes new tasks. With a grace of zero, SIGKILL comes at once.
    ///
    /// Batches that its tasks submitted stop with it, by their events; their tasks get no signals.
    ///
    /// The results of calls that returned stay available.
    ///
    /// # Errors
    ///
    /// [`Error::is_manager_gone`](crate::Error::is_manager_gone); [`Error::is_timeout`](crate::Error::is_timeout) if a
    /// worker still runs 10 seconds after SIGKILL, as when the kernel cannot end it.
    pub fn stop(&self, grace: Duration) -> Result<StopReport> {
        self.stop_because("the batch was stopped by its owner", grace)
    }

    /// [Stops](Self::stop) the batch for this reason, which tasks see in
    /// [`task::stop_cause`](crate::task::stop_cause).
    ///
    /// # Errors
    ///
    /// Those of `stop`; [`Error::is_limit`](crate::Error::is_limit) if the reason is longer than 1024 bytes, and
    /// [`Error::is_bad_argument`](crate::Error::is_bad_argument) if it holds control characters.
    pub fn stop_because(&self, reason: &str, grace: Duration) -> Result<StopReport> {
        check_reason(reason)?;
        stop_batches(std::slice::from_ref(&self.batch), reason, grace)
    }
}

//! A handle to a batch while it runs: to look how far it is, to cancel it, to stop it.

use std::sync::Arc;
use std::time::Duration;

use crate::objects::reason::check_reason;
use crate::pool::results::progress::Progress;
use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::pool::stopping::escalation::stop_batches;
use crate::pool::stopping::stop_report::StopReport;
use crate::{Event, Result};

/// A handle to a batch, to look at it, cancel it and stop it, from any thread, while others wait for its results.
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

    /// How far the batch is.
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
    /// A worker may have prefetched some short calls. It does not learn of this, and may start them for some
    /// milliseconds more; those that it does not start until then are cancelled, too. A call that is reported as
    /// cancelled never started. To let no call start any more, [`stop`](Self::stop) the batch.
    ///
    /// If the input is drawn lazily, no more of it is drawn.
    pub fn cancel(&self) -> Result<()> {
        self.batch.cancel()
    }

    /// Stops the batch, and no other, in three steps, and reports how each call ended.
    ///
    /// 1. Its stop event is set. Calls that have not started are cancelled; tasks that check it, or
    ///    [sleep](crate::task::sleep), or wait for the event, return. They have `grace` for that.
    /// 2. Workers that still run a part of it get SIGTERM, and again `grace`, but a second at most.
    /// 3. Workers that are still in it get SIGKILL.
    ///
    /// Signals go to the worker's whole process group, so to the commands that tasks run, too. Workers that were ended
    /// are replaced: the pool goes on with other work, and takes new tasks. A grace of zero is SIGKILL at once.
    ///
    /// Batches that its tasks submitted are stopped with it, by their events; their tasks get no signals.
    ///
    /// The results of calls that returned stay available.
    ///
    /// # Errors
    ///
    /// [`Error::is_manager_gone`](crate::Error::is_manager_gone); [`Error::is_timeout`](crate::Error::is_timeout) if a
    /// worker does not even end by SIGKILL for 10 seconds, which is up to the kernel then.
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

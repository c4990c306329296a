//! A handle to a batch while it runs: to look how far it is, to cancel it, to stop it.

use std::sync::Arc;
use std::time::Duration;

use crate::objects::reason::check_reason;
use crate::pool::results::batch::Batch;
use crate::pool::results::progress::Progress;
use crate::pool::stopping::escalation::stop_batches;
use crate::pool::stopping::stop_report::StopReport;
use crate::{Event, Result};

/// A hold on a batch to look at it, cancel it and stop it, from any thread, while others wait for its results.
///
/// From [`AsyncResult::handle`](crate::AsyncResult::handle) or
/// [`ResultIterator::handle`](crate::ResultIterator::handle). It lets nobody's results be lost, and keeps them: drop it
/// when you are done with the batch.
#[derive(Clone, Debug)]
pub struct BatchHandle {
    batch: Arc<Batch>,
}

impl BatchHandle {
    pub(crate) fn new(batch: &Arc<Batch>) -> BatchHandle {
        BatchHandle { batch: Arc::clone(batch) }
    }

    /// How far the batch is.
    pub fn progress(&self) -> Result<Progress> {
        self.batch.progress()
    }

    /// The event that tells the batch's tasks to stop. They see it as
    /// [`task::stop_event`](crate::task::stop_event); whoever sets it stops the batch, as the first step of
    /// [`stop`](Self::stop) does.
    pub fn stop_event(&self) -> Event {
        self.batch.stop.clone()
    }

    /// Drops the calls that have not started: they fail with [`Error::is_cancelled`]. Those that run go on.
    ///
    /// Of short calls a worker may have been handed some ahead. It does not learn of this, and may begin them for some
    /// milliseconds more; those it does not begin until then are cancelled, too. What is told to be cancelled never
    /// began. To have nothing begin any more, [`stop`](Self::stop) the batch.
    ///
    /// If the input is drawn lazily, no more of it is drawn.
    pub fn cancel(&self) -> Result<()> {
        self.batch.cancel()
    }

    /// Stops the batch, and no other, in three steps, and tells how each call ended.
    ///
    /// 1. Its stop event is set. What has not started is cancelled; tasks that look, or [sleep](crate::task::sleep), or
    ///    wait for the event, return. They have `grace` for that.
    /// 2. Workers that still run a part of it get SIGTERM, and again `grace`, but a second at most.
    /// 3. Workers that are still in it get SIGKILL.
    ///
    /// Signals go to the worker's whole process group, so to the commands that tasks run, too. Workers that were ended
    /// are replaced: the pool goes on with other work, and takes new. A grace of zero is SIGKILL at once.
    ///
    /// Batches that its tasks submitted are stopped with it, by their events; their tasks get no signals.
    ///
    /// Results of calls that returned are there to be had, as ever.
    ///
    /// # Errors
    ///
    /// [`Error::is_manager_gone`]; [`Error::is_timeout`] if a worker does not even end by SIGKILL for 10 seconds, which
    /// is up to the kernel then.
    pub fn stop(&self, grace: Duration) -> Result<StopReport> {
        self.stop_because("the batch was stopped by its owner", grace)
    }

    /// [Stops](Self::stop) the batch, and gives the reason to those who look: tasks see it in
    /// [`task::stop_cause`](crate::task::stop_cause).
    ///
    /// # Errors
    ///
    /// As with `stop`; [`Error::is_limit`] if the reason is longer than 1024 bytes, and [`Error::is_bad_argument`] if
    /// it holds control characters.
    pub fn stop_because(&self, reason: &str, grace: Duration) -> Result<StopReport> {
        check_reason(reason)?;
        stop_batches(std::slice::from_ref(&self.batch), reason, grace)
    }
}

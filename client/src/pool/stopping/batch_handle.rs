//! What can be done with a batch while it runs: look how far it is, cancel it, stop it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{Reply, Request, StopSignal};

use crate::error::unexpected;
use crate::objects::reason::check_reason;
use crate::pool::results::batch::Batch;
use crate::pool::results::outcomes::Outcomes;
use crate::pool::stopping::escalation::{StopReport, stop_batches};
use crate::{Error, ErrorKind, Event, Result};

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

impl Batch {
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
        match self.reference.call(Request::BatchProgress { id: self.id() })? {
            Reply::Progress(progress) => Ok(progress.running),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Drops what has not started.
    pub(crate) fn cancel(&self) -> Result<()> {
        self.cut(Error::new(
            ErrorKind::Cancelled,
            "the batch was cancelled before all of its input was drawn",
        ));
        match self.reference.call(Request::BatchCancel { id: self.id() })? {
            Reply::Count(_) => Ok(()),
            reply => Err(unexpected(&reply)),
        }
    }

    /// Asks what runs to stop, and drops what does not; waits for nothing.
    pub(crate) fn ask_to_stop(&self, reason: &str) -> Result<()> {
        if self.is_over() {
            // Who looks at its event later is not to believe that it was stopped.
            return Ok(());
        }
        self.lock().is_asked_to_stop = true;
        self.cut(stopped());
        self.send(Request::EventSet { id: self.stop.reference().id(), reason: Some(reason) })
    }

    /// Whether its tasks were asked to stop.
    pub(crate) fn is_asked_to_stop(&self) -> bool {
        self.lock().is_asked_to_stop
    }

    /// Has a signal sent to all workers that run a part of it.
    pub(crate) fn signal(&self, signal: StopSignal) -> Result<()> {
        self.send(Request::BatchSignal { id: self.id(), signal })
    }
}

/// Why no more input is drawn for a batch that was stopped.
pub(crate) fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the batch was stopped before all of its input was drawn")
}

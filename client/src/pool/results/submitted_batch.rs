//! A batch, as the program that submitted it sees it: calls that were submitted together, and their outcomes.
//!
//! This process fetches results from the manager as they come and keeps them here, still encoded, so that the program
//! can ask for them more than once. `waiting` fetches them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use client_core::Operation;
use client_core::operations::{Attach, BatchAdd, BatchCancel};
use protocol::{Kind, ObjectId, Request};

use crate::connection::calls::PendingAnswer;
use crate::connection::link::Link;
use crate::objects::reference::{Proxy, Reference};
use crate::pool::results::detached_batches::{DetachedBatch, DetachedBatches};
use crate::pool::results::outcomes::Outcomes;
use crate::pool::results::result_rate::ResultRate;
use crate::pool::results::unserved_warning::UnservedWarning;
use crate::sync::lock;
use crate::{Error, ErrorKind, Event, Result};

/// The calls of one submission.
#[derive(Debug)]
pub(crate) struct SubmittedBatch {
    /// Declared before the references, so that requests in flight are given up before the batch is.
    pub(crate) state: Mutex<BatchState>,
    /// Notified whenever the state changes.
    pub(crate) changed: Condvar,
    pub(crate) reference: Reference,
    /// Setting it stops the batch.
    pub(crate) stop: Event,
    /// The name of the function.
    pub(crate) function: String,
    /// Where the batch is remembered if the program drops its results before it has ended.
    pub(crate) detached: Weak<DetachedBatches>,
}

/// The mutable part of a batch.
#[derive(Debug)]
pub(crate) struct BatchState {
    /// The outcomes that have come so far.
    pub(crate) outcomes: Outcomes,
    /// Requests in flight.
    pub(crate) submitted: Submitted,
    /// How fast results come.
    pub(crate) rate: ResultRate,
    /// Warns that nobody serves the pool, if nothing comes for a while.
    pub(crate) unserved_warning: Option<UnservedWarning>,
    /// Whether a wait can include the stop event: not after somebody has removed it.
    pub(crate) has_stop: bool,
    /// Whether a thread asks the manager right now.
    pub(crate) is_asking: bool,
    /// Whether the tasks were asked to stop.
    pub(crate) is_asked_to_stop: bool,
}

/// The requests that submitted a batch, whose answers nobody has read.
#[derive(Debug, Default)]
pub(crate) struct Submitted {
    /// Those that submit the batch.
    pub(crate) submissions: Vec<PendingAnswer>,
    /// A first wait for its results, if it was sent together with the batch.
    pub(crate) results: Option<PendingAnswer>,
}

impl BatchState {
    /// The state of a batch without outcomes.
    pub(crate) fn new(
        outcomes: Outcomes,
        submitted: Submitted,
        unserved_warning: Option<UnservedWarning>,
    ) -> BatchState {
        BatchState {
            outcomes,
            submitted,
            rate: ResultRate::new(),
            unserved_warning,
            has_stop: true,
            is_asking: false,
            is_asked_to_stop: false,
        }
    }
}

impl SubmittedBatch {
    /// Attaches to a detached batch to wait for its end. Returns none if it has ended.
    pub(crate) fn attach(link: &Arc<Link>, detached: DetachedBatch) -> Result<Option<Arc<SubmittedBatch>>> {
        let epoch = link.epoch();
        let attach = |id, kind| match link.run(Attach { id, kind, epoch }) {
            Ok(()) => Ok(Some(Reference::adopt(Arc::clone(link), id, kind))),
            Err(error) if error.is_manager_gone() => Err(error),
            Err(_) => Ok(None),
        };
        let Some(reference) = attach(detached.batch, Kind::Batch)? else { return Ok(None) };
        let Some(stop) = attach(detached.stop, Kind::Event)? else { return Ok(None) };
        Ok(Some(Arc::new(SubmittedBatch {
            state: Mutex::new(BatchState::new(
                Outcomes::of_detached().with_link(link),
                Submitted::default(),
                None,
            )),
            changed: Condvar::new(),
            reference,
            stop: Event::from_reference(stop)?,
            function: String::new(),
            detached: Weak::new(),
        })))
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.reference.id()
    }

    /// Whether it has ended, as far as this process knows, or the manager cannot be asked any more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.outcomes.is_complete() || state.outcomes.broken.is_some()
    }

    /// The reason why the manager cannot be asked any more, if there is one.
    pub(crate) fn broken(&self) -> Option<Error> {
        self.lock().outcomes.broken.clone()
    }

    /// Notes why no more results come. The first reason counts.
    pub(crate) fn break_off(&self, error: &Error) {
        self.lock().outcomes.broken.get_or_insert_with(|| error.clone());
    }

    /// Whether every call returned. An error if some have not ended.
    pub(crate) fn is_successful(&self) -> Result<bool> {
        let state = self.lock();
        match &state.outcomes.broken {
            Some(error) => Err(error.clone()),
            None if state.outcomes.is_complete() => Ok(state.outcomes.is_successful()),
            None => Err(Error::new(
                ErrorKind::Other,
                "the result is not ready, so it is neither successful nor not",
            )),
        }
    }

    /// How many calls were submitted.
    pub(crate) fn calls(&self) -> usize {
        self.lock().outcomes.calls as usize
    }

    /// Seals a batch whose input was drawn to its end.
    pub(crate) fn finish(&self) {
        self.seal(None);
    }

    /// Seals a batch whose input ends here; the reason follows its last result. Does nothing to a batch that is sealed.
    pub(crate) fn cut(&self, reason: Error) {
        self.seal(Some(reason));
    }

    /// Seals and cancels a batch whose results nobody will take.
    pub(crate) fn abandon(&self) {
        self.seal(None);
        // If the manager is gone, so are the tasks.
        let _ = self.send(BatchCancel { id: self.id() }.into_request());
    }

    fn seal(&self, cut: Option<Error>) {
        let mut state = self.lock();
        if state.outcomes.is_sealed {
            return;
        }
        state.outcomes.is_sealed = true;
        state.outcomes.cut = cut;
        self.changed.notify_all();
        drop(state);
        // If the manager is gone, the next wait reports it.
        let _ = self.send(BatchAdd { id: self.id(), chunks: Vec::new(), last: true }.into_request());
    }

    /// Draws the input to its end, even if nobody takes results.
    pub(crate) fn lift_window(&self) {
        self.lock().outcomes.window = u64::MAX;
        self.changed.notify_all();
    }

    /// Sends a request that has no answer.
    pub(crate) fn send(&self, request: Request<'_>) -> Result<()> {
        self.reference.link()?.send(request)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BatchState> {
        lock(&self.state)
    }

    /// Sleeps until the state has changed, or the time is over.
    pub(crate) fn sleep<'a>(
        &self,
        state: MutexGuard<'a, BatchState>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, BatchState> {
        match timeout {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

impl Drop for SubmittedBatch {
    fn drop(&mut self) {
        if !self.is_over()
            && let Some(detached) = self.detached.upgrade()
        {
            detached.add(DetachedBatch { batch: self.id(), stop: self.stop.reference().id() });
        }
    }
}

/// The error that ends the input of a batch that was stopped.
pub(crate) fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the batch was stopped before all of its input was drawn")
}

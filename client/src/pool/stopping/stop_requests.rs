//! The requests that cancel and stop one batch. None waits for its effect.

use client_core::Operation;
use client_core::operations::{BatchCancel, BatchSignal, EventSet};
use protocol::StopSignal;

use crate::pool::results::submitted_batch::{SubmittedBatch, stopped};
use crate::{Error, ErrorKind, Result};

impl SubmittedBatch {
    /// Cancels the calls that have not started.
    pub(crate) fn cancel(&self) -> Result<()> {
        self.cut(Error::new(
            ErrorKind::Cancelled,
            "the batch was cancelled before all of its input was drawn",
        ));
        self.reference.run(BatchCancel { id: self.id() }).map(drop)
    }

    /// Asks the calls that run to stop, and cancels those that have not started.
    pub(crate) fn ask_to_stop(&self, reason: &str) -> Result<()> {
        if self.is_over() {
            // Its stop event must not report later that it was stopped.
            return Ok(());
        }
        self.lock().is_asked_to_stop = true;
        self.cut(stopped());
        self.send(EventSet { id: self.stop.reference().id(), reason: Some(reason) }.into_request())
    }

    /// Whether its tasks were asked to stop.
    pub(crate) fn is_asked_to_stop(&self) -> bool {
        self.lock().is_asked_to_stop
    }

    /// Makes the manager signal all workers that run a part of it.
    pub(crate) fn signal(&self, signal: StopSignal) -> Result<()> {
        self.send(BatchSignal { id: self.id(), signal }.into_request())
    }
}

//! The requests that cancel and stop one batch. None of them waits for its effect.

use protocol::{Reply, Request, StopSignal};

use crate::error::unexpected;
use crate::pool::results::batch::{Batch, stopped};
use crate::{Error, ErrorKind, Result};

impl Batch {
    /// Cancels the calls that have not started.
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

    /// Asks the calls that run to stop, and cancels those that have not started.
    pub(crate) fn ask_to_stop(&self, reason: &str) -> Result<()> {
        if self.is_over() {
            // Its event must not say later that it was stopped.
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

    /// Has the manager signal all workers that run a part of it.
    pub(crate) fn signal(&self, signal: StopSignal) -> Result<()> {
        self.send(Request::BatchSignal { id: self.id(), signal })
    }
}

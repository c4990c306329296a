//! How a pool stops everything that was submitted through it.

use std::time::Duration;

use crate::objects::reason::check_reason;
use crate::pool::Pool;
use crate::pool::stopping::escalation::stop_batches;
use crate::pool::stopping::interrupts::Interrupts;
use crate::pool::stopping::stop_report::StopReport;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

impl Pool {
    /// Stops all calls that were submitted through this handle, and reports how they ended. The pool goes on, and takes
    /// new tasks at once.
    ///
    /// It takes the steps of [`BatchHandle::stop`](crate::BatchHandle::stop) for all batches together: it asks the
    /// tasks to stop; after `grace` their workers get SIGTERM, and soon SIGKILL. The report does not cover batches
    /// whose results had all come before, nor those whose results the program has dropped; it stops these as well.
    ///
    /// # Errors
    ///
    /// Those of `BatchHandle::stop`.
    pub fn stop(&self, grace: Duration) -> Result<StopReport> {
        self.stop_because("the pool's tasks were stopped by its owner", grace)
    }

    /// [Stops](Pool::stop) all calls that were submitted through this handle, for this reason.
    ///
    /// # Errors
    ///
    /// Those of [`BatchHandle::stop_because`](crate::BatchHandle::stop_because).
    pub fn stop_because(&self, reason: &str, grace: Duration) -> Result<StopReport> {
        check_reason(reason)?;
        let batches = self.submitted_batches.batches_to_stop(self.reference.link()?, reason)?;
        stop_batches(&batches, reason, grace)
    }

    /// From now on, Ctrl-C (SIGINT) does not end this process, but [stops](Pool::stop) the calls that were submitted
    /// through this handle. Another Ctrl-C ends the grace of tasks that were asked to stop before: it kills their
    /// workers.
    ///
    /// The program goes on, and so does the pool: waits for results return, with the values that tasks returned when
    /// asked to stop, or with [`Error::is_cancelled`] or [`Error::is_stopped`]. The program decides what it does then;
    /// it can ask [`was_interrupted`](Pool::was_interrupted).
    ///
    /// When no pool listens any more, because it was dropped, Ctrl-C ends the process as usual. Handlers of the program
    /// for SIGINT, such as those of the crate `signal-hook`, still run.
    ///
    /// # Errors
    ///
    /// The handler cannot be installed, or no thread can be started.
    pub fn stop_on_interrupt(&self, grace: Duration) -> Result<()> {
        let listening = Interrupts::listen(self.reference.link()?, &self.submitted_batches, grace);
        let listening = listening.map_err(|error| {
            Error::new(ErrorKind::Other, format!("the signal SIGINT cannot be handled: {error}"))
        })?;
        *lock(&self.interrupts) = Some(listening);
        Ok(())
    }

    /// Whether there was a Ctrl-C since [`stop_on_interrupt`](Pool::stop_on_interrupt).
    pub fn was_interrupted(&self) -> bool {
        lock(&self.interrupts).as_ref().is_some_and(Interrupts::was_interrupted)
    }
}

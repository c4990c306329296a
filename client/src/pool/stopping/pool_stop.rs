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
    /// Stops all calls that were submitted through this handle, and tells how they ended. The pool goes on, and takes
    /// new tasks at once.
    ///
    /// It is the ladder of [`BatchHandle::stop`], for all batches together: they are asked; after `grace` they get
    /// SIGTERM, and soon SIGKILL. Not in the report are batches that are known to have ended before, as their results
    /// were there; and those whose results nobody wants, which are stopped as well.
    ///
    /// # Errors
    ///
    /// As with `BatchHandle::stop`.
    pub fn stop(&self, grace: Duration) -> Result<StopReport> {
        self.stop_because("the pool's tasks were stopped by its owner", grace)
    }

    /// [Stops](Pool::stop) all calls that were submitted through this handle, and gives them the reason.
    ///
    /// # Errors
    ///
    /// As with [`BatchHandle::stop_because`].
    pub fn stop_because(&self, reason: &str, grace: Duration) -> Result<StopReport> {
        check_reason(reason)?;
        let batches = self.submitted_batches.batches_to_stop(self.reference.link()?, reason)?;
        stop_batches(&batches, reason, grace)
    }

    /// From now on, Ctrl-C (SIGINT) does not end this process, but [stops](Pool::stop) what was submitted through this
    /// handle. Another Ctrl-C skips the grace of tasks that were asked to stop before: their workers are killed.
    ///
    /// The program goes on, and so does the pool: waits for results return, with what tasks returned when they were
    /// asked to stop, or with [`Error::is_cancelled`] or [`Error::is_stopped`]. What it does then is up to the program,
    /// which can ask [`was_interrupted`](Pool::was_interrupted).
    ///
    /// When no pool listens any more, because it was dropped, Ctrl-C ends the process as ever. Handlers of the program
    /// for SIGINT, as of the crate `signal-hook`, are called as well.
    ///
    /// # Errors
    ///
    /// The signal can not be handled, or no thread be started.
    pub fn stop_on_interrupt(&self, grace: Duration) -> Result<()> {
        let listening = Interrupts::listen(self.reference.link()?, &self.submitted_batches, grace);
        let listening = listening.map_err(|error| {
            Error::new(ErrorKind::Other, format!("interrupts can not be listened to: {error}"))
        })?;
        *lock(&self.interrupts) = Some(listening);
        Ok(())
    }

    /// Whether there was a Ctrl-C since [`stop_on_interrupt`](Pool::stop_on_interrupt).
    pub fn was_interrupted(&self) -> bool {
        lock(&self.interrupts).as_ref().is_some_and(Interrupts::heard)
    }
}

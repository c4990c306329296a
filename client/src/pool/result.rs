//! The handle on calls that were submitted and may not have ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::batch::Batch;
use crate::{Error, ErrorKind, Result};

/// The result of calls that run, or will run, in a pool's workers.
///
/// Any number of threads may wait for it. Dropping it lets the calls run and throws their results away.
///
/// If the manager ends, every method fails at once with [`Error::is_manager_gone`].
#[must_use = "the calls run all the same, but nobody learns whether they failed"]
pub struct AsyncResult<T> {
    batch: Arc<Batch>,
    /// Makes the value out of all that has come.
    assemble: fn(&Batch) -> Result<T>,
}

impl<T: DeserializeOwned> AsyncResult<T> {
    /// The result of a batch with one call.
    pub(crate) fn of_one(batch: Arc<Batch>) -> AsyncResult<T> {
        let assemble = |batch: &Batch| {
            let mut results = batch.results()?;
            results.pop().ok_or_else(|| Error::new(ErrorKind::Other, "the batch has no call"))
        };
        AsyncResult { batch, assemble }
    }
}

impl<T: DeserializeOwned> AsyncResult<Vec<T>> {
    /// The results of all calls of a batch, in order.
    pub(crate) fn of_all(batch: Arc<Batch>) -> AsyncResult<Vec<T>> {
        AsyncResult { batch, assemble: Batch::results }
    }
}

impl<T> AsyncResult<T> {
    /// Waits until all calls have ended, and returns what they returned, in the order of the input.
    ///
    /// The timeout counts from now; `None` waits as long as it takes. After a timeout, or once it has returned, it
    /// may be called again; each time the value is decoded anew.
    ///
    /// # Errors
    ///
    /// * [`Error::is_timeout`]: the calls have not ended in this time, and go on.
    /// * The failure of the first call, in the order of the input, that did not return: [`Error::is_panicked`],
    ///   [`Error::is_unknown_function`], [`Error::is_bad_encoding`], [`Error::is_worker_died`],
    ///   [`Error::is_terminated`], or [`Error::is_limit`] if what it returned is too large to travel. Calls that
    ///   travelled in one chunk fail together. An `Err` that a task returns is not among these: it is a value.
    /// * What the manager refused of the submission, as [`Error::is_closed`] or [`Error::is_limit`].
    pub fn get(&self, timeout: impl Into<Option<Duration>>) -> Result<T> {
        let timeout = timeout.into();
        if self.batch.wait(timeout)? {
            return (self.assemble)(&self.batch);
        }
        let waited = timeout.unwrap_or_default();
        Err(Error::new(ErrorKind::Timeout, format!("the result was not there after {waited:?}")))
    }

    /// Waits until all calls have ended, whether they returned or failed. False: they have not, in this time.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<bool> {
        self.batch.wait(timeout.into())
    }

    /// Whether all calls have ended, whether they returned or failed.
    pub fn ready(&self) -> Result<bool> {
        self.batch.wait(Some(Duration::ZERO))
    }

    /// Whether all calls returned. It is an error to ask before they have ended.
    pub fn successful(&self) -> Result<bool> {
        self.ready()?;
        self.batch.is_successful()
    }
}

impl<T> fmt::Debug for AsyncResult<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AsyncResult").field("batch", &self.batch).finish_non_exhaustive()
    }
}

//! The handle to calls that were submitted and may not have ended.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::pool::results::callbacks::{CallbackThreads, Callbacks};
use crate::pool::results::progress::Progress;
use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::pool::stopping::batch_handle::BatchHandle;
use crate::pool::stopping::stop_report::StopReport;
use crate::{Error, ErrorKind, Event, Result};

/// The result of calls that run, or will run, in a pool's workers.
///
/// Any number of threads may wait for it. Dropping it lets the calls run and drops their results.
///
/// If the manager ends, every method fails at once with [`Error::is_manager_gone`].
///
/// ```no_run
/// # fn main() -> client::Result<()> {
/// use std::time::Duration;
///
/// fn crawl(page: String) -> usize {
///     let mut links = 0;
///     while client::task::sleep(Duration::from_millis(100)) {
///         links += page.len();
///     }
///     links
/// }
///
/// # let manager = client::Manager::start()?;
/// # let pool = client::Pool::new(&manager, 2)?;
/// let result = pool.map_async(crawl, ["/a".to_owned(), "/b".to_owned()])?;
/// if !result.wait(Duration::from_secs(60))? {
///     println!("{}", result.stop(Duration::from_secs(5))?); // 2 calls returned
/// }
/// println!("{:?}", result.outcomes()?);
/// # Ok(())
/// # }
/// ```
#[must_use = "the calls run, but nobody learns whether they failed"]
pub struct AsyncResult<T> {
    batch: Arc<SubmittedBatch>,
    /// Makes the value out of all outcomes.
    assemble: fn(&SubmittedBatch) -> Result<T>,
    /// What to call when the batch has ended, if anything.
    callbacks: OnceLock<Arc<Callbacks>>,
    /// The threads of the pool that call it.
    callback_threads: Weak<CallbackThreads>,
}

impl<T: DeserializeOwned> AsyncResult<T> {
    /// The result of a batch with one call.
    pub(crate) fn of_one(
        batch: Arc<SubmittedBatch>,
        callback_threads: Weak<CallbackThreads>,
    ) -> AsyncResult<T> {
        AsyncResult { batch, assemble: one_result, callbacks: OnceLock::new(), callback_threads }
    }
}

impl<T: DeserializeOwned> AsyncResult<Vec<T>> {
    /// The results of all calls of a batch, in order.
    pub(crate) fn of_all(
        batch: Arc<SubmittedBatch>,
        callback_threads: Weak<CallbackThreads>,
    ) -> AsyncResult<Vec<T>> {
        AsyncResult { batch, assemble: all_results, callbacks: OnceLock::new(), callback_threads }
    }

    /// Waits until all calls have ended, and returns the outcome of each, in the order of the input. After a stop,
    /// these are the results of the calls that returned, and the errors of the others.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), except for the failures of calls.
    pub fn outcomes(&self) -> Result<Vec<Result<T>>> {
        self.batch.wait(None)?;
        let mut outcomes = Vec::with_capacity(self.batch.calls());
        self.batch.each_call(|outcome| {
            outcomes.push(outcome);
            Ok(())
        })?;
        Ok(outcomes)
    }
}

/// Waits for the result of a batch with one call.
pub(crate) fn wait_for_one<T: DeserializeOwned>(batch: &SubmittedBatch) -> Result<T> {
    batch.wait(None)?;
    one_result(batch)
}

/// Waits for the results of all calls of a batch, in order.
pub(crate) fn wait_for_all<T: DeserializeOwned>(batch: &SubmittedBatch) -> Result<Vec<T>> {
    batch.wait(None)?;
    all_results(batch)
}

fn one_result<T: DeserializeOwned>(batch: &SubmittedBatch) -> Result<T> {
    let mut results = all_results(batch)?;
    results.pop().ok_or_else(|| Error::new(ErrorKind::Other, "the batch has no call"))
}

/// The results of all calls in order, or the first failure in that order.
fn all_results<T: DeserializeOwned>(batch: &SubmittedBatch) -> Result<Vec<T>> {
    let mut results = Vec::with_capacity(batch.calls());
    batch.each_call(|result| {
        results.push(result?);
        Ok(())
    })?;
    Ok(results)
}

impl<T> AsyncResult<T> {
    /// Waits until all calls have ended, and returns what they returned. Without a timeout it waits forever.
    ///
    /// # Errors
    ///
    /// * [`Error::is_timeout`]: they have not ended in this time; the caller may ask again.
    /// * The failure of the first call, in the order of the input, that did not return: [`Error::is_panicked`],
    ///   [`Error::is_unknown_function`], [`Error::is_bad_encoding`], [`Error::is_worker_died`],
    ///   [`Error::is_terminated`], [`Error::is_cancelled`], [`Error::is_stopped`], [`Error::is_time_limit`], or
    ///   [`Error::is_limit`] if what it returned is too large to travel. The text names the call. An `Err` that a task
    ///   returns is not among these: it is a value.
    /// * The reason why the manager refused the submission, such as [`Error::is_closed`] or [`Error::is_limit`].
    pub fn get(&self, timeout: impl Into<Option<Duration>>) -> Result<T> {
        let timeout = timeout.into();
        if self.batch.wait(timeout)? {
            return (self.assemble)(&self.batch);
        }
        let waited = timeout.unwrap_or_default();
        Err(Error::new(ErrorKind::Timeout, format!("the result was not there after {waited:?}")))
    }

    /// Waits until all calls have ended, whether they returned or failed. Returns false if they have not ended in this
    /// time.
    pub fn wait(&self, timeout: impl Into<Option<Duration>>) -> Result<bool> {
        self.batch.wait(timeout.into())
    }

    /// Whether all calls have ended, whether they returned or failed.
    pub fn ready(&self) -> Result<bool> {
        self.batch.wait(Some(Duration::ZERO))
    }

    /// Whether all calls returned.
    ///
    /// # Errors
    ///
    /// Not all calls have ended yet.
    pub fn successful(&self) -> Result<bool> {
        self.ready()?;
        self.batch.is_successful()
    }

    /// The progress of the calls. It costs a round trip or two, and fetches the results that have come.
    pub fn progress(&self) -> Result<Progress> {
        self.batch.progress()
    }

    /// Drops the calls that have not started: see [`BatchHandle::cancel`].
    pub fn cancel(&self) -> Result<()> {
        self.handle().cancel()
    }

    /// Stops the calls, and no others: asks them to stop, then sends SIGTERM, then SIGKILL. See [`BatchHandle::stop`].
    pub fn stop(&self, grace: Duration) -> Result<StopReport> {
        self.handle().stop(grace)
    }

    /// [Stops](Self::stop) the calls for this reason.
    pub fn stop_because(&self, reason: &str, grace: Duration) -> Result<StopReport> {
        self.handle().stop_because(reason, grace)
    }

    /// The event that tells the calls to stop: see [`BatchHandle::stop_event`].
    pub fn stop_event(&self) -> Event {
        self.handle().stop_event()
    }

    /// A handle to the calls that does not depend on the type of their results.
    pub fn handle(&self) -> BatchHandle {
        BatchHandle::new(&self.batch)
    }

    #[cfg(feature = "progress")]
    pub(crate) fn batch(&self) -> &Arc<SubmittedBatch> {
        &self.batch
    }
}

impl<T: 'static> AsyncResult<T> {
    /// Makes a thread of this process call the function once with the result, when all calls have returned; never, if
    /// one of them fails.
    ///
    /// Up to a thousand results of a pool have a thread each, so a callback that takes long delays only the callbacks
    /// of this result that were added later. It may use the pool, but not wait for its end:
    /// [`Pool::join`](crate::Pool::join) waits for all callbacks. The call comes even if the program has dropped this
    /// handle.
    ///
    /// Beyond a thousand results with callbacks, each further one gets a thread once an earlier one has finished its
    /// callbacks. So a callback must not wait for what a callback of a later result does.
    ///
    /// ```no_run
    /// # fn add(left: u32, right: u32) -> u32 { left + right }
    /// # fn submit(pool: &client::Pool) -> client::Result<()> {
    /// let result = pool.apply_async(add, (2, 3))?;
    /// result.on_result(|sum| println!("{sum}"))?.on_error(|error| eprintln!("{error}"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn on_result(&self, callback: impl FnOnce(T) + Send + 'static) -> Result<&Self> {
        self.on_end(|outcome| {
            if let Ok(value) = outcome {
                callback(value);
            }
        })
    }

    /// Makes a thread of this process call the function once with the error that [`get`](Self::get) gives, when all
    /// calls have ended; never, if all return. Apart from that, it is like [`on_result`](Self::on_result).
    pub fn on_error(&self, callback: impl FnOnce(Error) + Send + 'static) -> Result<&Self> {
        self.on_end(|outcome| {
            if let Err(error) = outcome {
                callback(error);
            }
        })
    }

    fn on_end(&self, callback: impl FnOnce(Result<T>) + Send + 'static) -> Result<&Self> {
        let assemble = self.assemble;
        let call = move |batch: &SubmittedBatch| callback(batch.wait(None).and_then(|_| assemble(batch)));
        let callbacks = self.callbacks.get_or_init(|| Callbacks::new(&self.batch));
        callbacks.add(self.callback_threads.upgrade(), Box::new(call))?;
        Ok(self)
    }
}

impl<T> fmt::Debug for AsyncResult<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AsyncResult").field("batch", &self.batch).finish_non_exhaustive()
    }
}

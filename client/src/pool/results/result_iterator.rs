//! Results that are taken one by one, while calls run and input is still drawn.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::pool::results::outcomes::Outcomes;
use crate::pool::results::runs::ResultRun;
use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::pool::stopping::batch_handle::BatchHandle;
use crate::{Error, ErrorKind, Result};

/// The results of calls, as they come: what [`Pool::imap`](crate::Pool::imap) and the methods like it return.
///
/// Each item is the result of one call, or why it failed; a failed call does not end the iteration. It ends when the
/// results of the whole input were taken. If the input could not be drawn to its end, one more item
/// says so, an error after the results of what was drawn:
///
/// * the iterator that gives the input panicked ([`Error::is_input_panicked`]);
/// * the arguments of a call do not encode ([`Error::is_bad_encoding`]), are too large ([`Error::is_limit`]), or hold a
///   proxy of another manager ([`Error::is_bad_target`]);
/// * the batch was cancelled or stopped ([`Error::is_cancelled`]), or the pool was terminated
///   ([`Error::is_terminated`], [`Error::is_closed`]);
/// * the manager is gone ([`Error::is_manager_gone`]).
///
/// Dropping it draws no more input, and cancels calls that have not started. Those that run go on, and their results
/// are dropped. A `next` of the input that does not return blocks only its own thread.
pub struct ResultIterator<T> {
    batch: Arc<SubmittedBatch>,
    /// Results that came together and were not taken.
    ready: VecDeque<Result<T>>,
    /// How many calls there will be, if the input says so.
    total: Option<usize>,
    is_over: bool,
    /// The process that this belongs to. A child that was forked from it must not end the batch.
    process: u32,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> ResultIterator<T> {
    pub(crate) fn new(batch: Arc<SubmittedBatch>, total: Option<usize>) -> ResultIterator<T> {
        let process = std::process::id();
        ResultIterator { batch, ready: VecDeque::new(), total, is_over: false, process, result: PhantomData }
    }

    /// Waits for the next result for at most this long. Returns none at the end, as [`next`](Iterator::next) does.
    ///
    /// # Errors
    ///
    /// [`Error::is_timeout`] if no result came in this time; the caller may ask again.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<T>> {
        let timed_out =
            || Error::new(ErrorKind::Timeout, format!("the next result was not there after {timeout:?}"));
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.next_until(Some(deadline), timed_out),
            None => self.next(),
        }
    }

    fn next_until(
        &mut self,
        deadline: Option<Instant>,
        timed_out: impl FnOnce() -> Error,
    ) -> Option<Result<T>> {
        while self.ready.is_empty() && !self.is_over {
            match take_next(&self.batch, deadline) {
                Ok(Next::Ended(run)) => {
                    let total = self.total.map(|total| total as u64);
                    self.ready.extend(self.batch.results(&run, total));
                }
                Ok(Next::TimedOut) => return Some(Err(timed_out())),
                Ok(Next::Over(cut)) => {
                    self.is_over = true;
                    return cut.map(Err);
                }
                Err(error) => {
                    self.is_over = self.batch.broken().is_some();
                    return Some(Err(error));
                }
            }
        }
        let result = self.ready.pop_front()?;
        note_taken(&self.batch);
        Some(result)
    }
}

impl<T> ResultIterator<T> {
    /// A handle to the calls, for stopping them or for their progress, from another thread or between two results.
    pub fn handle(&self) -> BatchHandle {
        BatchHandle::new(&self.batch)
    }

    /// How many results there will be, if the input said how long it is.
    pub fn total(&self) -> Option<usize> {
        self.total
    }
}

impl<T: DeserializeOwned> Iterator for ResultIterator<T> {
    type Item = Result<T>;

    /// Waits for the next result without a timeout.
    fn next(&mut self) -> Option<Result<T>> {
        self.next_until(None, || unreachable!("a wait without a deadline does not time out"))
    }
}

impl<T: DeserializeOwned> FusedIterator for ResultIterator<T> {}

impl<T> Drop for ResultIterator<T> {
    fn drop(&mut self) {
        if self.process == std::process::id() && !self.is_over {
            self.batch.abandon();
        }
    }
}

impl<T> fmt::Debug for ResultIterator<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ResultIterator").field("batch", &self.batch).finish_non_exhaustive()
    }
}

/// The result of a wait for the next calls that have ended.
#[derive(Debug)]
enum Next {
    /// Calls that have ended.
    Ended(ResultRun),
    /// There are no more; with the reason, if the input was not drawn to its end.
    Over(Option<Error>),
    /// None has ended in time.
    TimedOut,
}

/// Waits for the next calls that have ended, and takes them.
fn take_next(batch: &SubmittedBatch, deadline: Option<Instant>) -> Result<Next> {
    loop {
        let has_next = |outcomes: &Outcomes| outcomes.has_next() || outcomes.is_complete();
        let Some(mut state) = batch.wait_until(deadline, has_next)? else {
            return Ok(Next::TimedOut);
        };
        match state.outcomes.take_next() {
            Some(run) => return Ok(Next::Ended(run)),
            None if state.outcomes.is_complete() => return Ok(Next::Over(state.outcomes.cut.take())),
            // Another thread took it first.
            None => {}
        }
    }
}

/// Notes that the program has taken a result, which makes room in the window.
fn note_taken(batch: &SubmittedBatch) {
    batch.lock().outcomes.taken += 1;
    batch.changed.notify_all();
}

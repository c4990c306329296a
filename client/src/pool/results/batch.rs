//! A batch, as its owner sees it: the calls that were submitted together, and what has come of them. How it comes into
//! being is in `opening`.
//!
//! Results are moved out of the manager as they come and kept here, still encoded, so that they can be asked for
//! more than once. Any number of threads may wait: one of them asks the manager, for all.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use protocol::{Grant, ObjectId, Outcome, Reply, Request, Results, Target, WaitMode};
use serde::de::DeserializeOwned;

use crate::objects::reference::Reference;
use crate::pool::results::busy_poll::poll_briefly;
use crate::pool::results::callbacks::Callbacks;
use crate::pool::results::failure::{CallRange, task_failed};
use crate::pool::results::outcomes::Outcomes;
use crate::pool::results::result_rate::{GATHERING_TIME_MAX, ResultRate};
use crate::pool::results::slots::Slot;
use crate::pool::results::unserved_warning::{UnservedWarning, WARNING_TIME};
use crate::pool::stopping::batch_handle::stopped;
use crate::pool::submit::submission::Submitted;
use crate::pool::submitted_batches::{DetachedBatch, SubmittedBatches};
use crate::pool::unexpected;
use crate::process::thread::this_thread;
use crate::sync::lock;
use crate::task::read_chunk;
use crate::{Error, ErrorKind, Event, Result, duration};

/// The calls of one submission.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Declared before the references: what was begun is given up before the batch is.
    pub(crate) state: Mutex<BatchState>,
    /// Told whenever the state changes.
    pub(crate) changed: Condvar,
    pub(crate) reference: Reference,
    /// Set to stop it.
    pub(crate) stop: Event,
    /// The name of the function.
    pub(crate) function: String,
    /// What to call when it has ended.
    pub(crate) callbacks: Callbacks,
    /// The other batches of its pool.
    pub(crate) submitted_batches: Weak<SubmittedBatches>,
}

/// What changes of a batch.
#[derive(Debug)]
pub(crate) struct BatchState {
    /// What has come so far.
    pub(crate) outcomes: Outcomes,
    /// Requests whose answers nobody has looked at.
    pub(crate) begun: Submitted,
    /// How many results to wait for, if all are wanted.
    flow: ResultRate,
    /// Who is to look whether the pool is served, if nothing comes for a while.
    warning: Option<UnservedWarning>,
    /// Whether its stop event can be waited for: not if somebody has taken it away.
    has_stop: bool,
    /// Whether a thread asks the manager right now.
    is_asking: bool,
    /// Whether its tasks were asked to stop.
    pub(crate) is_asked_to_stop: bool,
}

impl BatchState {
    /// That of a batch of which nothing has come.
    pub(crate) fn new(outcomes: Outcomes, begun: Submitted, warning: Option<UnservedWarning>) -> BatchState {
        BatchState {
            outcomes,
            begun,
            flow: ResultRate::new(),
            warning,
            has_stop: true,
            is_asking: false,
            is_asked_to_stop: false,
        }
    }

    /// Whether another thread asks the manager, or is about to: a wait that was sent with the batch keeps no deadline,
    /// so it is not for who has one, as whoever stops all batches, but for who has submitted it and waits next.
    fn is_left_to_another(&self, rest: Option<Duration>) -> bool {
        self.is_asking || (rest.is_some() && self.begun.results.is_some())
    }
}

impl Batch {
    pub(crate) fn id(&self) -> ObjectId {
        self.reference.id()
    }

    /// Waits until every call has ended; tells whether that is so. Without a timeout it is.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        // A deadline that the clock can not tell is as good as none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(self.wait_until(deadline, Outcomes::is_complete)?.is_some())
    }

    /// Waits until something holds of what has been outcomes. None: it did not until the deadline.
    pub(crate) fn wait_until(
        &self,
        deadline: Option<Instant>,
        is_met: impl Fn(&Outcomes) -> bool,
    ) -> Result<Option<MutexGuard<'_, BatchState>>> {
        let mut state = self.lock();
        loop {
            if is_met(&state.outcomes) {
                return Ok(Some(state));
            }
            if let Some(broken) = &state.outcomes.broken {
                return Err(broken.clone());
            }
            let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if state.is_left_to_another(rest) || !state.outcomes.has_more_to_come() {
                if rest.is_some_and(|rest| rest.is_zero()) {
                    return Ok(None);
                }
                state = self.sleep(state, rest);
                continue;
            }
            let has_come;
            (state, has_come) = self.gather(state, rest);
            if !has_come? {
                return Ok(is_met(&state.outcomes).then_some(state));
            }
        }
    }

    /// Asks the manager for what has come, for everyone, and waits for something if nothing has. False: nothing came
    /// in this time. An error concerns this wait only; another one may go well.
    fn gather<'a>(
        &'a self,
        mut state: MutexGuard<'a, BatchState>,
        timeout: Option<Duration>,
    ) -> (MutexGuard<'a, BatchState>, Result<bool>) {
        state.is_asking = true;
        let begun = std::mem::take(&mut state.begun);
        // Of a batch that was submitted as a whole nobody wants a single result.
        let may_gather =
            state.outcomes.is_whole() && timeout.is_none_or(|timeout| timeout > GATHERING_TIME_MAX);
        let gathers = may_gather && state.flow.is_fast();
        let warning = state.warning.take_if(|_| timeout.is_none_or(|timeout| timeout > WARNING_TIME));
        let (target, timeout) = match gathers {
            true => (state.flow.target(self.id()), Some(GATHERING_TIME_MAX)),
            false => {
                (Target::Results { batch: self.id() }, warning.as_ref().map(|_| WARNING_TIME).or(timeout))
            }
        };
        // If all that was drawn has returned, no result would tell that the batch was stopped.
        let waits_for_stop = state.has_stop && state.outcomes.is_drawing();
        let stop = waits_for_stop.then(|| Target::Event { id: self.stop.reference().id() });
        drop(state);
        let began = Instant::now();
        let answer = self.ask(begun, [target].into_iter().chain(stop), timeout);
        let took = began.elapsed();
        let is_cut_short = warning.is_some();
        if let (Some(warning), Ok(None), Ok(link)) = (warning, &answer, self.reference.link()) {
            warning.look(link, self.id());
        }
        let mut state = self.lock();
        state.is_asking = false;
        self.changed.notify_all();
        let came = answer.as_ref().map_or(0, |answer| answer.as_ref().map_or(0, |came| came.results.len()));
        state.flow.note(came, took);
        let results = match answer {
            // There are fewer, which are asked for next.
            Ok(None) if gathers || is_cut_short => return (state, Ok(true)),
            Ok(None) => return (state, Ok(false)),
            Ok(Some(results)) => results,
            // As when this process has too many waits, or too much that it has not confirmed.
            Err(error) if error.is_limit() && state.outcomes.broken.is_none() => return (state, Err(error)),
            // If it is the batch that is not there, the next wait tells.
            Err(error) if waits_for_stop && (error.is_removed() || error.is_no_such_object()) => {
                state.has_stop = false;
                return (state, Ok(true));
            }
            Err(error) => {
                state.outcomes.broken.get_or_insert(error);
                return (state, Ok(true));
            }
        };
        if state.outcomes.take_in(results) {
            drop(state);
            self.cut(stopped());
            state = self.lock();
        }
        (state, Ok(true))
    }

    /// Asks the manager for results. None: the time is over.
    fn ask<'a>(
        &self,
        begun: Submitted,
        targets: impl Iterator<Item = Target<'a>>,
        timeout: Option<Duration>,
    ) -> Result<Option<Results>> {
        let Submitted { submissions, results } = begun;
        let is_fresh = !submissions.is_empty() || results.is_some();
        let is_run = results.is_some();
        // Submitted before anything is waited for, so that a fresh submission and the wait for it cost one round trip.
        let mut results = match results {
            Some(results) => results,
            None => self.reference.link()?.begin(Request::Wait {
                mode: WaitMode::Any,
                targets: targets.collect(),
                timeout_ns: timeout.map(duration::nanoseconds),
                thread: this_thread(),
            })?,
        };
        let is_one = is_fresh && self.lock().outcomes.slots.len() == 1;
        let early = if is_one { poll_briefly(&mut results) } else { Ok(None) };
        // Looked at first: if the manager refused the batch, it says here why, and to the wait only that there is none.
        if let Err(error) = submissions.into_iter().try_for_each(|submission| submission.wait().map(drop)) {
            self.break_off(&error);
            // A part of it would only waste work.
            let _ = self.send(Request::BatchCancel { id: self.id() });
            return Err(error);
        }
        match early.transpose().unwrap_or_else(|| results.wait()) {
            Ok(Reply::TimedOut { .. }) => Ok(None),
            Ok(Reply::Taken(mut taken)) => match taken.grants.pop() {
                Some(Grant::Results(results)) => Ok(Some(results)),
                Some(Grant::Event(_)) => {
                    self.cut(stopped());
                    Ok(Some(Results { results: Vec::new(), complete: false }))
                }
                grant => Err(unexpected(&format!("a wait for results gave {grant:?}"))),
            },
            Ok(reply) => Err(crate::error::unexpected(&reply)),
            Err(error) => {
                if is_run {
                    self.break_off(&error);
                }
                Err(error)
            }
        }
    }

    /// Notes why nothing comes any more.
    fn break_off(&self, error: &Error) {
        self.lock().outcomes.broken.get_or_insert_with(|| error.clone());
    }

    /// Whether it is known to have ended, or can not be asked any more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.outcomes.is_complete() || state.outcomes.broken.is_some()
    }

    /// Why it can not be asked for any more, if it can not.
    pub(crate) fn broken(&self) -> Option<Error> {
        self.lock().outcomes.broken.clone()
    }

    /// Whether every call returned. None has to be running any more.
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

    /// What became of each chunk, in order: the results of its calls, or why they failed, and how many there are. It
    /// has been waited for.
    pub(crate) fn each_chunk<T: DeserializeOwned>(
        &self,
        mut visit: impl FnMut(u32, Result<Vec<T>>) -> Result<()>,
    ) -> Result<()> {
        let state = self.lock();
        let total = state.outcomes.calls as usize;
        let mut first = 0;
        state.outcomes.slots.iter().try_for_each(|(_, slot)| {
            let place = CallRange { first, count: slot.count, total };
            first += slot.count as usize;
            visit(slot.count, self.decode(slot, Some(place)))
        })
    }

    /// The results of a chunk that has ended.
    pub(crate) fn decode<T: DeserializeOwned>(
        &self,
        slot: &Slot,
        place: Option<CallRange>,
    ) -> Result<Vec<T>> {
        match &slot.outcome {
            Some(Outcome::Returned(payload)) => {
                let results = read_chunk(payload.as_bytes())
                    .map_err(|error| self.not_decoded(error.error_kind(), &error.to_string()))?;
                match results.len() == slot.count as usize {
                    true => Ok(results),
                    false => {
                        let text = format!("{} results came for {} calls", results.len(), slot.count);
                        Err(self.not_decoded(ErrorKind::BadEncoding, &text))
                    }
                }
            }
            Some(Outcome::Failed(failure)) => Err(task_failed(&self.function, failure, place)),
            None => Err(unexpected("a batch is complete, and a result is missing")),
        }
    }

    fn not_decoded(&self, kind: ErrorKind, text: &str) -> Error {
        Error::new(
            kind,
            format!("the result of `{}` is not of the type that is expected here: {text}", self.function),
        )
    }

    /// Looks at the places of all chunks that were not taken.
    pub(crate) fn inspect<R>(&self, look: impl FnOnce(&mut dyn Iterator<Item = (u64, &Slot)>) -> R) -> R {
        look(&mut self.lock().outcomes.slots.iter())
    }

    /// The error for a chunk that failed.
    pub(crate) fn error_of(&self, failure: &protocol::Failure) -> Error {
        task_failed(&self.function, failure, None)
    }

    /// Tells the manager that no more chunks come.
    pub(crate) fn tell_last(&self) -> Result<()> {
        self.send(Request::BatchAdd { id: self.id(), tasks: Vec::new(), last: true })
    }

    /// Sends a request that is not answered.
    pub(crate) fn send(&self, request: Request<'_>) -> Result<()> {
        self.reference.link()?.send(request)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BatchState> {
        lock(&self.state)
    }

    /// Waits until the state has changed, or the time is over.
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

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.is_over()
            && let Some(submitted_batches) = self.submitted_batches.upgrade()
        {
            submitted_batches
                .add_detached(DetachedBatch { batch: self.id(), stop: self.stop.reference().id() });
        }
    }
}

#[cfg(test)]
mod tests;

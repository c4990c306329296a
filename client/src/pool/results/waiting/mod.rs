//! Waiting for a batch. Any number of threads may wait: one of them asks the manager, on behalf of all.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use client_core::Operation;
use client_core::operations::{BatchCancel, Either, EventTarget, ResultsTarget, WaitForEither};
use protocol::Results;

use crate::pool::results::busy_poll::poll_briefly;
use crate::pool::results::outcomes::Outcomes;
use crate::pool::results::result_rate::GATHERING_TIME_MAX;
use crate::pool::results::submitted_batch::{BatchState, Submitted, SubmittedBatch, stopped};
use crate::pool::results::unserved_warning::WARNING_DELAY;
use crate::process::thread::this_thread;
use crate::{Result, duration};

/// A wait for results, or for the event that stops the batch.
type ResultsWait = WaitForEither<ResultsTarget, EventTarget>;

impl BatchState {
    /// Whether another thread asks the manager, or is about to. A wait that was sent with the batch has no deadline, so
    /// it serves only the thread that submitted the batch and waits next, not a thread with a deadline, such as one
    /// that stops all batches.
    fn is_left_to_another(&self, rest: Option<Duration>) -> bool {
        self.is_asking || (rest.is_some() && self.submitted.results.is_some())
    }
}

impl SubmittedBatch {
    /// Waits until every call has ended, and returns whether that is so. Without a timeout it returns true.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        // A deadline beyond the range of the clock never comes.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(self.wait_until(deadline, Outcomes::is_complete)?.is_some())
    }

    /// Waits until the outcomes meet a condition. Returns none if they did not before the deadline.
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
            (state, has_come) = self.fetch(state, rest);
            if !has_come? {
                return Ok(is_met(&state.outcomes).then_some(state));
            }
        }
    }

    /// Asks the manager for the results that have come, on behalf of all waiters, and waits for one if there is none.
    /// Returns false if none came in this time. An error concerns this wait only; the next one may succeed.
    fn fetch<'a>(
        &'a self,
        mut state: MutexGuard<'a, BatchState>,
        timeout: Option<Duration>,
    ) -> (MutexGuard<'a, BatchState>, Result<bool>) {
        state.is_asking = true;
        let submitted = std::mem::take(&mut state.submitted);
        // Nobody wants a single result of a batch that was submitted as a whole.
        let may_gather =
            state.outcomes.is_whole() && timeout.is_none_or(|timeout| timeout > GATHERING_TIME_MAX);
        let gathers = may_gather && state.rate.is_fast();
        let warning =
            state.unserved_warning.take_if(|_| timeout.is_none_or(|timeout| timeout > WARNING_DELAY));
        let (target, timeout) = match gathers {
            true => (state.rate.target(self.id()), Some(GATHERING_TIME_MAX)),
            false => {
                let target = ResultsTarget { batch: self.id(), least: 1 };
                (target, warning.as_ref().map(|_| WARNING_DELAY).or(timeout))
            }
        };
        // If all that was drawn has returned, no result would show that the batch was stopped.
        let waits_for_stop = state.has_stop && state.outcomes.is_drawing();
        let stop = waits_for_stop.then(|| EventTarget { id: self.stop.reference().id() });
        drop(state);
        let began = Instant::now();
        let answer = self.ask(submitted, target, stop, timeout);
        let took = began.elapsed();
        let is_cut_short = warning.is_some();
        if let (Some(warning), Ok(None), Ok(link)) = (warning, &answer, self.reference.link()) {
            warning.warn_if_unserved(link, self.id());
        }
        let mut state = self.lock();
        state.is_asking = false;
        self.changed.notify_all();
        let came = answer.as_ref().ok().and_then(Option::as_ref).map_or(0, calls_in);
        state.rate.note(came, took);
        let results = match answer {
            // Fewer have come; the next request fetches them.
            Ok(None) if gathers || is_cut_short => return (state, Ok(true)),
            Ok(None) => return (state, Ok(false)),
            Ok(Some(results)) => results,
            // This process may have too many waits, or too many results that it has not confirmed.
            Err(error) if error.is_limit() && state.outcomes.broken.is_none() => return (state, Err(error)),
            // If the batch is gone, the next wait reports it.
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

    /// Asks the manager for results, unless the event stops the batch. Returns none when the time is over.
    fn ask(
        &self,
        submitted: Submitted,
        target: ResultsTarget,
        stop: Option<EventTarget>,
        timeout: Option<Duration>,
    ) -> Result<Option<Results>> {
        let Submitted { submissions, results } = submitted;
        let is_fresh = !submissions.is_empty() || results.is_some();
        let is_run = results.is_some();
        // This goes out before any wait, so that a fresh submission and the wait for it cost one round trip.
        let mut results = match results {
            Some(results) => results,
            None => {
                let wait = ResultsWait {
                    first: Some(target),
                    second: stop,
                    timeout_ns: timeout.map(duration::nanoseconds),
                    thread: this_thread(),
                };
                self.reference.link()?.begin(wait.into_request())?
            }
        };
        let is_one = is_fresh && self.lock().outcomes.calls == 1;
        let early = if is_one { poll_briefly(&mut results) } else { Ok(None) };
        // Read first: if the manager refused the batch, this answer says why, and the wait's only that there is none.
        if let Err(error) = submissions.into_iter().try_for_each(|submission| submission.wait().map(drop)) {
            self.break_off(&error);
            // A part of the results would only waste work.
            let _ = self.send(BatchCancel { id: self.id() }.into_request());
            return Err(error);
        }
        let reply = early.transpose().unwrap_or_else(|| results.wait());
        let reply = reply.inspect_err(|error| {
            if is_run {
                self.break_off(error);
            }
        })?;
        // A request that runs a batch has the same answer as a wait.
        match ResultsWait::output(reply)? {
            None => Ok(None),
            Some(Either::First(results)) => Ok(Some(results)),
            Some(Either::Second(_)) => {
                self.cut(stopped());
                Ok(Some(Results { results: Vec::new(), complete: false }))
            }
        }
    }
}

/// How many calls these results are of.
fn calls_in(results: &Results) -> u64 {
    results.results.iter().map(|result| u64::from(result.calls)).sum()
}

#[cfg(test)]
mod tests;

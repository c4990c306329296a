//! A batch, as its owner sees it: the calls that were submitted together, and what has come of them.
//!
//! Results are moved out of the manager as they come and kept here, still encoded, so that they can be asked for
//! more than once. Any number of threads may wait: one of them asks the manager, for all.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::{Failure, FailureKind, Grant, Kind, ObjectId, Outcome, Request, Results, Target};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::submission::{Chunk, requests};
use crate::link::{Link, Pending};
use crate::reference::Reference;
use crate::task::read_chunk;
use crate::{Error, ErrorKind, Result};

/// The calls of one submission.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Declared before the reference: what was begun is given up before the batch is.
    gathered: Mutex<Gathered>,
    /// Told whenever `gathered` changes.
    changed: Condvar,
    reference: Reference,
    /// The name of the function.
    function: String,
    /// How many calls each chunk has.
    counts: Vec<u32>,
}

/// What has come so far.
#[derive(Debug)]
struct Gathered {
    /// Requests that submit the batch, whose answers nobody has looked at.
    submissions: Vec<Pending>,
    /// How each chunk ended, as far as it is known.
    outcomes: Vec<Option<Outcome>>,
    /// Whether a thread asks the manager right now.
    is_asking: bool,
    /// Whether nothing more will come: the batch is complete, or can not be asked for any more.
    end: Option<Result<()>>,
}

impl Batch {
    /// Sends a batch to the manager. What the manager refuses of it shows when the batch is waited for.
    pub(crate) fn submit(
        link: &Arc<Link>,
        pool: ObjectId,
        function: &str,
        chunks: &[Chunk],
    ) -> Result<Arc<Batch>> {
        let id = ObjectId(Uuid::new_v4());
        let mut submissions = Vec::with_capacity(2);
        submissions.push(link.begin_queued(Request::BatchOpen { id, pool, function })?);
        let reference = Reference::adopt(Arc::clone(link), id, Kind::Batch);
        for request in requests(id, chunks) {
            submissions.push(link.begin_queued(request)?);
        }
        // The end is told by itself: were it part of a request that is refused, the pool would wait for it for ever.
        link.send(Request::BatchAdd { id, tasks: Vec::new(), last: true })?;
        let gathered =
            Gathered { submissions, outcomes: vec![None; chunks.len()], is_asking: false, end: None };
        Ok(Arc::new(Batch {
            gathered: Mutex::new(gathered),
            changed: Condvar::new(),
            reference,
            function: function.to_owned(),
            counts: chunks.iter().map(|chunk| chunk.count).collect(),
        }))
    }

    /// Waits until every call has ended; tells whether that is so. Without a timeout it is.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        // A deadline that the clock can not tell is as good as none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut gathered = self.lock();
        loop {
            if let Some(end) = &gathered.end {
                return end.clone().map(|()| true);
            }
            let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if gathered.is_asking {
                if rest.is_some_and(|rest| rest.is_zero()) {
                    return Ok(false);
                }
                gathered = self.sleep(gathered, rest);
                continue;
            }
            gathered.is_asking = true;
            let submissions = std::mem::take(&mut gathered.submissions);
            drop(gathered);
            let answer = self.ask(submissions, rest);
            gathered = self.lock();
            gathered.is_asking = false;
            self.changed.notify_all();
            match answer {
                Ok(Some(results)) => gathered.take_in(results),
                Ok(None) if gathered.end.is_none() => return Ok(false),
                Ok(None) => {}
                Err(error) => gathered.end = Some(Err(error)),
            }
        }
    }

    /// Asks the manager for results that have come, and waits for some if none have. None: the time is over.
    fn ask(&self, submissions: Vec<Pending>, timeout: Option<Duration>) -> Result<Option<Results>> {
        // Looked at first: if the manager refused the batch, it says here why, and to the wait only that there is none.
        submissions.into_iter().try_for_each(|submission| submission.wait().map(drop))?;
        match self.reference.wait(Target::Results { batch: self.reference.id() }, timeout)? {
            None => Ok(None),
            Some(Grant::Results(results)) => Ok(Some(results)),
            Some(grant) => Err(unexpected(&format!("a wait for results gave {grant:?}"))),
        }
    }

    /// Whether every call returned. None has to be running any more.
    pub(crate) fn is_successful(&self) -> Result<bool> {
        let gathered = self.lock();
        match &gathered.end {
            None => Err(Error::new(
                ErrorKind::Other,
                "the result is not ready, so it is neither successful nor not",
            )),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(())) => {
                Ok(gathered.outcomes.iter().all(|outcome| matches!(outcome, Some(Outcome::Returned(_)))))
            }
        }
    }

    /// The results of all calls in order, or the first failure in that order. It has been waited for.
    pub(crate) fn results<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let gathered = self.lock();
        let mut results = Vec::with_capacity(self.calls());
        for (outcome, &count) in gathered.outcomes.iter().zip(&self.counts) {
            match outcome {
                Some(Outcome::Returned(payload)) => {
                    let chunk = read_chunk(payload.as_bytes())
                        .map_err(|error| self.not_decoded(&error.to_string()))?;
                    if chunk.len() != count as usize {
                        let text = format!("{} results came for {count} calls", chunk.len());
                        return Err(self.not_decoded(&text));
                    }
                    results.extend(chunk);
                }
                Some(Outcome::Failed(failure)) => return Err(self.failed(failure, results.len(), count)),
                None => return Err(unexpected("a batch is complete, and a result is missing")),
            }
        }
        Ok(results)
    }

    fn calls(&self) -> usize {
        self.counts.iter().map(|&count| count as usize).sum()
    }

    fn not_decoded(&self, text: &str) -> Error {
        Error::new(
            ErrorKind::BadEncoding,
            format!("the result of `{}` is not of the type that is expected here: {text}", self.function),
        )
    }

    /// The error for the failure of a chunk that begins with this call.
    fn failed(&self, failure: &Failure, first: usize, count: u32) -> Error {
        let (kind, what) = match failure.kind {
            FailureKind::Panicked => (ErrorKind::Panicked, "panicked"),
            FailureKind::UnknownFunction => (ErrorKind::UnknownFunction, "is not known to the worker"),
            FailureKind::BadEncoding => (ErrorKind::BadEncoding, "was not understood"),
            FailureKind::WorkerDied => (ErrorKind::WorkerDied, "lost its worker"),
            FailureKind::Terminated => (ErrorKind::Terminated, "was terminated"),
            FailureKind::TooLarge => (ErrorKind::Limit, "returned too much"),
        };
        let calls = self.calls();
        let place = match count {
            _ if calls == 1 => String::new(),
            1 => format!(" in call {} of {calls}", first + 1),
            _ => format!(" in one of the calls {} to {} of {calls}", first + 1, first + count as usize),
        };
        Error::new(kind, format!("task `{}` {what}{place}: {}", self.function, failure.text))
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        crate::sync::lock(&self.gathered)
    }

    fn sleep<'a>(
        &self,
        gathered: MutexGuard<'a, Gathered>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, Gathered> {
        match timeout {
            None => self.changed.wait(gathered).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                self.changed.wait_timeout(gathered, timeout).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

impl Gathered {
    fn take_in(&mut self, results: Results) {
        for result in results.results {
            match self.outcomes.get_mut(result.task as usize) {
                Some(outcome) => *outcome = Some(result.outcome),
                None => self.end = Some(Err(unexpected("a result came for a task that was not submitted"))),
            }
        }
        if results.complete {
            self.end.get_or_insert(Ok(()));
        }
    }
}

fn unexpected(text: &str) -> Error {
    Error::new(ErrorKind::Other, format!("the manager does not keep to the protocol: {text}"))
}

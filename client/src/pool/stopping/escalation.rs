//! Stopping batches with increasing force: ask, then SIGTERM, then SIGKILL.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{FailureKind, ObjectId, Outcome, StopSignal};

use crate::pool::errors::protocol_fault;
use crate::pool::results::failure::{CallPlace, task_failed};
use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::pool::stopping::stop_report::{Ending, StopReport};
use crate::{Error, ErrorKind, Result};

/// The most time between SIGTERM and SIGKILL. A program that means to end on SIGTERM does so quickly.
const TERMINATE_GRACE_MAX: Duration = Duration::from_secs(1);

/// How long a process may take to end after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Stops these batches with increasing force, all together, and reports how their calls ended.
pub(crate) fn stop_batches(
    batches: &[Arc<SubmittedBatch>],
    reason: &str,
    grace: Duration,
) -> Result<StopReport> {
    for batch in batches {
        batch.ask_to_stop(reason)?;
    }
    let rest = wait_for_end(batches.to_vec(), grace)?;
    let rest = signal_and_wait(rest, StopSignal::Terminate, grace.min(TERMINATE_GRACE_MAX))?;
    let terminated: BTreeSet<_> = rest.iter().chain(batches).flat_map(|batch| stopped_calls(batch)).collect();
    let rest = signal_and_wait(rest, StopSignal::Kill, KILL_PATIENCE)?;
    if !rest.is_empty() {
        let text = format!("workers still run {KILL_PATIENCE:?} after SIGKILL");
        return Err(Error::new(ErrorKind::Timeout, text));
    }
    Ok(StopReport::new(batches.iter().flat_map(|batch| endings(batch, &terminated)).collect()))
}

fn signal_and_wait(
    batches: Vec<Arc<SubmittedBatch>>,
    signal: StopSignal,
    timeout: Duration,
) -> Result<Vec<Arc<SubmittedBatch>>> {
    for batch in &batches {
        batch.signal(signal)?;
    }
    wait_for_end(batches, timeout)
}

/// Waits until these batches have ended. Returns those that have not ended in this time.
fn wait_for_end(
    mut batches: Vec<Arc<SubmittedBatch>>,
    timeout: Duration,
) -> Result<Vec<Arc<SubmittedBatch>>> {
    let deadline = Instant::now().checked_add(timeout);
    let mut fault = None;
    batches.retain(|batch| {
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match batch.wait(rest) {
            Ok(is_complete) => !is_complete,
            Err(error) => {
                // If the manager refused this batch, there is nothing to stop.
                let is_refused = batch.broken().is_some() && !error.is_manager_gone();
                fault = fault.take().or(Some(error).filter(|_| !is_refused));
                false
            }
        }
    });
    fault.map_or(Ok(batches), Err)
}

/// The calls of a batch that a signal has ended so far.
fn stopped_calls(batch: &SubmittedBatch) -> Vec<(ObjectId, u64)> {
    let state = batch.lock();
    let runs = state.outcomes.runs.in_order().into_iter().map(|(_, run)| run);
    let stopped = runs.filter(
        |run| matches!(&run.outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Stopped),
    );
    stopped.flat_map(|run| (run.first..run.end()).map(|number| (batch.id(), number))).collect()
}

fn endings(batch: &SubmittedBatch, terminated: &BTreeSet<(ObjectId, u64)>) -> Vec<Ending> {
    let state = batch.lock();
    let outcomes = &state.outcomes;
    let missing = || {
        let broken = outcomes.broken.clone();
        Ending::Failed(broken.unwrap_or_else(|| protocol_fault("a result is missing")))
    };
    let (mut endings, mut open) = (Vec::new(), outcomes.open());
    for (open_before, run) in outcomes.runs.in_order() {
        endings.extend((0..open_before).map(|_| missing()));
        open -= open_before;
        endings.extend((run.first..run.end()).map(|number| match &run.outcome {
            Outcome::Returned(_) | Outcome::ReturnedBlob { .. } => Ending::Returned,
            Outcome::Failed(failure) => match failure.kind {
                FailureKind::Cancelled => Ending::Cancelled,
                FailureKind::Stopped if terminated.contains(&(batch.id(), number)) => Ending::Terminated,
                FailureKind::Stopped => Ending::Killed,
                _ => {
                    let total = outcomes.is_whole().then_some(outcomes.calls);
                    Ending::Failed(task_failed(&batch.function, failure, CallPlace { number, total }))
                }
            },
        }));
    }
    endings.extend((0..open).map(|_| missing()));
    endings
}

//! Stopping batches with increasing force: ask, then SIGTERM, then SIGKILL.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{FailureKind, ObjectId, Outcome, StopSignal};

use crate::pool::errors::protocol_fault;
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

/// The chunks of a batch that a signal has ended so far.
fn stopped_calls(batch: &SubmittedBatch) -> Vec<(ObjectId, u64)> {
    batch.inspect(|slots| {
        let stopped = slots.filter(|(_, slot)| {
            matches!(&slot.outcome, Some(Outcome::Failed(failure)) if failure.kind == FailureKind::Stopped)
        });
        stopped.map(|(number, _)| (batch.id(), number)).collect()
    })
}

fn endings(batch: &SubmittedBatch, terminated: &BTreeSet<(ObjectId, u64)>) -> Vec<Ending> {
    let broken = batch.broken();
    batch.inspect(|slots| {
        let mut endings = Vec::new();
        for (number, slot) in slots {
            let ending = match &slot.outcome {
                Some(Outcome::Returned(_)) => Ending::Returned,
                Some(Outcome::Failed(failure)) => match failure.kind {
                    FailureKind::Cancelled => Ending::Cancelled,
                    FailureKind::Stopped if terminated.contains(&(batch.id(), number)) => Ending::Terminated,
                    FailureKind::Stopped => Ending::Killed,
                    _ => Ending::Failed(batch.error_of(failure)),
                },
                None => {
                    Ending::Failed(broken.clone().unwrap_or_else(|| protocol_fault("a result is missing")))
                }
            };
            endings.extend(std::iter::repeat_n(ending, slot.count as usize));
        }
        endings
    })
}

//! Stopping batches by a ladder: ask, then SIGTERM, then SIGKILL.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{FailureKind, ObjectId, Outcome, StopSignal};

use crate::pool::results::batch::Batch;
use crate::pool::unexpected;
use crate::{Error, ErrorKind, Result};

/// The most time between SIGTERM and SIGKILL. A program that means to end on SIGTERM does so quickly.
const TERMINATE_GRACE_MAX: Duration = Duration::from_secs(1);

/// How long a process that was sent SIGKILL may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How one call ended that was stopped, or had ended before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It returned, as it was asked or on its own.
    Returned,
    /// It had not started, and never will.
    Cancelled,
    /// Its worker ended after SIGTERM, before it was sent SIGKILL.
    Terminated,
    /// Its worker ended after SIGKILL.
    Killed,
    /// It failed otherwise, as by a panic.
    Failed(Error),
}

/// How each call of a batch, or of several, ended: what stopping them returns.
///
/// It shows itself as in `3 calls returned, 9990 were cancelled, 1 was ended by SIGTERM`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopReport {
    endings: Vec<Ending>,
}

impl StopReport {
    /// How each call ended, in the order of the input; calls that travelled in one chunk end together. Calls whose
    /// results were taken from an iterator before are not among them, nor are those whose `AsyncResult` was dropped.
    pub fn endings(&self) -> &[Ending] {
        &self.endings
    }

    /// How many calls returned.
    pub fn returned(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Returned))
    }

    /// How many calls were cancelled before they started.
    pub fn cancelled(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Cancelled))
    }

    /// How many calls it took SIGTERM to end.
    pub fn terminated(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Terminated))
    }

    /// How many calls it took SIGKILL to end.
    pub fn killed(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Killed))
    }

    /// How many calls failed otherwise.
    pub fn failed(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Failed(_)))
    }

    fn count(&self, is_meant: impl Fn(&Ending) -> bool) -> usize {
        self.endings.iter().filter(|ending| is_meant(ending)).count()
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.returned(), "returned", "returned"),
            (self.cancelled(), "was cancelled", "were cancelled"),
            (self.terminated(), "was ended by SIGTERM", "were ended by SIGTERM"),
            (self.killed(), "was ended by SIGKILL", "were ended by SIGKILL"),
            (self.failed(), "failed", "failed"),
        ];
        let mut is_first = true;
        for (count, one, many) in counts.into_iter().filter(|(count, ..)| *count > 0) {
            let noun = match (is_first, count) {
                (true, 1) => " call",
                (true, _) => " calls",
                (false, _) => "",
            };
            let comma = if is_first { "" } else { ", " };
            write!(formatter, "{comma}{count}{noun} {}", if count == 1 { one } else { many })?;
            is_first = false;
        }
        if is_first { formatter.write_str("there were no calls") } else { Ok(()) }
    }
}

/// Takes these batches down the ladder, all together, and tells how their calls ended.
pub(crate) fn stop_batches(batches: &[Arc<Batch>], reason: &str, grace: Duration) -> Result<StopReport> {
    for batch in batches {
        batch.ask_to_stop(reason)?;
    }
    let rest = wait_for_end(batches.to_vec(), grace)?;
    let rest = signal_and_wait(rest, StopSignal::Terminate, grace.min(TERMINATE_GRACE_MAX))?;
    let terminated: BTreeSet<_> = rest.iter().chain(batches).flat_map(|batch| stopped_calls(batch)).collect();
    let rest = signal_and_wait(rest, StopSignal::Kill, KILL_PATIENCE)?;
    if !rest.is_empty() {
        let text = format!("workers are still there {KILL_PATIENCE:?} after SIGKILL");
        return Err(Error::new(ErrorKind::Timeout, text));
    }
    Ok(StopReport { endings: batches.iter().flat_map(|batch| endings(batch, &terminated)).collect() })
}

fn signal_and_wait(
    batches: Vec<Arc<Batch>>,
    signal: StopSignal,
    timeout: Duration,
) -> Result<Vec<Arc<Batch>>> {
    for batch in &batches {
        batch.signal(signal)?;
    }
    wait_for_end(batches, timeout)
}

/// Waits until these batches have ended. Returns those that have not, in this time.
fn wait_for_end(mut batches: Vec<Arc<Batch>>, timeout: Duration) -> Result<Vec<Arc<Batch>>> {
    let deadline = Instant::now().checked_add(timeout);
    let mut fault = None;
    batches.retain(|batch| {
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match batch.wait(rest) {
            Ok(is_complete) => !is_complete,
            Err(error) => {
                // If it is this batch that the manager refused, there is nothing of it to be stopped.
                let is_refused = batch.broken().is_some() && !error.is_manager_gone();
                fault = fault.take().or(Some(error).filter(|_| !is_refused));
                false
            }
        }
    });
    fault.map_or(Ok(batches), Err)
}

/// The chunks of a batch that a signal has ended so far.
fn stopped_calls(batch: &Batch) -> Vec<(ObjectId, u64)> {
    batch.inspect(|slots| {
        let stopped = slots.filter(|(_, slot)| {
            matches!(&slot.outcome, Some(Outcome::Failed(failure)) if failure.kind == FailureKind::Stopped)
        });
        stopped.map(|(number, _)| (batch.id(), number)).collect()
    })
}

fn endings(batch: &Batch, terminated: &BTreeSet<(ObjectId, u64)>) -> Vec<Ending> {
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
                None => Ending::Failed(broken.clone().unwrap_or_else(|| unexpected("a result is missing"))),
            };
            endings.extend(std::iter::repeat_n(ending, slot.count as usize));
        }
        endings
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_a_sentence() {
        let text = |endings: &[Ending]| StopReport { endings: endings.to_vec() }.to_string();
        assert_eq!(text(&[]), "there were no calls");
        assert_eq!(text(&[Ending::Cancelled]), "1 call was cancelled");
        assert_eq!(
            text(&[Ending::Returned, Ending::Killed, Ending::Returned, Ending::Terminated]),
            "2 calls returned, 1 was ended by SIGTERM, 1 was ended by SIGKILL"
        );
        let failed = Ending::Failed(Error::new(ErrorKind::Panicked, "no disk"));
        assert_eq!(text(&[failed.clone(), failed]), "2 calls failed");
    }
}

//! Reports of how calls ended: what is one, and what of it can be stored.

use alloc::format;

use protocol::limits::{CARRIES_MAX, PAYLOAD_BYTES_MAX};
use protocol::{CallsOutcome, Code, FailureKind, ObjectId, Outcome, Payload, Refusal, calls};

use crate::State;
use crate::pools::outcomes::{OUTCOME_BYTES, cut, failed};
use crate::store::memory::RESULT_CARRIED_BYTES;

impl State {
    /// An outcome to store. One that cannot be stored becomes a failure that says so.
    pub(crate) fn checked(&self, outcome: &Outcome<&[u8], &str>, carries: &[ObjectId]) -> Outcome {
        let needed = match outcome {
            Outcome::Returned(bytes) => bytes.len() + RESULT_CARRIED_BYTES * carries.len(),
            Outcome::Failed(failure) => cut(failure.text).len(),
            Outcome::ReturnedBlob { .. } => RESULT_CARRIED_BYTES * carries.len(),
        };
        let room = match self.has_memory_for(needed + OUTCOME_BYTES) {
            true => self.limits.stored_bytes_max.saturating_sub(self.stored_bytes),
            false => 0,
        };
        match outcome {
            Outcome::Returned(_) | Outcome::ReturnedBlob { .. } if carries.len() > CARRIES_MAX => failed(
                FailureKind::TooLarge,
                format!("the result carries more than {CARRIES_MAX} proxies, which is the limit"),
            ),
            Outcome::Returned(bytes) if bytes.len() > PAYLOAD_BYTES_MAX => failed(
                FailureKind::TooLarge,
                format!("the result has {} bytes, at most {PAYLOAD_BYTES_MAX} are taken", bytes.len()),
            ),
            Outcome::Returned(bytes) if bytes.len() + OUTCOME_BYTES > room => failed(
                FailureKind::TooLarge,
                format!(
                    "the manager has no room for a result of {} bytes until others are fetched",
                    bytes.len()
                ),
            ),
            Outcome::Returned(bytes) => Outcome::Returned(Payload::from(*bytes)),
            Outcome::ReturnedBlob { blob, .. } => {
                Outcome::ReturnedBlob { blob: *blob, bytes: self.blobs.bytes(*blob) }
            }
            Outcome::Failed(failure) if cut(failure.text).len() + OUTCOME_BYTES > room => {
                failed(failure.kind, "the manager has no room for the text of this failure")
            }
            Outcome::Failed(failure) => failed(failure.kind, cut(failure.text)),
        }
    }
}

/// Refuses a report that is not one. Returns of how many calls it is.
pub(crate) fn check_ends(ends: &[CallsOutcome<&[u8], &str>]) -> Result<u64, Refusal> {
    let fits = |CallsOutcome { calls, outcome }: &CallsOutcome<&[u8], &str>| match outcome {
        _ if *calls == 0 => false,
        Outcome::Returned(results) => calls::fit(results, u64::from(*calls)),
        Outcome::Failed(_) => true,
        Outcome::ReturnedBlob { .. } => *calls == 1,
    };
    if ends.is_empty() || !ends.iter().all(fits) {
        let text = "each end is that of one call at least, and has the results of so many calls";
        return Err(Refusal::new(Code::BadArgument, text));
    }
    Ok(ends.iter().map(|end| u64::from(end.calls)).sum())
}

/// An outcome of several calls, without the first of them.
pub(crate) fn without_first<'a>(
    outcome: &Outcome<&'a [u8], &'a str>,
    calls: u64,
) -> Outcome<&'a [u8], &'a str> {
    match outcome {
        Outcome::Returned(results) => {
            let (_, rest) = calls::split(results, calls).expect("the results were counted");
            Outcome::Returned(rest)
        }
        outcome => outcome.clone(),
    }
}

//! Reports of how calls ended: what is one, and what of it can be stored.

use alloc::format;

use protocol::limits::{CARRIES_MAX, PAYLOAD_BYTES_MAX};
use protocol::{CallsOutcome, Code, FailureKind, ObjectId, Outcome, Payload, Refusal, calls};

use crate::State;
use crate::pools::outcomes::{OUTCOME_BYTES, cut, failed};
use crate::store::memory::RESULT_CARRIED_BYTES;
use crate::store::slab::Key;

impl State {
    /// Ends consecutive calls as they were reported, and stores their outcome. What cannot be stored becomes a failure
    /// that says so; that is decided call by call, however they came together. Returns whether a result is kept.
    pub(crate) fn end_reported(
        &mut self,
        key: Key,
        first: u64,
        calls: u32,
        outcome: &Outcome<&[u8], &str>,
        carries: &[ObjectId],
    ) -> bool {
        if let Outcome::Returned(results) = outcome
            && calls > 1
            && results.len() > self.room(carries)
            && carries.len() <= CARRIES_MAX
        {
            return self.end_each(key, first, calls, results, carries);
        }
        let outcome = self.checked(outcome, carries);
        let has_returned = !matches!(outcome, Outcome::Failed(_));
        if let Outcome::ReturnedBlob { blob, .. } = outcome {
            self.blob_keep(blob);
        }
        self.end(key, first, calls, outcome);
        has_returned
    }

    /// Ends calls whose results have no room together: in order, each is kept if it has room by itself. Neighbours that
    /// are kept stay together, as do those that fail.
    fn end_each(
        &mut self,
        key: Key,
        mut first: u64,
        calls: u32,
        mut results: &[u8],
        carries: &[ObjectId],
    ) -> bool {
        self.step(calls.into());
        let end = first + u64::from(calls);
        let mut has_returned = false;
        while first < end {
            let room = self.room(carries);
            let (mut kept, mut kept_bytes) = (0, 0);
            let (mut failed_calls, mut failed_bytes, mut smallest) = (0, 0, usize::MAX);
            let mut rest = results;
            while !rest.is_empty() {
                let before = rest.len();
                calls::take_first(&mut rest).expect("the results were counted");
                let bytes = before - rest.len();
                if failed_calls == 0 && kept_bytes + bytes <= room {
                    kept += 1;
                    kept_bytes += bytes;
                } else if kept == 0 && bytes > room {
                    failed_calls += 1;
                    failed_bytes += bytes;
                    smallest = smallest.min(bytes);
                } else {
                    break;
                }
            }
            has_returned |= kept > 0;
            let outcome = match kept {
                0 => no_room(smallest),
                _ => Outcome::Returned(Payload::from(&results[..kept_bytes])),
            };
            // One of the two is none.
            self.end(key, first, kept + failed_calls, outcome);
            first += u64::from(kept + failed_calls);
            results = &results[kept_bytes + failed_bytes..];
        }
        has_returned
    }

    /// The most bytes that a result may have which carries these objects.
    fn room(&self, carries: &[ObjectId]) -> usize {
        let memory = self.memory_left().saturating_sub(RESULT_CARRIED_BYTES * carries.len());
        let stored = self.limits.stored_bytes_max.saturating_sub(self.stored_bytes);
        memory.min(stored).saturating_sub(OUTCOME_BYTES).min(PAYLOAD_BYTES_MAX)
    }

    /// An outcome to store. One that cannot be stored becomes a failure that says so.
    fn checked(&self, outcome: &Outcome<&[u8], &str>, carries: &[ObjectId]) -> Outcome {
        let carried = RESULT_CARRIED_BYTES * carries.len();
        match outcome {
            Outcome::Returned(_) | Outcome::ReturnedBlob { .. } if carries.len() > CARRIES_MAX => failed(
                FailureKind::TooLarge,
                format!("the result carries more than {CARRIES_MAX} proxies, which is the limit"),
            ),
            Outcome::Returned(bytes) if bytes.len() > PAYLOAD_BYTES_MAX => failed(
                FailureKind::TooLarge,
                format!("the result has {} bytes, at most {PAYLOAD_BYTES_MAX} are taken", bytes.len()),
            ),
            Outcome::Returned(bytes) if bytes.len() > self.room(carries) => no_room(bytes.len()),
            Outcome::Returned(bytes) => Outcome::Returned(Payload::from(*bytes)),
            Outcome::ReturnedBlob { .. } if !self.has_memory_for(carried + OUTCOME_BYTES) => failed(
                FailureKind::TooLarge,
                "the manager has no room for what the result carries until others are fetched",
            ),
            // It has room for its bytes since it was opened.
            Outcome::ReturnedBlob { blob, .. } => {
                Outcome::ReturnedBlob { blob: *blob, bytes: self.blobs.bytes(*blob) }
            }
            Outcome::Failed(failure) if cut(failure.text).len() > self.room(&[]) => {
                failed(failure.kind, "the manager has no room for the text of this failure")
            }
            Outcome::Failed(failure) => failed(failure.kind, cut(failure.text)),
        }
    }
}

/// How a call ends whose result of this many bytes has no room.
#[cold]
fn no_room(bytes: usize) -> Outcome {
    let text = format!("the manager has no room for a result of {bytes} bytes until others are fetched");
    failed(FailureKind::TooLarge, text)
}

/// Refuses a report that is not one. Its calls have been counted, so this does not look at many for nothing.
pub(crate) fn check_ends(ends: &[CallsOutcome<&[u8], &str>]) -> Result<(), Refusal> {
    let fits = |CallsOutcome { calls, outcome }: &CallsOutcome<&[u8], &str>| match outcome {
        _ if *calls == 0 => false,
        Outcome::Returned(results) => calls::fit(results, u64::from(*calls)),
        Outcome::Failed(_) => true,
        Outcome::ReturnedBlob { .. } => *calls == 1,
    };
    if !ends.is_empty() && ends.iter().all(fits) {
        return Ok(());
    }
    let text = "each end is that of one call at least, and has the results of as many calls as it says";
    Err(Refusal::new(Code::BadArgument, text))
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

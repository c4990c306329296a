//! Outcomes: how calls ended, until their owner takes that.

use alloc::sync::Arc;
use alloc::vec::Vec;

use protocol::limits::FAILURE_BYTES_MAX;
use protocol::{BlobId, CallsResult, Failure, FailureKind, Outcome};
use serde::{Deserialize, Serialize};

use crate::store::long_queue::LongQueue;

/// Outcomes that an owner has not taken, in the order in which they came.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct EndedCalls {
    results: LongQueue<CallsResult>,
    /// How many calls these are of.
    calls: u64,
    /// The bytes that they take.
    bytes: usize,
}

impl EndedCalls {
    pub(crate) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// How many calls have ended.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// The bytes that they take.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the outcome of some calls. Returns how many bytes it takes.
    pub(crate) fn push(&mut self, result: CallsResult) -> usize {
        self.calls += u64::from(result.calls);
        if self.joins_last(&result) {
            return 0;
        }
        let bytes = stored_bytes(&result.outcome);
        self.results.push_back(result);
        self.bytes += bytes;
        bytes
    }

    /// Takes all of them.
    pub(crate) fn take_all(&mut self) -> LongQueue<CallsResult> {
        core::mem::take(self).results
    }

    /// Adds calls to the last that have ended, if they follow them and have the same failure.
    fn joins_last(&mut self, result: &CallsResult) -> bool {
        let Some(last) = self.results.back_mut() else { return false };
        let (Outcome::Failed(before), Outcome::Failed(failure)) = (&last.outcome, &result.outcome) else {
            return false;
        };
        let follows = last.first + u64::from(last.calls) == result.first;
        let is_same = before.kind == failure.kind && Arc::ptr_eq(&before.text, &failure.text);
        match last.calls.checked_add(result.calls) {
            Some(together) if follows && is_same => last.calls = together,
            _ => return false,
        }
        true
    }

    /// Takes the first of them: one, and further ones up to this number of bytes. Also returns of how many calls they
    /// are, and their bytes.
    pub(crate) fn take(&mut self, bytes_max: usize) -> (Vec<CallsResult>, u64, usize) {
        let (mut count, mut calls, mut bytes, mut in_answer) = (0, 0, 0, 0);
        for result in self.results.iter() {
            let more = answer_bytes(&result.outcome);
            if count > 0 && in_answer + more > bytes_max {
                break;
            }
            count += 1;
            calls += u64::from(result.calls);
            in_answer += more;
            bytes += stored_bytes(&result.outcome);
        }
        self.calls -= calls;
        self.bytes -= bytes;
        let mut results = Vec::with_capacity(count);
        results.extend((0..count).map_while(|_| self.results.pop_front()));
        (results, calls, bytes)
    }
}

/// How a call that was dropped before it began ends.
pub(crate) const CANCELLED: Failure<&str> =
    Failure { kind: FailureKind::Cancelled, text: "it was cancelled before it started" };

pub(crate) fn failed(kind: FailureKind, text: impl Into<Arc<str>>) -> Outcome {
    Outcome::Failed(Failure { kind, text: text.into() })
}

/// About how many bytes an outcome takes besides its payload, in the manager's memory and in a reply.
pub(crate) const OUTCOME_BYTES: usize = 16;

/// What a blob counts in an answer: the core notes of each who has it.
const ANSWERED_BLOB_BYTES: usize = 256;

/// The blob that the result is, if it is one.
pub(crate) fn blob_of(outcome: &Outcome) -> Option<BlobId> {
    match outcome {
        Outcome::ReturnedBlob { blob, .. } => Some(*blob),
        Outcome::Returned(_) | Outcome::Failed(_) => None,
    }
}

/// How many bytes an outcome takes in the manager's memory and in a reply.
pub(crate) fn stored_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Returned(payload) => payload.as_bytes().len() + OUTCOME_BYTES,
        Outcome::Failed(failure) => failure.text.len() + OUTCOME_BYTES,
        // A blob counts by itself.
        Outcome::ReturnedBlob { .. } => OUTCOME_BYTES,
    }
}

/// How many bytes an outcome counts in an answer.
fn answer_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::ReturnedBlob { .. } => ANSWERED_BLOB_BYTES,
        Outcome::Returned(_) | Outcome::Failed(_) => stored_bytes(outcome),
    }
}

/// The text up to the limit, cut between characters.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FAILURE_BYTES_MAX)]
}

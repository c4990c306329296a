//! Reports of how calls ended: what of them the manager keeps.

use std::ops::Range;

use protocol::limits::{CARRIES_MAX, FAILURE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use protocol::{FailureKind, ObjectId, Outcome, Payload};

use super::Model;
use super::batches::failed;
use super::memory::RESULT_CARRIED;

impl Model {
    /// Ends calls that were reported. If their results have no room together, each is kept that has room by itself, and
    /// what is kept, or fails, side by side is one entry. Returns whether a result is kept.
    pub(crate) fn end_reported(
        &mut self,
        (id, grant): (ObjectId, u64),
        calls: Range<u64>,
        outcome: &Outcome<&[u8], &str>,
        carries: usize,
    ) -> bool {
        let together = self.checked(outcome, carries);
        let is_kept = !matches!(together, Outcome::Failed(_));
        let is_split = calls.end - calls.start > 1 && !is_kept && carries <= CARRIES_MAX;
        let (Outcome::Returned(results), true) = (outcome, is_split) else {
            self.end_first(id, grant, calls, together);
            return is_kept;
        };
        let mut pieces = each(results).into_iter().peekable();
        let (mut first, mut has_returned) = (calls.start, false);
        while let Some(piece) = pieces.peek() {
            let room = self.room(carries);
            let mut together = Vec::new();
            let outcome = if piece.len() <= room {
                let mut bytes = Vec::new();
                while let Some(piece) = pieces.next_if(|piece| bytes.len() + piece.len() <= room) {
                    bytes.extend_from_slice(piece);
                    together.push(piece.len());
                }
                has_returned = true;
                Outcome::Returned(Payload::from(bytes.as_slice()))
            } else {
                together.extend(
                    std::iter::from_fn(|| pieces.next_if(|piece| piece.len() > room)).map(<[u8]>::len),
                );
                no_room(*together.iter().min().unwrap())
            };
            let end = first + together.len() as u64;
            self.end_first(id, grant, first..end, outcome);
            first = end;
        }
        has_returned
    }

    /// Ends the first calls of a grant.
    fn end_first(&mut self, id: ObjectId, grant: u64, calls: Range<u64>, outcome: Outcome) {
        let end = calls.end;
        self.end(id, calls, outcome, None);
        self.batch(id).unwrap().granted_at(grant).first = end;
    }

    /// The most bytes of results that one more entry may have whose results carry this many objects.
    fn room(&self, carries: usize) -> usize {
        let stored = self.limits.stored_bytes_max.saturating_sub(self.kept().1);
        let memory = self.memory_left().saturating_sub(RESULT_CARRIED * carries);
        memory.min(stored).saturating_sub(16).min(PAYLOAD_BYTES_MAX)
    }

    /// An outcome as the manager keeps it: one that it cannot keep becomes a failure.
    fn checked(&self, outcome: &Outcome<&[u8], &str>, carries: usize) -> Outcome {
        let room = self.room(carries);
        let too_large = |text: String| failed(FailureKind::TooLarge, &text);
        match outcome {
            Outcome::Returned(_) | Outcome::ReturnedBlob { .. } if carries > CARRIES_MAX => {
                too_large(format!("the result carries more than {CARRIES_MAX} proxies, which is the limit"))
            }
            Outcome::Returned(bytes) if bytes.len() > PAYLOAD_BYTES_MAX => too_large(format!(
                "the result has {} bytes, at most {PAYLOAD_BYTES_MAX} are taken",
                bytes.len()
            )),
            Outcome::Returned(bytes) if bytes.len() > room => no_room(bytes.len()),
            Outcome::Returned(bytes) => Outcome::Returned(Payload::from(*bytes)),
            Outcome::ReturnedBlob { .. } if !self.has_memory_for(RESULT_CARRIED * carries + 16) => too_large(
                "the manager has no room for what the result carries until others are fetched".into(),
            ),
            // It has room for its bytes since it was opened.
            Outcome::ReturnedBlob { blob, .. } => {
                Outcome::ReturnedBlob { blob: *blob, bytes: self.blobs[blob].bytes }
            }
            Outcome::Failed(failure) => {
                let text = &failure.text[..failure.text.floor_char_boundary(FAILURE_BYTES_MAX)];
                match text.len() > self.room(0) {
                    true => failed(failure.kind, "the manager has no room for the text of this failure"),
                    false => failed(failure.kind, text),
                }
            }
        }
    }
}

/// How a call ends whose result of this many bytes has no room.
fn no_room(bytes: usize) -> Outcome {
    let text = format!("the manager has no room for a result of {bytes} bytes until others are fetched");
    failed(FailureKind::TooLarge, &text)
}

/// The results of each call, with their lengths.
fn each(mut results: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while !results.is_empty() {
        let (piece, rest) = protocol::calls::split(results, 1).expect("the results were counted");
        pieces.push(piece);
        results = rest;
    }
    pieces
}

/// The outcome of several calls, without the first of them.
pub(crate) fn without_first<'a>(
    outcome: &Outcome<&'a [u8], &'a str>,
    calls: u64,
) -> Outcome<&'a [u8], &'a str> {
    match outcome {
        Outcome::Returned(results) => {
            let (_, rest) = protocol::calls::split(results, calls).expect("the results were counted");
            Outcome::Returned(rest)
        }
        outcome => outcome.clone(),
    }
}

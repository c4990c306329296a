//! How the outcomes of a batch become values of the program, or errors.

use protocol::{Failure, Outcome, shortened};
use serde::de::DeserializeOwned;

use crate::pool::errors::protocol_fault;
use crate::pool::results::failure::{CallRange, task_failed};
use crate::pool::results::slots::ChunkSlot;
use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::task::read_chunk;
use crate::{Error, ErrorKind, Result};

impl SubmittedBatch {
    /// Visits each chunk of a batch that has ended, in order, with the number of its calls, and their results or their
    /// failure.
    pub(crate) fn each_chunk<T: DeserializeOwned>(
        &self,
        mut visit: impl FnMut(u32, Result<Vec<T>>) -> Result<()>,
    ) -> Result<()> {
        let state = self.lock();
        let total = state.outcomes.calls as usize;
        let mut first = 0;
        state.outcomes.slots.iter().try_for_each(|(_, slot)| {
            let range = CallRange { first, count: slot.count, total };
            first += slot.count as usize;
            visit(slot.count, self.decode(slot, Some(range)))
        })
    }

    /// The results of a chunk that has ended.
    pub(crate) fn decode<T: DeserializeOwned>(
        &self,
        slot: &ChunkSlot,
        range: Option<CallRange>,
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
            Some(Outcome::Failed(failure)) => Err(task_failed(&self.function, failure, range)),
            None => Err(protocol_fault("a batch is complete, and a result is missing")),
        }
    }

    fn not_decoded(&self, kind: ErrorKind, text: &str) -> Error {
        Error::new(
            kind,
            format!(
                "the result of `{}` is not of the type that is expected here: {text}",
                shortened(&self.function)
            ),
        )
    }

    /// The error for a chunk that failed.
    pub(crate) fn error_of(&self, failure: &Failure) -> Error {
        task_failed(&self.function, failure, None)
    }
}

//! How the outcomes of a batch become values of the program, or errors.

use protocol::{Outcome, calls, shortened};
use serde::de::DeserializeOwned;

use crate::pool::results::failure::{CallPlace, task_failed};
use crate::pool::results::runs::ResultRun;
use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::task::{CallError, read_value};
use crate::values::payload::ReceivedPayload;
use crate::{Error, ErrorKind, Result};

impl SubmittedBatch {
    /// Visits each call of a batch that has ended, in order, with its result or its failure. Ends with the first error
    /// of `visit`.
    pub(crate) fn each_call<T: DeserializeOwned>(
        &self,
        visit: impl FnMut(Result<T>) -> Result<()>,
    ) -> Result<()> {
        let state = self.lock();
        let total = Some(state.outcomes.calls);
        let runs = state.outcomes.runs.in_order();
        runs.into_iter().flat_map(|(_, run)| self.results(run, total)).try_for_each(visit)
    }

    /// The result of each call of a run, in order.
    pub(crate) fn results<'a, T: DeserializeOwned>(
        &'a self,
        run: &'a ResultRun,
        total: Option<u64>,
    ) -> impl Iterator<Item = Result<T>> + 'a {
        let mut results = match &run.outcome {
            Outcome::Returned(payload) => payload.as_bytes(),
            Outcome::Failed(_) | Outcome::ReturnedBlob { .. } => &[],
        };
        (run.first..run.end()).map(move |number| {
            let place = CallPlace { number, total };
            if let Outcome::Failed(failure) = &run.outcome {
                return Err(task_failed(&self.function, failure, place));
            }
            let not_decoded =
                |error: CallError| self.not_decoded(place, error.error_kind(), &error.to_string());
            if let Some(blob) = &run.blob {
                return ReceivedPayload::fetch(blob)?.read(read_value).map_err(not_decoded);
            }
            let Some(bytes) = calls::take_first(&mut results) else {
                return Err(self.not_decoded(place, ErrorKind::BadEncoding, "it did not come"));
            };
            read_value(bytes).map_err(not_decoded)
        })
    }

    #[cold]
    fn not_decoded(&self, place: CallPlace, kind: ErrorKind, text: &str) -> Error {
        let function = shortened(&self.function);
        let text =
            format!("the result of `{function}`{place} is not of the type that is expected here: {text}");
        Error::new(kind, text)
    }
}

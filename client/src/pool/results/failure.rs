//! The errors of calls that have no result.

use std::fmt;

use protocol::{Failure, FailureKind, shortened};

use crate::{Error, ErrorKind};

/// Which call of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallPlace {
    /// Its number, from zero.
    pub(crate) number: u64,
    /// How many calls the batch has, if that is known.
    pub(crate) total: Option<u64>,
}

impl fmt::Display for CallPlace {
    /// The text that follows a verb; empty for the only call of a batch.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number + 1;
        match self.total {
            Some(1) => Ok(()),
            Some(total) => write!(formatter, " in call {number} of {total}"),
            None => write!(formatter, " in call {number}"),
        }
    }
}

/// The error for a call of this function that failed.
pub(crate) fn task_failed(function: &str, failure: &Failure, place: CallPlace) -> Error {
    let (kind, what) = match failure.kind {
        FailureKind::Panicked => (ErrorKind::Panicked, "panicked"),
        FailureKind::UnknownFunction => (ErrorKind::UnknownFunction, "is not known to the worker"),
        FailureKind::BadEncoding => (ErrorKind::BadEncoding, "was not understood"),
        FailureKind::WorkerDied => (ErrorKind::WorkerDied, "lost its worker"),
        FailureKind::Terminated => (ErrorKind::Terminated, "was terminated"),
        FailureKind::TooLarge => (ErrorKind::Limit, "returned too much"),
        FailureKind::Cancelled => (ErrorKind::Cancelled, "was cancelled"),
        FailureKind::Stopped => (ErrorKind::Stopped, "was stopped"),
        FailureKind::TimeLimit => (ErrorKind::TimeLimit, "took too long"),
        FailureKind::StaleEpoch => (ErrorKind::StaleInside, "was not understood"),
        FailureKind::NoSuchObject => (ErrorKind::NoSuchObjectInside, "was not understood"),
        FailureKind::WrongKind => (ErrorKind::WrongKindInside, "was not understood"),
    };
    Error::new(kind, format!("task `{}` {what}{place}: {}", shortened(function), failure.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_function_place_and_reason() {
        let failure = Failure { kind: FailureKind::Panicked, text: "no disk".into() };
        let text = |number, total| task_failed("copy", &failure, CallPlace { number, total }).to_string();
        assert_eq!(text(0, Some(1)), "task `copy` panicked: no disk");
        assert_eq!(text(4, Some(9)), "task `copy` panicked in call 5 of 9: no disk");
        assert_eq!(text(4, None), "task `copy` panicked in call 5: no disk");
    }
}

//! The errors of calls that have no result.

use protocol::{Failure, FailureKind, shortened};

use crate::{Error, ErrorKind};

/// Which calls of a batch a chunk holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallRange {
    /// The position of the first, from zero.
    pub(crate) first: usize,
    /// How many there are.
    pub(crate) count: u32,
    /// How many calls the batch has.
    pub(crate) total: usize,
}

impl CallRange {
    /// The text that follows a verb; empty for the only call of a batch.
    fn describe(self) -> String {
        let CallRange { first, count, total } = self;
        match count {
            _ if total == 1 => String::new(),
            1 => format!(" in call {} of {total}", first + 1),
            _ => format!(" in one of the calls {} to {} of {total}", first + 1, first + count as usize),
        }
    }
}

/// The error for calls of this function that failed together.
pub(crate) fn task_failed(function: &str, failure: &Failure, range: Option<CallRange>) -> Error {
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
    let place = range.map_or_else(String::new, CallRange::describe);
    Error::new(kind, format!("task `{}` {what}{place}: {}", shortened(function), failure.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_function_place_and_reason() {
        let failure = Failure { kind: FailureKind::Panicked, text: "no disk".into() };
        let text = |place| task_failed("copy", &failure, place).to_string();
        assert_eq!(text(None), "task `copy` panicked: no disk");
        assert_eq!(text(Some(CallRange { first: 0, count: 1, total: 1 })), "task `copy` panicked: no disk");
        assert_eq!(
            text(Some(CallRange { first: 4, count: 1, total: 9 })),
            "task `copy` panicked in call 5 of 9: no disk"
        );
        assert_eq!(
            text(Some(CallRange { first: 4, count: 3, total: 9 })),
            "task `copy` panicked in one of the calls 5 to 7 of 9: no disk"
        );
    }
}

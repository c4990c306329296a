//! Errors that several parts of the pool report.

use crate::{Error, ErrorKind};

/// The error for an argument that is out of its range.
pub(crate) fn bad_argument(text: &str) -> Error {
    Error::new(ErrorKind::BadArgument, text)
}

/// The error for a manager that breaks the protocol.
pub(crate) fn protocol_fault(text: &str) -> Error {
    Error::new(ErrorKind::Other, format!("the manager breaks the protocol: {text}"))
}

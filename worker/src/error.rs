//! The error of a worker that cannot go on.

use std::fmt::Display;

use client::Error;
use client::internal::ErrorKind;

/// The error of a worker that cannot go on.
pub(crate) fn failed(what: &dyn Display) -> Error {
    Error::new(ErrorKind::Other, format!("this worker cannot run tasks: {what}"))
}

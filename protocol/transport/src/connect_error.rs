//! Why there is no stream to an address.

use std::fmt;

/// Why there is no stream to an address. The message names the address and says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// What a program can tell apart.
    pub kind: ConnectErrorKind,
    text: String,
}

/// What a program can tell apart of why there is no stream to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// Nobody listens there now. Somebody may in a moment.
    Refused,
    /// There is nothing to connect to.
    Missing,
    /// Somebody listens there, and has no room for another stream now.
    Full,
    /// The address is longer than the system takes.
    TooLong,
    /// The address is not text, so that a proxy could not carry it.
    NotText,
    /// Anything else. Another try would not help.
    Other,
}

impl ConnectError {
    pub(crate) fn new(kind: ConnectErrorKind, text: impl Into<String>) -> ConnectError {
        ConnectError { kind, text: text.into() }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for ConnectError {}

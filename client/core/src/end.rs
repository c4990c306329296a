//! Why a session is over.

use alloc::string::String;
use core::fmt;

use protocol::FrameError;

/// Why a session is over. It shows itself as in `the manager is gone: it ended, or was ended`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The manager closed the connection, and said before why.
    Farewell(String),
    /// The connection closed without a word.
    Closed,
    /// The manager sent what is not an answer.
    Malformed(FrameError),
    /// The connection cannot be read, for what the operating system says.
    Unreadable(String),
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the manager is gone: ")?;
        match self {
            End::Farewell(text) => formatter.write_str(text),
            End::Closed => formatter.write_str("it ended, or was ended"),
            End::Malformed(error) => write!(formatter, "it sent what is no answer: {error}"),
            End::Unreadable(error) => write!(formatter, "its socket cannot be read: {error}"),
        }
    }
}

impl core::error::Error for End {}

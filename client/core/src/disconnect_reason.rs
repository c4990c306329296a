//! Why a session is over.

use alloc::string::String;
use core::fmt;

use protocol::FrameError;

/// Why a session is over. It displays as in `the manager is gone: it ended, or was ended`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The manager said why, and closed the connection.
    FinalRefusal(String),
    /// The connection closed, and the manager did not say why.
    Closed,
    /// The manager sent something that is not an answer.
    Malformed(FrameError),
    /// The connection cannot be read; this is the operating system's error.
    Unreadable(String),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the manager is gone: ")?;
        match self {
            DisconnectReason::FinalRefusal(text) => formatter.write_str(text),
            DisconnectReason::Closed => formatter.write_str("it ended, or was ended"),
            DisconnectReason::Malformed(error) => {
                write!(formatter, "it sent something that is not an answer: {error}")
            }
            DisconnectReason::Unreadable(error) => write!(formatter, "its socket cannot be read: {error}"),
        }
    }
}

impl core::error::Error for DisconnectReason {}

//! How a supervisor ends.

use std::fmt;

/// How a supervisor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every worker left, because the pool is closed or gone, or on request.
    Left,
    /// The owner terminated them.
    Terminated,
    /// Too many workers in a row died before they were ready, or there was no room to start any; the text says how.
    Broken(String),
    /// The workers died because their manager is gone.
    ManagerGone,
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Ended::Left => "they have left",
            Ended::Terminated => "their owner terminated them",
            Ended::Broken(text) => text,
            Ended::ManagerGone => "their manager is gone",
        })
    }
}

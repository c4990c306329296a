//! How much to measure: everything, or what fits into a minute.

use std::path::PathBuf;

/// How much to measure, and with which manager.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether the run must end within a minute.
    pub(crate) is_quick: bool,
    /// The program `manager`.
    pub(crate) manager: PathBuf,
}

impl Settings {
    /// The first value, or the second in a quick run.
    pub(crate) fn pick<T>(&self, whole: T, quick: T) -> T {
        if self.is_quick { quick } else { whole }
    }
}

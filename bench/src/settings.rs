//! How much is measured: all of it, or as much as fits into a minute.

use std::path::PathBuf;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether it is to end within a minute.
    pub(crate) is_quick: bool,
    /// The program `manager`.
    pub(crate) manager: PathBuf,
}

impl Settings {
    /// This number, or that one in a quick run.
    pub(crate) fn pick<T>(&self, whole: T, quick: T) -> T {
        if self.is_quick { quick } else { whole }
    }
}

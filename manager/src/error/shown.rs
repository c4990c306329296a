//! Paths in messages.

use std::fmt::Display;
use std::path::Path;

use protocol::escaped;

/// A path as a message shows it: nothing in it can act on a terminal.
pub(crate) fn shown(path: &Path) -> impl Display {
    escaped(path.display())
}

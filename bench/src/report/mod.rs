//! What was measured: rows, and the three ways in which they are shown.

mod json;
mod plot;
mod row;
mod table;

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

pub(crate) use json::write_json;
pub(crate) use plot::write_plot;
pub(crate) use row::{Bound, Row, Unit};
pub(crate) use table::table;

/// All on one core.
pub(crate) const ONE_CORE: &str = "one core";

/// Both sides apart, each on a core of its own.
pub(crate) const A_CORE_EACH: &str = "a core each";

/// Wherever the kernel puts them.
pub(crate) const ALL_CORES: &str = "all cores";

/// Opens a file for writing and leaves it as it is, so that one that cannot be written fails before minutes of
/// measuring.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    let opened = File::options().create(true).append(true).open(path);
    opened.map(drop).with_context(|| format!("writing {}", path.display()))
}

//! The report: rows, and the three ways to show them.

mod json;
mod plot;
mod row;
mod table;

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

pub(crate) use json::write_json;
pub(crate) use plot::write_plot;
pub(crate) use row::{A_CORE_EACH, ALL_CORES, Bound, ONE_CORE, Row, Unit};
pub(crate) use table::table;

/// Checks that a file can be written, and leaves it as it is: a wrong path should fail before minutes of measuring.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    let opened = File::options().create(true).append(true).open(path);
    opened.map(drop).with_context(|| format!("writing {}", path.display()))
}

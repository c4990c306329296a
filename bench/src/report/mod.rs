//! What was measured: rows, and the three ways in which they are shown.

mod json;
mod plot;
mod row;
mod table;

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

//! The report for other programs.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Row;
use super::row::median;

/// A row as the file has it. `goal` is the most that `value` may be.
#[derive(Serialize)]
struct Record<'a> {
    name: &'a str,
    floor: Option<f64>,
    ours: Option<f64>,
    rival: Option<f64>,
    rival_name: Option<&'a str>,
    unit: &'a str,
    value: Option<f64>,
    goal: Option<f64>,
    met: Option<bool>,
    what: &'a str,
    pinning: &'a str,
    spread: Option<f64>,
}

/// Writes a list of rows.
pub(crate) fn write_json(rows: &[Row], path: &Path) -> Result<()> {
    let records: Vec<_> = rows.iter().map(record).collect();
    let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
    Ok(serde_json::to_writer_pretty(BufWriter::new(file), &records)?)
}

fn record(row: &Row) -> Record<'_> {
    Record {
        name: row.name,
        floor: median(&row.floor),
        ours: median(&row.ours),
        rival: median(&row.rival),
        rival_name: row.rival_name,
        unit: row.unit.name(),
        value: row.value(),
        goal: row.goal,
        met: row.met(),
        what: &row.what,
        pinning: row.pinning,
        spread: row.spread(),
    }
}

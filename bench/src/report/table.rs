//! The report for people.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::Row;
use super::row::median;

/// One line for each row.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "what",
        "on",
        "unit",
        "floor",
        "ours",
        "rival",
        "",
        "ours/floor",
        "rival/ours",
        "spread",
        "value",
        "goal",
        "met",
    ]);
    for row in rows {
        let (floor, ours, rival) = (median(&row.floor), median(&row.ours), median(&row.rival));
        let ratio = |over: Option<f64>, under: Option<f64>| Some(over? / under?);
        let rival_name = match (row.rival_name, rival) {
            (Some(name), None) => format!("{name}: missing"),
            (name, _) => name.unwrap_or_default().to_owned(),
        };
        table.add_row([
            row.what.clone(),
            row.pinning.to_owned(),
            row.unit.name().to_owned(),
            number(floor),
            number(ours),
            number(rival),
            rival_name,
            number(ratio(ours, floor)),
            number(ratio(rival, ours)),
            row.spread().map(|spread| format!("{:.0} %", spread * 100.0)).unwrap_or_default(),
            number(row.value()),
            number(row.goal),
            met(row).to_owned(),
        ]);
    }
    for column in [3, 4, 5, 7, 8, 9, 10, 11] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn met(row: &Row) -> &'static str {
    match (row.goal, row.met()) {
        (Some(_), Some(true)) => "yes",
        (Some(_), Some(false)) => "NO",
        (Some(_), None) => "unknown",
        (None, _) => "",
    }
}

/// A number with about three significant digits.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return String::new() };
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

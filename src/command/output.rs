//! Prints for the programs. One that serves goes on even if its output goes nowhere, and says so unless its reader has
//! gone, who wants no more; one that was asked for a text alone fails if that is not written.
//!
//! No program waits longer than a moment for whoever reads its output, since it has work to do and signals to obey.

use std::fmt;
use std::io::{self, ErrorKind, stderr, stdout};

use protocol::escaped_lines;
use sys::bounded_write::{LINE_TIME_MAX, write_within};

/// Prints a line to standard output, at once.
pub(super) fn say(line: &str) {
    match write_within(&stdout(), format!("{line}\n").as_bytes(), LINE_TIME_MAX) {
        Err(error) if is_of_reader(&error) => log::debug!("nobody reads {line:?}"),
        Err(error) => log::warn!("{line:?} was not written to standard output: {error}"),
        Ok(()) => {}
    }
}

/// Whether a write failed because its reader has gone, as `head -1` has after one line.
pub(super) fn is_of_reader(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

/// Prints an error of a program to standard error, in one write, since other processes may write there as well. What
/// others have contributed to it cannot act on the terminal.
pub(super) fn complain(program: &str, error: &dyn fmt::Display) {
    let line = format!("{program}: {}\n", escaped_lines(error));
    let _ = write_within(&stderr(), line.as_bytes(), LINE_TIME_MAX);
}

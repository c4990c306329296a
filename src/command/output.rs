//! Prints for the programs. One that serves goes on even if its output goes nowhere, and says so unless its reader has
//! gone, who wants no more; one that was asked for a text alone fails if that is not written.

use std::fmt;
use std::io::{self, ErrorKind, Write, stderr, stdout};

use protocol::escaped_lines;

/// Prints a line to standard output, at once.
pub(super) fn say(line: &str) {
    let mut output = stdout().lock();
    match writeln!(output, "{line}").and_then(|()| output.flush()) {
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
    let _ = stderr().write_all(line.as_bytes());
}

//! Prints for the programs. They go on even if nobody reads their output any more.

use std::fmt;
use std::io::{Write, stderr, stdout};

use protocol::escaped_lines;

/// Prints a line to standard output, at once.
pub(super) fn say(line: &str) {
    let mut output = stdout().lock();
    if let Err(error) = writeln!(output, "{line}").and_then(|()| output.flush()) {
        log::debug!("nobody reads {line:?}: {error}");
    }
}

/// Prints an error of a program to standard error, in one write, since other processes may write there as well. What
/// others have contributed to it cannot act on the terminal.
pub(super) fn complain(program: &str, error: &dyn fmt::Display) {
    let line = format!("{program}: {}\n", escaped_lines(error));
    let _ = stderr().write_all(line.as_bytes());
}

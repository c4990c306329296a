//! How the examples print, in their workers, too: they go on even if nobody reads their output any more, as in
//! `cargo run --example event | head -1`, and fail if it cannot be written, as on a full disk. The standard library's
//! `println!` panics in both cases.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::process::exit;

/// Prints a line to standard output, like the macro of this name in the standard library.
macro_rules! println {
    ($($line:tt)*) => { $crate::output::print(format_args!($($line)*)) };
}

pub(crate) use println;

/// Prints a line.
pub(crate) fn print(line: Arguments<'_>) {
    match stdout().write_fmt(format_args!("{line}\n")) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            // If nobody can read this either, the exit status says it.
            let _ = writeln!(stderr(), "standard output cannot be written: {error}");
            exit(1);
        }
        _ => {}
    }
}

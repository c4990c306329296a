//! The arguments of the examples: an example that does not know one prints its usage and ends.

use std::io::{Write, stderr};
use std::process::exit;

/// Ends the program with status 2 unless it knows all of its arguments. Call this after `rallypoint::init`: the workers
/// are copies of the program with arguments of their own.
pub(crate) fn check(usage: &str, is_known: fn(&str) -> bool) {
    if std::env::args().skip(1).any(|argument| !is_known(&argument)) {
        // If nobody can read it, the program ends all the same.
        let _ = writeln!(stderr(), "usage: {usage}");
        exit(2);
    }
}

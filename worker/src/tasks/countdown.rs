//! A task that takes ten seconds, unless it is stopped.

use std::io::{Write, stdout};
use std::thread::sleep;
use std::time::Duration;

use client::{Event, Result};

/// Sleeps a second, up to ten times, and stops early if the event is set after one of them. Prints its progress to
/// standard output.
pub fn countdown(identifier: u32, stop: Event) -> Result<()> {
    // Standard output may be closed, which is no reason to fail.
    let say = |what: &str| drop(writeln!(stdout(), "Task {identifier} {what}"));
    say("running");
    for _ in 0..10 {
        sleep(Duration::from_secs(1));
        if stop.is_set()? {
            say("stopping...");
            break;
        }
    }
    say("Done");
    Ok(())
}

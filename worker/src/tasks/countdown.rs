//! A task that takes ten seconds, unless it is told to stop.

use std::io::{Write, stdout};
use std::thread::sleep;
use std::time::Duration;

use client::{Event, Result};

/// Sleeps a second, up to ten times, and asks after each whether the event is set; if it is, stops early. Tells on
/// standard output how it is doing.
pub fn countdown(identifier: u32, stop: Event) -> Result<()> {
    // Nobody may read it, which is no reason to fail.
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

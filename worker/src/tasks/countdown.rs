//! A task that takes ten seconds, unless it is told to stop.

use std::thread::sleep;
use std::time::Duration;

use client::{Event, Result};

/// Sleeps a second, up to ten times, and asks after each whether the event is set; if it is, stops early. Tells on
/// standard output how it is doing.
pub fn countdown(identifier: u32, stop: Event) -> Result<()> {
    println!("Task {identifier} running");
    for _ in 0..10 {
        sleep(Duration::from_secs(1));
        if stop.is_set()? {
            println!("Task {identifier} stopping...");
            break;
        }
    }
    println!("Task {identifier} Done");
    Ok(())
}

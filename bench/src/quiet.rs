//! Finds out that other processes have nothing left to do, without asking them.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The pause between two looks: longer than the kernel's unit of processor time.
const PAUSE: Duration = Duration::from_millis(15);

/// How long to wait at most: a process that wakes up now and then while it waits is never quite at rest.
const TIME_MAX: Duration = Duration::from_millis(500);

/// How many looks in a row have to find no change.
const LOOKS: usize = 3;

/// Waits until these processes use no processor time any more, or half a second has passed.
pub(crate) fn await_quiet(processes: &[u32]) -> Result<()> {
    let mut used = u64::MAX;
    let mut quiet = 0;
    let deadline = Instant::now() + TIME_MAX;
    while quiet < LOOKS && Instant::now() < deadline {
        std::thread::sleep(PAUSE);
        let now = processes.iter().map(|&process| processor_time(process)).sum::<Result<u64>>()?;
        quiet = if now == used { quiet + 1 } else { 0 };
        used = now;
    }
    Ok(())
}

/// The processor time that all threads of a process have used, in the kernel's unit.
fn processor_time(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The name of the program, in brackets, can hold anything.
    let (_, fields) = text.rsplit_once(") ").context("a process has a name")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let (user, system) = (fields.get(11).context("user time")?, fields.get(12).context("system time")?);
    Ok(user.parse::<u64>()? + system.parse::<u64>()?)
}

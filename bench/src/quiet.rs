//! Finds out that other processes have nothing left to do, without asking them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sys::process_stat::ProcessStat;

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
        let ticks = processes.iter().map(|&process| {
            let stat = ProcessStat::of(process).with_context(|| format!("looking at process {process}"))?;
            anyhow::Ok(stat.processor_ticks)
        });
        let now = ticks.sum::<Result<u64>>()?;
        quiet = if now == used { quiet + 1 } else { 0 };
        used = now;
    }
    Ok(())
}

//! Which cores a measurement runs on. Processes and threads inherit them from the thread that starts them.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// This thread's binding to some cores. When it is dropped, the thread may run where it could before.
pub(crate) struct Pinned {
    before: CpuSet,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // These cores were allowed before, so they are allowed again.
        let _ = sched_setaffinity(None, &self.before);
    }
}

/// Binds this thread to the first core that it may use, which in a container may not be core 0.
pub(crate) fn to_first_core() -> Result<Pinned> {
    to_core(0)
}

/// Binds this thread to the second core that it may use, if there is one.
pub(crate) fn to_second_core() -> Result<Option<Pinned>> {
    if sched_getaffinity(None)?.count() < 2 { Ok(None) } else { to_core(1).map(Some) }
}

fn to_core(number: usize) -> Result<Pinned> {
    let before = sched_getaffinity(None)?;
    let mut allowed = (0..CpuSet::MAX_CPU).filter(|&core| before.is_set(core));
    let mut cores = CpuSet::new();
    cores.set(allowed.nth(number).context("this runs on some core")?);
    sched_setaffinity(None, &cores)?;
    Ok(Pinned { before })
}

//! Python's `multiprocessing`: its manager, its event and its pool.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::peer::PeerProcess;
use crate::turns::Samples;

/// Python, prepared for the measurements of one family.
pub(crate) struct Python(PeerProcess);

impl Python {
    /// Starts it on the cores that this thread may use.
    pub(crate) fn start(family: &str) -> Result<Python> {
        // The script is a file, since a process that Python spawns imports it again.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/rivals.py");
        Ok(Python(PeerProcess::start(Command::new("python3").arg("-B").arg(script).arg(family))?))
    }

    /// Records the times of `count` operations.
    pub(crate) fn measure(&mut self, what: &str, count: usize, samples: &mut Samples) -> Result<()> {
        self.0.say(&format!("{what} {count}"))?;
        for time in self.0.hear()?.split_whitespace() {
            let time = time.parse().with_context(|| format!("Python prints {time:?} instead of a time"))?;
            samples.record(Duration::from_nanos(time));
        }
        Ok(())
    }

    /// Records the mean time of `count` operations.
    pub(crate) fn measure_mean(&mut self, what: &str, count: usize, samples: &mut Samples) -> Result<()> {
        self.0.say(&format!("{what} {count}"))?;
        let time = self.0.hear()?.parse().context("Python prints no time")?;
        samples.record_many(Duration::from_nanos(time), count as u64);
        Ok(())
    }
}

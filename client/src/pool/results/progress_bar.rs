//! Progress bars, for people at a terminal.

use std::iter::FusedIterator;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;

use crate::Result;
use crate::pool::results::AsyncResult;
use crate::pool::results::ResultIterator;
use crate::pool::results::progress::Progress;

/// How often a bar is redrawn while nothing else happens.
const TICK: Duration = Duration::from_millis(100);

impl<T> AsyncResult<T> {
    /// Waits until all calls have ended, and shows their progress on standard error, if that is a terminal.
    ///
    /// ```no_run
    /// # fn work(number: u32) -> u32 { number }
    /// # fn submit(pool: &client::Pool) -> client::Result<()> {
    /// let result = pool.map_async(work, 0..1000)?;
    /// result.wait_with_bar()?;
    /// println!("{:?}", result.get(None)?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_with_bar(&self) -> Result<()> {
        let batch = self.batch();
        let bar = bar(Some(batch.progress()?.total));
        if bar.is_hidden() {
            return batch.wait(None).map(drop);
        }
        loop {
            let is_over = batch.wait(Some(TICK))?;
            show(&bar, batch.progress()?);
            if is_over {
                bar.finish();
                return Ok(());
            }
        }
    }
}

impl<T: DeserializeOwned> ResultIterator<T> {
    /// The same results, with a bar on standard error that shows how many were taken, if that is a terminal.
    pub fn with_bar(self) -> WithBar<T> {
        let bar = bar(self.total().map(|total| total as u64));
        WithBar { results: self, bar }
    }
}

/// Results that are taken one by one, with a progress bar. From [`ResultIterator::with_bar`].
#[derive(Debug)]
pub struct WithBar<T> {
    results: ResultIterator<T>,
    bar: ProgressBar,
}

impl<T: DeserializeOwned> Iterator for WithBar<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let result = self.results.next();
        match &result {
            Some(_) => self.bar.inc(1),
            None => self.bar.finish(),
        }
        result
    }
}

impl<T: DeserializeOwned> FusedIterator for WithBar<T> {}

/// A bar with this end, or without any.
fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{wide_bar} {pos}/{len} {prefix} [{elapsed}, {eta} left]"),
        None => (ProgressBar::no_length(), "{spinner} {pos} {prefix} [{elapsed}, {per_sec}]"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is a good one"))
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_position(progress.ended());
    let failed = match progress.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    bar.set_prefix(format!("({} running{failed})", progress.running));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_bars_can_be_drawn() {
        for total in [Some(10), None] {
            let bar = bar(total);
            show(&bar, Progress { done: 3, failed: 1, running: 2, waiting: 4, total: 10 });
            assert_eq!((bar.position(), bar.prefix().as_str()), (4, "(2 running, 1 failed)"));
        }
    }
}

//! The report of a stop: how each call ended.

use std::fmt;

use crate::Error;

/// How one call of a stopped batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It returned, either because it was asked to or on its own.
    Returned,
    /// It had not started, and never will.
    Cancelled,
    /// Its worker ended after SIGTERM, before it was sent SIGKILL.
    Terminated,
    /// Its worker ended after SIGKILL.
    Killed,
    /// It failed in another way, such as a panic.
    Failed(Error),
}

/// How each call of a batch, or of several, ended: what stopping them returns.
///
/// It displays as `3 calls returned, 9990 were cancelled, 1 was ended by SIGTERM`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopReport {
    endings: Vec<Ending>,
}

impl StopReport {
    /// The report of calls with these endings, in the order of the input.
    pub(crate) fn new(endings: Vec<Ending>) -> StopReport {
        StopReport { endings }
    }

    /// How each call ended, in the order of the input. They do not include calls whose results were taken from an
    /// iterator before, nor those whose `AsyncResult` was dropped.
    pub fn endings(&self) -> &[Ending] {
        &self.endings
    }

    /// How many calls returned.
    pub fn returned(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Returned))
    }

    /// How many calls were cancelled before they started.
    pub fn cancelled(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Cancelled))
    }

    /// How many calls ended after SIGTERM.
    pub fn terminated(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Terminated))
    }

    /// How many calls ended after SIGKILL.
    pub fn killed(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Killed))
    }

    /// How many calls failed in another way.
    pub fn failed(&self) -> usize {
        self.count(|ending| matches!(ending, Ending::Failed(_)))
    }

    fn count(&self, is_meant: impl Fn(&Ending) -> bool) -> usize {
        self.endings.iter().filter(|ending| is_meant(ending)).count()
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.returned(), "returned", "returned"),
            (self.cancelled(), "was cancelled", "were cancelled"),
            (self.terminated(), "was ended by SIGTERM", "were ended by SIGTERM"),
            (self.killed(), "was ended by SIGKILL", "were ended by SIGKILL"),
            (self.failed(), "failed", "failed"),
        ];
        let mut is_first = true;
        for (count, one, many) in counts.into_iter().filter(|(count, ..)| *count > 0) {
            let noun = match (is_first, count) {
                (true, 1) => " call",
                (true, _) => " calls",
                (false, _) => "",
            };
            let comma = if is_first { "" } else { ", " };
            write!(formatter, "{comma}{count}{noun} {}", if count == 1 { one } else { many })?;
            is_first = false;
        }
        if is_first { formatter.write_str("there were no calls") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_report_reads_as_a_sentence() {
        let text = |endings: &[Ending]| StopReport::new(endings.to_vec()).to_string();
        assert_eq!(text(&[]), "there were no calls");
        assert_eq!(text(&[Ending::Cancelled]), "1 call was cancelled");
        assert_eq!(
            text(&[Ending::Returned, Ending::Killed, Ending::Returned, Ending::Terminated]),
            "2 calls returned, 1 was ended by SIGTERM, 1 was ended by SIGKILL"
        );
        let failed = Ending::Failed(Error::new(ErrorKind::Panicked, "no disk"));
        assert_eq!(text(&[failed.clone(), failed]), "2 calls failed");
    }
}

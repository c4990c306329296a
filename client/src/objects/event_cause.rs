//! Who set an event, when, and why.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::duration::Rounded;

/// Who set an event, when, and why.
///
/// It displays as in `set by pid 4711 (deploy) 3.2 s ago: disk full`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventCause {
    /// The id of the process that set it.
    pub process: u32,
    /// The name of that process's program, as it told the manager.
    pub program: Arc<str>,
    /// How long ago that was when the manager answered.
    pub ago: Duration,
    /// The reason that [`set_because`](crate::Event::set_because) gave; none after a plain [`set`](crate::Event::set).
    pub reason: Option<Arc<str>>,
}

impl From<protocol::Cause> for EventCause {
    fn from(cause: protocol::Cause) -> EventCause {
        let protocol::Cause { process, program, age_ns, reason } = cause;
        EventCause { process, program, ago: Duration::from_nanos(age_ns), reason }
    }
}

impl fmt::Display for EventCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventCause { process, program, ago, reason } = self;
        write!(formatter, "set by pid {process} ({program}) {} ago", Rounded(*ago))?;
        match reason {
            Some(reason) => write!(formatter, ": {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_reads_as_a_sentence() {
        let mut cause = EventCause {
            process: 12,
            program: "deploy".into(),
            ago: Duration::from_millis(3_290),
            reason: Some("disk full".into()),
        };
        assert_eq!(cause.to_string(), "set by pid 12 (deploy) 3.2 s ago: disk full");
        cause.reason = None;
        for (milliseconds, text) in
            [(0, "0 ms"), (999, "999 ms"), (61_000, "1 min 1 s"), (7_260_000, "2 h 1 min")]
        {
            cause.ago = Duration::from_millis(milliseconds);
            assert_eq!(cause.to_string(), format!("set by pid 12 (deploy) {text} ago"));
        }
    }
}

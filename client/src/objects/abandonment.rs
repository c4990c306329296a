//! The holder that abandoned a lock or permits, as the next taker learns it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::duration::Rounded;

/// The holder that abandoned a lock or permits: a process that ended without releasing them, or a holder from which
/// [`force_release`](crate::Lock::force_release) took the lock.
///
/// What the lock guards may be half changed. This displays as in `left behind by pid 12 (deploy), which was ended by
/// signal 9 (SIGKILL) after holding it 3.2 s`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abandonment {
    /// The id of the process that held it.
    pub process: u32,
    /// The name of that process's program, as it told the manager.
    pub program: Arc<str>,
    /// What happened, as a verb for the process: as in `was ended by signal 9 (SIGKILL)`.
    pub how: Arc<str>,
    /// How long it had held it.
    pub held: Duration,
}

impl From<protocol::Abandonment> for Abandonment {
    fn from(abandonment: protocol::Abandonment) -> Abandonment {
        let protocol::Abandonment { process, program, how, held_ns } = abandonment;
        Abandonment { process, program, how, held: Duration::from_nanos(held_ns) }
    }
}

impl fmt::Display for Abandonment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Abandonment { process, program, how, held } = self;
        write!(formatter, "left behind by pid {process} ({program}), which {how} after holding it ")?;
        Rounded(*held).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandonment_reads_as_a_sentence() {
        let abandonment = Abandonment::from(protocol::Abandonment {
            process: 12,
            program: "deploy".into(),
            how: "was ended by signal 9 (SIGKILL)".into(),
            held_ns: 3_290_000_000,
        });
        assert_eq!(
            abandonment.to_string(),
            "left behind by pid 12 (deploy), which was ended by signal 9 (SIGKILL) after holding it 3.2 s"
        );
    }
}

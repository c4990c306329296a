//! The processes in what an inspection shows: sessions, holders and waiters.

use std::fmt::{Display, Formatter, Result};
use std::sync::Arc;
use std::time::Duration;

use protocol::{ObjectId, SessionId, ThreadId, Wanted};

use crate::duration::Rounded;

/// One client process: all handles, proxies and threads of it together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its number: from 1, never used again while the manager lives.
    pub session: SessionId,
    /// The process id.
    pub process: u32,
    /// The name of its program, as it gave it to the manager.
    pub program: Arc<str>,
    /// How long ago it connected.
    pub connected: Duration,
    /// How many objects it holds proxies of.
    pub objects: u32,
    /// How many of its calls wait for something.
    pub waits: u32,
    /// How many calls of pools it runs.
    pub calls: u32,
    /// How it ended, and which processes [bound](crate::BoundChild) to it are still there; none unless the manager
    /// waits for their end. What the session holds stays held until then.
    pub ending: Option<Arc<str>>,
}

/// A holder of permits of a semaphore.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermitsInfo {
    /// The client process.
    pub session: SessionInfo,
    /// How many it holds.
    pub permits: u64,
    /// How long it has held permits without a break.
    pub held: Duration,
}

/// A call of a task function that a worker runs.
///
/// A worker reports short calls some milliseconds late, and then this is one that it has just ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningCallInfo {
    /// The worker.
    pub session: SessionInfo,
    /// The function.
    pub function: Arc<str>,
    /// The batch.
    pub batch: ObjectId,
    /// Its place among the calls of the batch, counted from 0.
    pub number: u64,
    /// Which attempt to run it this is: 1 for the first.
    pub attempt: u32,
    /// How long it has run.
    pub running: Duration,
}

/// The holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HolderInfo {
    /// The process id.
    pub process: u32,
    /// The name of its program, as it gave it to the manager.
    pub program: Arc<str>,
    /// The thread, as the client library numbers those that call it: from 1.
    pub thread: ThreadId,
    /// How long it has held the lock.
    pub held: Duration,
    /// How often it has acquired it.
    pub depth: u32,
    /// The token of its guard.
    pub token: u64,
    /// As in [`SessionInfo::ending`].
    pub ending: Option<Arc<str>>,
}

/// A waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaiterInfo {
    /// The process id.
    pub process: u32,
    /// The name of its program, as it gave it to the manager.
    pub program: Arc<str>,
    /// The thread, as the client library numbers those that call it: from 1.
    pub thread: ThreadId,
    /// What it waits for here. It may wait for other objects in the same step.
    pub wants: Wanted,
    /// How long it has waited.
    pub waited: Duration,
    /// How long until it gives up; none if it never does.
    pub remaining: Option<Duration>,
}

impl From<protocol::SessionInfo> for SessionInfo {
    fn from(info: protocol::SessionInfo) -> SessionInfo {
        let protocol::SessionInfo { session, process, program, age_ns, objects, waits, calls, ending } = info;
        let connected = Duration::from_nanos(age_ns);
        SessionInfo { session, process, program, connected, objects, waits, calls, ending }
    }
}

impl From<protocol::PermitsInfo> for PermitsInfo {
    fn from(info: protocol::PermitsInfo) -> PermitsInfo {
        let protocol::PermitsInfo { session, permits, held_ns } = info;
        PermitsInfo { session: session.into(), permits, held: Duration::from_nanos(held_ns) }
    }
}

impl From<protocol::RunningCallInfo> for RunningCallInfo {
    fn from(info: protocol::RunningCallInfo) -> RunningCallInfo {
        let protocol::RunningCallInfo { session, function, batch, number, retry, running_ns } = info;
        let (attempt, running) = (retry.saturating_add(1), Duration::from_nanos(running_ns));
        RunningCallInfo { session: session.into(), function, batch, number, attempt, running }
    }
}

impl From<protocol::HolderInfo> for HolderInfo {
    fn from(info: protocol::HolderInfo) -> HolderInfo {
        let protocol::HolderInfo { process, program, thread, held_ns, depth, token, ending } = info;
        let held = Duration::from_nanos(held_ns);
        HolderInfo { process, program, thread, held, depth, token, ending }
    }
}

impl From<protocol::WaiterInfo> for WaiterInfo {
    fn from(info: protocol::WaiterInfo) -> WaiterInfo {
        let protocol::WaiterInfo { process, program, thread, wants, waited_ns, remaining_ns } = info;
        let waited = Duration::from_nanos(waited_ns);
        let remaining = remaining_ns.map(Duration::from_nanos);
        WaiterInfo { process, program, thread, wants, waited, remaining }
    }
}

/// As in `pid 12 (deploy), connected 3.2 s ago, 4 objects, 1 wait, 0 calls`.
impl Display for SessionInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let SessionInfo { process, program, connected, objects, waits, calls, ending, .. } = self;
        write!(formatter, "pid {process} ({program}), connected {} ago, ", Rounded(*connected))?;
        let [objects, waits, calls] = [objects, waits, calls].map(|&count| u64::from(count));
        let counts = [count(objects, "object"), count(waits, "wait"), count(calls, "call")];
        write!(formatter, "{}{}", counts.join(", "), which(ending.as_deref()))
    }
}

/// As in `2 held by pid 12 (deploy) for 3.2 s`.
impl Display for PermitsInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let PermitsInfo { session, permits, held } = self;
        let SessionInfo { process, program, ending, .. } = session;
        let (held, which) = (Rounded(*held), which(ending.as_deref()));
        write!(formatter, "{permits} held by pid {process} ({program}) for {held}{which}")
    }
}

/// As in `pid 12 (deploy) runs call 4 of work for 3.2 s`, where the first call has the number 1, as in errors.
impl Display for RunningCallInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let RunningCallInfo { session, function, number, attempt, running, .. } = self;
        let SessionInfo { process, program, ending, .. } = session;
        let number = number.saturating_add(1);
        write!(formatter, "pid {process} ({program}) runs call {number} of `{function}`")?;
        if *attempt > 1 {
            write!(formatter, ", attempt {attempt},")?;
        }
        write!(formatter, " for {}{}", Rounded(*running), which(ending.as_deref()))
    }
}

/// As in `held by pid 12 (deploy), thread 1, for 3.2 s`.
impl Display for HolderInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let HolderInfo { process, program, thread, held, depth, ending, .. } = self;
        let often = if *depth > 1 { format!(", {depth} times") } else { String::new() };
        let (held, which) = (Rounded(*held), which(ending.as_deref()));
        write!(formatter, "held by pid {process} ({program}), thread {thread}{often}, for {held}{which}")
    }
}

/// As in `pid 14 (deploy), thread 2, has waited 1.5 s for the lock, gives up in 8.4 s`.
impl Display for WaiterInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let WaiterInfo { process, program, thread, wants, waited, remaining } = self;
        let waited = Rounded(*waited);
        write!(formatter, "pid {process} ({program}), thread {thread}, has waited {waited} for {wants}")?;
        match remaining {
            Some(remaining) => write!(formatter, ", gives up in {}", Rounded(*remaining)),
            None => Ok(()),
        }
    }
}

/// What became of a process, if the manager waits for the end of what is bound to it.
fn which(ending: Option<&str>) -> String {
    ending.map(|ending| format!(", which {ending}")).unwrap_or_default()
}

/// As in `2 items`.
pub(super) fn count(count: u64, what: &str) -> String {
    let ending = match (count, what.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {what}{ending}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn session() -> SessionInfo {
        SessionInfo {
            session: SessionId(3),
            process: 12,
            program: "deploy".into(),
            connected: Duration::from_millis(3_290),
            objects: 4,
            waits: 1,
            calls: 0,
            ending: None,
        }
    }

    pub(crate) fn waiter(process: u32, remaining: Option<Duration>) -> WaiterInfo {
        let waited = Duration::from_millis(1_500);
        let (thread, wants) = (ThreadId(2), Wanted::Lock);
        WaiterInfo { process, program: "deploy".into(), thread, wants, waited, remaining }
    }

    #[test]
    fn a_session_reads_as_a_line() {
        let text = "pid 12 (deploy), connected 3.2 s ago, 4 objects, 1 wait, 0 calls";
        assert_eq!(session().to_string(), text);
        let ending = SessionInfo { ending: Some("left; so".into()), ..session() };
        assert_eq!(ending.to_string(), format!("{text}, which left; so"));
        let holder = PermitsInfo { session: ending, permits: 2, held: Duration::from_millis(3_290) };
        assert_eq!(holder.to_string(), "2 held by pid 12 (deploy) for 3.2 s, which left; so");
    }
}

//! How the pictures of a moment display.

use std::fmt::{Display, Formatter, Result};

use super::{HolderInfo, Kind, ObjectInfo, ObjectState, ObjectSummary, PermitsInfo, SessionInfo, WaiterInfo};
use crate::duration::Rounded;

/// As in `pid 12 (deploy), connected 3.2 s ago, 4 objects, 1 wait, 0 tasks`.
impl Display for SessionInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let SessionInfo { process, program, connected, objects, waits, tasks, .. } = self;
        write!(formatter, "pid {process} ({program}), connected {} ago, ", Rounded(*connected))?;
        let [objects, waits, tasks] = [objects, waits, tasks].map(|&count| u64::from(count));
        let counts = [count(objects, "object"), count(waits, "wait"), count(tasks, "task")];
        write!(formatter, "{}", counts.join(", "))
    }
}

/// As in `lock "deploy", awaited`.
impl Display for ObjectSummary {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        write!(formatter, "{}", called(self.kind, self.name.as_deref(), &self.id))?;
        formatter.write_str(if self.is_awaited { ", awaited" } else { "" })
    }
}

/// The object in a line, and a line for each waiter.
impl Display for ObjectInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let ObjectInfo { id, name, state, waiters, waiting, .. } = self;
        write!(formatter, "{}: {state}", called(state.kind(), name.as_deref(), id))?;
        for (waiter, number) in waiters.iter().zip(1..) {
            write!(formatter, "\n  {number}. {waiter}")?;
        }
        match (*waiting as usize).saturating_sub(waiters.len()) {
            0 => Ok(()),
            more => write!(formatter, "\n  and {more} more"),
        }
    }
}

/// As in `held by pid 12 (deploy), thread 1, for 3.2 s`.
impl Display for ObjectState {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            ObjectState::Event { set: Some(cause), .. } => cause.fmt(formatter),
            ObjectState::Event { set: None, .. } => formatter.write_str("not set"),
            ObjectState::Pool { batches, is_closed } => {
                write!(formatter, "{}{}", count((*batches).into(), "open batch"), closed(*is_closed))
            }
            ObjectState::Batch { function, progress } => {
                let protocol::TaskCounts { waiting, running, returned, failed } = progress;
                let counts = format!("{waiting} wait, {running} run, {returned} returned, {failed} failed");
                write!(formatter, "tasks of `{function}`: {counts}")
            }
            ObjectState::Lock { holder: Some(holder), .. } => holder.fmt(formatter),
            ObjectState::Lock { abandoned: Some(abandonment), .. } => {
                write!(formatter, "free, {abandonment}")
            }
            ObjectState::Lock { .. } => formatter.write_str("free"),
            ObjectState::Condition { lock } => write!(formatter, "over lock {lock}"),
            ObjectState::Semaphore { available, permits_max, holders } => {
                let of = permits_max.map(|permits| format!(" of {permits}")).unwrap_or_default();
                write!(formatter, "{available}{of} available")?;
                holders.iter().try_for_each(|holder| write!(formatter, ", {holder}"))
            }
            ObjectState::Barrier { broken: Some(cause), .. } => write!(formatter, "broken: {cause}"),
            ObjectState::Barrier { waiting, acting: Some(session), .. } => {
                let SessionInfo { process, program, .. } = session;
                write!(formatter, "pid {process} ({program}) runs the action, {waiting} wait")
            }
            ObjectState::Barrier { parties, waiting, .. } => {
                write!(formatter, "{waiting} of {parties} parties wait")
            }
            ObjectState::Latch { count: 0 } => formatter.write_str("open"),
            ObjectState::Latch { count } => write!(formatter, "{count} left to count down"),
            ObjectState::Queue { length, capacity, unfinished, is_closed, holders } => {
                let of = capacity.map(|capacity| format!(" of at most {capacity}")).unwrap_or_default();
                let unfinished = unfinished.map(|count| format!(", {count} unfinished")).unwrap_or_default();
                let closed = closed(*is_closed);
                write!(formatter, "{}{of}{unfinished}{closed}", count(*length, "item"))?;
                holders.iter().try_for_each(|(session, items)| {
                    write!(formatter, ", {items} with pid {} ({})", session.process, session.program)
                })
            }
        }
    }
}

/// As in `2 held by pid 12 (deploy) for 3.2 s`.
impl Display for PermitsInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let PermitsInfo { session, permits, held } = self;
        let SessionInfo { process, program, .. } = session;
        write!(formatter, "{permits} held by pid {process} ({program}) for {}", Rounded(*held))
    }
}

/// As in `held by pid 12 (deploy), thread 1, for 3.2 s`.
impl Display for HolderInfo {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let HolderInfo { process, program, thread, held, depth, .. } = self;
        let often = if *depth > 1 { format!(", {depth} times") } else { String::new() };
        let held = Rounded(*held);
        write!(formatter, "held by pid {process} ({program}), thread {thread}{often}, for {held}")
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

impl ObjectState {
    /// What the object is.
    pub fn kind(&self) -> Kind {
        match self {
            ObjectState::Event { .. } => Kind::Event,
            ObjectState::Pool { .. } => Kind::Pool,
            ObjectState::Batch { .. } => Kind::Batch,
            ObjectState::Lock { is_reentrant: false, .. } => Kind::Lock,
            ObjectState::Lock { is_reentrant: true, .. } => Kind::RLock,
            ObjectState::Condition { .. } => Kind::Condition,
            ObjectState::Semaphore { .. } => Kind::Semaphore,
            ObjectState::Barrier { .. } => Kind::Barrier,
            ObjectState::Latch { .. } => Kind::Latch,
            ObjectState::Queue { .. } => Kind::Queue,
        }
    }
}

fn called(kind: Kind, name: Option<&str>, id: &impl Display) -> String {
    match name {
        Some(name) => format!("{kind} {name:?}"),
        None => format!("{kind} {id}"),
    }
}

fn closed(is_closed: bool) -> &'static str {
    if is_closed { ", closed" } else { "" }
}

fn count(count: u64, what: &str) -> String {
    let ending = match (count, what.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {what}{ending}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::{ObjectId, SessionId, TaskCounts, ThreadId, Wanted};
    use uuid::Uuid;

    use super::*;
    use crate::Abandonment;

    fn session() -> SessionInfo {
        SessionInfo {
            session: SessionId(3),
            process: 12,
            program: "deploy".into(),
            connected: Duration::from_millis(3_290),
            objects: 4,
            waits: 1,
            tasks: 0,
        }
    }

    fn waiter(process: u32, remaining: Option<Duration>) -> WaiterInfo {
        let waited = Duration::from_millis(1_500);
        let (thread, wants) = (ThreadId(2), Wanted::Lock);
        WaiterInfo { process, program: "deploy".into(), thread, wants, waited, remaining }
    }

    #[test]
    fn an_object_reads_as_a_line_and_one_for_each_who_waits() {
        let info = ObjectInfo {
            id: ObjectId(Uuid::nil()),
            name: Some("deploy".to_owned()),
            references: 3,
            state: ObjectState::Lock {
                is_reentrant: true,
                holder: Some(HolderInfo {
                    process: 12,
                    program: "deploy".into(),
                    thread: ThreadId(1),
                    held: Duration::from_millis(3_290),
                    depth: 2,
                    token: 7,
                }),
                abandoned: None,
            },
            waiters: vec![waiter(14, None), waiter(15, Some(Duration::from_secs(61)))],
            waiting: 3,
        };
        let lines = [
            "reentrant lock \"deploy\": held by pid 12 (deploy), thread 1, 2 times, for 3.2 s",
            "  1. pid 14 (deploy), thread 2, has waited 1.5 s for the lock",
            "  2. pid 15 (deploy), thread 2, has waited 1.5 s for the lock, gives up in 1 min 1 s",
            "  and 1 more",
        ];
        assert_eq!(info.to_string(), lines.join("\n"));
    }

    #[test]
    fn a_session_and_a_summary_read_as_a_line() {
        let text = "pid 12 (deploy), connected 3.2 s ago, 4 objects, 1 wait, 0 tasks";
        assert_eq!(session().to_string(), text);
        let id = ObjectId(Uuid::from_u128(1));
        let mut summary =
            ObjectSummary { id, name: Some("jobs".to_owned()), kind: Kind::Queue, is_awaited: true };
        assert_eq!(summary.to_string(), "queue \"jobs\", awaited");
        summary.name = None;
        summary.is_awaited = false;
        assert_eq!(summary.to_string(), "queue 00000000-0000-0000-0000-000000000001");
    }

    #[test]
    fn every_state_reads_as_a_line() {
        let lock = |abandoned| ObjectState::Lock { is_reentrant: false, holder: None, abandoned };
        let abandonment = Abandonment::from(protocol::Abandonment {
            process: 12,
            program: "deploy".into(),
            how: "was ended by signal 9 (SIGKILL)".into(),
            held_ns: 1_000_000_000,
        });
        let left = "free, left behind by pid 12 (deploy), which was ended by signal 9 (SIGKILL) after holding it 1.0 s";
        let barrier = |broken, acting| ObjectState::Barrier { parties: 3, waiting: 1, broken, acting };
        let progress = TaskCounts { waiting: 1, running: 2, returned: 3, failed: 4 };
        let queue = |capacity, unfinished, is_closed, holders| ObjectState::Queue {
            length: 1,
            capacity,
            unfinished,
            is_closed,
            holders,
        };
        let held = Duration::from_millis(1_500);
        let one = PermitsInfo { session: session(), permits: 1, held };
        let semaphore = |permits_max, holders| ObjectState::Semaphore { available: 2, permits_max, holders };
        let cases = [
            (ObjectState::Event { auto_reset: true, set: None }, "not set"),
            (ObjectState::Pool { batches: 2, is_closed: true }, "2 open batches, closed"),
            (
                ObjectState::Batch { function: "work".into(), progress },
                "tasks of `work`: 1 wait, 2 run, 3 returned, 4 failed",
            ),
            (lock(None), "free"),
            (lock(Some(abandonment)), left),
            (semaphore(None, vec![]), "2 available"),
            (semaphore(Some(3), vec![one]), "2 of 3 available, 1 held by pid 12 (deploy) for 1.5 s"),
            (barrier(None, None), "1 of 3 parties wait"),
            (barrier(None, Some(session())), "pid 12 (deploy) runs the action, 1 wait"),
            (barrier(Some("by hand".to_owned()), None), "broken: by hand"),
            (ObjectState::Latch { count: 2 }, "2 left to count down"),
            (ObjectState::Latch { count: 0 }, "open"),
            (queue(None, None, false, vec![]), "1 item"),
            (
                queue(Some(5), Some(2), true, vec![(session(), 1)]),
                "1 item of at most 5, 2 unfinished, closed, 1 with pid 12 (deploy)",
            ),
        ];
        for (state, text) in cases {
            assert_eq!(state.to_string(), text);
        }
    }
}

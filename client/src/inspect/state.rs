//! The state of an object, by its kind: how a manager tells it, and how it displays.

use std::fmt::{Display, Formatter, Result};
use std::sync::Arc;

use protocol::{CallCounts, Kind, ObjectId};

use super::processes::{HolderInfo, PermitsInfo, RunningCallInfo, SessionInfo, count};
use crate::{Abandonment, EventCause};

/// The state of an object, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectState {
    /// An event.
    Event {
        /// Whether a wait clears it.
        auto_reset: bool,
        /// What set it, when, and why; none if it is not set.
        set: Option<EventCause>,
    },
    /// A pool.
    Pool {
        /// How many batches are not complete.
        batches: u32,
        /// Whether it takes no more.
        is_closed: bool,
        /// The calls that workers run, batch by batch, a thousand at most.
        running: Vec<RunningCallInfo>,
    },
    /// The calls of one submission to a pool.
    Batch {
        /// The function that it calls.
        function: Arc<str>,
        /// How far it is.
        progress: CallCounts,
    },
    /// A lock.
    Lock {
        /// Whether its holder may acquire it again.
        is_reentrant: bool,
        /// Its holder; none if nobody holds it.
        holder: Option<HolderInfo>,
        /// The holder that left it behind, if nobody has taken it since.
        abandoned: Option<Abandonment>,
    },
    /// A condition.
    Condition {
        /// The lock it is over.
        lock: ObjectId,
    },
    /// A semaphore.
    Semaphore {
        /// How many permits are available, abandoned ones among them.
        available: u64,
        /// How many there are at most; none if it is not bounded.
        permits_max: Option<u64>,
        /// The holders of permits, in the order of the sessions' numbers, a thousand at most.
        holders: Vec<PermitsInfo>,
    },
    /// A barrier.
    Barrier {
        /// How many have to come.
        parties: u32,
        /// How many wait there now; while an action runs, those that wait for its end are among them.
        waiting: u32,
        /// What broke it; none if it is not broken.
        broken: Option<String>,
        /// The session that runs the action that the parties wait for; none if no action runs.
        acting: Option<SessionInfo>,
    },
    /// A latch.
    Latch {
        /// What is left to count down.
        count: u64,
    },
    /// A queue.
    Queue {
        /// How many items are in it.
        length: u64,
        /// How many items it may have; none if there is no bound.
        capacity: Option<u64>,
        /// How many items were put and are not finished; none if the queue is not joinable.
        unfinished: Option<u64>,
        /// Whether it takes no more.
        is_closed: bool,
        /// How many items of a joinable queue each session got and has not finished, in the order of the sessions'
        /// numbers, a thousand at most.
        holders: Vec<(SessionInfo, u64)>,
    },
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

impl From<protocol::ObjectState> for ObjectState {
    fn from(state: protocol::ObjectState) -> ObjectState {
        use protocol::ObjectState as Told;
        match state {
            Told::Event { auto_reset, set_by } => {
                ObjectState::Event { auto_reset, set: set_by.map(Into::into) }
            }
            Told::Pool { batches, is_closed, running } => {
                let running = running.into_iter().map(RunningCallInfo::from).collect();
                ObjectState::Pool { batches, is_closed, running }
            }
            Told::Batch { function, progress } => ObjectState::Batch { function, progress },
            Told::Lock { is_reentrant, holder, abandoned } => ObjectState::Lock {
                is_reentrant,
                holder: holder.map(Into::into),
                abandoned: abandoned.map(Into::into),
            },
            Told::Condition { lock } => ObjectState::Condition { lock },
            Told::Semaphore { available, permits_max, holders } => {
                let holders = holders.into_iter().map(PermitsInfo::from).collect();
                ObjectState::Semaphore { available, permits_max, holders }
            }
            Told::Barrier { status, acting } => ObjectState::Barrier {
                parties: status.parties,
                waiting: status.waiting,
                broken: status.broken.map(|cause| cause.to_string()),
                acting: acting.map(Into::into),
            },
            Told::Latch { count } => ObjectState::Latch { count },
            Told::Queue { length, capacity, unfinished, is_closed, holders } => {
                let holders = holders.into_iter().map(|(session, items)| (session.into(), items)).collect();
                ObjectState::Queue { length, capacity, unfinished, is_closed, holders }
            }
        }
    }
}

/// As in `held by pid 12 (deploy), thread 1, for 3.2 s`.
impl Display for ObjectState {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            ObjectState::Event { set: Some(cause), .. } => cause.fmt(formatter),
            ObjectState::Event { set: None, .. } => formatter.write_str("not set"),
            ObjectState::Pool { batches, is_closed, running } => {
                write!(formatter, "{}{}", count((*batches).into(), "open batch"), closed(*is_closed))?;
                running.iter().try_for_each(|call| write!(formatter, ", {call}"))
            }
            ObjectState::Batch { function, progress } => {
                let protocol::CallCounts { waiting, running, returned, failed } = progress;
                let counts = format!("{waiting} wait, {running} run, {returned} returned, {failed} failed");
                write!(formatter, "calls of `{function}`: {counts}")
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

fn closed(is_closed: bool) -> &'static str {
    if is_closed { ", closed" } else { "" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::inspect::processes::tests::session;

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
        let progress = CallCounts { waiting: 1, running: 2, returned: 3, failed: 4 };
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
        let call = |attempt| RunningCallInfo {
            session: session(),
            function: "work".into(),
            batch: ObjectId(uuid::Uuid::nil()),
            number: 3,
            attempt,
            running: held,
        };
        let pool = |is_closed, running| ObjectState::Pool { batches: 2, is_closed, running };
        let cases = [
            (ObjectState::Event { auto_reset: true, set: None }, "not set"),
            (pool(true, vec![]), "2 open batches, closed"),
            (pool(false, vec![call(1)]), "2 open batches, pid 12 (deploy) runs call 4 of `work` for 1.5 s"),
            (
                pool(false, vec![call(2)]),
                "2 open batches, pid 12 (deploy) runs call 4 of `work`, attempt 2, for 1.5 s",
            ),
            (
                ObjectState::Batch { function: "work".into(), progress },
                "calls of `work`: 1 wait, 2 run, 3 returned, 4 failed",
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

//! Starts worker processes for a pool, under a supervisor, and fails the pool's tasks when the workers end.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use client_core::Operation;
use client_core::operations::PoolTerminate;
use protocol::ObjectId;
use protocol::limits::{PROCESSES_MAX, REASON_BYTES_MAX};
use sys::inherited::Inherited;

use crate::connection::link::Link;
use crate::internal::copy_of_this_program;
use crate::objects::reason::one_line;
use crate::pool::errors::bad_argument;
use crate::pool::workers::assignment::{Assignment, WORKER};
use crate::pool::workers::initializer::PoolInitializer;
use crate::pool::workers::supervisor::{Hooks, Supervisor};
use crate::task::{check_registered, is_registry_set};
use crate::{Error, ErrorKind, Result};

/// The options of a pool's workers.
#[derive(Debug, Default)]
pub(crate) struct WorkerOptions {
    /// The function that each calls before its first task.
    pub(crate) initializer: Option<PoolInitializer>,
    /// After how many tasks each ends and another one takes its place.
    pub(crate) calls_max: Option<u32>,
    /// How many bytes of address space each may have.
    pub(crate) memory_bytes_max: Option<u64>,
    /// Setting this event makes the workers leave.
    pub(crate) leave: Option<ObjectId>,
}

impl WorkerOptions {
    /// The options of workers that leave when this event is set.
    pub(crate) fn of_service(leave: ObjectId) -> WorkerOptions {
        WorkerOptions { leave: Some(leave), ..WorkerOptions::default() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.calls_max == Some(0) {
            return Err(bad_argument("a worker runs at least one task"));
        }
        if self.memory_bytes_max == Some(0) {
            return Err(bad_argument("a worker needs some memory"));
        }
        match &self.initializer {
            Some(initializer) if !initializer.is_built_apart => {
                check_registered(&initializer.initializer.function)
            }
            _ => Ok(()),
        }
    }
}

/// Refuses options that are known to fail, before anything starts.
pub(crate) fn check_can_start(processes: usize) -> Result<()> {
    if processes == 0 {
        return Err(bad_argument("a pool needs at least one process"));
    }
    if processes > PROCESSES_MAX {
        return Err(bad_argument(&format!(
            "at most {PROCESSES_MAX} processes can serve a pool, not {processes}"
        )));
    }
    if !is_registry_set() {
        return Err(Error::new(
            ErrorKind::Other,
            "a pool's workers are copies of this program, which must call `rallypoint::init(registry)` \
             first thing in `main`",
        ));
    }
    Ok(())
}

/// How many processes can run at one time, according to the system.
pub(crate) fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into).min(PROCESSES_MAX)
}

/// What fails if no workers can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureScope {
    /// The pool, which has no other workers: its tasks fail.
    Pool,
    /// Only the service: other programs serve the pool, or will.
    Service,
}

/// Starts workers for a pool: copies of this program.
pub(crate) fn supervise(
    link: &Arc<Link>,
    pool: ObjectId,
    processes: usize,
    options: WorkerOptions,
    scope: FailureScope,
) -> Result<Supervisor> {
    let WorkerOptions { initializer, calls_max, memory_bytes_max, leave } = options;
    let (initializer, kept) =
        initializer.map(|initializer| (initializer.initializer, initializer.kept)).unzip();
    let Inherited { ignored, blocked } = Inherited::noted();
    let assignment = Assignment {
        address: link.address_text().to_owned(),
        epoch: link.epoch(),
        pool,
        parent: std::process::id(),
        initializer,
        calls_max,
        memory_bytes_max,
        leave,
        ignored,
        blocked,
    };
    // The first is made here, so that the caller gets the error if this program cannot be copied.
    copy_of_worker()?;
    let command = move || {
        // The objects among the initializer's arguments must live as long as workers may start.
        let _ = &kept;
        copy_of_worker().map_err(io::Error::other)
    };
    let asked = Arc::clone(link);
    let is_manager_gone = move || !asked.is_live();
    let link = Arc::clone(link);
    let broken = move |reason: &str| {
        if scope == FailureScope::Pool {
            terminate(&link, pool, &shorten(reason));
        }
    };
    let hooks = Hooks {
        command: Box::new(command),
        assignment: assignment.pack()?,
        is_manager_gone: Box::new(is_manager_gone),
        broken: Box::new(broken),
    };
    Supervisor::start(processes, hooks).map_err(|error| {
        Error::new(ErrorKind::Other, format!("a pool's supervisor cannot be started: {error}"))
    })
}

/// Makes the manager fail all tasks of a pool, before the workers end: it would take their ends for deaths. Waits for
/// its answer, but not long.
pub(crate) fn terminate(link: &Arc<Link>, pool: ObjectId, reason: &str) {
    // If the manager is gone, so are the tasks, and only the workers remain.
    let asked = link.begin(PoolTerminate { id: pool, reason }.into_request());
    let _ = asked.and_then(|asked| asked.wait_at_most(ANSWER_TIME_MAX));
}

/// How long the manager may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// The command of a worker. It only says that the process is a worker, and how much this program logs, since a process
/// sets up its log before anything else.
fn copy_of_worker() -> Result<Command> {
    copy_of_this_program(WORKER, [log::max_level().as_str()])
}

/// A reason within the limits of the manager: one line, without its middle if it is too long. The beginning says what
/// happened, and the end says what a program wrote last.
fn shorten(reason: &str) -> String {
    const GAP: &str = " … ";
    let reason = one_line(reason);
    if reason.len() <= REASON_BYTES_MAX {
        return reason;
    }
    let head = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX / 4)];
    let rest = REASON_BYTES_MAX - head.len() - GAP.len();
    let tail = &reason[reason.ceil_char_boundary(reason.len() - rest)..];
    format!("{head}{GAP}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_loses_its_middle() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten("it wrote: line\n\x1b[31mred\n"), "it wrote: line  [31mred");
        let long = format!("begin{}end", "é".repeat(2000));
        let short = shorten(&long);
        assert!(short.len() <= REASON_BYTES_MAX && short.len() > REASON_BYTES_MAX - 4, "{}", short.len());
        assert!(short.starts_with("beginé") && short.ends_with("éend") && short.contains("é … é"));
    }
}

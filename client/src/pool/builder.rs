//! How a pool is made.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use protocol::limits::{PROCESSES_MAX, REASON_BYTES_MAX};
use protocol::{ObjectId, OpenMode, Request, Spec};
use serde::Serialize;

use crate::connection::link::Link;
use crate::internal::copy_of_this_program;
use crate::objects::reason::one_line;
use crate::objects::reference::Reference;
use crate::pool::workers::supervisor::{Hooks, Supervisor};
use crate::pool::workers::{Assignment, WORKER};
use crate::pool::workers::{Initialized, PoolInitializer};
use crate::pool::{Pool, Workers};
use crate::task::{Task, check_registered, is_registry_set};
use crate::{Error, ErrorKind, Manager, Result};

/// Makes a [`Pool`] with workers of its own. See [`Pool::builder`].
#[derive(Debug)]
#[must_use = "a builder makes no pool before `start`"]
pub struct PoolBuilder<'a> {
    manager: &'a Manager,
    processes: Option<usize>,
    name: Option<String>,
    initializer: Option<Result<PoolInitializer>>,
    tasks_max: Option<u32>,
    memory_bytes_max: Option<u64>,
    interrupt_grace: Option<Duration>,
}

/// How a pool's workers are to work.
#[derive(Debug, Default)]
pub(crate) struct WorkerOptions {
    /// What each calls before its first task.
    initializer: Option<PoolInitializer>,
    /// After how many tasks each makes room for another one.
    tasks_max: Option<u32>,
    /// How many bytes of address space each may have.
    memory_bytes_max: Option<u64>,
    /// The event that has the workers leave.
    leave: Option<ObjectId>,
}

impl<'a> PoolBuilder<'a> {
    pub(crate) fn new(manager: &'a Manager) -> PoolBuilder<'a> {
        PoolBuilder {
            manager,
            processes: None,
            name: None,
            initializer: None,
            tasks_max: None,
            memory_bytes_max: None,
            interrupt_grace: None,
        }
    }

    /// How many worker processes, at most 1,024; as many as this process may use cores if it is not said.
    pub fn processes(mut self, processes: usize) -> PoolBuilder<'a> {
        self.processes = Some(processes);
        self
    }

    /// Has every worker call this function once, before its first task: to open a file, or to load what all tasks need.
    /// A worker that takes the place of another one calls it, too.
    ///
    /// The function is registered like a task, and returns nothing or a `Result<(), _>` (see [`Initialized`]). Where it
    /// panics or returns an error, the worker can not start; after a few tries that is the end of the pool, as
    /// [`start`](PoolBuilder::start) tells. If it has not returned after five seconds, a warning in the log says so,
    /// and calls go on to wait for it.
    ///
    /// The arguments are kept as long as the pool, and with them the objects whose proxies they hold.
    ///
    /// ```no_run
    /// # fn main() -> client::Result<()> {
    /// fn set_locale(language: String) -> Result<(), String> {
    ///     if language.len() == 2 { Ok(()) } else { Err(format!("{language} is no language")) }
    /// }
    ///
    /// # let manager = client::Manager::start()?;
    /// let pool = client::Pool::builder(&manager).initializer(set_locale, ("de".to_owned(),)).start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn initializer<F, Arguments>(mut self, function: F, arguments: Arguments) -> PoolBuilder<'a>
    where
        F: Task<Arguments, Output: Initialized>,
        Arguments: Serialize + Send + 'static,
    {
        self.initializer = Some(PoolInitializer::new(function, arguments, self.manager.link().epoch()));
        self
    }

    /// Has each worker end after this many tasks, at least one, and another one take its place: for functions that
    /// leak memory or wear a process out otherwise. As in Python, calls that travel in one chunk are one task.
    pub fn max_tasks_per_child(mut self, tasks: u32) -> PoolBuilder<'a> {
        self.tasks_max = Some(tasks);
        self
    }

    /// Limits the address space of each worker to this many bytes, at least one: all that it maps, which is more than
    /// what it has in memory (`RLIMIT_AS`; processes that a task starts have the same limit, each for itself).
    ///
    /// A worker that asks for more is refused it. In Rust that is the end of the process (`SIGABRT`): the task fails
    /// with [`Error::is_worker_died`] and a text that names the signal, and another worker takes the place. With less
    /// than the program itself needs no worker can start, which [`start`](PoolBuilder::start) tells.
    pub fn memory_limit(mut self, bytes: u64) -> PoolBuilder<'a> {
        self.memory_bytes_max = Some(bytes);
        self
    }

    /// Gives the pool a name, so that other programs can submit to it with [`Pool::open`].
    ///
    /// The name is free again when the pool is dropped, and when this process ends, however it does. With it ends the
    /// pool: what others have submitted to it and has not ended fails with [`Error::is_terminated`].
    pub fn name(mut self, name: impl Into<String>) -> PoolBuilder<'a> {
        self.name = Some(name.into());
        self
    }

    /// Has Ctrl-C stop the pool's tasks, with this grace, and not end this process: see [`Pool::stop_on_interrupt`].
    pub fn stop_on_interrupt(mut self, grace: Duration) -> PoolBuilder<'a> {
        self.interrupt_grace = Some(grace);
        self
    }

    /// Starts the workers, and returns at once: tasks can be submitted before the first worker is ready.
    ///
    /// Workers are copies of this program. Those that die are replaced; if workers keep dying before they are ready,
    /// all tasks fail with [`Error::is_terminated`], and so does [`Pool::join`], with a text that says how, and what
    /// the last of them wrote to its standard error. For want of processes, memory or descriptors that is so when not
    /// one worker could be started for 5 seconds; as long as there is one, others are tried again.
    ///
    /// # Errors
    ///
    /// A number is zero, or the processes are too many ([`Error::is_bad_argument`]); the program has not called
    /// `worker::init` first thing in `main`; an object with this name exists ([`Error::is_already_exists`]); the
    /// initializer is not registered ([`Error::is_unknown_function`]), or its arguments do not encode
    /// ([`Error::is_bad_encoding`]) or hold a proxy of another manager ([`Error::is_bad_target`]).
    pub fn start(self) -> Result<Pool> {
        let processes = self.processes.unwrap_or_else(super::available_cores);
        check_can_start(processes)?;
        let options = WorkerOptions {
            initializer: self.initializer.transpose()?,
            tasks_max: self.tasks_max,
            memory_bytes_max: self.memory_bytes_max,
            leave: None,
        };
        options.check()?;
        let link = self.manager.link();
        let reference = Reference::open(link, self.name.as_deref(), Spec::Pool, OpenMode::CreateNew)?;
        let supervisor = supervise(link, reference.id(), processes, options, Concern::Pool)?;
        let is_named = self.name.is_some();
        let pool = Pool::new_with(reference, processes, Workers::Own { supervisor, is_named });
        if let Some(grace) = self.interrupt_grace {
            pool.stop_on_interrupt(grace)?;
        }
        Ok(pool)
    }
}

impl WorkerOptions {
    /// Those of workers that leave when this event is set.
    pub(crate) fn of_server(leave: ObjectId) -> WorkerOptions {
        WorkerOptions { leave: Some(leave), ..WorkerOptions::default() }
    }

    fn check(&self) -> Result<()> {
        if self.tasks_max == Some(0) {
            return Err(bad("a worker runs at least one task"));
        }
        if self.memory_bytes_max == Some(0) {
            return Err(bad("a worker needs some memory"));
        }
        match &self.initializer {
            Some(initializer) if !initializer.is_built_apart => {
                check_registered(&initializer.initializer.function)
            }
            _ => Ok(()),
        }
    }
}

/// Refuses what can be known to fail before anything is started.
pub(crate) fn check_can_start(processes: usize) -> Result<()> {
    if processes == 0 {
        return Err(bad("a pool needs at least one process"));
    }
    if processes > PROCESSES_MAX {
        return Err(bad(&format!(
            "a pool is served by at most {PROCESSES_MAX} processes, not by {processes}"
        )));
    }
    if !is_registry_set() {
        return Err(Error::new(
            ErrorKind::Other,
            "a pool's workers are copies of this program, which must call `worker::init(registry)` \
             first thing in `main`",
        ));
    }
    Ok(())
}

/// Whom it concerns that no workers can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// The pool, which has no other workers: its tasks fail.
    Pool,
    /// Only whoever wanted to serve it: others do, or will.
    Server,
}

/// Starts workers for a pool: copies of this program.
pub(crate) fn supervise(
    link: &Arc<Link>,
    pool: ObjectId,
    processes: usize,
    options: WorkerOptions,
    concern: Concern,
) -> Result<Supervisor> {
    let WorkerOptions { initializer, tasks_max, memory_bytes_max, leave } = options;
    let (initializer, kept) =
        initializer.map(|initializer| (initializer.initializer, initializer.kept)).unzip();
    let assignment = Assignment {
        socket: link.socket_text().to_owned(),
        epoch: link.epoch(),
        pool,
        parent: std::process::id(),
        initializer,
        tasks_max,
        memory_bytes_max,
        leave,
    };
    // The first is made here, so that what is wrong with this program is an error of the caller.
    copy_of_worker()?;
    let command = move || {
        // What the initializer's arguments stand for lives as long as workers may start.
        let _ = &kept;
        copy_of_worker().map_err(io::Error::other)
    };
    let asked = Arc::clone(link);
    let is_manager_gone = move || !asked.is_live();
    let link = Arc::clone(link);
    let broken = move |reason: &str| {
        if concern == Concern::Pool {
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
        Error::new(ErrorKind::Other, format!("a pool's supervisor can not be started: {error}"))
    })
}

/// Has the manager fail all tasks of a pool, before its workers are ended: it would take their ends for deaths. One
/// that does not answer in time is not waited for.
pub(crate) fn terminate(link: &Arc<Link>, pool: ObjectId, reason: &str) {
    // If the manager is gone, so are the tasks, and only the workers are left to be ended.
    let asked = link.begin(Request::PoolTerminate { id: pool, reason });
    let _ = asked.and_then(|asked| asked.wait_at_most(ANSWER_TIME_MAX));
}

/// How long a manager may take that is told of the end of a pool.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// A worker's command line says nothing but that it is one, and how much this program logs, since a log is set up
/// before anything else.
fn copy_of_worker() -> Result<Command> {
    copy_of_this_program(WORKER, [log::max_level().as_str()])
}

/// A reason that the manager takes: one line, without its middle if it is too long, as what happened stands at the
/// beginning, and what a program wrote last at the end.
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

fn bad(text: &str) -> Error {
    Error::new(ErrorKind::BadArgument, text)
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

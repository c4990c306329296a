//! How a pool with workers of its own is made.

use std::time::Duration;

use protocol::{OpenMode, Spec};
use serde::Serialize;

use crate::objects::reference::Reference;
use crate::pool::workers::initializer::{Initialized, PoolInitializer};
use crate::pool::workers::start::{FailureScope, WorkerOptions, available_cores, check_can_start, supervise};
use crate::pool::{Pool, Workers};
use crate::task::TaskFunction;
use crate::{Manager, Result};

/// Makes a [`Pool`] with workers of its own. See [`Pool::builder`].
#[derive(Debug)]
#[must_use = "a builder makes no pool before `start`"]
pub struct PoolBuilder<'a> {
    manager: &'a Manager,
    processes: Option<usize>,
    name: Option<String>,
    initializer: Option<Result<PoolInitializer>>,
    calls_max: Option<u32>,
    memory_bytes_max: Option<u64>,
    interrupt_grace: Option<Duration>,
}

impl Pool {
    /// Begins to make a pool with workers of its own.
    pub fn builder(manager: &Manager) -> PoolBuilder<'_> {
        PoolBuilder::new(manager)
    }

    /// A pool with this many worker processes of its own; short for `Pool::builder(manager).processes(n).start()`.
    ///
    /// # Errors
    ///
    /// Those of [`PoolBuilder::start`].
    pub fn new(manager: &Manager, processes: usize) -> Result<Pool> {
        Pool::builder(manager).processes(processes).start()
    }
}

impl<'a> PoolBuilder<'a> {
    pub(crate) fn new(manager: &'a Manager) -> PoolBuilder<'a> {
        PoolBuilder {
            manager,
            processes: None,
            name: None,
            initializer: None,
            calls_max: None,
            memory_bytes_max: None,
            interrupt_grace: None,
        }
    }

    /// How many worker processes, at most 1,024. By default, one for each core that this process may use.
    pub fn processes(mut self, processes: usize) -> PoolBuilder<'a> {
        self.processes = Some(processes);
        self
    }

    /// Has every worker call this function once, before its first task: to open a file, or to load what all tasks need.
    /// A worker that takes the place of another one calls it, too.
    ///
    /// The function is registered like a task, and returns nothing or a `Result<(), _>` (see [`Initialized`]). If it
    /// panics or returns an error, the worker cannot start; after a few tries the pool ends, as
    /// [`start`](PoolBuilder::start) says. If it has not returned after five seconds, a warning in the log says so, and
    /// the calls still wait for it.
    ///
    /// The pool keeps the arguments as long as it lives, and with them the objects whose proxies they hold.
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
        F: TaskFunction<Arguments, Output: Initialized>,
        Arguments: Serialize + Send + 'static,
    {
        self.initializer = Some(PoolInitializer::new(function, arguments, self.manager.link().epoch()));
        self
    }

    /// Has each worker end after this many calls, at least one, and another one take its place: for functions that
    /// leak memory or wear a process out otherwise. Each call counts, however it travels; in Python a whole chunk
    /// counts as one task.
    pub fn max_tasks_per_child(mut self, tasks: u32) -> PoolBuilder<'a> {
        self.calls_max = Some(tasks);
        self
    }

    /// Limits the address space of each worker to this many bytes, at least one: all that it maps, which is more than
    /// what it has in memory (`RLIMIT_AS`; processes that a task starts have the same limit, each for itself).
    ///
    /// The kernel refuses a worker more than that, which ends a Rust program (`SIGABRT`): the task fails with
    /// [`Error::is_worker_died`](crate::Error::is_worker_died) and a text that names the signal, and another worker
    /// takes its place. If the limit is below what the program itself needs, no worker can start;
    /// [`start`](PoolBuilder::start) says what happens then.
    pub fn memory_limit(mut self, bytes: u64) -> PoolBuilder<'a> {
        self.memory_bytes_max = Some(bytes);
        self
    }

    /// Gives the pool a name, so that other programs can submit to it with [`Pool::open`].
    ///
    /// The name is free again when the pool is dropped, and when this process ends in any way. The pool ends with it:
    /// tasks of others that have not ended fail with [`Error::is_terminated`](crate::Error::is_terminated).
    pub fn name(mut self, name: impl Into<String>) -> PoolBuilder<'a> {
        self.name = Some(name.into());
        self
    }

    /// Makes Ctrl-C stop the pool's tasks, with this grace, instead of this process: see [`Pool::stop_on_interrupt`].
    pub fn stop_on_interrupt(mut self, grace: Duration) -> PoolBuilder<'a> {
        self.interrupt_grace = Some(grace);
        self
    }

    /// Starts the workers, and returns at once: the pool takes tasks before the first worker is ready.
    ///
    /// Workers are copies of this program. The pool replaces those that die; if workers keep dying before they are
    /// ready, all tasks fail with [`Error::is_terminated`](crate::Error::is_terminated), and so does [`Pool::join`],
    /// with a text that says how, and what the last of them wrote to its standard error. If the system lacks processes,
    /// memory or descriptors, the pool tries again as long as one worker is ready; it fails in this way only when it
    /// has had no worker for 5 seconds.
    ///
    /// # Errors
    ///
    /// A number is zero, or the processes are too many ([`Error::is_bad_argument`](crate::Error::is_bad_argument)); the
    /// program has not called `rallypoint::init` first thing in `main`; an object with this name exists
    /// ([`Error::is_already_exists`](crate::Error::is_already_exists)); the initializer is not registered
    /// ([`Error::is_unknown_function`](crate::Error::is_unknown_function)), or its arguments do not encode
    /// ([`Error::is_bad_encoding`](crate::Error::is_bad_encoding)) or hold a proxy of another manager
    /// ([`Error::is_bad_target`](crate::Error::is_bad_target)).
    pub fn start(self) -> Result<Pool> {
        let processes = self.processes.unwrap_or_else(available_cores);
        check_can_start(processes)?;
        let options = WorkerOptions {
            initializer: self.initializer.transpose()?,
            calls_max: self.calls_max,
            memory_bytes_max: self.memory_bytes_max,
            leave: None,
        };
        options.check()?;
        let link = self.manager.link();
        let reference = Reference::open(link, self.name.as_deref(), Spec::Pool, OpenMode::CreateNew)?;
        let supervisor = supervise(link, reference.id(), processes, options, FailureScope::Pool)?;
        let is_named = self.name.is_some();
        let pool = Pool::new_with(reference, processes, Workers::Own { supervisor, is_named });
        if let Some(grace) = self.interrupt_grace {
            pool.stop_on_interrupt(grace)?;
        }
        Ok(pool)
    }
}

//! Pools: worker processes that call functions for whoever submits tasks.

mod builder;
mod results;
mod stopping;
mod submit;
mod submitted_batches;
mod workers;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::limits::PROCESSES_MAX;
use protocol::{OpenMode, Request, Spec};

pub use builder::PoolBuilder;
#[cfg(feature = "progress")]
pub use results::progress_bar::WithBar;
pub use results::{AsyncResult, ResultIterator};
pub use stopping::{BatchHandle, Ending, Progress, StopReport};
pub use submit::BatchBuilder;
pub use workers::{
    Assignment, Ended, Initialized, Initializer, InitializerAnswer, LEAVING, READY, RETIRING, Service, WORKER,
};

use crate::objects::reason::check_reason;
use crate::objects::reference::Reference;
use crate::pool::results::callbacks::is_calling_back;
use crate::pool::stopping::escalation::stop_batches;
use crate::pool::stopping::interrupts::Interrupts;
use crate::pool::submitted_batches::SubmittedBatches;
use crate::pool::workers::supervisor::Supervisor;
use crate::sync::lock;
use crate::task::{Task, check_registered, name_fault};
use crate::{Error, ErrorKind, Manager, Result};

/// Worker processes, and the tasks that they run.
///
/// The verbs mean what they mean in Python's `multiprocessing.Pool`. A task is a plain function that this program
/// registered with `worker::init`; its arguments and results are serde types. Tasks start in the order of their
/// batches' arrival; batches that are there at the same time take turns.
///
/// | verb | calls | gives |
/// | --- | --- | --- |
/// | [`apply`](Pool::apply), [`apply_async`](Pool::apply_async) | one | its result |
/// | [`map`](Pool::map), [`map_async`](Pool::map_async) | one with each item | all results, in order |
/// | [`starmap`](Pool::starmap), [`starmap_async`](Pool::starmap_async) | one with each tuple | all results, in order |
/// | [`imap`](Pool::imap) | one with each item, drawn lazily | an iterator, in order |
/// | [`imap_unordered`](Pool::imap_unordered) | one with each item, drawn lazily | an iterator, as results come |
///
/// Verbs that end in `async` return an [`AsyncResult`] at once. [`batch`](Pool::batch) is for those who have more to
/// say: chunk sizes, priorities, retries, time limits.
///
/// # Stopping
///
/// [`stop`](Pool::stop) stops what runs, [`AsyncResult::stop`] one batch of it, and the pool takes new tasks at once.
/// Tasks are asked first, and look whether they are with [`task::stop_requested`](crate::task::stop_requested) and
/// [`task::sleep`](crate::task::sleep); those that do not listen get SIGTERM, and then SIGKILL.
///
/// # Processes that die
///
/// A worker that dies costs the task it ran, which fails with [`Error::is_worker_died`]; another worker takes its
/// place. When this process dies, however it does, the kernel ends its workers. When the manager dies, its
/// workers end too, and every result fails with [`Error::is_manager_gone`].
///
/// # Dropping
///
/// A pool that is dropped is [terminated](Pool::terminate), as at the end of a `with` block in Python: get your
/// results first. The drop returns when the workers are gone, after at most some seconds, also if the manager does not
/// answer.
///
/// ```no_run
/// # fn main() -> client::Result<()> {
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// let manager = client::Manager::start()?;
/// let pool = client::Pool::builder(&manager).processes(2).start()?;
/// assert_eq!(pool.map(square, 1..=3)?, [1, 4, 9]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pool {
    reference: Reference,
    /// How many workers there are; for an opened pool, a guess.
    processes: usize,
    stage: Mutex<Stage>,
    workers: Workers,
    /// What was submitted here.
    submitted_batches: Arc<SubmittedBatches>,
    /// Listens to Ctrl-C, if that was asked for.
    interrupts: Mutex<Option<Interrupts>>,
    /// The process that this handle belongs to. A child that was forked from it must not end the pool.
    process: u32,
}

/// Whose the workers are.
#[derive(Debug)]
enum Workers {
    /// This pool's own.
    Own { supervisor: Supervisor, is_named: bool },
    /// Those of other programs, which know the pool by this name.
    Elsewhere { name: Arc<str> },
}

/// How far the life of a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Closed,
    Terminated,
}

impl Pool {
    /// Begins to make a pool with workers of its own.
    pub fn builder(manager: &Manager) -> PoolBuilder<'_> {
        PoolBuilder::new(manager)
    }

    /// A pool with this many worker processes of its own; short for `Pool::builder(manager).processes(n).start()`.
    pub fn new(manager: &Manager, processes: usize) -> Result<Pool> {
        Pool::builder(manager).processes(processes).start()
    }

    /// Opens a pool by its name, whose workers belong to other programs, as to `worker --pool NAME`.
    ///
    /// It need not be served yet: tasks wait until workers come, and whoever waits for results while nobody is there to
    /// work is told so after some seconds, by a warning in the log. [`close`](Pool::close),
    /// [`terminate`](Pool::terminate) and the drop concern this handle and what was submitted through it, never the
    /// workers nor the tasks of others.
    ///
    /// If the pool has an owner, a program that made it [by this name](PoolBuilder::name), it ends with that: what was
    /// submitted and has not ended fails with [`Error::is_terminated`], and later calls through this handle with
    /// [`Error::is_no_such_object`]. Open it again then.
    ///
    /// # Errors
    ///
    /// The name is not a name ([`Error::is_bad_name`]), or is one of another kind of object
    /// ([`Error::is_wrong_kind`]).
    pub fn open(manager: &Manager, name: &str) -> Result<Pool> {
        let reference = Reference::open(manager.link(), Some(name), Spec::Pool, OpenMode::OpenOrCreate)?;
        Ok(Pool::new_with(reference, available_cores(), Workers::Elsewhere { name: name.into() }))
    }

    fn new_with(reference: Reference, processes: usize, workers: Workers) -> Pool {
        let process = std::process::id();
        Pool {
            reference,
            processes,
            stage: Mutex::new(Stage::Open),
            workers,
            submitted_batches: Arc::default(),
            interrupts: Mutex::default(),
            process,
        }
    }

    /// The process ids of this pool's own workers that are ready, in no order.
    pub fn process_ids(&self) -> Vec<u32> {
        match &self.workers {
            Workers::Own { supervisor, .. } => supervisor.process_ids(),
            Workers::Elsewhere { .. } => Vec::new(),
        }
    }

    /// Takes no more tasks. The workers end when those that are there have ended, also those that other programs
    /// submitted by the pool's name.
    ///
    /// Of an opened pool this closes the handle only.
    pub fn close(&self) -> Result<()> {
        let mut stage = lock(&self.stage);
        if *stage == Stage::Open {
            if let Workers::Own { .. } = self.workers {
                self.reference.call_for_done(Request::PoolClose { id: self.reference.id() })?;
            }
            *stage = Stage::Closed;
        }
        Ok(())
    }

    /// Ends the workers, whatever they do, and fails all tasks that have not ended with [`Error::is_terminated`].
    ///
    /// Workers get SIGTERM, and SIGKILL if they are still there a second later. A command that one runs is killed with
    /// it, and so is all of its process group.
    /// It does not wait for that: [`join`](Pool::join) does.
    ///
    /// Workers of an opened pool belong to others, and go on. There it is only what was submitted through this handle
    /// that ends: calls that have not started are cancelled ([`Error::is_cancelled`]), and those that run are asked to
    /// stop.
    pub fn terminate(&self) {
        *lock(&self.stage) = Stage::Terminated;
        let reason = "the pool was terminated by its owner";
        match &self.workers {
            Workers::Own { supervisor, .. } => {
                if let Ok(link) = self.reference.link() {
                    builder::terminate(link, self.reference.id(), reason);
                }
                supervisor.terminate();
            }
            Workers::Elsewhere { .. } => {
                let _ =
                    self.reference.link().and_then(|link| self.submitted_batches.ask_to_stop(link, reason));
            }
        }
    }

    /// Stops all calls that were submitted through this handle, and tells how they ended. The pool goes on, and takes
    /// new tasks at once.
    ///
    /// It is the ladder of [`BatchHandle::stop`], for all batches together: they are asked; after `grace` they get
    /// SIGTERM, and soon SIGKILL. Not in the report are batches that are known to have ended before, as their results
    /// were there; and those whose results nobody wants, which are stopped as well.
    ///
    /// # Errors
    ///
    /// As with `BatchHandle::stop`.
    pub fn stop(&self, grace: Duration) -> Result<StopReport> {
        self.stop_because("the pool's tasks were stopped by its owner", grace)
    }

    /// [Stops](Pool::stop) all calls that were submitted through this handle, and gives them the reason.
    ///
    /// # Errors
    ///
    /// As with [`BatchHandle::stop_because`].
    pub fn stop_because(&self, reason: &str, grace: Duration) -> Result<StopReport> {
        check_reason(reason)?;
        let batches = self.submitted_batches.batches_to_stop(self.reference.link()?, reason)?;
        stop_batches(&batches, reason, grace)
    }

    /// From now on, Ctrl-C (SIGINT) does not end this process, but [stops](Pool::stop) what was submitted through this
    /// handle. Another Ctrl-C skips the grace of tasks that were asked to stop before: their workers are killed.
    ///
    /// The program goes on, and so does the pool: waits for results return, with what tasks returned when they were
    /// asked to stop, or with [`Error::is_cancelled`] or [`Error::is_stopped`]. What it does then is up to the program,
    /// which can ask [`was_interrupted`](Pool::was_interrupted).
    ///
    /// When no pool listens any more, because it was dropped, Ctrl-C ends the process as ever. Handlers of the program
    /// for SIGINT, as of the crate `signal-hook`, are called as well.
    ///
    /// # Errors
    ///
    /// The signal can not be handled, or no thread be started.
    pub fn stop_on_interrupt(&self, grace: Duration) -> Result<()> {
        let listening = Interrupts::listen(self.reference.link()?, &self.submitted_batches, grace);
        let listening = listening.map_err(|error| {
            Error::new(ErrorKind::Other, format!("interrupts can not be listened to: {error}"))
        })?;
        *lock(&self.interrupts) = Some(listening);
        Ok(())
    }

    /// Whether there was a Ctrl-C since [`stop_on_interrupt`](Pool::stop_on_interrupt).
    pub fn was_interrupted(&self) -> bool {
        lock(&self.interrupts).as_ref().is_some_and(Interrupts::heard)
    }

    /// Waits until all workers have ended, after [`close`](Pool::close) or [`terminate`](Pool::terminate), and all
    /// callbacks have returned.
    ///
    /// Of an opened pool it waits until the calls have ended that were submitted here and whose results somebody still
    /// has a handle of.
    ///
    /// As nobody may take results meanwhile, the input of [`imap`](Pool::imap) and its like is now drawn to its end,
    /// whether they are taken or not, as in Python. So take the results of long inputs first.
    ///
    /// # Errors
    ///
    /// The pool is neither closed nor terminated, and so would not end; or its workers could not be started; or this is
    /// called by a callback, which would wait for itself.
    pub fn join(&self) -> Result<()> {
        if *lock(&self.stage) == Stage::Open {
            return Err(Error::new(ErrorKind::Other, "a pool is joined after it was closed or terminated"));
        }
        if is_calling_back() {
            return Err(Error::new(
                ErrorKind::Deadlock,
                "a callback can not wait for all callbacks to return",
            ));
        }
        let batches = self.submitted_batches.batches();
        batches.iter().for_each(|batch| batch.lift_window());
        let joined = match &self.workers {
            Workers::Own { supervisor, .. } => match supervisor.join() {
                Ended::Left | Ended::Terminated => Ok(()),
                Ended::Broken(reason) => Err(Error::new(ErrorKind::Terminated, reason)),
                Ended::ManagerGone => Err(Error::new(ErrorKind::ManagerGone, "the manager is gone")),
            },
            Workers::Elsewhere { .. } => batches.iter().try_for_each(|batch| batch.wait(None).map(drop)),
        };
        drop(batches);
        self.submitted_batches.wait_for_callers();
        joined
    }

    /// Refuses what can be known to fail before anything is sent.
    fn check_may_submit<Arguments>(&self, function: &impl Task<Arguments>) -> Result<()> {
        self.check_open()?;
        self.check_function(function.name(), function.is_built_apart())
    }

    fn check_open(&self) -> Result<()> {
        match *lock(&self.stage) {
            Stage::Open => Ok(()),
            Stage::Closed => Err(Error::new(ErrorKind::Closed, "the pool is closed and takes no more tasks")),
            Stage::Terminated => {
                Err(Error::new(ErrorKind::Closed, "the pool is terminated and takes no more tasks"))
            }
        }
    }

    fn check_function(&self, name: &str, is_built_apart: bool) -> Result<()> {
        match (&self.workers, is_built_apart) {
            (Workers::Own { .. }, false) => check_registered(name),
            _ => match name_fault(name) {
                Some(fault) => Err(Error::new(ErrorKind::UnknownFunction, fault)),
                None => Ok(()),
            },
        }
    }

    fn send(&self, request: Request<'_>) -> Result<()> {
        self.reference.link()?.send(request)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        self.terminate();
        if let Workers::Own { supervisor, is_named } = &self.workers {
            supervisor.join();
            if *is_named {
                // The name is free again, unless the manager is gone, and then it is so too.
                let _ = self.send(Request::Remove { id: self.reference.id() });
            }
        }
    }
}

/// The error for an argument that is out of its range.
fn bad(text: &str) -> Error {
    Error::new(ErrorKind::BadArgument, text)
}

/// The error for a manager that does what it should not.
fn unexpected(text: &str) -> Error {
    Error::new(ErrorKind::Other, format!("the manager does not keep to the protocol: {text}"))
}

/// How many processes can work at one time, as far as the system tells.
fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into).min(PROCESSES_MAX)
}

//! Pools: worker processes that call functions for whoever submits tasks.

mod assignment;
mod batch;
mod builder;
mod child;
mod result;
mod serve;
mod submission;
mod supervisor;

use std::sync::{Arc, Mutex, Weak};

use protocol::{OpenMode, Request, Spec};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use assignment::{Assignment, WORKER};
use batch::Batch;
pub use builder::PoolBuilder;
pub use child::{LEAVING, READY};
pub use result::AsyncResult;
pub use serve::Service;
use submission::encode_chunks;
pub use supervisor::Ended;
use supervisor::Supervisor;

use crate::reference::Reference;
use crate::sync::lock;
use crate::task::{Task, check_registered, name_fault};
use crate::{Error, ErrorKind, Manager, Result};

/// How many chunks each worker gets of a `map` whose chunk size nobody chose, as in Python: enough that a worker
/// that is done early takes over from one that is late.
const CHUNKS_PER_PROCESS: usize = 4;

/// Worker processes, and the tasks that they run.
///
/// The verbs mean what they mean in Python's `multiprocessing.Pool`. A task is a plain function that this program
/// registered with `worker::init`; its arguments and results are serde types. Tasks start in the order of their
/// batches' arrival; batches that are there at the same time take turns.
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
/// results first. The drop returns when the workers are gone, after at most some seconds.
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
    /// What `with_chunk_size` said.
    chunk_size: Option<usize>,
    stage: Mutex<Stage>,
    workers: Workers,
    /// The process that this handle belongs to. A child that was forked from it must not end the pool.
    process: u32,
}

/// Whose the workers are.
#[derive(Debug)]
enum Workers {
    /// This pool's own.
    Own { supervisor: Supervisor, is_named: bool },
    /// Those of other programs; with the batches that were submitted here, to wait for in `join`.
    Elsewhere { batches: Mutex<Vec<Weak<Batch>>> },
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
    /// It need not be served yet: tasks wait until workers come. [`close`](Pool::close),
    /// [`terminate`](Pool::terminate) and the drop concern this handle only, never the workers nor the tasks of
    /// others.
    ///
    /// # Errors
    ///
    /// The name is not a name ([`Error::is_bad_name`]), or is one of another kind of object
    /// ([`Error::is_wrong_kind`]).
    pub fn open(manager: &Manager, name: &str) -> Result<Pool> {
        let reference = Reference::open(manager.link(), Some(name), Spec::Pool, OpenMode::OpenOrCreate)?;
        Ok(Pool::new_with(reference, available_cores(), Workers::Elsewhere { batches: Mutex::default() }))
    }

    fn new_with(reference: Reference, processes: usize, workers: Workers) -> Pool {
        let process = std::process::id();
        Pool { reference, processes, chunk_size: None, stage: Mutex::new(Stage::Open), workers, process }
    }

    /// From now on, `map` and `starmap` hand this many calls at a time to a worker, at least one.
    ///
    /// Without it they do as in Python: each worker gets about four chunks, where an opened pool is taken to have a
    /// worker for each core here. Large chunks travel cheaper; small ones share the work better, and a worker's death
    /// costs less.
    pub fn with_chunk_size(mut self, calls: usize) -> Pool {
        self.chunk_size = Some(calls);
        self
    }

    /// Calls the function once with these arguments, and waits for what it returns.
    pub fn apply<F, Arguments>(&self, function: F, arguments: Arguments) -> Result<F::Output>
    where
        F: Task<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        self.apply_async(function, arguments)?.get(None)
    }

    /// Submits one call with these arguments, and returns at once.
    pub fn apply_async<F, Arguments>(
        &self,
        function: F,
        arguments: Arguments,
    ) -> Result<AsyncResult<F::Output>>
    where
        F: Task<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        Ok(AsyncResult::of_one(self.submit(&function, vec![arguments])?))
    }

    /// Calls the function once with each item, and waits for the results, in the order of the items.
    pub fn map<F, Item>(&self, function: F, items: impl IntoIterator<Item = Item>) -> Result<Vec<F::Output>>
    where
        F: Task<(Item,), Output: DeserializeOwned>,
        Item: Serialize,
    {
        self.starmap(function, items.into_iter().map(|item| (item,)))
    }

    /// Submits one call with each item, and returns at once.
    ///
    /// # Errors
    ///
    /// Nothing is submitted if the pool is closed ([`Error::is_closed`]), the function is not registered
    /// ([`Error::is_unknown_function`]), or the arguments of a call do not encode ([`Error::is_bad_encoding`]) or
    /// are too large to travel ([`Error::is_limit`]). This holds for all methods that submit.
    pub fn map_async<F, Item>(
        &self,
        function: F,
        items: impl IntoIterator<Item = Item>,
    ) -> Result<AsyncResult<Vec<F::Output>>>
    where
        F: Task<(Item,), Output: DeserializeOwned>,
        Item: Serialize,
    {
        self.starmap_async(function, items.into_iter().map(|item| (item,)))
    }

    /// Calls the function once with each tuple of arguments, and waits for the results, in the order of the tuples.
    pub fn starmap<F, Arguments>(
        &self,
        function: F,
        tuples: impl IntoIterator<Item = Arguments>,
    ) -> Result<Vec<F::Output>>
    where
        F: Task<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        self.starmap_async(function, tuples)?.get(None)
    }

    /// Submits one call with each tuple of arguments, and returns at once.
    pub fn starmap_async<F, Arguments>(
        &self,
        function: F,
        tuples: impl IntoIterator<Item = Arguments>,
    ) -> Result<AsyncResult<Vec<F::Output>>>
    where
        F: Task<Arguments, Output: DeserializeOwned>,
        Arguments: Serialize,
    {
        Ok(AsyncResult::of_all(self.submit(&function, tuples.into_iter().collect())?))
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
    /// Workers get SIGTERM, and SIGKILL if they are still there a second later; so do the commands that they run.
    /// It does not wait for that: [`join`](Pool::join) does.
    ///
    /// Of an opened pool this closes the handle only: workers that belong to others go on, and so do tasks that were
    /// submitted here.
    pub fn terminate(&self) {
        *lock(&self.stage) = Stage::Terminated;
        if let Workers::Own { supervisor, .. } = &self.workers {
            let reason = "the pool was terminated by its owner";
            // Answered before the first worker ends, or the manager might take its end for a death. If the manager is
            // gone, so are the tasks, and only the workers are left to be ended.
            let _ = self.reference.call(Request::PoolTerminate { id: self.reference.id(), reason });
            supervisor.terminate();
        }
    }

    /// Waits until all workers have ended, after [`close`](Pool::close) or [`terminate`](Pool::terminate).
    ///
    /// Of an opened pool it waits until the calls have ended that were submitted here and whose
    /// [`AsyncResult`] is still there.
    ///
    /// # Errors
    ///
    /// The pool is neither closed nor terminated, and so would not end; or its workers could not be started.
    pub fn join(&self) -> Result<()> {
        if *lock(&self.stage) == Stage::Open {
            return Err(Error::new(ErrorKind::Other, "a pool is joined after it was closed or terminated"));
        }
        match &self.workers {
            Workers::Own { supervisor, .. } => match supervisor.join() {
                Ended::Left | Ended::Terminated => Ok(()),
                Ended::Broken(reason) => Err(Error::new(ErrorKind::Terminated, reason)),
                Ended::ManagerGone => Err(Error::new(ErrorKind::ManagerGone, "the manager is gone")),
            },
            Workers::Elsewhere { batches } => {
                let batches = std::mem::take(&mut *lock(batches));
                batches.iter().filter_map(Weak::upgrade).try_for_each(|batch| batch.wait(None).map(drop))
            }
        }
    }

    fn submit<F, Arguments>(&self, function: &F, calls: Vec<Arguments>) -> Result<Arc<Batch>>
    where
        F: Task<Arguments>,
        Arguments: Serialize,
    {
        let name = function.name();
        self.check_open()?;
        self.check_function(name, function.is_built_apart())?;
        let chunk_size = self
            .chunk_size
            .unwrap_or_else(|| calls.len().div_ceil(self.processes.saturating_mul(CHUNKS_PER_PROCESS)));
        let chunks = encode_chunks(&calls, chunk_size)?;
        let batch = Batch::submit(self.reference.link()?, self.reference.id(), name, &chunks)?;
        // Proxies among the arguments kept their objects alive until here. Now the tasks do.
        drop(calls);
        if let Workers::Elsewhere { batches } = &self.workers {
            remember(&mut lock(batches), &batch);
        }
        Ok(batch)
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

/// Remembers a batch, and forgets those that nobody else remembers whenever their number would grow.
fn remember(batches: &mut Vec<Weak<Batch>>, batch: &Arc<Batch>) {
    if batches.len() == batches.capacity() {
        batches.retain(|batch| batch.strong_count() > 0);
        // Half of it is free now, or it grows: the next look is as many submissions away as there are entries.
        batches.reserve(batches.len() + 1);
    }
    batches.push(Arc::downgrade(batch));
}

/// How many processes can work at one time, as far as the system tells.
fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

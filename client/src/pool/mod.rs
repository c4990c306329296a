//! Pools: worker processes that run tasks for the programs that submit them.
//!
//! A [`Pool`] is this program's handle of a pool in the manager. A verb such as `map` cuts its calls into chunks, in
//! which they travel, and submits them as one batch; workers fetch the calls from the manager; the results come back
//! when the program waits for them.
//!
//! | part | what it holds |
//! | --- | --- |
//! | `builder`, `lifecycle` | how a pool begins and ends |
//! | `submit` | the verbs, chunks of calls, and how a batch reaches the manager |
//! | `results` | the batch: fetching outcomes, waiting for them, results and callbacks |
//! | `stopping` | stopping with increasing force, its report, Ctrl-C |
//! | `submitted_batches` | the batches of one pool, for stopping and joining them together |
//! | `workers` | the processes: starting, supervising, replacing, ending |
//!
//! No two files know each other. At the bottom are the outcomes; above them the batch; above that the parts that act on
//! a batch: results, callbacks, stopping, submission; and on top the methods of [`Pool`], each in the file of its part.

mod builder;
mod errors;
mod lifecycle;
mod results;
mod stopping;
mod submit;
mod submitted_batches;
mod workers;

use std::sync::{Arc, Mutex};

pub use builder::PoolBuilder;
pub use results::progress::Progress;
#[cfg(feature = "progress")]
pub use results::progress_bar::WithBar;
pub use results::{AsyncResult, ResultIterator};
pub use stopping::{BatchHandle, Ending, StopReport};
pub use submit::BatchBuilder;
pub use workers::{
    Assignment, Ended, Initialized, Initializer, InitializerAnswer, LEAVING, READY, RETIRING, Service, WORKER,
};

use crate::objects::reference::Reference;
use crate::pool::results::callbacks::CallbackThreads;
use crate::pool::stopping::interrupts::Interrupts;
use crate::pool::submitted_batches::SubmittedBatches;
use crate::pool::workers::supervisor::Supervisor;

/// Worker processes, and the tasks that they run.
///
/// The verbs mean the same as in Python's `multiprocessing.Pool`. A task is a plain function that this program
/// registered with `rallypoint::init`; its arguments and results are serde types. Tasks start in the order of their
/// batches' arrival; batches that wait at the same time take turns.
///
/// | verb | calls | gives |
/// | --- | --- | --- |
/// | [`apply`](Pool::apply), [`apply_async`](Pool::apply_async) | one | its result |
/// | [`map`](Pool::map), [`map_async`](Pool::map_async) | one with each item | all results, in order |
/// | [`starmap`](Pool::starmap), [`starmap_async`](Pool::starmap_async) | one with each tuple | all results, in order |
/// | [`imap`](Pool::imap) | one with each item, drawn lazily | an iterator, in order |
/// | [`imap_unordered`](Pool::imap_unordered) | one with each item, drawn lazily | an iterator, as results come |
///
/// Verbs that end in `async` return an [`AsyncResult`] at once. [`batch`](Pool::batch) adds options: chunk
/// sizes, priorities, retries, time limits.
///
/// # Stopping
///
/// [`stop`](Pool::stop) stops all tasks, [`AsyncResult::stop`] those of one batch; the pool takes new tasks at once.
/// The pool first asks tasks to stop, which they see with [`task::stop_requested`](crate::task::stop_requested) and
/// [`task::sleep`](crate::task::sleep); those that do not return get SIGTERM, and then SIGKILL.
///
/// # Processes that die
///
/// A worker that dies costs the call it ran, which fails with [`Error::is_worker_died`](crate::Error::is_worker_died);
/// another worker takes its place. When this process dies in any way, the kernel ends its workers. When the manager
/// dies, its workers end too, and every result fails with [`Error::is_manager_gone`](crate::Error::is_manager_gone).
///
/// # Dropping
///
/// Dropping a pool [terminates](Pool::terminate) it, as the end of a `with` block does in Python: get your results
/// first. The drop returns once the workers are gone, after some seconds at most, even if the manager does not answer.
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
    /// The number of workers; a guess for an opened pool.
    processes: usize,
    stage: Mutex<Stage>,
    workers: Workers,
    /// The batches that were submitted through this handle.
    submitted_batches: Arc<SubmittedBatches>,
    /// The threads that call functions of the program once a batch has ended.
    callback_threads: Arc<CallbackThreads>,
    /// Listens for Ctrl-C, if the program asked for it.
    interrupts: Mutex<Option<Interrupts>>,
    /// The process that this handle belongs to. A child that was forked from it must not end the pool.
    process: u32,
}

/// The owner of the workers.
#[derive(Debug)]
pub(crate) enum Workers {
    /// To this pool.
    Own { supervisor: Supervisor, is_named: bool },
    /// To other programs, which know the pool by this name.
    Elsewhere { name: Arc<str> },
}

/// The stage of a pool's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Open,
    Closed,
    Terminated,
}

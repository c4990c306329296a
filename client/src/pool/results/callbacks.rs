//! Functions of the program that are called when a batch has ended.
//!
//! A thread waits for a batch and then calls its functions. Each batch has a thread of its own up to a limit, since a
//! process has room for some thousands of threads, and there may be more batches. Batches beyond the limit queue for a
//! thread.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::pool::results::submitted_batch::SubmittedBatch;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// The most threads that run callbacks of one pool.
const THREADS_MAX: usize = 1_000;

/// A function that is called with a batch that has ended.
pub(crate) type Callback = Box<dyn FnOnce(&SubmittedBatch) + Send>;

thread_local! {
    /// Whether this thread runs callbacks.
    static RUNS_CALLBACKS: Cell<bool> = const { Cell::new(false) };
}

/// The callbacks of one batch.
pub(crate) struct Callbacks {
    batch: Arc<SubmittedBatch>,
    state: Mutex<CallbackState>,
}

#[derive(Default)]
struct CallbackState {
    /// The functions that were not called yet.
    waiting: Vec<Callback>,
    /// Whether a thread will call them.
    has_thread: bool,
}

/// The threads that run the callbacks of one pool.
#[derive(Debug, Default)]
pub(crate) struct CallbackThreads {
    queue: Mutex<ThreadQueue>,
    /// How many batches have callbacks that were not all called.
    unfinished: Mutex<usize>,
    /// Notified when the callbacks of one batch have returned.
    finished: Condvar,
}

/// The batches that have callbacks and no thread for them yet.
#[derive(Debug, Default)]
struct ThreadQueue {
    /// The callbacks of these batches, in the order in which they came.
    waiting: VecDeque<(Arc<Callbacks>, Unfinished)>,
    /// How many threads there are. While the queue is not empty, there is at least one.
    threads: usize,
}

/// Counts one batch as unfinished while it lives.
#[derive(Debug)]
struct Unfinished {
    threads: Arc<CallbackThreads>,
}

impl Callbacks {
    /// A batch without callbacks.
    pub(crate) fn new(batch: &Arc<SubmittedBatch>) -> Arc<Callbacks> {
        Arc::new(Callbacks { batch: Arc::clone(batch), state: Mutex::default() })
    }

    /// Makes a thread call this function when the batch has ended: one of these threads or, once the pool and its
    /// threads are dropped, a thread of its own.
    pub(crate) fn add(
        self: &Arc<Self>,
        threads: Option<Arc<CallbackThreads>>,
        callback: Callback,
    ) -> Result<()> {
        let mut state = lock(&self.state);
        if !state.has_thread {
            let started = match threads {
                Some(threads) => threads.enqueue(self),
                None => {
                    let callbacks = Arc::clone(self);
                    spawn(move || callbacks.run())
                }
            };
            started.map_err(|error| {
                Error::new(ErrorKind::Other, format!("a thread for a callback cannot be started: {error}"))
            })?;
            state.has_thread = true;
        }
        state.waiting.push(callback);
        Ok(())
    }

    /// Waits for the batch, then calls one function after the other until none is left.
    fn run(&self) {
        RUNS_CALLBACKS.set(true);
        // If the wait fails, each callback learns why from the batch.
        let _ = self.batch.wait(None);
        loop {
            let mut state = lock(&self.state);
            if state.waiting.is_empty() {
                state.has_thread = false;
                return;
            }
            let callback = state.waiting.remove(0);
            drop(state);
            // The program's panic hook has reported the panic, and it must not cost the callbacks that follow.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(&self.batch)));
        }
    }
}

impl CallbackThreads {
    /// Makes a thread run these callbacks: a new one, if the limit allows it.
    fn enqueue(self: &Arc<Self>, callbacks: &Arc<Callbacks>) -> io::Result<()> {
        let mut queue = lock(&self.queue);
        queue.waiting.push_back((Arc::clone(callbacks), Unfinished::new(self)));
        if queue.threads == THREADS_MAX {
            return Ok(());
        }
        let threads = Arc::clone(self);
        match spawn(move || threads.work()) {
            Ok(()) => queue.threads += 1,
            // The system has no room for one more, but the existing threads will take this over.
            Err(_) if queue.threads > 0 => {}
            Err(error) => {
                queue.waiting.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs the callbacks of one batch after the other, until the queue is empty.
    fn work(&self) {
        loop {
            let mut queue = lock(&self.queue);
            let Some((callbacks, _unfinished)) = queue.waiting.pop_front() else {
                queue.threads -= 1;
                return;
            };
            drop(queue);
            // If it panics, the rest of the queue must keep its thread.
            let _ = catch_unwind(AssertUnwindSafe(|| callbacks.run()));
        }
    }

    /// Waits until all callbacks have returned.
    pub(crate) fn join(&self) {
        let unfinished = lock(&self.unfinished);
        let waited = self.finished.wait_while(unfinished, |unfinished| *unfinished > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Unfinished {
    fn new(threads: &Arc<CallbackThreads>) -> Unfinished {
        *lock(&threads.unfinished) += 1;
        Unfinished { threads: Arc::clone(threads) }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        *lock(&self.threads.unfinished) -= 1;
        self.threads.finished.notify_all();
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Callbacks")
    }
}

/// Whether this thread is inside of a callback, so that waiting for all callbacks would wait for itself.
pub(crate) fn is_calling_back() -> bool {
    RUNS_CALLBACKS.get()
}

fn spawn(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("pool callback".to_owned()).spawn(run).map(drop)
}

//! Functions of the program that are called when a batch has ended.
//!
//! A thread waits for a batch and then calls. Each batch has one of its own, as long as there are not too many: a
//! process has room for some thousands of threads, and there may be more batches. Those wait in line for a thread.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::pool::results::batch::Batch;
use crate::pool::submitted_batches::{PendingCallback, SubmittedBatches};
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// A function that is called with a batch that has ended.
pub(crate) type Callback = Box<dyn FnOnce(&Batch) + Send>;

thread_local! {
    /// Whether this thread calls back.
    static IS_CALLER: Cell<bool> = const { Cell::new(false) };
}

/// What is to be called when a batch has ended.
#[derive(Default)]
pub(crate) struct Callbacks {
    state: Mutex<CallbackState>,
}

#[derive(Default)]
struct CallbackState {
    /// Those that were not called yet.
    waiting: Vec<Callback>,
    /// Whether there is a thread that calls them.
    has_caller: bool,
}

/// The most threads that call back for one pool.
const THREADS_MAX: usize = 1_000;

/// The batches of a pool that are to be called back and have no thread yet.
#[derive(Debug, Default)]
pub(crate) struct CallbackQueue {
    /// The batches, in the order in which they came.
    waiting: VecDeque<(Arc<Batch>, PendingCallback)>,
    /// How many threads there are. While anybody is in line, there is one.
    threads: usize,
}

/// Has this called when the batch has ended, on a thread of the batch's own if there may be one more.
pub(crate) fn call_back(batch: &Arc<Batch>, callback: Callback) -> Result<()> {
    let mut state = lock(&batch.callbacks.state);
    if !state.has_caller {
        let began = match batch.submitted_batches.upgrade() {
            Some(submitted_batches) => stand_in_line(&submitted_batches, batch),
            // The pool is dropped, so there is no line any more.
            None => {
                let batch = Arc::clone(batch);
                spawn(move || call_all(&batch))
            }
        };
        began.map_err(|error| {
            Error::new(ErrorKind::Other, format!("a thread for a callback can not be started: {error}"))
        })?;
        state.has_caller = true;
    }
    state.waiting.push(callback);
    Ok(())
}

/// Has a thread call back for this batch: a new one, if there may be one more.
fn stand_in_line(submitted_batches: &Arc<SubmittedBatches>, batch: &Arc<Batch>) -> io::Result<()> {
    let mut line = lock(&submitted_batches.line);
    line.waiting.push_back((Arc::clone(batch), submitted_batches.begin_call()));
    if line.threads == THREADS_MAX {
        return Ok(());
    }
    let served = Arc::clone(submitted_batches);
    match spawn(move || serve_line(&served)) {
        Ok(()) => line.threads += 1,
        // There is no room for one more, but for those that will take this over.
        Err(_) if line.threads > 0 => {}
        Err(error) => {
            line.waiting.pop_back();
            return Err(error);
        }
    }
    Ok(())
}

/// Calls back for one batch after the other, until nobody is in line.
fn serve_line(submitted_batches: &SubmittedBatches) {
    loop {
        let mut line = lock(&submitted_batches.line);
        let Some((batch, _caller)) = line.waiting.pop_front() else {
            line.threads -= 1;
            return;
        };
        drop(line);
        // Should it panic, that must not cost those that are in line their thread.
        let _ = catch_unwind(AssertUnwindSafe(|| call_all(&batch)));
    }
}

fn spawn(call: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("pool callback".to_owned()).spawn(call).map(drop)
}

/// Whether this thread is inside of a callback, so that waiting for all callbacks would wait for itself.
pub(crate) fn is_calling_back() -> bool {
    IS_CALLER.get()
}

fn call_all(batch: &Batch) {
    IS_CALLER.set(true);
    // If it can not be waited for, the callbacks are told why.
    let _ = batch.wait(None);
    loop {
        let mut state = lock(&batch.callbacks.state);
        if state.waiting.is_empty() {
            state.has_caller = false;
            return;
        }
        let callback = state.waiting.remove(0);
        drop(state);
        // The panic has been told by the program's panic hook, and the callbacks that follow are others' affair.
        let _ = catch_unwind(AssertUnwindSafe(|| callback(batch)));
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Callbacks")
    }
}

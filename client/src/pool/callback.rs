//! Functions of the program that are called when a batch has ended.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use super::batch::Batch;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// A function that is called with a batch that has ended.
pub(super) type Callback = Box<dyn FnOnce(&Batch) + Send>;

thread_local! {
    /// Whether this thread calls back.
    static IS_CALLER: Cell<bool> = const { Cell::new(false) };
}

/// What is to be called when a batch has ended.
#[derive(Default)]
pub(super) struct Callbacks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that were not called yet.
    waiting: Vec<Callback>,
    /// Whether there is a thread that calls them.
    has_caller: bool,
}

/// Has this called when the batch has ended, on a thread of the batch's own.
pub(super) fn call_back(batch: &Arc<Batch>, callback: Callback) -> Result<()> {
    let mut state = lock(&batch.callbacks.state);
    if !state.has_caller {
        let calling = Arc::clone(batch);
        let caller = batch.roster.upgrade().map(|roster| roster.begin_call());
        let call = move || {
            let _caller = caller;
            call_all(&calling);
        };
        thread::Builder::new().name("pool callback".to_owned()).spawn(call).map_err(|error| {
            Error::new(ErrorKind::Other, format!("a thread for a callback can not be started: {error}"))
        })?;
        state.has_caller = true;
    }
    state.waiting.push(callback);
    Ok(())
}

/// Whether this thread is inside of a callback, so that waiting for all callbacks would wait for itself.
pub(super) fn is_calling_back() -> bool {
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

//! Tasks that fork: the child that comes back from the function must not go on as a second worker.
//!
//! It shares the worker's memory as it was, and with it the run loop; but the task is its parent's to end. A child has
//! a connection of its own to the manager if it needs one, which the client crate sees to.

use std::process::exit;
use std::sync::atomic::{AtomicU32, Ordering};

/// The worker's process id; 0 in a process that is none.
static WORKER: AtomicU32 = AtomicU32::new(0);

/// Notes that this process is the worker.
pub(crate) fn note_own_process() {
    WORKER.store(std::process::id(), Ordering::Relaxed);
}

/// In a child that was forked off the worker: ends it, as if the function had been its whole program.
pub(crate) fn end_if_forked() {
    let worker = WORKER.load(Ordering::Relaxed);
    if worker != 0 && worker != std::process::id() {
        exit(0);
    }
}

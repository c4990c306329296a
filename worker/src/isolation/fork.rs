//! Tasks that fork: the child that returns from the function must not go on as a second worker.
//!
//! The child has a copy of the worker's memory, and the run loop in it; but only the parent ends the task. If the child
//! needs the manager, the client crate gives it a connection of its own.

use std::process::exit;
use std::sync::atomic::{AtomicU32, Ordering};

/// The worker's process id; 0 in a process that is not a worker.
static WORKER: AtomicU32 = AtomicU32::new(0);

/// Notes that this process is the worker.
pub(crate) fn note_own_process() {
    WORKER.store(std::process::id(), Ordering::Relaxed);
}

/// Ends this process if it is a child that a task forked, as if the function had been its whole program.
pub(crate) fn end_if_forked() {
    let worker = WORKER.load(Ordering::Relaxed);
    if worker != 0 && worker != std::process::id() {
        exit(0);
    }
}

//! Tasks that fork: the child that returns from the function must not go on as a second worker.
//!
//! The child has a copy of the worker's memory, and the run loop in it; but only the parent ends the task. If the child
//! needs the manager, the client crate gives it a connection of its own.

use std::process::exit;
use std::sync::OnceLock;

use sys::fork_mark::ForkMark;

/// The worker's process; unset in a process that is not a worker.
static WORKER: OnceLock<Worker> = OnceLock::new();

/// How the worker's process is told from a forked child.
#[derive(Debug)]
struct Worker {
    /// The mark that only the worker has, so that it makes no system call after each call of a function; none if the
    /// system has no such marks.
    mark: Option<ForkMark>,
    /// Its process id.
    process: u32,
}

/// Notes that this process is the worker.
pub(crate) fn note_own_process() {
    let mark = ForkMark::set().inspect_err(|error| log::debug!("forks are noticed by process ids: {error}"));
    let _ = WORKER.set(Worker { mark: mark.ok(), process: std::process::id() });
}

/// Ends this process if it is a child that a task forked, as if the function had been its whole program.
pub(crate) fn end_if_forked() {
    if let Some(worker) = WORKER.get()
        && !worker.mark.as_ref().is_some_and(ForkMark::is_here)
        && worker.process != std::process::id()
    {
        exit(0);
    }
}

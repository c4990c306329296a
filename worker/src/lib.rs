//! Worker processes: the functions that they can run, and how they run them.
//!
//! A pool's workers are copies of the program that made the pool. Such a copy has to become a worker before it does
//! anything else, and has to know the functions that tasks name. [`init`] does both, at the beginning of `main`:
//!
//! ```no_run
//! # mod rallypoint { pub use client::*; pub use worker::{Registry, init, tasks}; }
//! use rallypoint::{Manager, Pool, Registry};
//!
//! fn square(number: u64) -> u64 {
//!     number * number
//! }
//!
//! fn main() -> rallypoint::Result<()> {
//!     rallypoint::init(Registry::new().task(square));
//!
//!     let manager = Manager::start()?;
//!     let pool = Pool::builder(&manager).processes(4).start()?;
//!     println!("{:?}", pool.map(square, 1..=10)?);
//!     Ok(())
//! }
//! ```
//!
//! A program that serves a pool for other programs calls [`init`], and then starts a [`Service`] for a named pool. The
//! program `worker` is one, with the functions in [`tasks`].
//!
//! # What a task may rely on
//!
//! Tasks run in the worker's main thread, one at a time. A panic ends the task and not the worker: the caller gets
//! its message. The standard input is empty, and the other two streams are those of the program that made the pool.
//! The process ends, in the middle of a task if need be, when that program or the manager ends.
//!
//! A task finds out from [`rallypoint::task`](client::task) whether it is to stop. If it does not stop, a signal ends
//! its worker in the end, together with all processes that the task has started and that have stayed in the worker's
//! process group.
//!
//! # What a task should not do, and what happens then
//!
//! - End the process, by `exit` or `abort` or because memory runs out: the task fails with the status or signal, and
//!   another worker takes the place.
//! - Fork: a child that returns from the function ends there, with status 0, and only the parent ends the task.
//! - Close standard streams: they are open again for the next task, and lead to `/dev/null`. If several short tasks
//!   were granted together, they reopen with the next grant.
//! - Block or ignore signals: SIGKILL ends it, which cannot be blocked.

use std::io;
use std::path::Path;
use std::process::exit;

mod error;
mod isolation;
mod registry;
mod run_loop;
mod supervised_command;
pub mod tasks;

use client::internal::WORKER;
pub use client::internal::{Ended, Service};
use protocol::{escaped, escaped_lines};
pub use registry::Registry;
use run_loop::WorkerEnd;
use sys::bounded_write::{LINE_TIME_MAX, write_within};

/// What the program `worker` is built on. It is no part of the public interface, and may change at any time.
#[doc(hidden)]
pub mod internal {
    /// The log level of the program that started this worker, for a log of the worker's own. None in other processes.
    pub fn level_of_owner() -> Option<log::LevelFilter> {
        match client::internal::role()?.as_slice() {
            [role, level] if role == client::internal::WORKER => level.to_str()?.parse().ok(),
            _ => None,
        }
    }

    pub use crate::supervised_command::{
        Escalation, NotStarted, Permission, Preconditions, Program, StopReason, SupervisedCommand,
    };
}

/// The exit status of a program with a wrong registry.
const MISUSE: i32 = 2;

/// Makes this process a worker if a pool started it as one, with these functions. Call it at the beginning of `main`,
/// and only there.
///
/// In a process that a pool started as a worker, or [`Manager::start`](client::Manager::start) as a manager, it never
/// returns. Otherwise it returns at once. It includes what the client's [`init`](client::init) does.
///
/// If the registry has a mistake, such as two functions under one name, this prints it to standard error and exits with
/// status 2: every start of the program shows it, not only the first use of a pool.
pub fn init(registry: Registry) {
    if let Some(fault) = registry.fault() {
        fail(MISUSE, &format!("the registry given to `rallypoint::init` is wrong: {fault}"));
    }
    client::internal::set_registered(registry.names());
    client::internal::init_with(|role, _| match role {
        WORKER => work(&registry),
        supervised_command::SUPERVISOR => supervised_command::supervise(),
        _ => {}
    });
}

/// Whether this process is a copy that a pool started, so that [`init`] will not return.
///
/// Use this for what has to happen even earlier, such as setting up a log.
pub fn is_worker() -> bool {
    client::internal::role().is_some_and(|role| role[0] == WORKER)
}

fn work(registry: &Registry) -> ! {
    // Lists of processes would show every copy as `exe`, after the path it is started by. A failure is harmless.
    sys::process::name_thread(c"worker");
    match run_loop::work(registry) {
        Ok(WorkerEnd::Left | WorkerEnd::Retired | WorkerEnd::Terminated) => exit(0),
        // The pool's owner gets the same error, so that a dozen workers need not repeat it.
        Err(error) if error.is_manager_gone() => exit(1),
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(status: i32, text: &str) -> ! {
    let program = std::env::args_os().next().unwrap_or_default();
    // One write, so that the line appears whole or not at all, even if others write too or this process is killed.
    let name = Path::new(&program).file_name().unwrap_or(&program).display();
    let line = format!("{}: {}\n", escaped(name), escaped_lines(text));
    // If nobody can read it, this ends all the same.
    let _ = write_within(&io::stderr(), line.as_bytes(), LINE_TIME_MAX);
    exit(status);
}

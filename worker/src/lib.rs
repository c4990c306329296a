//! Worker processes: the functions that they can run, and how they run them.
//!
//! A pool's workers are copies of the program that made the pool. Such a copy has to become a worker before it does
//! anything else, and has to know the functions that tasks name. [`init`] does both, first thing in `main`:
//!
//! ```no_run
//! use client::{Manager, Pool};
//! use worker::Registry;
//!
//! fn square(number: u64) -> u64 {
//!     number * number
//! }
//!
//! fn main() -> client::Result<()> {
//!     worker::init(Registry::new().task(square));
//!
//!     let manager = Manager::start()?;
//!     let pool = Pool::builder(&manager).processes(4).start()?;
//!     println!("{:?}", pool.map(square, 1..=10)?);
//!     Ok(())
//! }
//! ```
//!
//! A worker that was built apart from those who submit is a program that calls [`init`] and then starts a
//! [`Service`] for a named pool; the program `worker` is one, with the functions in [`tasks`].
//!
//! # What a task may rely on
//!
//! Tasks run in the worker's main thread, one at a time. A panic ends the task and not the worker: the caller gets
//! its text. The standard input is empty, and the other two streams are those of the program that made the pool. The
//! process ends, in the middle of a task if need be, when that program or the manager does.
//!
//! A task learns that it is to stop from [`client::task`]. One that does not listen is ended by a signal in the end,
//! together with all processes that it has started and that have stayed in the worker's process group.
//!
//! # What a task may not do, and what happens then
//!
//! - It ends the process, by `exit` or `abort` or for want of memory: it has failed with the status or signal, and
//!   another worker takes the place.
//! - It forks: a child that returns from the function ends there, with status 0, and only the parent ends the task.
//! - It closes standard streams: they are open again for the next task, and lead nowhere.
//! - It blocks or ignores signals: it is killed by the one that can not be.

/// The program on the front page compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;

use std::path::Path;
use std::process::exit;

mod ahead;
mod errand;
mod fork;
mod guard;
mod initialize;
mod lifeline;
mod panics;
mod registry;
mod run;
mod streams;
pub mod tasks;

pub use client::internal::{Ended, Service};
use client::internal::{ErrorKind, WORKER};
pub use registry::Registry;
use run::End;

/// What the program `worker` builds on. It is no part of the public interface, and may change at any time.
#[doc(hidden)]
pub mod internal {
    /// How much the program logs that started this worker; for a log of the worker's own. None in other processes.
    pub fn level_of_owner() -> Option<log::LevelFilter> {
        match client::internal::role()?.as_slice() {
            [role, level] if role == client::internal::WORKER => level.to_str()?.parse().ok(),
            _ => None,
        }
    }

    pub use crate::errand::{Errand, Leave, Trouble};
    pub use crate::guard::{Guarded, Ladder, NotStarted, Program};
}

/// The exit status of a program that was put together wrongly.
const MISUSE: i32 = 2;

/// Tells what functions this program's workers can run. To be called first thing in `main`, and only there.
///
/// In a process that a pool started as a worker, or [`Manager::start`](client::Manager::start) as a manager, it never
/// returns. Otherwise it returns at once. It includes [`client::init`].
///
/// A registry with a mistake, as two functions under one name, is told on standard error, and the process exits with
/// status 2: every start of the program shows it, not only the first use of a pool.
pub fn init(registry: Registry) {
    if let Some(fault) = registry.fault() {
        fail(MISUSE, &format!("the registry given to `worker::init` is wrong: {fault}"));
    }
    client::internal::set_registered(registry.names());
    client::internal::init_with(|role, _| match role {
        WORKER => work(&registry),
        guard::GUARDIAN => guard::guard(),
        _ => {}
    });
}

/// Whether this process is a copy that a pool started, so that [`init`] will not return.
///
/// For what has to be done before even that, such as setting up a log.
pub fn is_worker() -> bool {
    client::internal::role().is_some_and(|role| role[0] == WORKER)
}

fn work(registry: &Registry) -> ! {
    // Copies are started by a path that would make all of them `exe` in lists of processes. It is only a name.
    let _ = rustix::thread::set_name(c"worker");
    match run::work(registry) {
        Ok(End::Left | End::Retired | End::Condemned) => exit(0),
        // Everybody knows already: the owner gets the same error, and a dozen workers need not repeat it.
        Err(error) if error.is_manager_gone() => exit(1),
        Err(error) => fail(1, &error.to_string()),
    }
}

/// The error for what a worker can not do without.
fn failed(what: &dyn std::fmt::Display) -> client::Error {
    client::Error::new(ErrorKind::Other, format!("this worker can not work: {what}"))
}

fn fail(status: i32, text: &str) -> ! {
    let program = std::env::args_os().next().unwrap_or_default();
    // In one write, so that it is whole or not there, whoever else writes and whenever this process is killed.
    let line = format!("{}: {text}\n", Path::new(&program).file_name().unwrap_or(&program).display());
    eprint!("{line}");
    exit(status);
}

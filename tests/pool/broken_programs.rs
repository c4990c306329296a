//! Programs whose pools get no workers: helpers that the tests of pools start.

use std::env;
use std::process::exit;
use std::time::Duration;

use client::{Manager, Pool, Result};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use worker::Registry;

use crate::pool::task::{add, process};
use crate::support::{apply, eventually, helper, kill};

/// The variable that makes workers of this program end before they work.
pub(crate) const BREAK: &str = "RALLYPOINT_TEST_BREAKS_WORKERS";

/// The status with which they end.
pub(crate) const BROKEN: i32 = 9;

/// What they print before they end.
pub(crate) const BROKEN_WORDS: &str = "there is no paper in the tray";

/// Ends a worker whose program is meant to be unable to work.
pub(crate) fn break_worker_if_asked_to() {
    if worker::is_worker() && env::var_os(BREAK).is_some() {
        eprintln!("{BROKEN_WORDS}");
        exit(BROKEN);
    }
}

/// Starts a pool whose workers cannot start. The error is the outcome.
#[apply(helper)]
pub(crate) fn start_broken() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::builder(&manager).processes(2).start()?;
    pool.apply(add, (2, 3)).map(drop)
}

/// Has no room for another worker for a while, longer than the pool would tolerate crashes, and then has room.
#[apply(helper)]
pub(crate) fn find_no_room() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::new(&manager, 1)?;
    let process = pool.apply(process, ())?;
    let room = getrlimit(Resource::Nofile);
    // Open files stay open, and no others can be opened.
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..room }).expect("a limit can be lowered");
    kill(process, Signal::KILL);
    eventually("the worker is gone", || pool.process_ids().is_empty());
    println!("the worker is gone");
    let result = pool.apply_async(add, (2, 3))?;
    let comes = result.wait(Duration::from_millis(700))?;
    println!("after a while: {}", if comes { "something" } else { "nothing" });
    setrlimit(Resource::Nofile, room).expect("a limit can be raised to what it was");
    println!("when there is room: {}", result.get(None)?);
    Ok(())
}

/// Registers a function twice.
#[apply(helper)]
pub(crate) fn register_twice() -> Result<()> {
    worker::init(Registry::new().task(add).task(add));
    Ok(())
}

//! Helpers: copies of this program that tests start, signal and kill.

use std::env;
use std::process::{Command, ExitCode, exit};
use std::thread::sleep;
use std::time::Duration;

use client::{Event, Manager, Pool, Result};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use worker::Registry;

use crate::command::{bound, command_task, log, overlaps};
use crate::faults::{fork, malformed_peers};
use crate::manager::private;
use crate::pool::{imap, interrupt, progress, sharing, stop, task};
use crate::support::remote_client::{self, REMOTE_CLIENT};
use crate::support::{eventually, kill};

/// The variable that makes workers of this program end before they work.
pub(crate) const BREAK: &str = "RALLYPOINT_TEST_BREAKS_WORKERS";

/// The status with which they end.
pub(crate) const BROKEN: i32 = 9;

/// What they print before they end.
pub(crate) const BROKEN_WORDS: &str = "there is no paper in the tray";

/// A program that has no room for workers for a while.
pub(crate) const NO_ROOM: &str = "no room";

/// A command that starts this program as a helper.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg(format!("helper:{name}"));
    command
}

/// The helper that this process was started as.
pub(crate) fn asked_for() -> Option<String> {
    Some(env::args().nth(1)?.strip_prefix("helper:")?.to_owned())
}

/// Ends a worker whose program is meant to be unable to work.
pub(crate) fn break_worker_if_asked_to() {
    if worker::is_worker() && env::var_os(BREAK).is_some() {
        eprintln!("{BROKEN_WORDS}");
        exit(BROKEN);
    }
}

/// Runs a helper.
pub(crate) fn run(name: &str) -> ExitCode {
    let outcome = match name {
        "stop" => stop(),
        "share" => stop::share(),
        sharing::OWNER => sharing::own(),
        interrupt::LISTENS => interrupt::listen(),
        interrupt::DEAF => interrupt::be_deaf(),
        "own" => own(),
        "own commands" => command_task::own(),
        "broken" => broken(),
        "twice" => twice(),
        NO_ROOM => find_no_room(),
        imap::LONG_INPUT => imap::draw_long_input(),
        progress::BARS => progress::show_bars(),
        REMOTE_CLIENT => remote_client::perform(),
        private::OWNER | private::OWNER_WITHOUT_INIT => private::own(),
        fork::USER => fork::use_copies(),
        fork::DROPPER => fork::drop_copies(),
        "other user" => malformed_peers::call(),
        bound::HOLDER => bound::hold_for_child(),
        overlaps::COMMAND => overlaps::be_command(),
        overlaps::MEMBER => overlaps::be_member(),
        log::PARTS => log::part(),
        log::WAITS_IN_VAIN => log::wait_in_vain(),
        log::STARTS_LATE => log::start_late(),
        other => panic!("there is no helper {other}"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Stops four tasks with one event, and goes on to use the pool.
fn stop() -> Result<()> {
    let manager = Manager::start()?;
    let stop = manager.anonymous_event()?;
    let running = (0..4).map(|_| manager.anonymous_event()).collect::<Result<Vec<Event>>>()?;
    let pool = Pool::builder(&manager).processes(4).start()?;
    let arguments = running.iter().zip(0..).map(|(running, number)| (number, running.clone(), stop.clone()));
    let result = pool.starmap_async(task::count_down, arguments)?;
    for event in &running {
        event.wait(None)?;
    }
    println!("Safely stopping all tasks");
    stop.set()?;
    result.get(None)?.into_iter().collect::<Result<()>>()?;
    println!("All stopped");
    println!("Another task: {}", pool.apply(task::add, (2, 3))?);
    Ok(())
}

/// Owns a manager and a pool whose workers are busy, one of them with a command.
fn own() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::builder(&manager).processes(3).start()?;
    let started = manager.anonymous_event()?;
    let never = manager.anonymous_event()?;
    let _waits = pool.apply_async(task::hold, (started.clone(), never))?;
    let _sleeps = pool.apply_async(task::sleep_long, ())?;
    let _runs =
        pool.apply_async(worker::tasks::command, (worker::tasks::Command::new("sleep").argument("1000"),))?;
    started.wait(None)?;
    println!("started");
    loop {
        sleep(Duration::from_secs(1000));
    }
}

/// Starts a pool whose workers cannot start. The error is the outcome.
fn broken() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::builder(&manager).processes(2).start()?;
    pool.apply(task::add, (2, 3)).map(drop)
}

/// Has no room for another worker for a while, longer than the pool would tolerate crashes, and then has room.
fn find_no_room() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::new(&manager, 1)?;
    let process = pool.apply(task::process, ())?;
    let room = getrlimit(Resource::Nofile);
    // Open files stay open, and no others can be opened.
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..room }).expect("a limit can be lowered");
    kill(process, Signal::KILL);
    eventually("the worker is gone", || pool.process_ids().is_empty());
    println!("the worker is gone");
    let result = pool.apply_async(task::add, (2, 3))?;
    let comes = result.wait(Duration::from_millis(700))?;
    println!("after a while: {}", if comes { "something" } else { "nothing" });
    setrlimit(Resource::Nofile, room).expect("a limit can be raised to what it was");
    println!("when there is room: {}", result.get(None)?);
    Ok(())
}

/// Registers a function twice.
fn twice() -> Result<()> {
    worker::init(Registry::new().task(task::add).task(task::add));
    Ok(())
}

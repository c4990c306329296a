//! Ctrl-C: with a pool that handles SIGINT, the program goes on, and its tasks do not.

use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use client::{Event, Manager, Pool, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::pool::stopping_tasks::{block_sigterm, doze};
use crate::pool::task::add;
use crate::support::helper;
use crate::support::{PATIENCE, RunningProgram, apply, test};

#[apply(test)]
fn stops_the_tasks_and_the_program_goes_on() {
    let mut program = RunningProgram::start(&mut helper::command(listen));
    assert_eq!(program.line(), "running");
    program.signal(Signal::INT);
    assert_eq!(program.line(), "stopped: true, because of interrupted (SIGINT)");
    assert_eq!(program.line(), "2 + 3 = 5");
    assert_eq!(program.line(), "running");
    program.signal(Signal::INT);
    assert_eq!(program.line(), "stopped: true, because of interrupted (SIGINT)");
    assert_eq!(program.line(), "2 + 3 = 5");

    // Without its pool, an interrupt ends it, as it ends any program.
    assert_eq!(program.line(), "the pool is dropped");
    program.signal(Signal::INT);
    assert_eq!(program.wait(), None);
}

#[apply(test)]
fn twice_skips_the_grace() {
    let mut program = RunningProgram::start(&mut helper::command(be_deaf));
    assert_eq!(program.line(), "running");
    let started = Instant::now();
    program.signal(Signal::INT);
    assert_eq!(program.line(), "interrupted");
    program.signal(Signal::INT);
    let line = program.line();
    assert!(line.contains("was stopped") && line.contains("SIGKILL"), "{line}");
    assert!(started.elapsed() < PATIENCE, "the grace was not waited for");
    assert_eq!(program.line(), "2 + 3 = 5");
    assert_eq!(program.wait(), Some(0));
}

#[apply(test)]
fn at_a_terminal_reaches_workers_by_their_owner_alone() {
    // The signal goes to the program's whole group, as from a terminal.
    let mut program = RunningProgram::start(helper::command(listen).process_group(0));
    assert_eq!(program.line(), "running");
    let group = Pid::from_raw(program.process().cast_signed()).unwrap();
    kill_process_group(group, Signal::INT).unwrap();
    assert_eq!(program.line(), "stopped: true, because of interrupted (SIGINT)");
    assert_eq!(program.line(), "2 + 3 = 5");
}

/// Runs a task that listens, twice.
#[apply(helper)]
pub(crate) fn listen() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::builder(&manager).processes(2).stop_on_interrupt(PATIENCE).start()?;
    for _ in 0..2 {
        let running = manager.anonymous_event()?;
        let result = pool.apply_async(doze, (running.clone(),))?;
        tell_when(&running)?;
        let stopped = result.get(None)?;
        let cause = result.stop_event().cause()?.expect("it was stopped");
        println!("stopped: {stopped}, because of {}", cause.reason.unwrap_or_default());
        assert!(pool.was_interrupted());
        println!("2 + 3 = {}", pool.apply(add, (2, 3))?);
    }
    drop(pool);
    println!("the pool is dropped");
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

/// Runs a task that does not listen, with a grace that nobody would wait for.
#[apply(helper)]
pub(crate) fn be_deaf() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::builder(&manager).processes(2).stop_on_interrupt(100 * PATIENCE).start()?;
    let running = manager.anonymous_event()?;
    let result = pool.apply_async(block_sigterm, (running.clone(),))?;
    tell_when(&running)?;
    result.stop_event().wait(None)?;
    println!("interrupted");
    match result.get(None) {
        Ok(process) => println!("process {process} has returned"),
        Err(error) => println!("{error}"),
    }
    println!("2 + 3 = {}", pool.apply(add, (2, 3))?);
    Ok(())
}

fn tell_when(running: &Event) -> Result<()> {
    running.wait(None)?;
    println!("running");
    Ok(())
}

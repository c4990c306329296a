//! Processes that are killed: nothing hangs, no process is left over, and only what they were doing is lost.

use std::thread::sleep;
use std::time::{Duration, Instant};

use client::{Manager, Pool, Result};
use rustix::process::Signal;

use crate::pool::task::{add, hold, process, sleep_long};
use crate::support::helper;
use crate::support::{
    ManagerProgram, RunningProgram, apply, descendants, eventually, is_alive, kill, test, within,
};

/// The time within which no process is left, and everybody knows.
const SOON: Duration = Duration::from_secs(1);

#[apply(test)]
fn of_a_worker_costs_the_task_it_ran() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    eventually("both are ready", || pool.process_ids().len() == 2);
    let [first, second] = [0, 1].map(|_| manager.anonymous_event().unwrap());
    let end = manager.anonymous_event().unwrap();
    let tasks = [first.clone(), second.clone()].map(|running| (running, end.clone()));
    let [lost, kept] = tasks.map(|task| pool.apply_async(hold, task).unwrap());
    let later = pool.apply_async(add, (2, 3)).unwrap();
    let victim = first.wait(None).unwrap().unwrap().process;
    second.wait(None).unwrap();

    kill(victim, Signal::KILL);
    let error = lost.get(None).unwrap_err();
    assert!(error.is_worker_died(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&victim.to_string()) && text.contains('9'), "{text}");

    assert_eq!(later.get(None).unwrap(), 5, "a new worker has taken the place");
    eventually("there are two again", || pool.process_ids().len() == 2);
    end.set().unwrap();
    assert_ne!(kept.get(None).unwrap().unwrap(), victim);
}

#[apply(test)]
fn of_an_idle_worker_costs_nothing() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let before = pool.apply(process, ()).unwrap();
    kill(before, Signal::KILL);
    eventually("another is ready", || {
        !pool.process_ids().is_empty() && !pool.process_ids().contains(&before)
    });
    assert_ne!(pool.apply(process, ()).unwrap(), before);
}

#[apply(test)]
fn of_the_owner_ends_manager_workers_and_commands() {
    let mut owner = RunningProgram::start(&mut helper::command(own_busy_pool));
    assert_eq!(owner.line(), "started");
    // The manager, three workers, and the command that one of them runs, with its supervisor.
    eventually("all of them run", || descendants(owner.process()).len() == 6);
    let processes = descendants(owner.process());
    owner.signal(Signal::KILL);
    for process in processes {
        within(SOON, "nobody is left", || !is_alive(process));
    }
}

#[apply(test)]
fn of_the_manager_is_noticed_at_once_and_ends_the_workers() {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::new(&manager, 2).unwrap();
    let (running, never) = (manager.anonymous_event().unwrap(), manager.anonymous_event().unwrap());
    let result = pool.apply_async(hold, (running.clone(), never)).unwrap();
    running.wait(None).unwrap();
    eventually("both are ready", || pool.process_ids().len() == 2);
    let processes = pool.process_ids();

    program.running.signal(Signal::KILL);
    let killed = Instant::now();
    assert!(result.get(None).unwrap_err().is_manager_gone());
    assert!(killed.elapsed() < SOON, "it took {:?}", killed.elapsed());
    for process in processes {
        within(SOON, "no worker is left", || !is_alive(process));
    }
    pool.close().unwrap_err();
    pool.terminate();
    drop(pool);
    assert_eq!(program.running.wait(), None);
}

/// Owns a manager and a pool whose workers are busy, one of them with a command.
#[apply(helper)]
pub(crate) fn own_busy_pool() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::builder(&manager).processes(3).start()?;
    let started = manager.anonymous_event()?;
    let never = manager.anonymous_event()?;
    let _waits = pool.apply_async(hold, (started.clone(), never))?;
    let _sleeps = pool.apply_async(sleep_long, ())?;
    let _runs =
        pool.apply_async(worker::tasks::command, (worker::tasks::Command::new("sleep").argument("1000"),))?;
    started.wait(None)?;
    println!("started");
    loop {
        sleep(Duration::from_secs(1000));
    }
}

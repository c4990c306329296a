//! Processes that are bound to what another process holds: whoever dies, nothing of them runs beside the next holder.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use client::{Manager, Pool, Result};
use protocol::limits::BOUND_PROCESSES_MAX;
use rustix::process::Signal;
use worker::tasks;

use super::overlaps::{Records, be_command};
use crate::support::{
    ManagerProgram, RunningProgram, apply, descendants, eventually, helper, is_alive, kill, private_folder,
    test,
};

/// A child with processes in groups of their own, as timeout(1) begins one, and with one whose parent has ended. They
/// sleep for this time, by which they are found.
fn script(time: &str) -> String {
    format!("(timeout 1000 sleep {time} &) ; sleep {time} & echo runs; wait")
}

/// A time to sleep that no other process on this machine sleeps for.
fn time(test: u32) -> String {
    format!("1000.{}{test}", std::process::id())
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// In place of a socket: the holder starts a manager of its own.
const OWN: &str = "own";

/// Holds a lock and a permit, starts a child under one of them, and says when it runs.
#[apply(helper)]
pub(crate) fn hold_for_child() -> Result<()> {
    let [socket, under, time] = [2, 3, 4].map(|number| std::env::args().nth(number).expect("an argument"));
    let manager = if socket == OWN { Manager::start()? } else { Manager::connect_to(socket)? };
    let guard = manager.lock("lock")?.acquire()?;
    let permit = manager.semaphore("permits", 1)?.acquire(1)?;
    let mut child = if under == "lock" {
        guard.spawn(shell(&script(&time)))?
    } else {
        permit.spawn(shell(&script(&time)))?
    };
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it can be read");
    println!("{line}");
    child.wait().map(drop).map_err(|error| panic!("{error}"))
}

/// Waits for children that end in two ways, and says how. It is started with SIGCHLD ignored, so the system reaps them.
#[apply(helper)]
pub(crate) fn wait_for_reaped_children() -> Result<()> {
    let socket = std::env::args().nth(2).expect("an argument");
    let guard = Manager::connect_to(socket)?.lock("lock")?.acquire()?;
    for script in ["exit 5", "kill -TERM $$"] {
        let mut child = guard.spawn(shell(script))?;
        // By then it may have ended.
        sleep(Duration::from_millis(50));
        println!("{:?}", child.wait().map_err(|error| error.to_string()));
    }
    guard.release()
}

/// The descendants of a process, and whatever sleeps for this time, once all of it runs: an orphan is no descendant.
fn family(process: u32, time: &str) -> Vec<u32> {
    // Two processes sleep, and timeout(1) has started one of them.
    eventually("all of them run", || sleepers(time).len() == 3);
    let mut found = descendants(process);
    found.extend(sleepers(time));
    found
}

/// The processes whose command lines end so that they sleep for this time.
fn sleepers(time: &str) -> Vec<u32> {
    let sleeps = format!("sleep\0{time}\0");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let found = entries.filter(|entry| {
        fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.ends_with(&sleeps))
    });
    found.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[apply(test)]
fn a_holders_child_is_gone_before_the_next_holder_comes() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    for under in ["lock", "permit"] {
        let time = time(1);
        let mut command = helper::command(hold_for_child);
        let mut holder = RunningProgram::start(command.arg(&program.socket).arg(under).arg(&time));
        assert_eq!(holder.line(), "runs");
        let processes = family(holder.process(), &time);
        assert!(processes.len() >= 4, "{processes:?}");
        kill(holder.process(), Signal::KILL);
        // Both are held until then, whichever the child was started under.
        let guard = manager.lock("lock").unwrap().acquire().unwrap();
        assert!(guard.abandoned().is_some());
        let permit = manager.semaphore("permits", 1).unwrap().acquire(1).unwrap();
        let living: Vec<&u32> = processes.iter().filter(|&&process| is_alive(process)).collect();
        assert!(living.is_empty(), "{living:?} of {processes:?} run");
        drop((guard, permit));
    }
}

#[apply(test)]
fn a_child_that_the_system_reaps_is_waited_for_all_the_same() {
    let program = ManagerProgram::start();
    let inner = helper::command(wait_for_reaped_children);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' CHLD; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    let mut holder = RunningProgram::start(command.arg(&program.socket));
    let unknown = "Linux before 6.15 does not say how";
    for expected in ["Ok(ExitStatus(unix_wait_status(1280)))", "Ok(ExitStatus(unix_wait_status(15)))"] {
        let line = holder.line();
        assert!(line == expected || line.contains(unknown), "{line}");
    }
    assert_eq!(holder.wait(), Some(0));
}

#[apply(test)]
fn a_holders_child_ends_with_a_manager_of_its_own() {
    let time = time(3);
    let mut holder = RunningProgram::start(helper::command(hold_for_child).args([OWN, "lock"]).arg(&time));
    assert_eq!(holder.line(), "runs");
    let processes = family(holder.process(), &time);
    assert!(processes.len() >= 5, "{processes:?}");
    kill(holder.process(), Signal::KILL);
    eventually("all of them end", || !processes.iter().any(|&process| is_alive(process)));
}

#[apply(test)]
fn a_child_ends_before_its_guard() {
    let program = ManagerProgram::start();
    let lock = program.connect().lock("lock").unwrap();
    let guard = lock.acquire().unwrap();
    let mut child = guard.spawn(shell("sleep 1033 & echo $!; exit 7")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(child.wait().unwrap().code(), Some(7), "it can be asked again");
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(!is_alive(text.trim().parse().unwrap()), "what it left behind has ended");

    drop(child);
    let mut child = guard.spawn(shell("sleep 1034")).unwrap();
    let id = child.id();
    assert!(is_alive(id) && child.kill().unwrap().code().is_none() && !is_alive(id));
    drop(child);
    let child = guard.spawn(shell("sleep 1035")).unwrap();
    let id = child.id();
    drop(child);
    assert!(!is_alive(id));

    let error = guard.spawn(Command::new("/no/such/program")).unwrap_err();
    assert!(error.to_string().contains("/no/such/program cannot be started: No such file"), "{error}");
    for _ in 0..=BOUND_PROCESSES_MAX {
        // None stays bound.
        assert!(guard.spawn(Command::new("/no/such/program")).unwrap_err().to_string().contains("started"));
    }
    guard.release().unwrap();
}

/// A `worker run` under a lock whose command has said that it runs.
fn run_under_lock(program: &ManagerProgram) -> (Child, Vec<u32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["run", "--lock", "lock", "--socket"]).arg(&program.socket).args(["--", "sh", "-c"]);
    let time = time(2);
    command.arg(script(&time));
    let mut run = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "runs\n");
    let processes = family(run.id(), &time);
    assert!(processes.len() >= 5, "{processes:?}");
    (run, processes)
}

#[apply(test)]
fn a_command_is_gone_before_the_next_holder_comes_whoever_is_killed() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let lock = manager.lock("lock").unwrap();
    // The program itself and its supervisor, one of them or both in the same moment; and the command.
    for victims in [&[0][..], &[1], &[0, 1], &[1, 0], &[2]] {
        let (mut run, processes) = run_under_lock(&program);
        let all = [vec![run.id()], processes.clone()].concat();
        victims.iter().for_each(|&victim| kill(all[victim], Signal::KILL));
        let guard = lock.acquire().unwrap();
        let living: Vec<&u32> = processes[1..].iter().filter(|&&process| is_alive(process)).collect();
        assert!(living.is_empty(), "{living:?} of {all:?} run after {victims:?} were killed");
        drop(guard);
        run.wait().unwrap();
    }
}

#[apply(test)]
fn a_command_is_gone_before_its_task_fails_with_its_worker() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    for victim in ["worker", "supervisor", "both"] {
        let time = time(4);
        let command = tasks::Command::new("sh").arguments(["-c", &script(&time)]);
        let result = pool.batch(tasks::command).apply_async((command,)).unwrap();
        eventually("the command runs", || sleepers(&time).len() == 3);
        let worker = pool.process_ids()[0];
        let processes = family(worker, &time);
        let supervisor = processes[0];
        let victims = match victim {
            "worker" => vec![worker],
            "supervisor" => vec![supervisor],
            _ => vec![worker, supervisor],
        };
        victims.iter().for_each(|&victim| kill(victim, Signal::KILL));
        // With its worker the task fails; with the supervisor it returns that its command was killed.
        let outcome = result.get(crate::support::PATIENCE);
        assert!(!matches!(&outcome, Ok(Ok(_))), "{outcome:?}");
        let living: Vec<&u32> = processes.iter().filter(|&&process| is_alive(process)).collect();
        assert!(living.is_empty(), "{living:?} of {processes:?} run after {victim} was killed");
        eventually("there is a worker", || pool.process_ids().len() == 1);
    }
}

#[apply(test)]
fn the_next_attempt_of_a_command_begins_when_the_last_one_is_gone() {
    const KILLS: u64 = 6;
    let folder = private_folder();
    let records = Records::new(folder.path());
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let copy = helper::command(be_command);
    let command = tasks::Command::new(copy.get_program()).arguments(copy.get_args()).argument(folder.path());
    let result = pool.batch(tasks::command).retries(1_000).apply_async((command.streamed(),)).unwrap();
    for attempt in 1..=KILLS {
        eventually("an attempt begins", || records.count() >= attempt);
        let (_, process) = records.record(records.count());
        let workers = pool.process_ids();
        let worker = workers.into_iter().find(|&worker| descendants(worker).contains(&process));
        if let Some(worker) = worker {
            kill(worker, Signal::KILL);
        }
        if result.wait(Duration::ZERO).unwrap() {
            break;
        }
    }
    result.get(crate::support::PATIENCE).unwrap().unwrap();
    sleep(Duration::from_millis(20));
    assert_eq!(records.overlaps(), "");
    assert!(records.count() > 1, "an attempt was killed");
}

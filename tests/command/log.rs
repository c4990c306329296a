//! What programs log to standard error while all is well: nothing unless `-v` or `RUST_LOG` asks for it, except that a
//! pool has no workers, or that its workers do not get ready.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use client::task::named;
use client::{Event, Manager, Pool, Result};
use rustix::process::Signal;
use worker::tasks::{COMMAND, Command as Task, CommandResult};

use crate::pool::stopping_tasks::end_at_signal;
use crate::pool::task;
use crate::support::helper;
use crate::support::{
    ManagerProgram, RunningProgram, apply, eventually, private_folder, task_function, test,
};

/// How long a stopped task may take before SIGTERM, and then again before SIGKILL.
const SIGNAL_TIME: Duration = Duration::from_millis(500);

/// The variable that chooses what programs log.
const VARIABLE: &str = "RUST_LOG";

/// Options, the variable's value, what the log contains, and what it does not.
type Case = (&'static [&'static str], &'static str, &'static [&'static str], &'static [&'static str]);

/// Checks what a log contains.
fn check(case: Case, log: &str) {
    let (options, set, contained, absent) = case;
    for line in contained {
        assert!(log.contains(line), "{options:?} {set:?} does not log {line:?}:\n{log}");
    }
    for line in absent {
        assert!(!log.contains(line), "{options:?} {set:?} logs {line:?}:\n{log}");
    }
    assert_eq!(log.is_empty(), contained.is_empty(), "{options:?} {set:?}:\n{log}");
}

/// Starts a program with its log in a file.
fn start(command: &mut Command, case: Case, log: &Path) -> RunningProgram {
    command.args(case.0).env(VARIABLE, case.1).stderr(File::create(log).unwrap());
    RunningProgram::start(command)
}

#[apply(test)]
fn of_a_manager_is_as_long_as_was_asked_for() {
    let folder = private_folder();
    let (socket, log) = (folder.path().join("own/manager.sock"), folder.path().join("log"));
    let info = &["INFO  manager::", "serves, in epoch", " ends"];
    let cases: [Case; 7] = [
        (&[], "", &[], &[]),
        (&["-v"], "", info, &["DEBUG", "TRACE"]),
        (
            &["-v", "-v"],
            "",
            &["INFO", "session 1 begins: process", "session 1 ends: its process left"],
            &["TRACE"],
        ),
        (&["-vvv"], "", &["session 1 asks", "session 1 gets"], &["mio::"]),
        (&[], "debug", &["serves, in epoch", "session 1 begins"], &["TRACE"]),
        (&[], "manager=info", info, &["DEBUG"]),
        (&["-vvv"], "error", &[], &[]),
    ];
    for case in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_manager"));
        let mut running = start(command.arg("--socket").arg(&socket), case, &log);
        assert!(running.line().contains("ready"));
        Manager::connect_to(&socket).unwrap().event("a").unwrap().set().unwrap();
        // A manager that gets the signal before it has read the goodbye would not log the goodbye.
        let goodbyes = case.2.iter().filter(|text| text.contains("its process left"));
        goodbyes.for_each(|text| eventually(text, || fs::read_to_string(&log).unwrap().contains(text)));
        running.signal(Signal::TERM);
        assert_eq!(running.wait(), Some(0));
        check(case, &fs::read_to_string(&log).unwrap());
    }
}

#[apply(test)]
fn of_a_worker_and_its_processes_is_as_long_as_was_asked_for() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::open(&manager, "demo").unwrap();
    let log = program.socket.with_extension("log");
    let info: &[&str] =
        &["connected to the manager at ", "starts workers: 1", "this worker is ready", "workers have ended"];
    let debug: &[&str] = &["is started", "worker::run_loop::run_calls] call 0 of batch", "calls `command`"];
    let cases: [Case; 7] = [
        (&[], "", &[], &[]),
        (&["-v"], "", info, &["DEBUG"]),
        (&["-vv"], "", info, &["TRACE"]),
        (&["-vv"], "", debug, &["TRACE"]),
        (&[], "debug", debug, &["TRACE"]),
        (&[], "worker::run_loop=debug", &["call 0 of batch"], &["is started", "connected"]),
        (&["-vv"], "error", &[], &[]),
    ];
    for case in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.args(["--pool", "demo", "--processes", "1", "--socket"]).arg(&program.socket);
        let mut running = start(&mut command, case, &log);
        assert!(running.line().contains("ready"));
        pool.apply(named::<(Task,), CommandResult>(COMMAND), (Task::new("true"),)).unwrap().unwrap();
        running.signal(Signal::TERM);
        assert_eq!(running.wait(), Some(0));
        check(case, &fs::read_to_string(&log).unwrap());
    }
}

#[apply(test)]
fn of_a_command_that_runs_under_an_event() {
    let program = ManagerProgram::start();
    let log = program.socket.with_extension("log");
    let told =
        &["connected to the manager at ", "the command runs: true", "the command exited with status 0"];
    for case in [(&[][..], "", &[][..], &[][..]), (&["-v"][..], "", &told[..], &[][..])] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.arg("run").args(case.0).args(["--stop", "stop", "--socket"]).arg(&program.socket);
        command.args(["--", "true"]).env(VARIABLE, case.1).stderr(File::create(&log).unwrap());
        assert_eq!(command.status().unwrap().code(), Some(0));
        check(case, &fs::read_to_string(&log).unwrap());
    }
}

/// Waits for a first call, and then for one that is queued behind a call of another program.
#[apply(helper)]
pub(crate) fn wait_in_vain() -> Result<()> {
    env_logger::Builder::new().filter_level(::log::LevelFilter::Warn).init();
    let socket = env::args_os().nth(2).expect("its argument is a socket");
    let manager = Manager::connect_to(Path::new(&socket))?;
    let pool = Pool::open(&manager, "lonely")?;
    for _ in 0..2 {
        let call = pool.apply_async(named::<(Task,), CommandResult>(COMMAND), (Task::new("true"),))?;
        call.get(None)?.expect("there is such a program");
        println!("done");
        manager.event("go on")?.wait(None)?;
    }
    Ok(())
}

#[apply(test)]
fn of_an_owner_tells_that_nobody_serves_its_pool() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let mut command = helper::command(wait_in_vain);
    command.arg(&program.socket).env_remove(VARIABLE).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut owner = command.spawn().unwrap();
    let mut told = BufReader::new(owner.stderr.take().unwrap()).lines();
    let line = told.next().unwrap().unwrap();
    assert!(line.contains("nobody serves pool \"lonely\" yet"), "{line}");
    assert!(line.ends_with("start `worker --pool lonely`"), "{line}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["--pool", "lonely", "--processes", "1", "--socket"]).arg(&program.socket);
    let mut worker = RunningProgram::start(&mut command);
    assert!(worker.line().contains("ready"));
    let mut done = BufReader::new(owner.stdout.take().unwrap()).lines();
    assert_eq!(done.next().unwrap().unwrap(), "done");

    // The only worker is busy for longer than the warning takes to come. It must not come: a worker serves the pool.
    let pool = Pool::open(&manager, "lonely").unwrap();
    let sleep = Task::new("sleep").argument("5");
    let busy = pool.apply_async(named::<(Task,), CommandResult>(COMMAND), (sleep,)).unwrap();
    manager.event("go on").unwrap().set().unwrap();
    assert_eq!(done.next().unwrap().unwrap(), "done");
    assert!(busy.get(None).unwrap().is_ok());
    let rest: Vec<String> = told.map(|line| line.unwrap()).collect();
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(owner.wait().unwrap().code(), Some(0));
}

/// Ends when the event is set.
#[apply(task_function)]
pub(crate) fn be_late(go_on: Event) -> Result<()> {
    go_on.wait(None).map(drop)
}

/// Has a worker whose initializer waits until the test has read the warning about it.
#[apply(helper)]
pub(crate) fn start_late() -> Result<()> {
    env_logger::Builder::new().filter_level(::log::LevelFilter::Warn).init();
    let manager = Manager::start()?;
    let go_on = manager.anonymous_event()?;
    let pool = Pool::builder(&manager).processes(1).initializer(be_late, (go_on.clone(),)).start()?;
    let call = pool.apply_async(task::add, (2, 3))?;
    io::stdin().read_line(&mut String::new()).expect("it is a pipe");
    go_on.set()?;
    println!("{}", call.get(None)?);
    Ok(())
}

#[apply(test)]
fn of_an_owner_tells_that_an_initializer_does_not_end() {
    let mut command = helper::command(start_late);
    command.env_remove(VARIABLE).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut owner = command.spawn().unwrap();
    let mut told = BufReader::new(owner.stderr.take().unwrap()).lines();
    let line = told.next().unwrap().unwrap();
    assert!(line.contains("is not ready after 5s: its initializer"), "{line}");
    drop(owner.stdin.take());
    let output = owner.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"5\n"[..]));
    let rest: Vec<String> = told.map(|line| line.unwrap()).collect();
    assert!(rest.is_empty(), "the warning comes once: {rest:?}");
}

/// Stops a task that ends in order when it gets the signal, as its worker does then.
#[apply(helper)]
pub(crate) fn part() -> Result<()> {
    env_logger::Builder::new().filter_level(::log::LevelFilter::Debug).init();
    let manager = Manager::start()?;
    let pool = Pool::new(&manager, 1)?;
    let running = manager.anonymous_event()?;
    let result = pool.apply_async(end_at_signal, (running.clone(),))?;
    running.wait(None)?;
    let first = pool.process_ids();
    result.stop(SIGNAL_TIME)?;
    pool.apply(task::process, ())?;
    assert_ne!(pool.process_ids(), first);
    Ok(())
}

#[apply(test)]
fn of_an_owner_does_not_report_an_end_in_order_as_a_death() {
    let output = helper::command(part).env_remove(VARIABLE).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("retired; another takes its place"), "{log}");
    assert!(!log.contains("WARN"), "{log}");
}

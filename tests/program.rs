//! The program `worker`: serving a named pool, from the first line to the last process.

use std::path::Path;
use std::process;

use client::task::named;
use client::{Event, Pool, Result};
use libtest_mimic::Trial;
use rustix::process::Signal;
use worker::tasks::{COMMAND, COUNTDOWN, Command, CommandResult, Exit};

use crate::support::{ManagerProgram, Running, descendants, eventually, is_alive, test};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("program::worker_serves_countdown_and_command", serve),
        test("program::worker_ends_with_its_workers_at_a_signal", signals),
        test("program::worker_that_is_killed_leaves_nobody", killed),
        test("program::worker_ends_when_its_manager_does", manager_killed),
        test("program::worker_can_come_and_go_while_tasks_wait", come_and_go),
        test("program::worker_says_what_is_wrong", mistakes),
    ]
}

fn command(socket: &Path, processes: usize) -> process::Command {
    let mut command = process::Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["--pool", "demo", "--processes", &processes.to_string(), "--socket"]).arg(socket);
    command
}

/// Starts the program, and returns when it is ready.
fn start(socket: &Path, processes: usize) -> Running {
    let mut running = Running::start(&mut command(socket, processes));
    let line = running.line();
    assert!(line.starts_with(&format!("worker is ready: {processes} process")), "{line}");
    assert!(line.contains("\"demo\""), "{line}");
    running
}

fn serve() {
    let program = ManagerProgram::start();
    let mut worker = start(&program.socket, 4);
    let manager = program.connect();
    let pool = Pool::open(&manager, "demo").unwrap();

    let uname = named::<(Command,), CommandResult>(COMMAND);
    let captured = pool.apply(uname, (Command::new("uname"),)).unwrap().unwrap();
    assert_eq!((captured.exit, captured.stdout.as_slice()), (Exit::Status(0), b"Linux\n".as_slice()));

    let stop = manager.anonymous_event().unwrap();
    let countdown = named::<(u32, Event), Result<()>>(COUNTDOWN);
    let calls = (0..4).map(|number| (number, stop.clone()));
    let result = pool.batch(countdown).chunk_size(1).starmap_async(calls).unwrap();
    let mut lines: Vec<String> = (0..4).map(|_| worker.line()).collect();
    stop.set().unwrap();
    result.get(None).unwrap().into_iter().collect::<Result<()>>().unwrap();
    lines.extend((0..8).map(|_| worker.line()));
    for number in 0..4 {
        for what in ["running", "stopping...", "Done"] {
            assert!(lines.contains(&format!("Task {number} {what}")), "{lines:?}");
        }
    }

    let error = pool.apply(named::<(), ()>("unheard of"), ()).unwrap_err();
    assert!(error.is_unknown_function(), "{error:?}");
    assert!(error.to_string().contains("`command`, `countdown`"), "{error}");
}

fn signals() {
    let program = ManagerProgram::start();
    for signal in [Signal::INT, Signal::TERM] {
        let mut worker = start(&program.socket, 2);
        let processes = descendants(worker.process());
        assert_eq!(processes.len(), 2);
        worker.signal(signal);
        assert_eq!(worker.wait(), Some(0));
        assert!(processes.iter().all(|&process| !is_alive(process)));
    }
}

fn killed() {
    let program = ManagerProgram::start();
    let mut worker = start(&program.socket, 2);
    let processes = descendants(worker.process());
    assert_eq!(processes.len(), 2);
    worker.signal(Signal::KILL);
    assert_eq!(worker.wait(), None);
    for process in processes {
        eventually("its workers have ended", || !is_alive(process));
    }
}

fn manager_killed() {
    let program = ManagerProgram::start();
    let output = {
        let mut command = command(&program.socket, 2);
        let worker = command.stdout(process::Stdio::piped()).stderr(process::Stdio::piped()).spawn();
        let worker = worker.unwrap();
        eventually("its workers run", || descendants(worker.id()).len() == 2);
        program.running.signal(Signal::KILL);
        worker.wait_with_output().unwrap()
    };
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    // Workers that were about to connect may have told what they found, before.
    assert_eq!(text.lines().last(), Some("worker: the manager is gone"), "{text}");
}

fn come_and_go() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::open(&manager, "demo").unwrap();
    let echo = named::<(Command,), CommandResult>(COMMAND);
    let early = pool.apply_async(echo, (Command::new("true"),)).unwrap();
    let mut worker = start(&program.socket, 1);
    early.get(None).unwrap().unwrap();
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait(), Some(0));

    let waiting = pool.apply_async(echo, (Command::new("true"),)).unwrap();
    let _worker = start(&program.socket, 1);
    waiting.get(None).unwrap().unwrap();
}

fn mistakes() {
    let program = ManagerProgram::start();
    let cases: [(&[&str], &str); 4] = [
        (
            &["--pool", "demo", "--socket", "/nonexistent/manager.sock"],
            "no manager is running at /nonexistent",
        ),
        (&["--pool", "", "--socket", program.socket.to_str().unwrap()], "must not be empty"),
        (&["--pool", "a\tb", "--socket", program.socket.to_str().unwrap()], "control characters"),
        (
            &["--pool", "a", "--processes", "0", "--socket", program.socket.to_str().unwrap()],
            "at least one process",
        ),
    ];
    for (arguments, expected) in cases {
        let output = process::Command::new(env!("CARGO_BIN_EXE_worker")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("worker: ") && text.contains(expected), "{arguments:?}: {text}");
    }
    let output = process::Command::new(env!("CARGO_BIN_EXE_worker")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

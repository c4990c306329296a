//! The program `worker`: serving a named pool, from the first line to the last process.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::{fs, process, thread};

use client::task::named;
use client::{Event, Manager, Pool, Result};
use protocol::endpoint::SOCKET_VARIABLE;
use protocol::{Code, Epoch, Greeting, Refusal, SessionId};
use rustix::process::Signal;
use worker::tasks::{COMMAND, COUNTDOWN, Command, CommandResult, Exit};

use crate::command::usage::complaint_of_waiting;
use crate::support::{
    ManagerProgram, RunningProgram, apply, descendants, eventually, is_alive, kill, private_folder, serve,
    test,
};

fn command(socket: &Path, processes: usize) -> process::Command {
    let mut command = process::Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["--pool", "demo", "--processes", &processes.to_string(), "--socket"]).arg(socket);
    command
}

/// Starts the program, and returns when it is ready.
fn start(socket: &Path, processes: usize) -> RunningProgram {
    let mut running = RunningProgram::start(&mut command(socket, processes));
    let line = running.line();
    let servers = if processes == 1 { "1 process serves" } else { &format!("{processes} processes serve") };
    let socket = socket.canonicalize().unwrap();
    assert_eq!(line, format!("worker is ready: {servers} pool \"demo\" at unix:{}", socket.display()));
    running
}

#[apply(test)]
fn worker_serves_countdown_and_command() {
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

#[apply(test)]
fn worker_ends_with_its_workers_at_a_signal() {
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

/// A command that makes a file when it starts, and ends when another file exists.
fn long_command(folder: &Path) -> Command {
    let script = "touch running; while ! [ -e end ]; do sleep 0.01; done; exit 7";
    Command::new("sh").arguments(["-c", script]).folder(folder)
}

#[apply(test)]
fn worker_that_is_asked_to_end_lets_its_calls_end() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::open(&manager, "demo").unwrap();
    let command = named::<(Command,), CommandResult>(COMMAND);
    for signal in [Signal::INT, Signal::TERM] {
        let folder = tempfile::tempdir().unwrap();
        let mut worker = start(&program.socket, 2);
        let result = pool.apply_async(command, (long_command(folder.path()),)).unwrap();
        eventually("the command runs", || folder.path().join("running").exists());
        worker.signal(signal);
        assert!(worker.line().starts_with("worker takes no more calls"));
        fs::write(folder.path().join("end"), "").unwrap();
        assert_eq!(result.get(None).unwrap().unwrap().exit, Exit::Status(7));
        assert_eq!(worker.wait(), Some(0));
    }
}

#[apply(test)]
fn worker_that_is_asked_twice_ends_at_once() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::open(&manager, "demo").unwrap();
    let command = named::<(Command,), CommandResult>(COMMAND);
    let folder = tempfile::tempdir().unwrap();
    let mut worker = start(&program.socket, 1);
    let result = pool.apply_async(command, (long_command(folder.path()),)).unwrap();
    eventually("the command runs", || folder.path().join("running").exists());
    let processes = descendants(worker.process());
    worker.signal(Signal::TERM);
    assert!(worker.line().starts_with("worker takes no more calls"));
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait(), Some(0));
    assert!(result.get(None).unwrap_err().is_worker_died());
    for process in processes {
        eventually("its workers and their commands have ended", || !is_alive(process));
    }
}

#[apply(test)]
fn worker_ends_at_once_also_if_its_manager_does_not_answer() {
    let program = ManagerProgram::start();
    let mut worker = start(&program.socket, 2);
    let processes = descendants(worker.process());
    program.running.signal(Signal::STOP);
    worker.signal(Signal::TERM);
    assert!(worker.line().starts_with("worker takes no more calls"));
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait(), Some(0));
    program.running.signal(Signal::CONT);
    assert!(processes.iter().all(|&process| !is_alive(process)));
}

#[apply(test)]
fn worker_that_is_killed_leaves_nobody() {
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

#[apply(test)]
fn worker_waits_for_a_manager_that_is_not_there_yet_and_serves_the_next_one_as_well() {
    let folder = private_folder();
    let socket = folder.path().join("own/manager.sock");
    let mut worker = RunningProgram::start(command(&socket, 1).stderr(process::Stdio::null()));
    for _ in 0..3 {
        let _running = serve(&socket);
        assert!(worker.line().starts_with("worker is ready: 1 process serves"));
        let manager = Manager::connect_to(&socket).unwrap();
        let pool = Pool::open(&manager, "demo").unwrap();
        let run = named::<(Command,), CommandResult>(COMMAND);
        assert_eq!(pool.apply(run, (Command::new("true"),)).unwrap().unwrap().exit, Exit::Status(0));
        // The manager is killed here.
    }
    eventually("its workers have ended", || descendants(worker.process()).is_empty());
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait(), Some(0));
}

#[apply(test)]
fn workers_end_when_their_manager_does() {
    let program = ManagerProgram::start();
    let text = {
        let mut command = command(&program.socket, 2);
        let worker = command.stdout(process::Stdio::piped()).stderr(process::Stdio::piped()).spawn();
        let mut worker = worker.unwrap();
        eventually("its workers run", || descendants(worker.id()).len() == 2);
        program.running.signal(Signal::KILL);
        let mut stderr = BufReader::new(worker.stderr.take().unwrap());
        let mut text = String::new();
        while !text.contains("this program waits") {
            assert_ne!(stderr.read_line(&mut text).unwrap(), 0, "{text}");
        }
        assert_eq!(descendants(worker.id()), []);
        kill(worker.id(), Signal::TERM);
        stderr.read_to_string(&mut text).unwrap();
        assert_eq!(worker.wait().unwrap().code(), Some(0));
        text
    };
    // Workers that were about to connect may have printed their own errors before.
    let socket = program.socket.canonicalize().unwrap_or(program.socket.clone());
    let expected = format!(
        "worker: the manager at {0} is gone; start it again with `manager --socket {0}`; this program waits for it",
        format_args!("unix:{}", socket.display())
    );
    assert_eq!(text.lines().last(), Some(&*expected), "{text}");
}

#[apply(test)]
fn worker_can_come_and_go_while_tasks_wait() {
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

#[apply(test)]
fn worker_says_what_is_wrong() {
    // The program checks its arguments first, so it does not matter that there is no manager.
    let socket = "/nonexistent/manager.sock";
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--lock", "a", "--", "true"], 2, "tip: that is an option of `worker run`"),
        (&["--pool", ""], 2, "error: invalid value '' for '--pool <NAME>': a name must not be empty"),
        (&["--pool", "a\tb"], 2, "a name must not hold control characters"),
        (&["--pool", "a", "--processes", "0"], 2, "a pool needs at least one process"),
        (&["--pool", "a", "--processes", "few"], 2, "this is not a number from 1 to 1024"),
        (&[], 2, "--pool <NAME>"),
    ];
    for (arguments, status, expected) in cases {
        let mut command = process::Command::new(env!("CARGO_BIN_EXE_worker"));
        let output = command.args(arguments).args(["--socket", socket]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
    let text = complaint_of_waiting(&mut command(Path::new(socket), 1));
    assert!(text.starts_with("worker: no manager is running at unix:/nonexistent"), "{text}");
}

#[apply(test)]
fn worker_reports_a_manager_of_another_version() {
    let refusal = Refusal::new(Code::VersionMismatch, "this manager speaks versions 7 to 9 of the protocol");
    let epoch = Epoch(Default::default());
    let answers = [
        (Greeting::Refused(refusal), "this manager speaks versions 7 to 9 of the protocol"),
        (Greeting::Welcome { version: 9, session: SessionId(1), epoch }, "speaks version 9 of the protocol"),
    ];
    for (greeting, expected) in answers {
        let folder = private_folder();
        let socket = folder.path().join("later.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut bytes = Vec::new();
        greeting.append(&mut bytes).unwrap();
        // This thread is detached: it ends with this program at the latest.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let hello = stream.read(&mut [0; 4096]).unwrap();
                assert!(hello > 0);
                stream.write_all(&bytes).unwrap();
            }
        });
        for (arguments, status) in [
            (&["--pool", "demo", "--processes", "1"][..], 69),
            (&["run", "--stop", "stop", "--socket", socket.to_str().unwrap(), "--", "true"][..], 69),
        ] {
            let mut command = process::Command::new(env!("CARGO_BIN_EXE_worker"));
            let output = command.args(arguments).env(SOCKET_VARIABLE, &socket).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(status), "{text}");
            assert!(text.starts_with("worker") && text.contains(expected), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}

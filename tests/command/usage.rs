//! The programs at a command line: how tests start them, and how they explain themselves.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{PATIENCE, apply, by, eventually, kill, private_folder, test};

pub(crate) fn manager(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_manager"));
    command.arg("--socket").arg(socket);
    command
}

pub(crate) fn worker(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["--pool", "demo", "--socket"]).arg(socket);
    command
}

/// Runs a program that must end. Returns its exit status, its standard output and its standard error.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        sleep(Duration::from_millis(2));
    }
    // If the program has not ended, its status will show it.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), stdout, stderr)
}

/// The error that a program prints when it ends because something is wrong: with a manager, as the manager itself says;
/// otherwise with how it can be reached.
pub(crate) fn complaint(command: &mut Command) -> String {
    let (status, output, text) = run(command);
    let name = Path::new(command.get_program()).file_name().unwrap().to_str().unwrap();
    let expected = if name == "manager" { 1 } else { 69 };
    assert_eq!((status, output.as_str()), (Some(expected), ""), "{text}");
    assert!(text.starts_with(&format!("{name}: ")) && text.lines().count() == 1, "{text}");
    text
}

/// What a `worker --pool` says that waits for a manager. It ends in order when it is asked to.
pub(crate) fn complaint_of_waiting(command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut text).unwrap();
    assert!(text.starts_with("worker: ") && text.ends_with("; this program waits for one\n"), "{text}");
    assert_eq!(child.try_wait().unwrap(), None, "{text}");
    kill(child.id(), Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout, output.stderr),
        (Some(0), Vec::new(), Vec::new()),
        "{text}"
    );
    text
}

#[apply(test)]
fn explain_themselves() {
    let programs = [
        ("manager", env!("CARGO_BIN_EXE_manager"), "--parent"),
        ("worker", env!("CARGO_BIN_EXE_worker"), "--pool"),
    ];
    for (name, program, option) in programs {
        let (status, output, _) = run(Command::new(program).arg("--help"));
        assert_eq!(status, Some(0));
        assert!(output.contains(&format!("Usage: {name} ")) && output.contains(option), "{output}");

        let (status, output, _) = run(Command::new(program).arg("--version"));
        assert_eq!((status, output), (Some(0), format!("{name} {}\n", env!("CARGO_PKG_VERSION"))));

        for arguments in [["--no-such-option", "x"], ["--socket", "--verbose"], ["what", "ever"]] {
            let (status, output, text) = run(Command::new(program).args(arguments));
            assert_eq!((status, output.as_str()), (Some(2), ""), "{name} {arguments:?}");
            assert!(text.starts_with("error: ") && text.contains("--help"), "{text}");
        }
    }
}

#[apply(test)]
fn whose_output_cannot_be_written_fail() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for program in [env!("CARGO_BIN_EXE_manager"), env!("CARGO_BIN_EXE_worker")] {
        for argument in ["--help", "-h", "--version"] {
            let output = Command::new(program).arg(argument).stdout(full()).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{program} {argument}: {text}");
            assert!(text.contains("standard output cannot be written: No space left"), "{text}");
            // A reader that wants no more is no failure.
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let output = Command::new(program).arg(argument).stdout(writer).output().unwrap();
            assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{argument}");
        }
    }
}

#[apply(test)]
fn a_program_that_serves_says_that_its_output_cannot_be_written_and_goes_on() {
    let folder = private_folder();
    let socket = folder.path().join("m.sock");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let child = manager(&socket).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    eventually("it serves", || client::Manager::connect_to(&socket).is_ok());
    kill(child.id(), Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("was not written: No space left"), "{text}");
}

#[apply(test)]
fn started_by_hand_in_a_role_of_a_copy_say_what_that_is() {
    let worker = env!("CARGO_BIN_EXE_worker");
    for (role, expected) in [
        ("rallypoint:command", "use `worker run`"),
        ("rallypoint:worker", "which only a pool does"),
        ("rallypoint:unheard-of", "in a role that it does not have"),
    ] {
        for launcher in [&["env"][..], &["setsid", "--wait"]] {
            let mut command = by(launcher, Command::new(worker).arg(role));
            let (status, output, text) = run(command.stdin(Stdio::null()));
            assert!(matches!(status, Some(1 | 2)), "{role}: {status:?}, {text}");
            assert_eq!((output.as_str(), text.lines().count()), ("", 1), "{role}: {text}");
            assert!(text.contains(expected), "{role}: {text}");
        }
    }
}

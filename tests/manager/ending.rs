//! The end of a manager: which signals it heeds.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};

use crate::support::{
    ManagerProgram, RunningProgram, apply, by, by_shell, eventually, private_folder, serve_by, test,
};

#[apply(test)]
fn by_a_signal_that_it_was_started_to_ignore_does_not_come() {
    let folder = private_folder();
    let socket = folder.path().join("m.sock");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_manager")]);
    let mut manager: RunningProgram = serve_by(&mut command, &socket);
    for signal in [Signal::HUP, Signal::INT] {
        manager.signal(signal);
        client::Manager::connect_to(&socket).unwrap().event("alive").unwrap().set().unwrap();
    }
    manager.signal(Signal::TERM);
    assert_eq!(manager.wait(), Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[apply(test)]
fn by_a_signal_that_means_nothing_to_it_does_not_come() {
    let mut program = ManagerProgram::start();
    let event = program.connect().event("alive").unwrap();
    for name in ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "RTMIN", "RTMAX"] {
        let process = program.running.process().to_string();
        assert!(
            Command::new("bash").args(["-c", "kill -s $0 $1", name, &process]).status().unwrap().success()
        );
        event.set().unwrap();
    }
    program.running.signal(Signal::TERM);
    assert_eq!(program.running.wait(), Some(0));
}

#[apply(test)]
fn by_a_signal_comes_even_if_it_was_started_with_that_blocked() {
    let folder = private_folder();
    let socket = folder.path().join("m.sock");
    let manager = Command::new(env!("CARGO_BIN_EXE_manager"));
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        let mut running = serve_by(&mut by(&["env", "--block-signal"], &manager), &socket);
        running.signal(signal);
        assert_eq!(running.wait(), Some(0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[apply(test)]
fn with_an_ignored_sigterm_comes_all_the_same() {
    let folder = private_folder();
    let socket = folder.path().join("m.sock");
    let manager = Command::new(env!("CARGO_BIN_EXE_manager"));
    let mut running = serve_by(&mut by_shell("trap '' TERM; exec \"$@\"", &manager), &socket);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(), Some(0));
}

/// A manager whose terminal is this one. Returns its first line.
fn start_at_terminal(command: &mut Command) -> (std::process::Child, File, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let other = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let streams = [(); 3].map(|()| Stdio::from(other.try_clone().unwrap()));
    let [stdin, stdout, stderr] = streams;
    let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
    drop(other);
    let terminal = File::from(terminal);
    let mut line = String::new();
    BufReader::new(&terminal).read_line(&mut line).unwrap();
    (child, terminal, line)
}

#[apply(test)]
fn with_its_terminal_leaves_no_files() {
    for (launcher, survives) in [(&["setsid", "--ctty"][..], false), (&["setsid", "--ctty", "nohup"], true)] {
        let folder = private_folder();
        let socket = folder.path().join("m.sock");
        let mut manager = Command::new(env!("CARGO_BIN_EXE_manager"));
        manager.arg("--socket").arg(&socket).current_dir(folder.path());
        let (mut child, terminal, line) = start_at_terminal(&mut by(launcher, &manager));
        assert!(!line.is_empty());
        eventually("it serves", || client::Manager::connect_to(&socket).is_ok());
        drop(terminal);
        if survives {
            client::Manager::connect_to(&socket).unwrap().event("alive").unwrap().set().unwrap();
            kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{launcher:?}");
        assert!(!socket.exists());
    }
}

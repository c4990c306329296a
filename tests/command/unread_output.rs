//! Programs whose output goes to a pipe that is full, and that nobody reads.

use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sys::bounded_write::write_within;
use sys::process::Process;

use super::run_fixture::{RunFixture, RunProcess};
use crate::support::{apply, eventually, kill, private_folder, test};

/// A pipe that is full.
struct FullPipe {
    _reader: PipeReader,
    writer: PipeWriter,
}

impl FullPipe {
    fn new() -> FullPipe {
        let (reader, writer) = pipe().unwrap();
        for bytes in [4096, 1] {
            while write_within(&writer, &vec![0; bytes], Duration::ZERO).is_ok() {}
        }
        FullPipe { _reader: reader, writer }
    }

    fn end(&self) -> Stdio {
        self.writer.as_fd().try_clone_to_owned().unwrap().into()
    }

    /// Starts a program that prints here alone.
    fn start(&self, command: &mut Command) -> RunProcess {
        let child = command.stdin(Stdio::null()).stdout(self.end()).stderr(self.end()).spawn().unwrap();
        RunProcess { child }
    }
}

fn expect_end(program: &mut RunProcess, status: i32) {
    let process = Process::of_child(&program.child).unwrap();
    eventually("the program ends", || process.has_ended());
    assert_eq!(program.child.wait().unwrap().code(), Some(status));
}

#[apply(test)]
fn keeps_no_run_from_ending() {
    let fixture = RunFixture::new();
    let full = FullPipe::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["run", "--lock", "lock", "--socket"]).arg(&fixture.program.socket).args(["--", "/nope"]);
    expect_end(&mut full.start(&mut command), 127);
}

#[apply(test)]
fn keeps_no_command_from_being_stopped() {
    let fixture = RunFixture::new();
    let full = FullPipe::new();
    let stop = fixture.manager.event("stop").unwrap();
    let options = ["-vvv", "--lock", "lock", "--stop", "stop", "--grace", "100ms"];
    let mut run = full.start(&mut fixture.command(&options, "touch ready; yes"));
    eventually("the command runs", || fixture.path("ready").exists());
    stop.set().unwrap();
    expect_end(&mut run, 75);
    assert_eq!(fixture.holder(), (None, false));
}

#[apply(test)]
fn keeps_no_run_from_its_signals() {
    let fixture = RunFixture::new();
    let full = FullPipe::new();
    let mut run = full.start(&mut fixture.command(&["-vvv", "--lock", "lock"], "touch ready; yes"));
    eventually("the command runs", || fixture.path("ready").exists());
    kill(run.child.id(), Signal::TERM);
    expect_end(&mut run, 128 + Signal::TERM.as_raw());
}

#[apply(test)]
fn keeps_no_pool_from_being_ended() {
    let fixture = RunFixture::new();
    let full = FullPipe::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["-vvv", "--pool", "pool", "--processes", "2", "--socket"]).arg(&fixture.program.socket);
    let mut pool = full.start(&mut command);
    eventually("the pool has workers", || {
        fixture
            .manager
            .sessions()
            .unwrap()
            .iter()
            .filter(|session| session.process != std::process::id())
            .count()
            >= 2
    });
    kill(pool.child.id(), Signal::TERM);
    expect_end(&mut pool, 0);
}

#[apply(test)]
fn keeps_no_manager_from_serving() {
    let folder = private_folder();
    let socket = folder.path().join("manager.sock");
    let full = FullPipe::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_manager"));
    let mut manager = full.start(command.arg("-vvv").arg("--socket").arg(&socket));
    eventually("the manager listens", || client::Manager::connect_to(&socket).is_ok());
    let event = client::Manager::connect_to(&socket).unwrap().event("served").unwrap();
    for _ in 0..1000 {
        event.set().unwrap();
        event.clear().unwrap();
    }
    kill(manager.child.id(), Signal::TERM);
    expect_end(&mut manager, 0);
}

//! Programs end even if a process that they need is suspended: the command supervisor, or the manager.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::run_fixture::{FAMILY, RunFixture, RunProcess, expect_nobody};
use crate::support::{PATIENCE, RunningProgram, apply, descendants, eventually, kill, state, test};

/// How long a program that waits for no one may take, on a busy machine.
const BOUND: Duration = Duration::from_secs(10);

fn suspend(process: u32) {
    kill(process, Signal::STOP);
    eventually("it is suspended", || state(Path::new(&format!("/proc/{process}"))) == Some('T'));
}

/// The supervisor of a `worker run`, which is its only child.
fn supervisor(run: &RunProcess) -> u32 {
    descendants(run.process())[0]
}

/// Waits for the end, and returns the exit status.
fn end_in_time(run: RunProcess) -> Option<i32> {
    let started = Instant::now();
    let (status, text) = run.end();
    assert!(started.elapsed() < BOUND, "it took {:?}: {text}", started.elapsed());
    status
}

#[apply(test)]
fn a_run_ends_at_a_signal_while_its_supervisor_is_suspended() {
    let fixture = RunFixture::new();
    let run = fixture.start(&["--lock", "lock", "--grace", "1s"], FAMILY);
    let processes = run.family();
    suspend(supervisor(&run));
    kill(run.process(), Signal::TERM);
    assert_eq!(end_in_time(run), Some(143), "the signal reaches the command");
    expect_nobody(&processes);
    assert_eq!(fixture.holder(), (None, false));
}

#[apply(test)]
fn a_run_ends_at_its_event_while_its_supervisor_is_suspended() {
    let fixture = RunFixture::new();
    let script = "trap '' TERM; touch ready; sleep 1031; sleep 1032";
    let run = fixture.start(&["--stop", "stop", "--lock", "lock", "--grace", "200ms"], script);
    let processes = descendants(run.process());
    suspend(supervisor(&run));
    fixture.manager.event("stop").unwrap().set().unwrap();
    assert_eq!(end_in_time(run), Some(75));
    expect_nobody(&processes);
    assert_eq!(fixture.holder(), (None, false));
}

#[apply(test)]
fn a_run_ends_even_if_its_supervisor_is_suspended_again_and_again() {
    let fixture = RunFixture::new();
    let script = "trap '' TERM; touch ready; sleep 1033; sleep 1034";
    let run = fixture.start(&["--lock", "lock", "--grace", "200ms"], script);
    let processes = descendants(run.process());
    let supervisor = supervisor(&run);
    // Stops the supervisor as often as it can, until the supervisor is gone.
    let script = format!("while kill -STOP {supervisor} 2>/dev/null; do :; done");
    let mut suspender = Command::new("sh");
    let mut suspender = RunningProgram::start(suspender.args(["-c", &script]).stderr(Stdio::null()));
    kill(run.process(), Signal::TERM);
    let (begun, (_, text)) = (Instant::now(), run.end());
    assert!(begun.elapsed() < BOUND, "{text}");
    assert_eq!(suspender.wait(), Some(0));
    expect_nobody(&processes);
    assert_eq!(fixture.holder(), (None, false));
}

#[apply(test)]
fn a_run_ends_with_its_command_while_the_manager_is_suspended() {
    let fixture = RunFixture::new();
    let script = "touch ready; while ! test -e end; do sleep 0.01; done; exit 7";
    let run = fixture.start(&["--lock", "lock"], script);
    suspend(fixture.program.running.process());
    std::fs::write(fixture.path("end"), "").unwrap();
    assert_eq!(end_in_time(run), Some(7));
    fixture.program.running.signal(Signal::CONT);
    eventually("the lock is released", || fixture.holder() == (None, false));
}

#[apply(test)]
fn a_run_ends_at_a_signal_while_the_manager_is_suspended() {
    let fixture = RunFixture::new();
    let run = fixture.start(&["--lock", "lock", "--stop", "stop"], FAMILY);
    let processes = run.family();
    let waiting = RunProcess::from(&mut fixture.command(&["--lock", "lock"], "touch started"));
    eventually("it waits", || fixture.waiting() == 1);
    suspend(fixture.program.running.process());
    let late = RunProcess::from(&mut fixture.command(&["--lock", "lock"], "touch started"));
    for run in [waiting, late, run] {
        kill(run.process(), Signal::TERM);
        assert_eq!(end_in_time(run), Some(143));
    }
    expect_nobody(&processes);
    fixture.program.running.signal(Signal::CONT);
    eventually("the lock is released", || fixture.holder() == (None, false));
    assert!(!fixture.path("started").exists());
}

#[apply(test)]
fn a_pool_ends_at_a_signal_while_the_manager_is_suspended() {
    let fixture = RunFixture::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["--pool", "demo", "--processes", "2", "--socket"]).arg(&fixture.program.socket);
    let mut worker = RunningProgram::start(&mut command);
    assert!(worker.line().starts_with("worker is ready"));
    let processes = descendants(worker.process());
    suspend(fixture.program.running.process());
    let started = Instant::now();
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait(), Some(0));
    assert!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());
    expect_nobody(&processes);
    fixture.program.running.signal(Signal::CONT);
}

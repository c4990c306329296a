//! What a command inherits from the caller of the program that runs it, and what that program does with it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use client::Pool;
use client::task::named;
use rustix::process::Signal;
use worker::tasks::{COMMAND, CommandResult};

use super::run_fixture::{RunFixture, RunProcess, expect_nobody};
use crate::support::{
    ManagerProgram, RunningProgram, apply, by, by_shell, descendants, eventually, kill, test,
};

/// How long a program may take that does not wait for anybody to be killed.
const BOUND: Duration = Duration::from_secs(4);

/// Parents that leave something behind.
const LAUNCHERS: [&[&str]; 5] = [
    &["env"],
    &["env", "--ignore-signal=CHLD,USR1"],
    &["env", "--ignore-signal=PIPE,TERM,HUP"],
    &["env", "--block-signal=TERM,INT,CHLD,USR2"],
    &["env", "--ignore-signal=CHLD,PIPE", "--block-signal=RTMIN+3,HUP"],
];

/// A script that shows what its shell has inherited.
const SHOW: &str = "grep -E '^Sig(Blk|Ign)' /proc/self/status; umask";

/// What a script shows, without the two signals that the C library keeps for itself: whoever starts a process by
/// posix_spawn(3) has it ignore them.
fn shown(text: &[u8]) -> Vec<String> {
    let of_the_library = !(3_u64 << 31);
    let line = |line: &str| match line.split_once(":\t") {
        Some((name, mask)) => {
            format!("{name} {:016x}", u64::from_str_radix(mask, 16).unwrap() & of_the_library)
        }
        None => line.to_owned(),
    };
    str::from_utf8(text).unwrap().lines().map(line).collect()
}

/// What the script shows if this launcher starts its shell, with nothing in between.
fn expected(launcher: &[&str]) -> Vec<String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", SHOW]);
    let lines = shown(&by(launcher, &shell).output().unwrap().stdout);
    assert_eq!(lines.len(), 3, "{lines:?}");
    lines
}

#[apply(test)]
fn signals_are_what_the_caller_of_a_run_had() {
    let fixture = RunFixture::new();
    for launcher in LAUNCHERS {
        let output = by(launcher, &fixture.command(&["--lock", "lock"], SHOW)).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
        assert_eq!(shown(&output.stdout), expected(launcher), "{launcher:?}");
    }
}

#[apply(test)]
fn signals_are_what_the_program_that_serves_a_pool_was_started_with() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    for launcher in LAUNCHERS {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_worker"));
        serve.args(["--pool", "shown", "--processes", "1", "--socket"]).arg(&program.socket);
        let mut worker = RunningProgram::start(&mut by(launcher, &serve));
        assert!(worker.line().starts_with("worker is ready"));
        let pool = Pool::open(&manager, "shown").unwrap();
        let run = named::<(worker::tasks::Command,), CommandResult>(COMMAND);
        let shell = worker::tasks::Command::new("sh").arguments(["-c", SHOW]);
        let captured = pool.apply(run, (shell,)).unwrap().unwrap();
        assert_eq!(shown(&captured.stdout), expected(launcher), "{launcher:?}");
        worker.signal(Signal::TERM);
        assert!(worker.line().starts_with("worker takes no more calls"));
        assert_eq!(worker.wait(), Some(0));
    }
}

#[apply(test)]
fn a_run_heeds_its_command_and_signals_whatever_it_was_started_with() {
    let fixture = RunFixture::new();
    for launcher in LAUNCHERS {
        for (script, status) in [("exit 7", 7), ("kill -KILL $$", 137)] {
            let run = fixture.command(&["--lock", "lock", "--stop", "stop"], script);
            let output = by(launcher, &run).output().unwrap();
            let found = (output.status.code(), output.stderr.as_slice());
            assert_eq!(found, (Some(status), &b""[..]), "{launcher:?}: {output:?}");
        }
        let script = "touch ready; sleep 1041 & sleep 1042";
        let run = fixture.command(&["--lock", "lock", "--grace", "300ms"], script);
        let run = RunProcess::from(&mut by(launcher, &run));
        eventually("the command runs", || fixture.path("ready").exists());
        fs::remove_file(fixture.path("ready")).unwrap();
        let processes = descendants(run.process());
        let began = Instant::now();
        kill(run.process(), Signal::TERM);
        let (status, text) = run.end();
        // A command that blocks or ignores SIGTERM, as its caller wanted, is killed after the grace.
        assert!(matches!(status, Some(143 | 137)), "{launcher:?}: {status:?}, {text}");
        assert!(began.elapsed() < BOUND, "{launcher:?}: {:?}", began.elapsed());
        expect_nobody(&processes);
        assert_eq!(fixture.holder(), (None, false));
    }
}

#[apply(test)]
fn closed_descriptors_are_open_for_a_command() {
    let fixture = RunFixture::new();
    let script = "for i in 0 1 2; do readlink /proc/$$/fd/$i; done > found";
    let run = fixture.command(&["--lock", "lock"], script);
    let status = by_shell("exec \"$@\" <&- >&- 2>&-", &run).status().unwrap();
    assert_eq!(status.code(), Some(0));
    // The shell has its own output where the script says.
    let found = fs::read_to_string(fixture.path("found")).unwrap();
    assert_eq!(found.lines().next(), Some("/dev/null"), "{found}");
    assert_eq!(found.lines().nth(2), Some("/dev/null"), "{found}");
}

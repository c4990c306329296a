//! `worker run`: one command under an event, a lock, or both, as a shell uses it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use protocol::Request;
use rustix::process::Signal;

use super::run_fixture::{FAMILY, RunFixture, RunProcess, SOON, expect_nobody};
use crate::support::{
    PATIENCE, RunningProgram, apply, descendants, eventually, is_alive, kill, test, within,
};

const STOPPED: Option<i32> = Some(75);
const LOCK_LOST: Option<i32> = Some(76);
const NO_MANAGER: Option<i32> = Some(69);

#[apply(test)]
fn ends_as_its_command_does() {
    let fixture = RunFixture::new();
    for (options, script, status) in [
        (&["--stop", "stop"][..], "exit 0", 0),
        (&["--lock", "lock"][..], "exit 7", 7),
        (&["--lock", "lock", "--stop", "stop"][..], "exit 255", 255),
        (&["--stop", "stop"][..], "kill -TERM $$", 143),
        (&["--lock", "lock"][..], "kill -KILL $$", 137),
    ] {
        let output = fixture.output(options, script);
        assert_eq!(output.status.code(), Some(status), "{options:?} {script}: {output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[apply(test)]
fn says_what_is_wrong() {
    let fixture = RunFixture::new();
    let socket = fixture.program.socket.to_str().unwrap();
    fs::write(fixture.path("no program"), "").unwrap();
    fixture.manager.event("an event").unwrap();
    let not_executable = fixture.path("no program");
    let here = ["--socket", socket];
    let long = "x".repeat(5000);
    for (arguments, status, expected) in [
        (
            vec!["--lock", &long, here[0], here[1], "--", "true"],
            2,
            "has at most 255 bytes, this one has 5000",
        ),
        (vec!["--stop", "a", "--grace", &long, here[0], here[1], "--", "true"], 2, "xxx…"),
        (
            vec!["--stop", "a", here[0], here[1], "--", "no-such-program"],
            127,
            "no-such-program: No such file",
        ),
        (
            vec!["--lock", "l", here[0], here[1], "--", not_executable.to_str().unwrap()],
            126,
            "Permission denied (os error 13); it is not executable, which `chmod +x` would make it",
        ),
        (vec!["--stop", "a", "--socket", "/no/such/socket", "--", "true"], 69, "no manager is running at"),
        (vec!["--stop", "", here[0], here[1], "--", "true"], 2, "must not be empty"),
        (vec!["--lock", "a\tb", here[0], here[1], "--", "true"], 2, "control characters"),
        (
            vec!["--stop", "a", "--grace", "-1s", here[0], here[1], "--", "true"],
            2,
            "a time cannot be negative",
        ),
        (vec!["--lock", "an event", here[0], here[1], "--", "true"], 69, "event"),
        (vec![here[0], here[1], "--", "true"], 2, "<--stop <EVENT>|--lock <NAME>>"),
        (vec!["--stop", "a", here[0], here[1]], 2, "COMMAND"),
        (
            vec!["--stop", "a", "--grace", "soon", here[0], here[1], "--", "true"],
            2,
            "\"soon\" is not a time, which is a",
        ),
        (vec!["--lock", "a", "echo", "hi"], 2, "tip: write `--` before the command"),
        (vec!["--lock", "a"], 2, "tip: write `--` before the command"),
        (vec!["--", "echo", "--lock", "a"], 2, "tip: the options of `worker run` come before `--`"),
        (vec!["--pool", "a"], 2, "tip: that is an option of `worker` without `run`"),
        (vec!["--lokc\x1b[31m", "a"], 2, "unexpected argument"),
        (vec!["--stop", "a", here[0], here[1], "--", "/no/\x1b[31m"], 127, "/no/\\u{1b}[31m: No such file"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_worker")).arg("run").args(&arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(!text.contains('\x1b'), "{arguments:?}: {text:?}");
        assert!(text.len() < 1000, "it quotes the beginning of what is long: {text}");
    }
    assert_eq!(
        fixture.output(&["--lock", "l"], "exit 0").status.code(),
        Some(0),
        "none of them kept the lock"
    );

    let help = Command::new(env!("CARGO_BIN_EXE_worker")).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let page = include_str!("../../README.md");
    for status in [2, 69, 75, 76, 78, 126, 127] {
        assert!(help.contains(&format!("\n  {status} ")), "{help}");
        assert!(page.contains(&format!("\n| {status} | ")), "README has no row for status {status}");
    }
    assert!(help.contains("ms, s, min or h") && help.contains("seconds if there is no unit"), "{help}");
}

#[apply(test)]
fn passes_input_and_output() {
    let fixture = RunFixture::new();
    let mut command =
        fixture.command(&["--lock", "lock"], "read line; echo got $line; echo oops >&2; exit 3");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"got hello\n"[..], &b"oops\n"[..]));
    assert_eq!(output.status.code(), Some(3));
}

#[apply(test)]
fn does_not_start_when_the_event_is_set() {
    let fixture = RunFixture::new();
    fixture.manager.event("stop").unwrap().set_because("not today").unwrap();
    for options in [&["--stop", "stop"][..], &["--stop", "stop", "--lock", "lock"][..]] {
        let output = fixture.output(options, "touch started");
        assert_eq!(output.status.code(), STOPPED);
        assert!(String::from_utf8(output.stderr).unwrap().contains("not today"));
        assert!(!fixture.path("started").exists());
    }
    assert_eq!(fixture.holder(), (None, false));
}

#[apply(test)]
fn stops_the_whole_group_when_the_event_is_set() {
    let fixture = RunFixture::new();
    let child = fixture.start(&["--stop", "stop", "--lock", "lock"], FAMILY);
    let processes = child.family();
    assert_eq!(fixture.holder().0, Some(child.process()));
    let before = Instant::now();
    fixture.manager.event("stop").unwrap().set_because("enough").unwrap();
    let (status, text) = child.end();
    assert!(before.elapsed() < SOON, "it took {:?}", before.elapsed());
    assert_eq!(status, STOPPED, "{text}");
    assert!(text.starts_with("worker run: stopped: set by pid ") && text.contains("enough"), "{text}");
    expect_nobody(&processes);
    assert_eq!(fixture.holder(), (None, false));
}

#[apply(test)]
fn kills_a_command_that_outlives_the_grace() {
    let fixture = RunFixture::new();
    let script = "trap '' TERM; touch ready; sleep 1024; sleep 1025";
    let child = fixture.start(&["--stop", "stop", "--grace", "400ms"], script);
    let processes = descendants(child.process());
    let before = Instant::now();
    fixture.manager.event("stop").unwrap().set().unwrap();
    assert_eq!(child.end().0, STOPPED);
    let time = before.elapsed();
    assert!(time >= Duration::from_millis(400) && time < SOON, "it took {time:?}");
    expect_nobody(&processes);
}

#[apply(test)]
fn one_command_at_a_time_has_the_lock() {
    let fixture = RunFixture::new();
    let script = "echo in >> log; sleep 0.02; echo out >> log";
    let children: Vec<Child> =
        (0..8).map(|_| fixture.command(&["--lock", "lock"], script).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(fs::read_to_string(fixture.path("log")).unwrap(), "in\nout\n".repeat(8));
}

#[apply(test)]
fn waiting_for_the_lock_can_be_stopped() {
    let fixture = RunFixture::new();
    let holder = fixture.start(&["--lock", "lock", "--stop", "other"], FAMILY);
    let waiting =
        RunProcess::from(&mut fixture.command(&["--lock", "lock", "--stop", "stop"], "touch started"));
    eventually("it waits", || fixture.waiting() == 1);
    fixture.manager.event("stop").unwrap().set().unwrap();
    assert_eq!(waiting.end().0, STOPPED);
    assert!(!fixture.path("started").exists());
    assert_eq!(fixture.holder().0, Some(holder.process()), "the holder of the lock is not stopped");
    kill(holder.process(), Signal::TERM);
    assert_eq!(holder.end().0, Some(143));
}

#[apply(test)]
fn waiting_for_the_lock_ends_at_a_signal() {
    let fixture = RunFixture::new();
    let holder = fixture.start(&["--lock", "lock"], FAMILY);
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let waiting = RunProcess::from(&mut fixture.command(&["--lock", "lock"], "touch started"));
        eventually("it waits", || fixture.waiting() == 1);
        kill(waiting.process(), signal);
        assert_eq!(waiting.end().0, Some(status));
        assert_eq!(fixture.waiting(), 0);
    }
    kill(holder.process(), Signal::TERM);
    assert_eq!(holder.end().0, Some(143));
    assert_eq!(fixture.holder(), (None, false));
    assert!(!fixture.path("started").exists());
}

#[apply(test)]
fn gives_the_lock_back_whatever_becomes_of_the_command() {
    let fixture = RunFixture::new();
    for (program, status) in [("true", 0), ("false", 1), ("no-such-program", 127)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command
            .args(["run", "--lock", "lock", "--socket"])
            .arg(&fixture.program.socket)
            .args(["--", program]);
        assert_eq!(command.output().unwrap().status.code(), Some(status));
        assert_eq!(fixture.holder(), (None, false));
    }
    // A command ends together with all that it has started.
    let child = fixture.start(&["--lock", "lock"], "touch ready; sleep 1026 & echo $! > process");
    assert_eq!(child.end().0, Some(0));
    let process = fs::read_to_string(fixture.path("process")).unwrap().trim().parse().unwrap();
    within(SOON, "what it left behind has ended", || !is_alive(process));
}

#[apply(test)]
fn ends_the_command_when_the_lock_is_taken_away() {
    let fixture = RunFixture::new();
    for options in [&["--lock", "lock"][..], &["--lock", "lock", "--stop", "stop"][..]] {
        let child = fixture.start(options, FAMILY);
        let processes = child.family();
        let lock = fixture.lock();
        lock.call_for_done(Request::ForceRelease { id: lock.id() }).unwrap();
        let before = Instant::now();
        let (status, text) = child.end();
        assert_eq!(status, LOCK_LOST, "{text}");
        assert!(text.contains("the lock is lost") && before.elapsed() < PATIENCE, "{text}");
        expect_nobody(&processes);
        // The next holder's grant says so, and clears the mark.
        let output = fixture.output(&["--lock", "lock"], "exit 0");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && text.contains("was left behind by pid"), "{text}");
    }
    // It notices that even if the command has ended before the next check.
    let child = fixture.start(&["--lock", "lock"], "touch ready; while ! test -e end; do sleep 0.01; done");
    let lock = fixture.lock();
    lock.call_for_done(Request::ForceRelease { id: lock.id() }).unwrap();
    fs::write(fixture.path("end"), "").unwrap();
    assert_eq!(child.end().0, LOCK_LOST);
}

#[apply(test)]
fn ends_the_command_when_the_lock_is_removed() {
    let fixture = RunFixture::new();
    let child = fixture.start(&["--lock", "lock"], FAMILY);
    let processes = child.family();
    fixture.lock().remove().unwrap();
    assert_eq!(child.end().0, LOCK_LOST);
    expect_nobody(&processes);
}

#[apply(test)]
fn ends_the_command_when_the_manager_is_gone() {
    for options in
        [&["--lock", "lock"][..], &["--lock", "lock", "--stop", "stop"][..], &["--stop", "stop"][..]]
    {
        let fixture = RunFixture::new();
        let child = fixture.start(options, FAMILY);
        let processes = child.family();
        let before = Instant::now();
        fixture.program.running.signal(Signal::KILL);
        let (status, text) = child.end();
        assert_eq!(status, NO_MANAGER, "{options:?}: {text}");
        assert!(text.contains("the manager is gone") && before.elapsed() < SOON, "{text}");
        expect_nobody(&processes);
    }
}

#[apply(test)]
fn that_is_killed_leaves_no_command_and_an_abandoned_lock() {
    let fixture = RunFixture::new();
    let child = fixture.start(&["--lock", "lock", "--stop", "stop"], FAMILY);
    let (process, processes) = (child.process(), child.family());
    kill(process, Signal::KILL);
    assert_eq!(child.end().0, None);
    expect_nobody(&processes);
    eventually("the lock is marked", || fixture.holder() == (None, true));
    let output = fixture.output(&["--lock", "lock"], "exit 5");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5));
    let expected = format!("the lock was left behind by pid {process} (worker), which was ended by signal 9");
    assert!(text.contains(&expected), "{text}");
    assert_eq!(fixture.holder(), (None, false));
}

#[apply(test)]
fn passes_signals_on() {
    let fixture = RunFixture::new();
    for (signal, name, number) in
        [(Signal::INT, "INT", 2), (Signal::TERM, "TERM", 15), (Signal::HUP, "HUP", 1)]
    {
        let script = format!("trap 'echo {name}; exit 9' {name}; touch ready; sleep 1027 & wait");
        let mut command = fixture.command(&["--stop", "stop"], &script);
        let mut running = RunningProgram::start(&mut command);
        eventually("the command runs", || fixture.path("ready").exists());
        fs::remove_file(fixture.path("ready")).unwrap();
        let processes = descendants(running.process());
        running.signal(signal);
        assert_eq!(running.line(), name);
        assert_eq!(running.wait(), Some(9));
        expect_nobody(&processes);

        // A shell makes its background children ignore interrupts. A command that is no shell does not ignore them.
        let child = fixture.start(&["--lock", "lock"], "touch ready; exec sleep 1028");
        kill(child.process(), signal);
        assert_eq!(child.end().0, Some(128 + number));
        assert_eq!(fixture.holder(), (None, false));
    }
}

#[apply(test)]
fn a_second_signal_kills() {
    let fixture = RunFixture::new();
    let script = "trap 'touch asked' TERM; touch ready; while :; do sleep 1029 & wait; done";
    let child = fixture.start(&["--stop", "stop", "--grace", "1h"], script);
    let processes = descendants(child.process());
    kill(child.process(), Signal::TERM);
    eventually("it was asked", || Path::exists(&fixture.path("asked")));
    kill(child.process(), Signal::TERM);
    assert_eq!(child.end().0, Some(137));
    expect_nobody(&processes);
}

#[apply(test)]
fn leaves_ignored_signals_ignored() {
    let fixture = RunFixture::new();
    let inner =
        fixture.command(&["--stop", "stop"], "touch ready; while ! test -e end; do sleep 0.01; done; exit 6");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    let child = RunProcess::from(command.current_dir(fixture.folder.path()));
    eventually("the command runs", || fixture.path("ready").exists());
    kill(child.process(), Signal::HUP);
    fs::write(fixture.path("end"), "").unwrap();
    assert_eq!(child.end().0, Some(6));
}

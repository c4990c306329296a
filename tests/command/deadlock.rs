//! Waits of `worker run` for a lock: who is waited for, and waits that would never end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use rustix::process::Signal;

use super::run_fixture::{RunFixture, RunProcess};
use crate::support::{apply, eventually, kill, test};

const DEADLOCK: Option<i32> = Some(78);

/// The words of a shell that run a script under these options.
fn inner(fixture: &RunFixture, options: &str, script: &str) -> String {
    let (worker, socket) = (env!("CARGO_BIN_EXE_worker"), fixture.program.socket.display());
    format!("{worker} run --socket {socket} {options} -- sh -c '{script}'")
}

#[apply(test)]
fn a_wait_that_takes_long_says_who_holds_the_lock() {
    let fixture = RunFixture::new();
    let holder = fixture.start(&["--lock", "lock"], "touch ready; exec sleep 1036");
    let mut waiting = RunProcess::from(&mut fixture.command(&["--lock", "lock"], "exit 4"));
    let mut stderr = BufReader::new(waiting.child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let expected =
        format!("worker run: waits for lock \"lock\": held by pid {} (worker), thread ", holder.process());
    assert!(line.starts_with(&expected) && line.contains(", for "), "{line}");
    kill(holder.process(), Signal::TERM);
    assert_eq!(waiting.child.wait().unwrap().code(), Some(4));
}

#[apply(test)]
fn a_run_inside_a_run_for_the_same_lock_ends_with_a_clear_error() {
    let fixture = RunFixture::new();
    for options in ["--lock lock", "--lock lock --stop stop"] {
        // There may be another run in between.
        for script in [inner(&fixture, options, "exit 3"), inner(&fixture, "--stop other", "exec sh inner")] {
            fs::write(fixture.path("inner"), inner(&fixture, options, "exit 3")).unwrap();
            let Output { status, stderr, .. } = fixture.output(&["--lock", "lock"], &script);
            let text = String::from_utf8(stderr).unwrap();
            assert_eq!(status.code(), DEADLOCK, "{options}: {text}");
            assert!(text.contains("this wait would never end: lock \"lock\" is held by pid "), "{text}");
            assert!(text.contains(" (worker), in whose command this program runs"), "{text}");
            assert_eq!(fixture.holder(), (None, false));
        }
    }
    // A lock that the run around it does not hold is taken as ever.
    let output = fixture.output(&["--lock", "lock"], &inner(&fixture, "--lock free", "exit 3"));
    assert_eq!(output.status.code(), Some(3));
}

/// Two runs, each of which wants the other's lock inside its command, and has these options there.
fn cross(fixture: &RunFixture, options: [&str; 2]) -> [RunProcess; 2] {
    [("one", "two", options[0]), ("two", "one", options[1])].map(|(own, other, options)| {
        let wait = format!("touch {own}; until test -e {other}; do sleep 0.01; done");
        let wanted = inner(fixture, &format!("--lock {other} {options}"), "exit 3");
        RunProcess::from(&mut fixture.command(&["--lock", own], &format!("{wait}; {wanted}")))
    })
}

#[apply(test)]
fn of_two_runs_that_want_each_others_locks_one_gives_up() {
    let fixture = RunFixture::new();
    let ended = cross(&fixture, ["", ""]).map(RunProcess::end);
    let given_up = ended.iter().filter(|(status, _)| *status == DEADLOCK).count();
    let gone_on = ended.iter().filter(|(status, _)| *status == Some(3)).count();
    assert_eq!((given_up, gone_on), (1, 1), "{ended:?}");
    let (_, text) = ended.iter().find(|(status, _)| *status == DEADLOCK).unwrap();
    for part in [
        "this wait would never end: lock \"",
        ", in whose command pid ",
        "in whose command this program runs",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[apply(test)]
fn a_wait_that_an_event_can_end_says_that_nothing_else_can() {
    let fixture = RunFixture::new();
    let [mut stopped, other] = cross(&fixture, ["--stop stop", ""]);
    let lines = BufReader::new(stopped.child.stderr.take().unwrap()).lines();
    let said: Vec<String> = lines.take(2).map(Result::unwrap).collect();
    assert!(said[0].starts_with("worker run: waits for lock \"two\": held by pid "), "{said:?}");
    assert!(
        said[1].contains("would never end") && said[1].ends_with("; only the event can end it"),
        "{said:?}"
    );
    fixture.manager.event("stop").unwrap().set().unwrap();
    assert_eq!(stopped.child.wait().unwrap().code(), Some(75));
    assert_eq!(other.end().0, Some(3));
}

#[apply(test)]
fn a_command_whose_run_has_let_go_of_it_is_no_part_of_a_cycle() {
    let fixture = RunFixture::new();
    // What begins a process session of its own goes on without the lock, and gets it when the run ends.
    let wanted = inner(&fixture, "--lock lock", "touch done");
    let script = format!("setsid {wanted} > /dev/null 2>&1 < /dev/null & touch ready; sleep 2.5");
    let mut command = fixture.command(&["--lock", "lock"], &script);
    assert_eq!(command.stdout(Stdio::null()).status().unwrap().code(), Some(0));
    eventually("it has had the lock", || fixture.path("done").exists());
}

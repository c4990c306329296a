//! Signals on their way to a command, and what a command does with signals when it starts.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use super::run_fixture::{RunFixture, expect_nobody};
use crate::support::{RunningProgram, apply, descendants, eventually, kill, test};

#[apply(test)]
fn that_ask_for_nothing_reach_a_command_that_goes_on() {
    let fixture = RunFixture::new();
    let names = ["USR1", "USR2", "ALRM", "WINCH", "CONT"];
    let signals = [Signal::USR1, Signal::USR2, Signal::ALARM, Signal::WINCH, Signal::CONT];
    let traps: String = names.map(|name| format!("trap 'echo {name}' {name}; ")).concat();
    let script = format!("{traps}touch ready; until test -e end; do sleep 0.01; done; exit 9");
    let mut running =
        RunningProgram::start(&mut fixture.command(&["--lock", "lock", "--grace", "0s"], &script));
    eventually("the command runs", || fixture.path("ready").exists());
    for (name, signal) in names.into_iter().zip(signals) {
        running.signal(signal);
        assert_eq!(running.line(), name);
    }
    fs::write(fixture.path("end"), "").unwrap();
    assert_eq!(running.wait(), Some(9));
}

#[apply(test)]
fn to_quit_leave_a_command_its_grace() {
    let fixture = RunFixture::new();
    let script = "trap 'echo asked; exit 8' QUIT; touch ready; sleep 1035 & wait";
    let mut running = RunningProgram::start(&mut fixture.command(&["--lock", "lock"], script));
    eventually("the command runs", || fixture.path("ready").exists());
    let processes = descendants(running.process());
    running.signal(Signal::QUIT);
    assert_eq!((running.line().as_str(), running.wait()), ("asked", Some(8)));
    expect_nobody(&processes);
    assert_eq!(fixture.holder(), (None, false));
}

#[apply(test)]
fn that_a_script_has_its_background_ignore_stay_ignored() {
    let fixture = RunFixture::new();
    let script = "grep SigIgn /proc/self/status > ignored; touch ready; until test -e end; do sleep 0.01; done; exit 6";
    let inner = fixture.command(&["--lock", "lock"], script);
    let mut command = Command::new("sh");
    command.args(["-c", "\"$@\" & echo $!; wait $!", "sh"]).arg(inner.get_program()).args(inner.get_args());
    let mut running = RunningProgram::start(command.current_dir(fixture.folder.path()));
    let process = running.line().parse().unwrap();
    eventually("the command runs", || fixture.path("ready").exists());
    let text = fs::read_to_string(fixture.path("ignored")).unwrap();
    let ignored = u64::from_str_radix(text.trim().strip_prefix("SigIgn:").unwrap().trim(), 16).unwrap();
    let [interrupt, terminate] = [Signal::INT, Signal::TERM].map(|signal| 1 << (signal.as_raw() - 1));
    assert_eq!(ignored & (interrupt | terminate), interrupt, "{text}");
    kill(process, Signal::INT);
    fs::write(fixture.path("end"), "").unwrap();
    assert_eq!(running.wait(), Some(6));
}

#[apply(test)]
fn of_children_may_have_been_ignored_by_who_started_the_run() {
    let fixture = RunFixture::new();
    for (script, status) in [("exit 7", 7), ("kill -KILL $$", 137)] {
        let inner = fixture.command(&["--lock", "lock"], script);
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' CHLD; exec \"$@\"", "sh"])
            .arg(inner.get_program())
            .args(inner.get_args());
        let output = command.current_dir(fixture.folder.path()).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(status), &b""[..]), "{output:?}");
    }
}

#[apply(test)]
fn of_the_library_are_not_ignored_by_a_command() {
    let fixture = RunFixture::new();
    let output = fixture.output(&["--lock", "lock"], "grep SigIgn /proc/self/status >&2");
    let text = String::from_utf8(output.stderr).unwrap();
    let ignored = u64::from_str_radix(text.trim().strip_prefix("SigIgn:").unwrap().trim(), 16).unwrap();
    assert_eq!(ignored & (1 << 31 | 1 << 32), 0, "{text}");
}

//! The end of a manager: which signals it heeds.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{RunningProgram, apply, private_folder, serve_by, test};

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

//! Managers and clients that see different process ids, as in two containers that share a folder. Namespaces are made
//! by unshare(1), which is what container engines do.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use client::{Manager, Result};
use protocol::endpoint::SOCKET_VARIABLE;
use rustix::process::{Signal, geteuid};

use crate::support::helper;
use crate::support::{ManagerProgram, RunningProgram, apply, by, eventually, private_folder, serve_by, test};

/// Starts a program as the first process of a PID namespace, in which it has a `/proc`. The namespace ends with this.
fn container() -> Vec<&'static str> {
    let mut launcher = vec!["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !geteuid().is_root() {
        launcher.push("--map-root-user");
    }
    launcher
}

/// Whether this machine allows that.
fn has_containers() -> bool {
    let status = by(&container(), &Command::new("true")).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Takes a lock, and stays.
#[apply(helper)]
#[without_init]
pub(crate) fn hold_in_container() -> Result<()> {
    let manager = Manager::connect()?;
    let _guard = manager.lock("lock")?.acquire()?;
    println!("holds, as process {}", std::process::id());
    std::thread::park();
    Ok(())
}

/// A process that holds the lock.
fn holder(launcher: &[&str], socket: &Path) -> RunningProgram {
    let mut command = helper::command(hold_in_container);
    let mut running = RunningProgram::start(&mut by(launcher, command.env(SOCKET_VARIABLE, socket)));
    assert!(running.line().starts_with("holds, as process "));
    running
}

/// Kills a process that holds the lock; the next taker gets it, and learns of the death.
fn expect_death_to_be_seen(manager: &Manager, mut holder: RunningProgram) {
    let lock = manager.lock("lock").unwrap();
    assert!(lock.try_acquire().unwrap().is_none());
    holder.signal(Signal::KILL);
    holder.wait();
    let guard = lock.acquire().unwrap();
    assert!(guard.abandoned().is_some());
}

#[apply(test)]
#[only_if(has_containers)]
fn a_client_in_a_container_shares_with_one_outside_and_its_death_is_seen() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    expect_death_to_be_seen(&manager, holder(&container(), &program.socket));
}

#[apply(test)]
#[only_if(has_containers)]
fn a_manager_in_a_container_serves_clients_outside_and_in_another() {
    let folder = private_folder();
    let socket = folder.path().join("m.sock");
    let running = serve_by(&mut by(&container(), &Command::new(env!("CARGO_BIN_EXE_manager"))), &socket);
    let manager = Manager::connect_to(&socket).unwrap();
    expect_death_to_be_seen(&manager, holder(&["env"], &socket));
    expect_death_to_be_seen(&manager, holder(&container(), &socket));
    let event = manager.event("a").unwrap();
    drop(running);
    eventually("the end of the manager is seen", || {
        event.is_set().is_err_and(|error| error.is_manager_gone())
    });
}

#[apply(test)]
#[only_if(has_containers)]
fn a_command_that_the_manager_could_not_end_is_refused_with_the_reason() {
    let program = ManagerProgram::start();
    let folder = private_folder();
    let inside = folder.path().join("m.sock");
    let _inside = serve_by(&mut by(&container(), &Command::new(env!("CARGO_BIN_EXE_manager"))), &inside);
    for (launcher, socket) in [(container(), &program.socket), (vec!["env"], &inside)] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_worker"));
        run.args(["run", "--lock", "lock", "--socket"]).arg(socket).args(["--", "touch", "ran"]);
        let output = by(&launcher, run.current_dir(folder.path())).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(126), "{text}");
        assert!(text.contains("different PID namespaces"), "{text}");
        assert!(!fs::exists(folder.path().join("ran")).unwrap());
    }
    // In one container it works.
    let mut run = Command::new("sh");
    let script = "\"$0\" --socket \"$2\" >ready & \
        until test -s ready; do sleep 0.01; done; \
        \"$1\" run --lock lock --socket \"$2\" -- touch ran";
    run.args(["-c", script, env!("CARGO_BIN_EXE_manager"), env!("CARGO_BIN_EXE_worker")]);
    run.arg(folder.path().join("both.sock")).current_dir(folder.path());
    let output = by(&container(), &run).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::exists(folder.path().join("ran")).unwrap());
}

//! Private managers, seen from outside: which programs they run, how their owners find them, and what they leave
//! behind.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use client::{Event, Manager, Result};
use protocol::endpoint::MANAGER_VARIABLE;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::helper;
use crate::support::{
    RunningProgram, apply, descendants, eventually, is_alive, kill, socket_of, test, within,
};

/// The time within which no process and no file is left.
const SOON: Duration = Duration::from_secs(1);

/// Owns a private manager, which is a copy of it: uses it, prints its socket, and stays until it is killed.
#[apply(helper)]
pub(crate) fn own() -> Result<()> {
    let manager = Manager::start()?;
    manager.event("mine")?.set()?;
    println!("{}", socket_of(&manager).display());
    loop {
        sleep(Duration::from_secs(1000));
    }
}

/// The same, but this one cannot start copies of itself. Its manager is the program `manager`.
#[apply(helper)]
#[without_init]
pub(crate) fn own_without_init() -> Result<()> {
    own()
}

/// A command for a helper, with a folder for its sockets that no other program uses.
fn owner(helper: impl Fn() -> Result<()>, folder: &TempDir) -> Command {
    let mut command = helper::command(helper);
    command.env("XDG_RUNTIME_DIR", folder.path()).env_remove(MANAGER_VARIABLE);
    command
}

#[apply(test)]
fn a_private_manager_lives_as_long_as_its_handles() {
    let manager = Manager::start().unwrap();
    let socket = socket_of(&manager);
    let stop = manager.event("stop").unwrap();
    let clone = manager.clone();
    drop(manager);
    stop.set_because("still here").unwrap();
    assert_eq!(stop.wait(None).unwrap().unwrap().reason.as_deref(), Some("still here"));

    drop(clone);
    assert!(stop.is_set().unwrap_err().is_manager_gone());
    assert!(Manager::connect_to(&socket).unwrap_err().is_not_running());
    assert!(!socket.exists() && !socket.with_added_extension("lock").exists());
}

#[apply(test)]
fn two_private_managers_know_nothing_of_each_other() {
    let [one, two] = [(); 2].map(|()| Manager::start().unwrap());
    assert_ne!(one.address(), two.address());
    let [first, second]: [Event; 2] = [&one, &two].map(|manager| manager.event("stop").unwrap());
    first.set().unwrap();
    assert!(!second.is_set().unwrap());
    drop(one);
    second.set().unwrap();
}

#[apply(test)]
fn a_private_manager_that_is_killed_is_gone_for_everyone() {
    let manager = Manager::start().unwrap();
    let socket = socket_of(&manager);
    let never = manager.event("never").unwrap();
    // The first line of the lock file is the process id of its holder; see `manager`.
    let lock = fs::read_to_string(socket.with_added_extension("lock")).unwrap();
    let process = lock.lines().next().unwrap().trim().parse().unwrap();
    thread::scope(|scope| {
        let waiters = [(); 8].map(|()| scope.spawn(|| never.wait(None)));
        kill(process, Signal::KILL);
        for waiter in waiters {
            assert!(waiter.join().unwrap().unwrap_err().is_manager_gone());
        }
    });
    let started = Instant::now();
    drop(manager);
    assert!(started.elapsed() < SOON, "nobody waits for a manager that is gone");
    assert!(!socket.exists());
}

#[apply(test)]
fn a_copy_of_its_owner_ends_with_it_and_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    ends_with_owner(&mut owner(own, &folder), &env::current_exe().unwrap());
}

#[apply(test)]
fn the_next_one_clears_away_what_a_killed_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut owner = RunningProgram::start(&mut self::owner(own, &folder));
        let socket = PathBuf::from(owner.line());
        (owner, socket)
    };
    let (_living, living) = start();
    let (mut killed, left) = start();
    let [manager] = descendants(killed.process())[..] else { panic!("it has one child") };
    // The manager is killed first, so that nobody cleans up after it.
    kill(manager, Signal::KILL);
    killed.signal(Signal::KILL);
    killed.wait();
    eventually("the manager is gone", || !is_alive(manager));
    assert!(left.exists() && left.with_added_extension("lock").exists());

    let (_next, next) = start();
    assert!(!left.exists() && !left.with_added_extension("lock").exists());
    for socket in [living, next] {
        assert!(Manager::connect_to(&socket).unwrap().event("mine").unwrap().is_set().unwrap());
        assert!(socket.with_added_extension("lock").exists());
    }
}

#[apply(test)]
fn the_program_manager_ends_with_its_owner_and_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_manager"));
    ends_with_owner(owner(own_without_init, &folder).env(MANAGER_VARIABLE, program), program);
}

#[apply(test)]
fn the_program_manager_is_found_beside_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    // The program of this test is one folder below.
    ends_with_owner(&mut owner(own_without_init, &folder), Path::new(env!("CARGO_BIN_EXE_manager")));
}

#[apply(test)]
fn the_program_manager_is_found_on_the_search_path() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_manager"));
    let (_elsewhere, mut command) = owner_elsewhere(&folder);
    ends_with_owner(command.env("PATH", program.parent().unwrap()), program);
}

/// Starts the owner, kills it, and checks that its manager ends and leaves no files.
fn ends_with_owner(command: &mut Command, program: &Path) {
    let mut owner = RunningProgram::start(command);
    let socket = PathBuf::from(owner.line());
    let [manager] = descendants(owner.process())[..] else { panic!("it has one child") };
    assert_eq!(fs::read_link(format!("/proc/{manager}/exe")).unwrap(), program.canonicalize().unwrap());
    assert!(Manager::connect_to(&socket).unwrap().event("mine").unwrap().is_set().unwrap());

    owner.signal(Signal::KILL);
    owner.wait();
    within(SOON, "the manager is gone", || !is_alive(manager));
    let left: Vec<_> = fs::read_dir(socket.parent().unwrap()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(Manager::connect_to(&socket).unwrap_err().is_not_running());
}

#[apply(test)]
fn a_wrong_program_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let text = complaint(owner(own_without_init, &folder).env(MANAGER_VARIABLE, "/nonexistent/manager"));
    assert!(text.contains("cannot be started from /nonexistent/manager: No such file"), "{text}");
    let text = complaint(owner(own_without_init, &folder).env(MANAGER_VARIABLE, "/bin/true"));
    assert!(text.contains("ended before it was ready (exit status: 0)"), "{text}");
}

#[apply(test)]
fn an_owner_that_finds_no_manager_learns_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (_elsewhere, mut command) = owner_elsewhere(&folder);
    let text = complaint(command.env("PATH", folder.path()));
    assert!(text.contains("rallypoint::init") && text.contains("RALLYPOINT_MANAGER"), "{text}");
}

/// A copy of this program that has no manager beside it, and the folder that it is in.
fn owner_elsewhere(folder: &TempDir) -> (TempDir, Command) {
    // A link and not a copy: a file that was just written may still be open for writing in a fork of another test's
    // thread, and cannot be run then.
    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = elsewhere.path().join("elsewhere");
    fs::hard_link(env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(program);
    command.arg(helper::argument(own_without_init));
    command.env("XDG_RUNTIME_DIR", folder.path()).env_remove(MANAGER_VARIABLE);
    (elsewhere, command)
}

/// The error that an owner prints if it cannot have a manager.
fn complaint(command: &mut Command) -> String {
    let mut owner = RunningProgram::start(command);
    let line = owner.line();
    assert_eq!(owner.wait(), Some(1), "{line}");
    line
}

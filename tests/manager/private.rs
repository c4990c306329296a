//! Private managers, seen from outside: which programs they run, how their owners find them, and what they leave
//! behind.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use client::{Event, Manager, Result};
use protocol::endpoint::{MANAGER_VARIABLE, SOCKET_VARIABLE};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::command::usage;
use crate::support::helper;
use crate::support::{
    RunningProgram, apply, by, descendants, eventually, is_alive, kill, private_folder, socket_of, test,
    within,
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
fn a_foreign_program_of_that_name_is_passed_over() {
    let folder = private_folder();
    let ours = Path::new(env!("CARGO_BIN_EXE_manager"));
    let script = |name: &str, text: &str| {
        let foreign = folder.path().join(name);
        fs::create_dir(&foreign).unwrap();
        let program = foreign.join("manager");
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        foreign
    };
    let foreign = [
        script("talks", "echo hello; sleep 1051 & wait"),
        script("lies", "echo manager is ready at unix:/tmp/x.sock; exec sleep 1052"),
        script("fails", "exit 3"),
    ];
    let runtime = tempfile::tempdir().unwrap();
    let (_elsewhere, mut command) = owner_elsewhere(&runtime);
    let usual = env::var_os("PATH").unwrap();
    let path = |folders: &[PathBuf]| {
        // Scripts need a shell's commands, and no folder of these has another `manager`.
        let usual = env::split_paths(&usual).filter(|folder| !folder.join("manager").exists());
        env::join_paths(folders.iter().cloned().chain(usual)).unwrap()
    };
    let text = complaint(command.env("PATH", path(&foreign)));
    for expected in
        ["it wrote “hello”", "is no manager of Rallypoint", "it wrote “manager is ready at", "status: 3"]
    {
        assert!(text.contains(expected), "{text}");
    }
    let all = [&foreign[..], &[ours.parent().unwrap().to_owned()]].concat();
    ends_with_owner(command.env("PATH", path(&all)), ours);
}

#[apply(test)]
fn a_runtime_folder_that_cannot_be_used_is_passed_over() {
    let folder = private_folder();
    let [file, long] = ["file", &"x".repeat(90)].map(|name| folder.path().join(name));
    fs::write(&file, "").unwrap();
    fs::create_dir(&long).unwrap();
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("rallypoint"), "").unwrap();
    for runtime in [&folder.path().join("missing"), &file, &long, &taken] {
        for mut command in [helper::command(own), helper::command(own_without_init)] {
            command.env("XDG_RUNTIME_DIR", runtime);
            command.env(MANAGER_VARIABLE, env!("CARGO_BIN_EXE_manager"));
            let mut owner = RunningProgram::start(&mut command);
            let socket = PathBuf::from(owner.line());
            assert!(socket.is_absolute() && !socket.starts_with(runtime), "{}", socket.display());
            assert!(Manager::connect_to(&socket).unwrap().event("mine").unwrap().is_set().unwrap());
            owner.signal(Signal::TERM);
            owner.wait();
            eventually("the manager has removed its socket", || !socket.exists());
        }
    }
    assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
}

/// Removes a folder at its end.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[apply(test)]
fn a_folder_that_somebody_else_has_made_is_passed_over() {
    if !geteuid().is_root() {
        // Only root can start a process of another user.
        return;
    }
    // A user that no other test has, and whose usual folder root makes first.
    let user = 65_501;
    let folders = ["", "-own"].map(|rest| Removed(format!("/tmp/rallypoint-{user}{rest}").into()));
    fs::create_dir_all(&folders[0].0).unwrap();
    let mut command = Command::new("/proc/self/exe");
    command.arg(helper::argument(own)).env_remove("XDG_RUNTIME_DIR").env_remove(MANAGER_VARIABLE);
    let mut owner = RunningProgram::start(command.uid(user).gid(user).current_dir("/"));
    let socket = PathBuf::from(owner.line());
    assert_eq!(socket.parent(), Some(folders[1].0.as_path()));
    owner.signal(Signal::TERM);
    owner.wait();
    eventually("the manager has removed its socket", || !socket.exists());

    // The program says what its user can do, and that works.
    let mut command = Command::new(env!("CARGO_BIN_EXE_manager"));
    command.env_remove("XDG_RUNTIME_DIR").env_remove(SOCKET_VARIABLE);
    let mut command = by(&["setpriv", "--reuid=65501", "--regid=65501", "--clear-groups"], &command);
    let (status, _, text) = usage::run(&mut command);
    if status == Some(1) {
        let advice = format!("`--socket {}/manager.sock`", folders[1].0.display());
        assert!(text.contains(&advice), "{text}");
    } else {
        // This user cannot enter the folder of the program.
        assert!(text.contains("setpriv"), "{text}");
    }
}

#[apply(test)]
fn too_few_descriptors_are_told_at_once() {
    let began = Instant::now();
    for mut command in [helper::command(own), helper::command(own_without_init)] {
        command.env(MANAGER_VARIABLE, env!("CARGO_BIN_EXE_manager"));
        let (status, line, text) = usage::run(&mut by(&["prlimit", "--nofile=12"], &command));
        assert_eq!(status, Some(1), "{line}{text}");
        assert!(line.contains("its standard error says why"), "{line}");
        assert!(text.contains("Too many open files") && text.contains("ulimit -Hn"), "{text}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
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

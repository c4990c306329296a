//! What several subjects need: programs that end with their test, processes, and patience.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use client::Manager;
pub(crate) use macro_rules_attribute::apply;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT};
use tempfile::TempDir;

pub(crate) use trials::test;

pub(crate) mod helper;
pub(crate) mod observation;
pub(crate) mod remote_client;
pub(crate) mod trials;

/// How long something that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    within(PATIENCE, what, condition);
}

/// Waits until the condition holds, for a time that is itself under test.
pub(crate) fn within(time: Duration, what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {time:?}: {what}");
        sleep(Duration::from_millis(2));
    }
}

/// A program that a test started, and that ends with the test.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts a program, whose standard output can be read.
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Running { child, stdout }
    }

    /// The process id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output, without the line's end; empty when there are no more.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.process(), signal);
    }

    /// Waits until it has ended. Returns its exit status; none if a signal ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program `manager`, serving a socket in a folder of its own.
pub(crate) struct ManagerProgram {
    pub(crate) running: Running,
    pub(crate) socket: PathBuf,
    _folder: TempDir,
}

impl ManagerProgram {
    /// Starts it, and returns when it is ready.
    pub(crate) fn start() -> ManagerProgram {
        let folder = private_folder();
        // The manager makes the inner folder, as one that only this user can enter.
        let socket = folder.path().join("own/manager.sock");
        ManagerProgram { running: serve(&socket), socket, _folder: folder }
    }

    /// Kills it, if it has not ended, and starts another one at the same socket.
    pub(crate) fn restart(&mut self) {
        self.running.child.kill().unwrap();
        self.running.wait();
        self.running = serve(&self.socket);
    }

    /// Connects to it.
    pub(crate) fn connect(&self) -> Manager {
        Manager::connect_to(&self.socket).unwrap()
    }
}

/// A folder that only this user can enter.
pub(crate) fn private_folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
}

/// The path of a manager's socket.
pub(crate) fn socket_of(manager: &Manager) -> PathBuf {
    manager.address().to_string().strip_prefix("unix:").expect("it has a socket").into()
}

/// Starts a manager at this socket, and returns when it is ready.
pub(crate) fn serve(socket: &Path) -> Running {
    serve_by(&mut Command::new(env!("CARGO_BIN_EXE_manager")), socket)
}

/// Starts a manager at this socket by a command that passes its arguments on, and returns when it is ready.
pub(crate) fn serve_by(command: &mut Command, socket: &Path) -> Running {
    let mut running = Running::start(command.arg("--socket").arg(socket));
    assert_eq!(running.line(), format!("manager is ready at unix:{}", socket.display()));
    running
}

/// Signals a process.
pub(crate) fn kill(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process.cast_signed()).unwrap(), signal).unwrap();
}

/// Whether a process runs. One that has ended and was not reaped does not.
pub(crate) fn is_alive(process: u32) -> bool {
    !matches!(state(Path::new(&format!("/proc/{process}"))), Some('Z' | 'X') | None)
}

/// The state of a process or a thread, given its folder in `/proc`: one of the letters that proc(5) lists.
pub(crate) fn state(folder: &Path) -> Option<char> {
    let text = fs::read_to_string(folder.join("stat")).ok()?;
    // It follows the program's name, which is in parentheses and may itself have some.
    text.rsplit(") ").next()?.chars().next()
}

/// The processes that this one started, those that these started, and so on.
pub(crate) fn descendants(process: u32) -> Vec<u32> {
    let threads =
        fs::read_dir(Path::new("/proc").join(process.to_string()).join("task")).into_iter().flatten();
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = lists
        .flat_map(|list| list.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect();
    children.iter().flat_map(|&child| [vec![child], descendants(child)].concat()).collect()
}

/// Has SIGINT and SIGHUP end this program even if it was started with them ignored, as in the background of a shell.
/// Otherwise the programs that it starts would ignore them too, and tests send them these signals.
pub(crate) fn heed_signals() {
    for signal in [SIGINT, SIGHUP] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, always)
            .expect("these signals may be handled");
    }
}

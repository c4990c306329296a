//! A `worker run` of a test, and what it works with.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use client::Manager;
use client::internal::Reference;
use protocol::{ObjectState, OpenMode, Reply, Request, Selector, Spec};
use tempfile::TempDir;

use crate::support::{ManagerProgram, descendants, eventually, is_alive, within};

/// The time within which no process is left.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// A manager, and a folder for the command to work in.
pub(super) struct RunFixture {
    pub(super) program: ManagerProgram,
    pub(super) manager: Manager,
    pub(super) folder: TempDir,
}

impl RunFixture {
    pub(super) fn new() -> RunFixture {
        let program = ManagerProgram::start();
        let manager = program.connect();
        RunFixture { program, manager, folder: tempfile::tempdir().unwrap() }
    }

    /// A `worker run` with these options, and a shell that runs this script.
    pub(super) fn command(&self, options: &[&str], script: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.arg("run").args(options).arg("--socket").arg(&self.program.socket);
        command.args(["--", "sh", "-c", script]).current_dir(self.folder.path());
        command
    }

    pub(super) fn output(&self, options: &[&str], script: &str) -> Output {
        self.command(options, script).output().unwrap()
    }

    /// Starts it with its standard error captured, and returns when the script has made the file `ready`.
    pub(super) fn start(&self, options: &[&str], script: &str) -> RunProcess {
        let started = RunProcess::from(&mut self.command(options, script));
        eventually("the command runs", || self.path("ready").exists());
        fs::remove_file(self.path("ready")).unwrap();
        started
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn lock(&self) -> Reference {
        let link = self.manager.link();
        Reference::open(link, Some("lock"), Spec::Lock, OpenMode::OpenOrCreate).unwrap()
    }

    /// The process that holds the lock, and whether the lock is abandoned.
    pub(super) fn holder(&self) -> (Option<u32>, bool) {
        let id = self.lock().id();
        let Reply::Object(object) =
            self.manager.link().call(Request::Inspect { object: Selector::Id(id) }).unwrap()
        else {
            panic!("no object");
        };
        let ObjectState::Lock { holder, abandoned, .. } = object.state else { panic!("no lock") };
        (holder.map(|holder| holder.process), abandoned.is_some())
    }

    /// How many requests wait for the lock.
    pub(super) fn waiting(&self) -> u32 {
        let id = self.lock().id();
        match self.manager.link().call(Request::Inspect { object: Selector::Id(id) }).unwrap() {
            Reply::Object(object) => object.waiting,
            other => panic!("{other:?}"),
        }
    }
}

/// A `worker run` whose standard error is captured, and that ends with its test.
pub(super) struct RunProcess {
    pub(super) child: Child,
}

impl RunProcess {
    pub(super) fn from(command: &mut Command) -> RunProcess {
        RunProcess { child: command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap() }
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended. Returns its exit status and its standard error.
    pub(super) fn end(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }

    /// All processes that it and its command started, once all of [`FAMILY`] run.
    pub(super) fn family(&self) -> Vec<u32> {
        // The supervisor, a shell, its two children and two grandchildren; a shell may become one of these itself.
        eventually("all of them run", || descendants(self.process()).len() >= 5);
        descendants(self.process())
    }
}

impl Drop for RunProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A script that starts children and grandchildren, makes the file `ready`, and stays.
pub(super) const FAMILY: &str = "sh -c 'sleep 1021 & sleep 1022' & sleep 1023 & touch ready; wait";

pub(super) fn expect_nobody(processes: &[u32]) {
    for &process in processes {
        within(SOON, "nobody is left", || !is_alive(process));
    }
}

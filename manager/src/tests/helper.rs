//! Helpers: this test program itself, run again as another process.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The variable that names the helper that this process is; without it, it is none.
pub(super) const NAME: &str = "MANAGER_TEST_HELPER";

/// The variable that names the socket.
pub(super) const SOCKET: &str = "MANAGER_TEST_SOCKET";

/// Another process, which is killed when it is dropped.
pub(super) struct HelperProcess {
    pub(super) child: Child,
    output: BufReader<ChildStdout>,
}

impl HelperProcess {
    /// Starts the helper of this name at a socket.
    pub(super) fn start(name: &str, socket: &Path) -> HelperProcess {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "tests::processes::run_helper", "--nocapture"]);
        command.env(NAME, name).env(SOCKET, socket).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        HelperProcess { child, output }
    }

    /// Waits for a line with this text, and returns the rest of the line.
    pub(super) fn wait_for(&mut self, text: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, rest)) = line.split_once(text) {
                return rest.trim_end().to_string();
            }
            line.clear();
        }
        panic!("the other process ended without saying {text:?}");
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for HelperProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Another process: this test program itself, run again to play a part.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The variable that says which part to play; without it there is none.
pub(super) const PART: &str = "MANAGER_TEST_PART";

/// The variable that names the socket.
pub(super) const SOCKET: &str = "MANAGER_TEST_SOCKET";

/// Another process, which is killed when it is dropped.
pub(super) struct Player {
    pub(super) child: Child,
    output: BufReader<ChildStdout>,
}

impl Player {
    /// Starts a part at a socket.
    pub(super) fn start(part: &str, socket: &Path) -> Player {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "tests::processes::play", "--nocapture"]);
        command.env(PART, part).env(SOCKET, socket).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Player { child, output }
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

impl Drop for Player {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

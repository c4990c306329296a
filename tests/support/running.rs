//! Programs that end with the test that started them.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::Signal;

use crate::support::kill;

/// A program that a test started, and that ends with the test.
pub(crate) struct RunningProgram {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl RunningProgram {
    /// Starts a program, whose standard output can be read.
    pub(crate) fn start(command: &mut Command) -> RunningProgram {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        RunningProgram { child, stdout }
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

    /// Kills it, and waits until it has ended.
    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    /// Waits until it has ended. Returns its exit status; none if a signal ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

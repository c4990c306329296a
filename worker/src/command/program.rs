//! The messages between a worker and a command supervisor: the program to start, and the reports on it.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use serde::{Deserialize, Serialize};
use sys::limits::explained;

/// The longest report, in bytes.
pub(super) const REPORT_BYTES_MAX: usize = 32;

/// A program to run, with its arguments and environment. All of it is bytes, as on Unix, so that nothing is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name or path.
    pub program: Vec<u8>,
    /// Its arguments, without its name.
    pub arguments: Vec<Vec<u8>>,
    /// Whether it starts with an empty environment.
    pub is_environment_cleared: bool,
    /// Variables, in order: one with a value is set, one without is removed.
    pub environment: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The folder it runs in; if none, that of the worker.
    pub folder: Option<Vec<u8>>,
}

impl Program {
    /// A program without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Program {
        Program { program: bytes(program), ..Program::default() }
    }

    /// The command that starts it, in the caller's folder.
    pub(super) fn to_command(&self) -> Command {
        let mut command = Command::new(OsStr::from_bytes(&self.program));
        command.args(self.arguments.iter().map(|argument| OsStr::from_bytes(argument)));
        if self.is_environment_cleared {
            command.env_clear();
        }
        for (name, value) in &self.environment {
            let name = OsStr::from_bytes(name);
            match value {
                Some(value) => command.env(name, OsStr::from_bytes(value)),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// The folder to start it in, if one was given.
    pub(super) fn folder(&self) -> Option<OsString> {
        self.folder.clone().map(OsString::from_vec)
    }

    /// The name of the folder or the program, for an error message.
    pub(crate) fn name_of(&self, part: FailedPart) -> String {
        let bytes = match part {
            FailedPart::Folder => self.folder.as_deref().unwrap_or_default(),
            FailedPart::Program => &self.program,
        };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// The bytes of a string of the operating system.
pub(crate) fn bytes(text: impl AsRef<OsStr>) -> Vec<u8> {
    text.as_ref().as_bytes().to_vec()
}

/// The first message to a supervisor, once it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The process that the command must not outlive.
    pub(crate) parent: u32,
    /// What to run.
    pub(crate) program: Program,
}

/// A message from a supervisor, one packet each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// The supervisor leads a session of its own, and waits for its order.
    Ready,
    /// The command runs.
    Started,
    /// There is no command, and the supervisor ends.
    NotStarted { part: FailedPart, errno: i32 },
    /// The command has ended, and its group with it. The supervisor ends.
    Ended(Exit),
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this status; 0 is success.
    Status(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Completes “the command …”.
impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Status(status) => write!(formatter, "exited with status {status}"),
            Exit::Signal(signal) => write!(formatter, "was ended by signal {signal}"),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match status.signal() {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Status(status.code().unwrap_or_default()),
        }
    }
}

/// The part of a command that kept it from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailedPart {
    /// The folder it was to run in.
    Folder,
    /// The program itself, or the system.
    Program,
}

/// Why a command was not started.
#[derive(Debug)]
pub struct NotStarted {
    pub(crate) part: FailedPart,
    /// The operating system's error.
    error: io::Error,
}

impl NotStarted {
    pub(super) fn new(part: FailedPart, error: io::Error) -> NotStarted {
        NotStarted { part, error }
    }

    /// Whether there is no such program, or folder.
    pub fn is_not_found(&self) -> bool {
        self.error.kind() == io::ErrorKind::NotFound
    }
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> NotStarted {
        NotStarted { part: FailedPart::Program, error }
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        explained(&self.error).fmt(formatter)
    }
}

impl Error for NotStarted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_fit_a_packet() {
        for report in [
            Report::Ready,
            Report::Started,
            Report::NotStarted { part: FailedPart::Program, errno: i32::MIN },
            Report::Ended(Exit::Status(i32::MIN)),
        ] {
            let bytes = postcard::to_allocvec(&report).unwrap();
            assert!(bytes.len() <= REPORT_BYTES_MAX);
            assert_eq!(postcard::from_bytes::<Report>(&bytes), Ok(report));
        }
    }
}

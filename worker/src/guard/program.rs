//! What a guardian is told, and what it tells.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use serde::{Deserialize, Serialize};

/// The longest report, in bytes.
pub(super) const REPORT_BYTES_MAX: usize = 32;

/// A program to run, and with what. All of it is bytes, as Unix has it, so that nothing is lost on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name or path.
    pub program: Vec<u8>,
    /// Its arguments, without its name.
    pub arguments: Vec<Vec<u8>>,
    /// Whether it starts with an empty environment.
    pub is_environment_cleared: bool,
    /// Variables with their values, and without one those to be removed, in order.
    pub environment: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The folder it runs in, if not that of who runs it.
    pub folder: Option<Vec<u8>>,
}

impl Program {
    /// A program without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Program {
        Program { program: bytes(program), ..Program::default() }
    }

    /// The command that starts it, in the folder of who calls this.
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

    /// The folder to start it in, if one was said.
    pub(super) fn folder(&self) -> Option<OsString> {
        self.folder.clone().map(OsString::from_vec)
    }

    /// The folder or the program, for people who look for what is wrong with it.
    pub(crate) fn place(&self, place: Place) -> String {
        let bytes = match place {
            Place::Folder => self.folder.as_deref().unwrap_or_default(),
            Place::Program => &self.program,
        };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Text of the system as bytes.
pub(crate) fn bytes(text: impl AsRef<OsStr>) -> Vec<u8> {
    text.as_ref().as_bytes().to_vec()
}

/// What a guardian is told first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The process with which the command ends.
    pub(crate) parent: u32,
    /// What to run.
    pub(crate) program: Program,
}

/// What a guardian tells, one packet each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// The command runs.
    Started,
    /// There is no command, and the guardian ends.
    NotStarted { place: Place, errno: i32 },
    /// The command has ended, and its group with it. The guardian ends.
    Ended(Exit),
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this status; 0 is success.
    Status(i32),
    /// It was ended by this signal.
    Signal(i32),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match status.signal() {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Status(status.code().unwrap_or_default()),
        }
    }
}

/// What a command could not be started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// The folder it was to run in.
    Folder,
    /// The program itself, or the system.
    Program,
}

/// Why a command was not started.
#[derive(Debug)]
pub struct NotStarted {
    /// What is wrong.
    pub(crate) place: Place,
    /// What the system says of it.
    error: io::Error,
}

impl NotStarted {
    pub(super) fn new(place: Place, error: io::Error) -> NotStarted {
        NotStarted { place, error }
    }

    /// Whether there is no such program, or folder.
    pub fn is_not_found(&self) -> bool {
        self.error.kind() == io::ErrorKind::NotFound
    }
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> NotStarted {
        NotStarted { place: Place::Program, error }
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl Error for NotStarted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_fit_a_packet() {
        for report in [
            Report::Started,
            Report::NotStarted { place: Place::Program, errno: i32::MIN },
            Report::Ended(Exit::Status(i32::MIN)),
        ] {
            let bytes = postcard::to_allocvec(&report).unwrap();
            assert!(bytes.len() <= REPORT_BYTES_MAX);
            assert_eq!(postcard::from_bytes::<Report>(&bytes), Ok(report));
        }
    }
}

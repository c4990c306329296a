//! The messages between a worker and a command supervisor: the program to start, and the reports on it.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use protocol::NamedSignal;
use rustix::io::Errno;
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

    /// What the file of this program has to do with this error; none if there is no file, or only a search would find
    /// it.
    fn fault(&self, error: &io::Error) -> Option<&'static str> {
        if Errno::from_io_error(error) == Some(Errno::NOEXEC) {
            let text = "; it is neither a program for this machine nor a script that begins with its interpreter, as \
                        in #!/bin/sh";
            return Some(text);
        }
        if self.program.is_empty() {
            return Some("; the name of the command is empty");
        }
        let folder = self.folder.as_deref().unwrap_or_default();
        let path = Path::new(OsStr::from_bytes(folder)).join(OsStr::from_bytes(&self.program));
        let file = self.program.contains(&b'/').then(|| fs::metadata(path))?.ok()?;
        match error.kind() {
            io::ErrorKind::NotFound => {
                Some("; the file is there, and the interpreter that it begins with is not")
            }
            io::ErrorKind::PermissionDenied if file.is_dir() => Some("; it is a folder"),
            io::ErrorKind::PermissionDenied if file.mode() & 0o111 == 0 => {
                Some("; it is not executable, which `chmod +x` would make it")
            }
            _ => None,
        }
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
    /// The signals that the command ignores when it starts, as `sys::inherited` has them.
    pub(crate) ignored: u64,
    /// The signals that are blocked when it starts.
    pub(crate) blocked: u64,
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
            Exit::Signal(signal) => write!(formatter, "was ended by {}", NamedSignal(*signal)),
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
    /// What the file has to do with it, if it is there.
    found: Option<&'static str>,
}

impl NotStarted {
    pub(super) fn new(program: &Program, part: FailedPart, error: io::Error) -> NotStarted {
        let found = if part == FailedPart::Program { program.fault(&error) } else { None };
        NotStarted { part, error, found }
    }

    /// Whether there is no such program, or folder.
    pub fn is_not_found(&self) -> bool {
        self.error.kind() == io::ErrorKind::NotFound && self.found.is_none()
    }
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> NotStarted {
        NotStarted { part: FailedPart::Program, error, found: None }
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found.unwrap_or_default();
        write!(formatter, "{}{found}", explained(&self.error))
    }
}

impl Error for NotStarted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_cannot_be_started_is_explained_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let fault = |name: &str, errno: Errno| {
            let program = Program { folder: Some(bytes(folder.path())), ..Program::new(name) };
            NotStarted::new(&program, FailedPart::Program, errno.into())
        };
        for (name, errno, expected) in [
            ("./file", Errno::ACCESS, "chmod +x"),
            ("./file", Errno::NOENT, "interpreter"),
            ("./file", Errno::NOEXEC, "#!/bin/sh"),
            ("./", Errno::ACCESS, "it is a folder"),
        ] {
            let fault = fault(name, errno);
            assert!(fault.to_string().contains(expected) && !fault.is_not_found(), "{fault}");
        }
        for name in ["file", "./none"] {
            let fault = fault(name, Errno::NOENT);
            assert_eq!(fault.to_string(), io::Error::from(Errno::NOENT).to_string());
            assert!(fault.is_not_found());
        }
    }

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

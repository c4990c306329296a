//! Why a manager cannot start, or cannot go on.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use protocol::endpoint::{SOCKET_PATH_BYTES_MAX, SOCKET_VARIABLE};
use rustix::io::Errno;
use sys::limits::explained;
use transport::shell_word;
use transport::unix::FOLDER_VARIABLE;

pub use folder::FolderError;
pub(crate) use shown::shown;

mod folder;
mod shown;

/// Why a manager cannot start, or cannot go on. The text says what to do about it, where something can be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The path of the socket does not fit into a socket's address.
    PathTooLong {
        /// The path.
        socket: PathBuf,
    },
    /// The path of the socket does not end in the name of a file.
    PathWithoutName {
        /// The path.
        socket: PathBuf,
    },
    /// The path of the socket is that of a folder.
    PathIsFolder {
        /// The folder.
        folder: PathBuf,
        /// A path that would do.
        instead: PathBuf,
    },
    /// The socket's folder, or the way to it, cannot be used.
    Folder(FolderError),
    /// The socket's folder, which a variable of the environment names, cannot be used.
    FolderOfVariable {
        /// Why.
        error: FolderError,
        /// Whether this is a private manager, whose socket nobody chooses.
        is_private: bool,
    },
    /// No folder can hold the socket of a private manager.
    NoPrivateSocket {
        /// Why not, for each that was tried.
        reasons: Vec<Error>,
    },
    /// The lock file beside the socket cannot be opened, locked or written.
    Lock {
        /// The lock file.
        lock: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another manager serves this socket.
    AlreadyServed {
        /// The socket.
        socket: PathBuf,
        /// The process id of the other manager, if its lock file tells.
        holder: Option<u32>,
    },
    /// Another manager holds the lock of this socket, and there is no socket: it was removed, or is about to come or
    /// go.
    ServedWithoutSocket {
        /// The socket.
        socket: PathBuf,
        /// The process id of the other manager, if its lock file tells.
        holder: Option<u32>,
    },
    /// A process listens at this socket, and holds no lock of a manager.
    ForeignListener {
        /// The socket.
        socket: PathBuf,
        /// The process id, if the system tells.
        process: Option<u32>,
    },
    /// There is a socket of another type at the path, such as one for datagrams. The manager leaves it alone.
    SocketOfAnotherType {
        /// The socket.
        socket: PathBuf,
    },
    /// There is a file of another kind where the socket should be. The manager leaves it alone.
    NotASocket {
        /// The path.
        socket: PathBuf,
        /// Whether it is a symbolic link.
        is_link: bool,
    },
    /// The socket cannot be bound.
    Bind {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system refuses something that a manager needs.
    System {
        /// What was attempted, as in “wait for events”.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// An error of the system in an attempt to do `action`; for `map_err`.
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::System { action, source }
    }
}

impl From<FolderError> for Error {
    fn from(error: FolderError) -> Error {
        Error::Folder(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::PathTooLong { socket } => write!(
                formatter,
                "the socket's path {} has {} bytes, and a socket's path has at most {SOCKET_PATH_BYTES_MAX}; \
                 choose a shorter one",
                shown(socket),
                socket.as_os_str().len()
            ),
            Error::PathWithoutName { socket } => write!(
                formatter,
                "the socket's path “{}” does not end in a file name; name a file in a folder of your own, as in \
                 `--socket /path/manager.sock`",
                shown(socket)
            ),
            Error::PathIsFolder { folder, instead } => write!(
                formatter,
                "{} is a folder, and a socket is a file in one; name that, as in `--socket {}`",
                shown(folder),
                shell_word(instead)
            ),
            Error::Folder(error) => error.fmt(formatter),
            Error::FolderOfVariable { error, is_private } => {
                write!(formatter, "{error} (that comes from a variable: correct or unset {FOLDER_VARIABLE}")?;
                if !is_private {
                    write!(formatter, ", or name another socket, with {SOCKET_VARIABLE} or --socket")?;
                }
                formatter.write_str(")")
            }
            Error::NoPrivateSocket { reasons } => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                write!(formatter, "no folder can hold a private socket: {}", reasons.join("; also "))
            }
            Error::Lock { lock, source } => write!(
                formatter,
                "the lock file {} cannot be taken: {}{}",
                shown(lock),
                explained(source),
                advice_on_lock(lock, source)
            ),
            Error::AlreadyServed { socket, holder } => write!(
                formatter,
                "another manager {}serves {}; end it, or choose another socket",
                Number(*holder),
                shown(socket)
            ),
            Error::ServedWithoutSocket { socket, holder } => write!(
                formatter,
                "another manager {}holds the lock of {}, where there is no socket: it was removed, or is about to \
                 come or go; end that manager, and try again",
                Number(*holder),
                shown(socket)
            ),
            Error::ForeignListener { socket, process } => write!(
                formatter,
                "a process {}listens at {} without the lock of a manager; end it, or choose another socket",
                Number(*process),
                shown(socket)
            ),
            Error::SocketOfAnotherType { socket } => write!(
                formatter,
                "the socket at {} is of another type than a manager's; choose another path",
                shown(socket)
            ),
            Error::NotASocket { socket, is_link } => {
                write!(formatter, "{} is {}", shown(socket), instead_of_socket(*is_link))
            }
            Error::Bind { socket, source } => {
                write!(formatter, "the socket {} cannot be bound: {}", shown(socket), explained(source))
            }
            Error::System { action, source } => write!(formatter, "cannot {action}: {}", explained(source)),
        }
    }
}

/// What is where a socket should be, and what to do about it.
fn instead_of_socket(is_link: bool) -> &'static str {
    match is_link {
        true => "a symbolic link, and no socket; remove it, or name what it leads to",
        false => "there and is not a socket; choose another path",
    }
}

/// What to do about a lock file that cannot be taken.
fn advice_on_lock(lock: &Path, source: &io::Error) -> String {
    let advice = match Errno::from_io_error(source) {
        Some(Errno::LOOP) => "it is a symbolic link; remove it".to_owned(),
        Some(Errno::ISDIR) => "it is a folder; remove it, or choose another socket".to_owned(),
        Some(Errno::ACCESS | Errno::PERM) => format!(
            "this user needs to read and write it: remove it, if no manager runs, or run `chmod 600 {}`",
            shell_word(lock)
        ),
        Some(Errno::ROFS | Errno::NOSPC | Errno::DQUOT) => {
            "choose a socket in a folder in which this user may write".to_owned()
        }
        _ => return String::new(),
    };
    format!("; {advice}")
}

/// The number of a process in brackets, and a space; nothing if it is not known.
struct Number(Option<u32>);

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(process) => write!(formatter, "(process {process}) "),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Lock { source, .. } | Error::Bind { source, .. } | Error::System { source, .. } => {
                Some(source)
            }
            Error::Folder(error) => error.source(),
            Error::FolderOfVariable { error, .. } => Some(error),
            _ => None,
        }
    }
}

//! Why a manager cannot start, or cannot go on.

use std::path::PathBuf;
use std::{fmt, io};

use protocol::endpoint::SOCKET_PATH_BYTES_MAX;

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
    /// The socket's folder does not exist and cannot be made, or cannot be examined.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The socket's folder, or one on the way to it, is a link; another user who may change a link may send clients
    /// elsewhere.
    FolderIsLink {
        /// The link.
        folder: PathBuf,
    },
    /// What should be the socket's folder, or one on the way to it, is something else.
    FolderIsNone {
        /// The path of the thing.
        folder: PathBuf,
    },
    /// The socket's folder belongs to another user.
    FolderOfAnother {
        /// The folder.
        folder: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id of this process.
        user: u32,
        /// A path of the socket that would do.
        instead: PathBuf,
    },
    /// The socket's folder has permissions for others than its owner.
    FolderOpenToOthers {
        /// The folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// A path of the socket that would do, if others may need the folder as it is.
        instead: Option<PathBuf>,
    },
    /// On the way to the socket's folder is one in which others may replace it.
    WayOpenToOthers {
        /// The folder on the way.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
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
    /// There is a file of another kind where the socket should be. The manager leaves it alone.
    NotASocket {
        /// The path.
        socket: PathBuf,
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

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::PathTooLong { socket } => write!(
                formatter,
                "the socket's path {} has {} bytes, and a socket's path has at most {SOCKET_PATH_BYTES_MAX}; \
                 choose a shorter one",
                socket.display(),
                socket.as_os_str().len()
            ),
            Error::PathWithoutName { socket } => {
                write!(formatter, "the socket's path “{}” does not end in a file name", socket.display())
            }
            Error::Folder { folder, source } => write!(
                formatter,
                "the socket's folder {} cannot be used: {source}; only the last folder of the path is made if \
                 it is missing",
                folder.display()
            ),
            Error::PathIsFolder { folder, instead } => write!(
                formatter,
                "{} is a folder, and a socket is a file in one; name that, as in `--socket {}`",
                folder.display(),
                instead.display()
            ),
            Error::FolderIsLink { folder } => write!(
                formatter,
                "{}, on the way to the socket, is a symbolic link; name the folder that it leads to",
                folder.display()
            ),
            Error::FolderIsNone { folder } => write!(
                formatter,
                "{}, on the way to the socket, is not a folder; choose another path",
                folder.display()
            ),
            Error::FolderOfAnother { folder, owner, user, instead } => write!(
                formatter,
                "the socket's folder {} belongs to user {owner}, and this is user {user}; choose a folder of \
                 your own, which is made if it is missing: `--socket {}`",
                folder.display(),
                instead.display()
            ),
            Error::FolderOpenToOthers { folder, mode, instead: None } => write!(
                formatter,
                "the socket's folder {0} is open to others (mode {mode:04o}); run `chmod 700 {0}`, or choose \
                 another",
                folder.display()
            ),
            Error::FolderOpenToOthers { folder, mode, instead: Some(instead) } => write!(
                formatter,
                "the socket's folder {} is open to others (mode {mode:04o}); choose a folder of your own, \
                 which is made if it is missing: `--socket {}`",
                folder.display(),
                instead.display()
            ),
            Error::WayOpenToOthers { folder, mode } => write!(
                formatter,
                "the folder {}, on the way to the socket, is open to changes by others (mode {mode:04o}), \
                 who could put another in the place of the socket's; choose another path",
                folder.display()
            ),
            Error::Lock { lock, source } => {
                write!(formatter, "the lock file {} cannot be taken: {source}", lock.display())
            }
            Error::AlreadyServed { socket, holder } => {
                write!(formatter, "another manager ")?;
                if let Some(holder) = holder {
                    write!(formatter, "(process {holder}) ")?;
                }
                write!(formatter, "serves {}; end it, or choose another socket", socket.display())
            }
            Error::NotASocket { socket } => {
                write!(formatter, "{} is there and is not a socket; choose another path", socket.display())
            }
            Error::Bind { socket, source } => {
                write!(formatter, "the socket {} cannot be bound: {source}", socket.display())
            }
            Error::System { action, source } => write!(formatter, "cannot {action}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Folder { source, .. }
            | Error::Lock { source, .. }
            | Error::Bind { source, .. }
            | Error::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

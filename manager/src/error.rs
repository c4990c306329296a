//! Why a manager cannot start, or cannot go on.

use std::path::PathBuf;
use std::{fmt, io};

use protocol::endpoint::{SOCKET_PATH_BYTES_MAX, SOCKET_VARIABLE};
use rustix::io::Errno;
use transport::unix::FOLDER_VARIABLE;

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
    /// The socket's folder, which a variable of the environment names, cannot be used.
    FolderOfVariable {
        /// Why.
        error: Box<Error>,
        /// Whether this is a private manager, whose socket nobody chooses.
        is_private: bool,
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

    /// Whether the folder of the socket is what is wrong.
    pub(crate) fn is_of_folder(&self) -> bool {
        matches!(
            self,
            Error::Folder { .. }
                | Error::FolderIsLink { .. }
                | Error::FolderIsNone { .. }
                | Error::FolderOfAnother { .. }
                | Error::FolderOpenToOthers { .. }
                | Error::WayOpenToOthers { .. }
        )
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
                let path = socket.display();
                write!(
                    formatter,
                    "the socket's path “{path}” does not end in a file name; name a file in a folder of your own, \
                     as in `--socket /path/manager.sock`"
                )
            }
            Error::Folder { folder, source } => write!(
                formatter,
                "the socket's folder {} cannot be used: {source}{}",
                folder.display(),
                advice_on_folder(source)
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
            Error::FolderOfVariable { error, is_private } => {
                write!(formatter, "{error} (that comes from a variable: correct or unset {FOLDER_VARIABLE}")?;
                if !is_private {
                    write!(formatter, ", or name another socket, with {SOCKET_VARIABLE} or --socket")?;
                }
                formatter.write_str(")")
            }
            Error::Lock { lock, source } => {
                let advice = match Errno::from_io_error(source) {
                    Some(Errno::LOOP) => "; it is a symbolic link; remove it",
                    _ => "",
                };
                write!(formatter, "the lock file {} cannot be taken: {source}{advice}", lock.display())
            }
            Error::AlreadyServed { socket, holder } => write!(
                formatter,
                "another manager {}serves {}; end it, or choose another socket",
                Number(*holder),
                socket.display()
            ),
            Error::ServedWithoutSocket { socket, holder } => write!(
                formatter,
                "another manager {}holds the lock of {}, where there is no socket: it was removed, or is about to \
                 come or go; end that manager, and try again",
                Number(*holder),
                socket.display()
            ),
            Error::ForeignListener { socket, process } => write!(
                formatter,
                "a process {}listens at {} without the lock of a manager; end it, or choose another socket",
                Number(*process),
                socket.display()
            ),
            Error::SocketOfAnotherType { socket } => write!(
                formatter,
                "the socket at {} is of another type than a manager's; choose another path",
                socket.display()
            ),
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

/// What to do about a folder that cannot be made or looked at.
fn advice_on_folder(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "; only the last folder of the path is made if it is missing",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder in which this user may write"
        }
        _ => "",
    }
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
            Error::Folder { source, .. }
            | Error::Lock { source, .. }
            | Error::Bind { source, .. }
            | Error::System { source, .. } => Some(source),
            Error::FolderOfVariable { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_on_a_folder_fits_what_the_system_says() {
        let text =
            |kind: io::ErrorKind| Error::Folder { folder: "/a/b".into(), source: kind.into() }.to_string();
        assert!(
            text(io::ErrorKind::NotFound)
                .ends_with("only the last folder of the path is made if it is missing")
        );
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            assert!(text(kind).ends_with("choose a folder in which this user may write"), "{kind}");
        }
        let full = text(io::ErrorKind::StorageFull);
        assert!(full.ends_with(&io::ErrorKind::StorageFull.to_string()), "{full}");
    }
}

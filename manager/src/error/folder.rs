//! Why the folder of a socket cannot be used.

use std::path::PathBuf;
use std::{fmt, io};

use transport::shell_word;

use super::shown::shown;

/// Why the folder of a socket, or the way to it, cannot be used. The text says what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum FolderError {
    /// The socket's folder does not exist and cannot be made, or cannot be examined.
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The socket's folder, or one on the way to it, is a link; another user who may change a link may send clients
    /// elsewhere.
    IsLink {
        /// The link.
        folder: PathBuf,
    },
    /// What should be the socket's folder, or one on the way to it, is something else.
    IsNone {
        /// The path of the thing.
        folder: PathBuf,
    },
    /// The socket's folder belongs to another user.
    OfAnother {
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
    OpenToOthers {
        /// The folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// A path of the socket that would do, if others may need the folder as it is.
        instead: Option<PathBuf>,
    },
    /// On the way to the socket's folder is one of a user who is neither root nor this one, and who could replace what
    /// is in it.
    WayOfAnother {
        /// The folder on the way.
        folder: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id of this process.
        user: u32,
    },
    /// On the way to the socket's folder is one in which others may replace it.
    WayOpenToOthers {
        /// The folder on the way.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for FolderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FolderError::Unusable { folder, source } => write!(
                formatter,
                "the socket's folder {} cannot be used: {source}{}",
                shown(folder),
                advice_on_folder(source)
            ),
            FolderError::IsLink { folder } => write!(
                formatter,
                "{}, on the way to the socket, is a symbolic link; name the folder that it leads to",
                shown(folder)
            ),
            FolderError::IsNone { folder } => write!(
                formatter,
                "{}, on the way to the socket, is not a folder; choose another path",
                shown(folder)
            ),
            FolderError::OfAnother { folder, owner, user, instead } => write!(
                formatter,
                "the socket's folder {} belongs to user {owner}, and this is user {user}; choose a folder of \
                 your own, which is made if it is missing: `--socket {}`",
                shown(folder),
                shell_word(instead)
            ),
            FolderError::OpenToOthers { folder, mode, instead: None } => write!(
                formatter,
                "the socket's folder {} is open to others (mode {mode:04o}); run `chmod 700 {}`, or choose \
                 another",
                shown(folder),
                shell_word(folder)
            ),
            FolderError::OpenToOthers { folder, mode, instead: Some(instead) } => write!(
                formatter,
                "the socket's folder {} is open to others (mode {mode:04o}); choose a folder of your own, \
                 which is made if it is missing: `--socket {}`",
                shown(folder),
                shell_word(instead)
            ),
            FolderError::WayOfAnother { folder, owner, user } => write!(
                formatter,
                "the folder {}, on the way to the socket, belongs to user {owner}, who could put another in the place \
                 of the socket's, and this is user {user}; choose a path through folders of root's and your own",
                shown(folder)
            ),
            FolderError::WayOpenToOthers { folder, mode } => write!(
                formatter,
                "the folder {}, on the way to the socket, is open to changes by others (mode {mode:04o}), \
                 who could put another in the place of the socket's; choose another path",
                shown(folder)
            ),
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

impl std::error::Error for FolderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FolderError::Unusable { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_on_a_folder_fits_what_the_system_says() {
        let text = |kind: io::ErrorKind| {
            FolderError::Unusable { folder: "/a/b".into(), source: kind.into() }.to_string()
        };
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

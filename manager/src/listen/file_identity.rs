//! Which file a path leads to, whatever it is called.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether an open file is the one at this path.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    Ok(identity(found) == identity(file.metadata()?))
}

/// What tells a file from all others while it exists: its device and inode.
pub(crate) fn identity(metadata: Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

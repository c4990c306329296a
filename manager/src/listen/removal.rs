//! Removes a socket that no manager serves any more.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use transport::Stream;
use transport::unix::LocalStream;

use crate::Error;

/// How long after its lock a killed manager may still seem to listen: the system closes its files one by one.
const LAST_BREATH: Duration = Duration::from_millis(50);

/// Unlinks a socket that no manager serves any more: this process must hold its lock, and no process may listen there.
/// Returns whether there was one.
pub(crate) fn remove_stale(socket: &Path) -> Result<bool, Error> {
    let failed = |source| Error::Bind { socket: socket.into(), source };
    if !look_for_stale(socket)? {
        return Ok(false);
    }
    if probe(socket)?.is_some() {
        std::thread::sleep(LAST_BREATH);
        if let Some(stream) = probe(socket)? {
            return Err(Error::ForeignListener { socket: socket.into(), process: listener_of(&stream) });
        }
    }
    fs::remove_file(socket).map_err(failed)?;
    Ok(true)
}

/// Whether there is a socket already. Something else there is an error.
pub(crate) fn look_for_stale(socket: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(socket) {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(true),
        Ok(metadata) => Err(Error::NotASocket { socket: socket.into(), is_link: metadata.is_symlink() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Bind { socket: socket.into(), source }),
    }
}

/// A connection to the process that listens at this socket; none if nobody listens. Never waits, and counts a full
/// queue of connections as a process that listens.
pub(crate) fn probe(socket: &Path) -> Result<Option<LocalStream>, Error> {
    let socket = socket.to_owned();
    match LocalStream::connect(&socket) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::PROTOTYPE) => {
            Err(Error::SocketOfAnotherType { socket })
        }
        Err(source) => Err(Error::Bind { socket, source }),
    }
}

/// The process that listens at the other end of a connection, if the system tells.
fn listener_of(stream: &LocalStream) -> Option<u32> {
    stream.peer().ok()?.process
}

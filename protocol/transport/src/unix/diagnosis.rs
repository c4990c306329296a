//! From the path of a socket to a stream, or to what is wrong there and what to do about it.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use protocol::endpoint::{SOCKET_PATH_BYTES_MAX, SOCKET_VARIABLE};
use protocol::escaped;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use sys::limits::explained;
use sys::process::{Process, effective_user};

use super::{FOLDER_VARIABLE, LocalStream, is_in_folder_of_variable, lock_of};
use crate::{Address, ConnectError, ConnectErrorKind, Stream, shell_word};

/// The address of a socket with the path that is the same for every process.
pub(crate) fn canonical(socket: &Path) -> Result<Address, ConnectError> {
    check_length(socket)?;
    let path = fs::canonicalize(socket).map_err(|error| not_connected(socket, &error))?;
    check_length(&path)?;
    if path.to_str().is_none() {
        let path = escaped(path.display());
        let text = format!("the path of a socket must be UTF-8, and {path} is not");
        return Err(ConnectError::new(ConnectErrorKind::NotText, text));
    }
    Address::unix(path).map_err(|error| other(error.to_string()))
}

/// Begins to connect to a socket.
pub(crate) fn connect(socket: &Path) -> Result<Box<dyn Stream>, ConnectError> {
    let stream = LocalStream::connect(socket).map_err(|error| not_connected(socket, &error))?;
    match stream.is_connected() {
        true => Ok(Box::new(stream)),
        false => {
            let text = format!("what listens at {} has no room for another connection", shown(socket));
            Err(ConnectError::new(ConnectErrorKind::Full, text))
        }
    }
}

/// The error for a socket at which nobody listens.
pub(crate) fn refused(socket: &Path) -> ConnectError {
    not_running(socket, ConnectErrorKind::Refused)
}

/// The address of this socket, for messages.
fn shown(socket: &Path) -> String {
    format!("unix:{}", escaped(socket.display()))
}

/// The command that starts a manager at this socket.
fn command(socket: &Path) -> String {
    let mut address = OsString::from("unix:");
    address.push(socket);
    format!("`manager --socket {}`", shell_word(address))
}

fn check_length(socket: &Path) -> Result<(), ConnectError> {
    let bytes = socket.as_os_str().len();
    if bytes <= SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    let text = format!(
        "the path of a socket has at most {SOCKET_PATH_BYTES_MAX} bytes, this one has {bytes}; \
         use a shorter one than {}",
        escaped(socket.display())
    );
    Err(ConnectError::new(ConnectErrorKind::TooLong, text))
}

fn not_connected(socket: &Path, error: &io::Error) -> ConnectError {
    let address = shown(socket);
    match error.kind() {
        ErrorKind::ConnectionRefused => refused(socket),
        ErrorKind::NotFound | ErrorKind::NotADirectory => not_running(socket, ConnectErrorKind::Missing),
        ErrorKind::PermissionDenied => other(format!(
            "this user may not connect to {address} (permission denied); use a socket of your own"
        )),
        _ if Errno::from_io_error(error) == Some(Errno::PROTOTYPE) => other(format!(
            "the socket at {address} is of another type than a manager's; name the socket of a manager"
        )),
        _ => other(format!("cannot connect to {address}: {}", explained(error))),
    }
}

fn other(text: String) -> ConnectError {
    ConnectError::new(ConnectErrorKind::Other, text)
}

/// The error for a path at which nothing listens. It advises to start a manager only where one would start.
fn not_running(socket: &Path, kind: ConnectErrorKind) -> ConnectError {
    let address = shown(socket);
    if let Ok(found) = fs::metadata(socket)
        && !found.file_type().is_socket()
    {
        let what = if found.is_dir() { "a folder" } else { "a file" };
        let path = escaped(socket.display());
        return other(format!("{path} is {what}, not a socket; name the socket of a manager"));
    }
    let text = if let Ok(target) = fs::read_link(socket) {
        let target = escaped(target.display());
        format!(
            "no manager is running at {address}, which is a symbolic link to {target}, and none would start there; \
             remove it, and start one with {}",
            command(socket)
        )
    } else if let Some(obstacle) = obstacle_to_a_manager(socket) {
        let way_out = if is_in_folder_of_variable(socket) {
            format!(
                "correct or unset {FOLDER_VARIABLE}, or name another socket, with {SOCKET_VARIABLE} or --socket"
            )
        } else {
            "start one with `manager`, and name the socket that it prints".to_owned()
        };
        format!("no manager is running at {address}, and none would start there, as {obstacle}; {way_out}")
    } else if let Some(holder) = holder_without_socket(socket) {
        format!(
            "no manager can be reached at {address}: process {holder} holds its lock, and there is no socket, which \
             was removed, or is about to come or go; end process {holder} first, and then start a manager with {}",
            command(socket)
        )
    } else {
        format!("no manager is running at {address}; start one with {}", command(socket))
    };
    ConnectError::new(kind, text)
}

/// Why no manager would serve this socket. A folder that is missing is none, as a manager makes it, but the one above
/// it must be there.
fn obstacle_to_a_manager(socket: &Path) -> Option<String> {
    let folder = socket.parent()?;
    let what = match fs::symlink_metadata(folder) {
        Ok(found) if !found.is_dir() => "is not a folder",
        Ok(found) if found.uid() != effective_user() => "belongs to another user",
        Ok(found) if found.mode() & 0o077 != 0 => "is open to others",
        Ok(_) => return None,
        Err(_) => {
            let above = folder.parent()?;
            let shown = escaped(above.display());
            return match fs::metadata(above) {
                Ok(found) if !found.is_dir() => Some(format!("{shown} is not a folder")),
                Ok(_) if access(above, Access::WRITE_OK | Access::EXEC_OK).is_err() => {
                    Some(format!("this user cannot make a folder in {shown}"))
                }
                Ok(_) => None,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Some(format!("the folder {shown} is missing"))
                }
                Err(error) => Some(format!("{shown} cannot be entered ({error})")),
            };
        }
    };
    Some(format!("{} {what}", escaped(folder.display())))
}

/// The process that holds the lock of a socket that is not there: a manager whose socket was removed under it.
fn holder_without_socket(socket: &Path) -> Option<u32> {
    if fs::symlink_metadata(socket).is_ok() {
        return None;
    }
    let mut lock = File::open(lock_of(socket)).ok()?;
    let mut text = String::new();
    (&mut lock).take(16).read_to_string(&mut text).ok()?;
    let holder = text.trim_end().parse().ok()?;
    // Looked at first, as a manager that starts now would find the lock taken.
    Process::open(holder).ok()?;
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)).then_some(holder)
}

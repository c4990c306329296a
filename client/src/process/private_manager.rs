//! A private manager: a process of its own, which ends with its handle.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use protocol::endpoint::MANAGER_VARIABLE;
use protocol::escaped;
use sys::Signal;
use sys::limits::explained;
use sys::poll::is_readable_within;
use sys::process::Process;
use transport::{Address, unix};
use uuid::Uuid;

use crate::{Error, ErrorKind, Result};

/// How long a manager may take until it is ready.
const READY_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a manager may take to end on request, before it is killed.
const END_TIME_MAX: Duration = Duration::from_secs(2);

/// A manager process that this process started. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct PrivateManager {
    socket: PathBuf,
    /// The process that started it. A forked child has a copy of this value, whose drop ends nothing.
    owner: u32,
    child: Child,
    /// Readable when the manager has ended.
    ending: Process,
    /// The other end of its standard output, kept open so that the manager can write there without an error.
    _output: File,
}

impl PrivateManager {
    /// Starts a manager, and returns when it is ready.
    pub(crate) fn start() -> Result<PrivateManager> {
        let socket = private_socket();
        let mut command = command(&Address::unix(&socket)?)?;
        // In a group of its own, so that Ctrl-C in a terminal reaches the program alone, which then ends its
        // manager.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| {
            let program = escaped(command.get_program().display());
            failed(format!("a private manager cannot be started from {program}: {}", explained(&error)))
        })?;
        let output = child.stdout.take().expect("it was asked for");
        let ending = match Process::of_child(&child) {
            Ok(ending) => ending,
            Err(errno) => {
                // It is a child of this process, so these two calls cannot fail, nor hit another process.
                let _ = child.kill().and_then(|()| child.wait());
                return Err(failed(format!("a private manager cannot be watched: {}", explained(&errno))));
            }
        };
        let output = File::from(OwnedFd::from(output));
        let mut manager =
            PrivateManager { socket, owner: std::process::id(), child, ending, _output: output };
        manager.wait_until_ready()?;
        Ok(manager)
    }

    /// The address of the manager.
    pub(crate) fn address(&self) -> Result<Address> {
        Ok(Address::unix(&self.socket)?)
    }

    /// Waits for the one line that a manager writes when it is ready.
    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_TIME_MAX;
        let mut bytes = [0; 512];
        loop {
            if !is_readable_by(&self._output, deadline) {
                let seconds = READY_TIME_MAX.as_secs();
                return Err(failed(format!(
                    "a private manager was started and is not ready after {seconds} s"
                )));
            }
            match self._output.read(&mut bytes) {
                Ok(0) => return Err(self.early_end()),
                Ok(count) if bytes[..count].contains(&b'\n') => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == IoErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(failed(format!("the output of a private manager cannot be read: {error}")));
                }
            }
        }
    }

    /// The error for a manager that closed its standard output without a line.
    fn early_end(&mut self) -> Error {
        if !is_readable_by(&self.ending, Instant::now() + END_TIME_MAX) {
            return failed("a private manager was started and closed its standard output".to_owned());
        }
        match self.child.wait() {
            Ok(status) => failed(format!(
                "a private manager was started and ended before it was ready ({status}); \
                 its standard error says why"
            )),
            Err(error) => failed(format!("a private manager was started and ended: {error}")),
        }
    }
}

impl Drop for PrivateManager {
    fn drop(&mut self) {
        if std::process::id() != self.owner {
            return;
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.ending.signal(Signal::TERM);
            if !is_readable_by(&self.ending, Instant::now() + END_TIME_MAX) {
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
        // A killed manager leaves its files. The name belongs to this manager alone, so no other manager can be there.
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_file(unix::lock_of(&self.socket));
    }
}

/// A socket for a manager of this process alone, in the user's folder. No two are the same, nor are those of containers
/// that share the folder and have the same process ids.
///
/// A manager recognizes a file by the beginning and the end of its name, and may remove it once no process holds its
/// lock: see `stale_sockets` in the package `manager`.
fn private_socket() -> PathBuf {
    unix::default_folder().join(format!("private-{}.sock", Uuid::new_v4().simple()))
}

/// The command that runs a private manager at this address: a copy of this program, or the `manager` program.
fn command(address: &Address) -> Result<Command> {
    let owner = std::process::id().to_string();
    #[cfg(feature = "embedded")]
    if crate::process::role::is_initialized() {
        return crate::process::role::copy_of_this_program(
            crate::process::role::MANAGER,
            [address.as_ref(), owner.as_ref()],
        );
    }
    let mut command = Command::new(manager_program()?);
    command.arg("--socket").arg(address).arg("--parent").arg(owner);
    Ok(command)
}

/// What a program does so that it needs no other, if it can be its own manager.
const INIT_ADVICE: &str = match cfg!(feature = "embedded") {
    true => "call `rallypoint::init` first thing in `main`, or ",
    false => "",
};

/// The `manager` program: named by the environment, beside this program or one folder up, or on the search
/// path.
fn manager_program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os(MANAGER_VARIABLE).filter(|program| !program.is_empty()) {
        return Ok(program.into());
    }
    let this = std::env::current_exe().unwrap_or_default();
    let beside = this.ancestors().skip(1).take(2).map(Path::to_owned);
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = beside.chain(std::env::split_paths(&search)).map(|folder| folder.join("manager"));
    candidates.find(|program| program.is_file()).ok_or_else(|| {
        failed(format!(
            "there is no manager to start: {INIT_ADVICE}put the `manager` program beside {} or on PATH, or name it in \
             {MANAGER_VARIABLE}",
            escaped(this.display())
        ))
    })
}

/// Whether this descriptor becomes readable, or closes, before the deadline.
fn is_readable_by(file: &impl AsFd, deadline: Instant) -> bool {
    let rest = deadline.saturating_duration_since(Instant::now());
    // After an error, the caller goes on with something that does not need this answer.
    is_readable_within(file, rest).unwrap_or(false)
}

fn failed(text: String) -> Error {
    Error::new(ErrorKind::Other, text)
}

#[cfg(test)]
mod tests {
    use protocol::endpoint::{SOCKET_PATH_BYTES_MAX, default_folder};

    use super::*;

    #[test]
    fn private_sockets_differ() {
        let [first, second] = [private_socket(), private_socket()];
        assert_ne!(first, second);
        assert_eq!(first.parent(), second.parent());
    }

    #[test]
    fn private_sockets_fit_into_an_address() {
        let name = private_socket().file_name().unwrap().to_owned();
        for runtime_folder in [Some("/run/user/4294967295"), None] {
            let socket = Path::new(&default_folder(runtime_folder, u32::MAX)).join(&name);
            assert!(socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX, "{}", socket.display());
        }
    }
}

//! A private manager: a process of its own, which ends with its handle.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use protocol::endpoint::{MANAGER_VARIABLE, PRIVATE_READY};
use protocol::{escaped, shortened};
use sys::Signal;
use sys::limits::explained;
use sys::poll::is_readable_within;
use sys::process::Process;
use transport::Address;

use crate::{Error, ErrorKind, Result};

/// How long a manager may take until it is ready.
const READY_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a manager may take to end on request, before it is killed.
const END_TIME_MAX: Duration = Duration::from_secs(2);

/// How much of what a program writes to examine: a line with an address in it is shorter.
const LINE_BYTES_MAX: usize = 512;

/// A manager process that this process started. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct PrivateManager {
    address: Address,
    /// The process that started it. A forked child has a copy of this value, whose drop ends nothing.
    owner: u32,
    child: Child,
    /// Readable when the manager has ended.
    ending: Process,
    /// The other end of its standard output, kept open so that the manager can write there without an error.
    _output: File,
}

impl PrivateManager {
    /// Starts a manager, and returns when it is ready. Of several programs that may be one, it takes the first that
    /// proves to be.
    pub(crate) fn start() -> Result<PrivateManager> {
        let mut faults = Vec::new();
        for command in commands()? {
            let program = escaped(command.get_program().display()).to_string();
            match StartedProgram::start(command).and_then(StartedProgram::into_manager) {
                Ok(manager) => return Ok(manager),
                Err(fault) => {
                    faults.push(format!("a private manager cannot be started from {program}: {fault}"));
                }
            }
        }
        Err(failed(faults.join("; ")))
    }

    /// The address of the manager.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for PrivateManager {
    fn drop(&mut self) {
        if std::process::id() != self.owner {
            return;
        }
        if !self.ending.has_ended() {
            let _ = self.ending.signal(Signal::TERM);
            if !is_readable_by(&self.ending, Instant::now() + END_TIME_MAX) {
                let _ = self.ending.signal(Signal::KILL);
            }
        }
        let _ = self.child.wait();
        // A killed manager leaves its files.
        transport::remove_remains(&self.address);
    }
}

/// A program that was started as a private manager, and has yet to prove that it is one.
struct StartedProgram {
    child: Child,
    /// Readable when it has ended.
    ending: Process,
    /// What it writes to its standard output.
    output: File,
}

impl StartedProgram {
    fn start(mut command: Command) -> std::result::Result<StartedProgram, String> {
        // In a group of its own, so that Ctrl-C in a terminal reaches the program alone, which then ends its
        // manager.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| explained(&error).to_string())?;
        let output = child.stdout.take().expect("it was asked for");
        match Process::of_child(&child) {
            Ok(ending) => Ok(StartedProgram { child, ending, output: File::from(OwnedFd::from(output)) }),
            Err(errno) => {
                // It is a child of this process, so these two calls cannot fail, nor hit another process. It may have
                // been reaped, if this program ignores SIGCHLD.
                let _ = child.kill().and_then(|()| child.wait());
                Err(format!("it cannot be watched: {}", explained(&errno)))
            }
        }
    }

    /// Waits for the one line that a private manager writes when it is ready.
    fn into_manager(mut self) -> std::result::Result<PrivateManager, String> {
        let address = match self.first_line().and_then(|line| address_in(&line)) {
            Ok(address) => address,
            Err(fault) => {
                // A foreign program may have started others.
                let _ = self.ending.signal_group(Signal::KILL);
                let _ = self.child.wait();
                return Err(fault);
            }
        };
        let StartedProgram { child, ending, output } = self;
        Ok(PrivateManager { address, owner: std::process::id(), child, ending, _output: output })
    }

    /// The first line of what it writes, or the beginning of a long one.
    fn first_line(&mut self) -> std::result::Result<String, String> {
        let deadline = Instant::now() + READY_TIME_MAX;
        let mut line = Vec::new();
        let mut bytes = [0; LINE_BYTES_MAX];
        loop {
            if !is_readable_by(&self.output, deadline) {
                return Err(format!("it is not ready after {} s", READY_TIME_MAX.as_secs()));
            }
            match self.output.read(&mut bytes) {
                Ok(0) if line.is_empty() => return Err(self.early_end()),
                Ok(count) => {
                    line.extend_from_slice(&bytes[..count]);
                    let end = line.iter().position(|&byte| byte == b'\n');
                    if end.is_some() || count == 0 || line.len() >= LINE_BYTES_MAX {
                        line.truncate(end.unwrap_or(LINE_BYTES_MAX));
                        return Ok(String::from_utf8_lossy(&line).into_owned());
                    }
                }
                Err(error) if error.kind() == IoErrorKind::Interrupted => {}
                Err(error) => return Err(format!("its output cannot be read: {error}")),
            }
        }
    }

    /// Why it closed its standard output without a line.
    fn early_end(&mut self) -> String {
        if !is_readable_by(&self.ending, Instant::now() + END_TIME_MAX) {
            return "it closed its standard output".to_owned();
        }
        match self.ending.reap(&mut self.child) {
            Ok(Some(status)) => {
                format!("it ended before it was ready ({status}); its standard error says why")
            }
            Ok(None) => "it ended before it was ready; its standard error says why".to_owned(),
            Err(error) => format!("it ended before it was ready: {error}"),
        }
    }
}

/// The address in the line by which a manager of this version proves that it is one.
fn address_in(line: &str) -> std::result::Result<Address, String> {
    let foreign = || {
        let version = env!("CARGO_PKG_VERSION");
        format!("it is no manager of Rallypoint {version}: it wrote “{}”", escaped(shortened(line)))
    };
    let address = line.strip_prefix(PRIVATE_READY).ok_or_else(foreign)?;
    address.parse().map_err(|_| foreign())
}

/// The commands that run a private manager: a copy of this program, or each `manager` program that is found.
fn commands() -> Result<Vec<Command>> {
    let owner = std::process::id().to_string();
    #[cfg(feature = "embedded")]
    if crate::process::role::is_initialized() {
        return Ok(vec![crate::process::role::copy_of_this_program(
            crate::process::role::MANAGER,
            [&owner],
        )?]);
    }
    let command = |program| {
        let mut command = Command::new(program);
        command.arg("--parent").arg(&owner);
        command
    };
    Ok(manager_programs()?.into_iter().map(command).collect())
}

/// What a program does so that it needs no other, if it can be its own manager.
const INIT_ADVICE: &str = match cfg!(feature = "embedded") {
    true => "call `rallypoint::init` first thing in `main`, or ",
    false => "",
};

/// The programs called `manager`: the one that the environment names, or else those beside this program, one folder up,
/// and on the search path, which may belong to something else.
fn manager_programs() -> Result<Vec<PathBuf>> {
    if let Some(program) = std::env::var_os(MANAGER_VARIABLE).filter(|program| !program.is_empty()) {
        return Ok(vec![program.into()]);
    }
    let this = std::env::current_exe().unwrap_or_default();
    let beside = this.ancestors().skip(1).take(2).map(Path::to_owned);
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    for program in beside.chain(std::env::split_paths(&search)).map(|folder| folder.join("manager")) {
        if program.is_file() && !found.contains(&program) {
            found.push(program);
        }
    }
    if found.is_empty() {
        return Err(failed(format!(
            "there is no manager to start: {INIT_ADVICE}put the `manager` program beside {} or on PATH, or name it in \
             {MANAGER_VARIABLE}",
            escaped(this.display())
        )));
    }
    Ok(found)
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
    use super::*;

    #[test]
    fn only_a_line_of_this_version_has_an_address() {
        let address = address_in(&format!("{PRIVATE_READY}unix:/run/x.sock")).unwrap();
        assert_eq!(address.to_string(), "unix:/run/x.sock");
        let later = PRIVATE_READY.replace(env!("CARGO_PKG_VERSION"), "99.0.0");
        let lines =
            ["", "manager is ready at unix:/run/x.sock", PRIVATE_READY, &format!("{later}unix:/run/x.sock")];
        for line in lines {
            let fault = address_in(line).unwrap_err();
            assert!(fault.contains("is no manager of Rallypoint"), "{fault}");
        }
    }
}

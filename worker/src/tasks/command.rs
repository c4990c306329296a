//! A task that runs a program. The program ends with the worker, and stops with its batch.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use client::task::stop_event;
use serde::{Deserialize, Serialize};
use sys::Signal;
use sys::poll::{self, Watched};
use sys::shared_memory::anonymous_file;

use super::capture::Capture;
use crate::supervised_command::{Escalation, Exit, FailedPart, Program, StopWatch, SupervisedCommand};

/// The default grace: how long a command has to end after SIGTERM, before SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);

/// What [`command`] returns: how the program ended, or an error message if it could not be started.
pub type CommandResult = Result<Captured, String>;

/// A program to run, with its arguments, input and environment: the argument of the task [`command`].
///
/// The worker looks the program up on its `PATH`, unless the name has a slash. No shell is involved. By default the
/// program has the worker's folder and environment.
///
/// ```
/// # mod rallypoint { pub use client::*; pub use worker::{Registry, init, tasks}; }
/// use std::time::Duration;
/// use rallypoint::tasks::Command;
///
/// let command = Command::new("sort")
///     .argument("--unique")
///     .environment("LC_ALL", "C")
///     .folder("/tmp")
///     .input("pear\napple\npear\n")
///     .grace(Duration::from_secs(1));
/// # drop(command);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    program: Program,
    input: Vec<u8>,
    is_streamed: bool,
    grace: Duration,
}

/// How a program ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to its standard output, at most the first [`OUTPUT_BYTES_MAX`](super::OUTPUT_BYTES_MAX) bytes.
    /// Empty if it was [streamed](Command::streamed).
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, likewise.
    pub stderr: Vec<u8>,
}

impl Command {
    /// A program without arguments and with an empty standard input, whose output is captured.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command { program: Program::new(program), input: Vec::new(), is_streamed: false, grace: GRACE }
    }

    /// Adds an argument.
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Command {
        self.program.arguments.push(bytes(argument));
        self
    }

    /// Adds arguments.
    pub fn arguments(mut self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
        self.program.arguments.extend(arguments.into_iter().map(bytes));
        self
    }

    /// Sets a variable of its environment.
    pub fn environment(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Command {
        self.program.environment.push((bytes(name), Some(bytes(value))));
        self
    }

    /// Removes a variable from its environment.
    pub fn without_environment(mut self, name: impl AsRef<OsStr>) -> Command {
        self.program.environment.push((bytes(name), None));
        self
    }

    /// Keeps the worker's environment from it. It has the variables that are set here, before or after this call.
    pub fn clear_environment(mut self) -> Command {
        self.program.is_environment_cleared = true;
        self
    }

    /// Sets the folder it runs in. A relative path of the program starts there.
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Command {
        self.program.folder = Some(bytes(folder.as_ref()));
        self
    }

    /// Sets what it reads from its standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Command {
        self.input = input.into();
        self
    }

    /// Sends its output where the worker's own output goes, instead of capturing it.
    pub fn streamed(mut self) -> Command {
        self.is_streamed = true;
        self
    }

    /// Sets how long it has to end after SIGTERM when its batch is stopped; then SIGKILL follows. 5 seconds by default.
    pub fn grace(mut self, grace: Duration) -> Command {
        self.grace = grace;
        self
    }

    /// Runs it in this thread, until it has ended.
    fn run(&self) -> CommandResult {
        let stdin = self.stdin().map_err(|error| self.fault(&error))?;
        let stop = stop_event();
        let manager = stop.as_ref().map(|stop| stop.reference().link()).transpose();
        let manager = manager.map_err(|error| self.fault(&error))?;
        let output = || if self.is_streamed { Stdio::inherit() } else { Stdio::piped() };
        let mut running = SupervisedCommand::start(manager, &self.program, stdin.as_fd(), output(), output())
            .map_err(|fault| format!("{}: {fault}", self.program.name_of(fault.part)))?;
        drop(stdin);
        let (stdout, stderr) = running.take_output();
        let streams = [stdout.map(OwnedFd::from), stderr.map(OwnedFd::from)];
        let mut captures = streams.map(Capture::new);
        let watch = stop.as_ref().map(StopWatch::start).transpose();
        let watch = watch.map_err(|error| self.fault(&error))?;
        let exit = self.attend(&running, &mut captures, watch).map_err(|error| self.fault(&error))?;
        let [stdout, stderr] = captures.map(Capture::finish);
        Ok(Captured { exit, stdout, stderr })
    }

    /// The standard input: a file without a name, so that no thread has to write to a pipe.
    fn stdin(&self) -> std::io::Result<File> {
        if self.input.is_empty() {
            return File::open("/dev/null");
        }
        let mut file = anonymous_file("input")?;
        file.write_all(&self.input)?;
        file.rewind()?;
        Ok(file)
    }

    /// Captures its output, and stops it with its batch, until it has ended.
    fn attend(
        &self,
        running: &SupervisedCommand,
        captures: &mut [Capture; 2],
        mut watch: Option<StopWatch>,
    ) -> std::io::Result<Exit> {
        let mut escalation = Escalation::new(self.grace);
        loop {
            escalation.advance(running);
            let [ended, stopped, stdout, stderr] = wait_for_any(
                [
                    Some(running.ending()),
                    watch.as_ref().map(AsFd::as_fd),
                    captures[0].stream(),
                    captures[1].stream(),
                ],
                escalation.time_left(),
            )?;
            // This comes first, so that endless output cannot hold up the escalation.
            if stopped {
                escalation.start(running, Signal::TERM);
                watch = None;
            }
            for (capture, is_ready) in captures.iter_mut().zip([stdout, stderr]) {
                if is_ready {
                    capture.read();
                }
            }
            if ended {
                return running.wait();
            }
        }
    }

    fn fault(&self, error: &dyn std::fmt::Display) -> String {
        format!("{}: {error}", self.program.name_of(FailedPart::Program))
    }
}

/// Runs a program, and waits until it has ended.
///
/// It runs in a process group of its own. When its batch is stopped, the whole group gets SIGTERM, and SIGKILL if the
/// program has not ended after its [grace](Command::grace); the task then returns how it ended. Whatever the program
/// leaves behind is killed when it has ended, except for what has begun a session of its own (setsid(2)), as daemons
/// do. All of it is killed when the worker ends, however that happens.
///
/// A batch's [time limit](client::BatchBuilder::time_limit) ends the worker, so the program is killed without SIGTERM
/// and without its grace, and the task has no result but the error. For a limit with a grace, stop the batch.
///
/// Nothing of the program runs any more when its task ends, whether the task returns or fails, as when its worker dies.
/// So an attempt that the batch allows by its retries begins only after that. A pool that is terminated is an
/// exception: its tasks fail at once, and the programs are killed when their workers have ended, which is later than
/// that. Nobody waits for them, [`join`](client::Pool::join) neither; what must not begin before they are gone has to
/// wait for a lock that they hold, as `worker run --lock` does.
///
/// A worker that serves this function runs any program for whoever can submit to its pool: all processes of the same
/// user.
pub fn command(command: Command) -> CommandResult {
    command.run()
}

fn bytes(text: impl AsRef<OsStr>) -> Vec<u8> {
    crate::supervised_command::bytes(text)
}

/// Waits until one of these is readable or closed, or the time is over. Returns which ones are.
fn wait_for_any<const N: usize>(
    descriptors: [Option<std::os::fd::BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> std::io::Result<[bool; N]> {
    let mut watched: Vec<_> = descriptors.iter().flatten().copied().map(Watched::borrowed).collect();
    poll::wait_for_any(&mut watched, timeout)?;
    let mut ready = watched.iter().map(Watched::is_ready);
    Ok(descriptors.map(|descriptor| descriptor.is_some() && ready.next().unwrap_or_default()))
}

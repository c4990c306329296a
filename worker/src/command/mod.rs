//! Commands that end with the process that runs them, because a supervisor stands between the two.
//!
//! The kernel can kill a process together with its parent, but only if the process itself asks for it, and it does not
//! kill what that process has started. So a *command supervisor* starts the command: a copy of this program, in a
//! session of its own, that puts the command into a process group. When the worker ends, however that happens, the
//! supervisor kills the command's whole group. When the command ends, the supervisor kills what is left of the group,
//! and reports how the command ended. The worker sends signals for the group through the supervisor, so that they never
//! reach a later group of the same number.
//!
//! If the supervisor itself is killed, the worker notices, and kills the supervisor's session.

mod escalation;
mod preconditions;
mod program;
mod session;
mod stop_watch;
mod supervisor;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use client::internal::{DescriptorMessage, copy_of_this_program};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use sys::Signal;

pub use escalation::Escalation;
pub use preconditions::{Permission, Preconditions, StopReason};
pub use program::{Exit, NotStarted, Program};
pub(crate) use program::{FailedPart, Order, bytes};
pub(crate) use stop_watch::StopWatch;
pub(crate) use supervisor::supervise;

use program::{REPORT_BYTES_MAX, Report};
use session::kill_session;

/// The role in which a copy of the program is a command supervisor.
pub(crate) const SUPERVISOR: &str = "command";

/// A command that runs under a supervisor. Dropping it kills the command's whole process group.
#[derive(Debug)]
pub struct SupervisedCommand {
    supervisor: Child,
    /// Takes signals to the supervisor, and brings its reports.
    channel: OwnedFd,
}

impl SupervisedCommand {
    /// Starts a command with these standard streams, and returns once it runs.
    pub fn start(
        program: &Program,
        stdin: BorrowedFd<'_>,
        stdout: Stdio,
        stderr: Stdio,
    ) -> Result<SupervisedCommand, NotStarted> {
        let (channel, mut supervisor) = start_supervisor(program, stdin, stdout, stderr)?;
        match receive_report(&channel, RecvFlags::empty()) {
            Ok(Some(Report::Started)) => return Ok(SupervisedCommand { supervisor, channel }),
            Ok(Some(Report::NotStarted { part, errno })) => {
                supervisor.wait()?;
                return Err(NotStarted::new(part, io::Error::from_raw_os_error(errno)));
            }
            Ok(_) => {}
            Err(error) => {
                supervisor.kill()?;
                log::warn!("a command supervisor sends no report: {error}");
            }
        }
        kill_session(supervisor.id());
        let status = supervisor.wait()?;
        Err(io::Error::other(format!("its supervisor ended before it started the command ({status})")).into())
    }

    /// A descriptor that is readable when the command has ended, so that [`wait`](Self::wait) returns at once.
    pub fn ending(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// The command's standard output and error, if they are piped. Each is returned once.
    pub fn take_output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.supervisor.stdout.take(), self.supervisor.stderr.take())
    }

    /// Sends a signal to all processes of the command's group. Does nothing if the command has ended.
    pub fn signal(&self, signal: Signal) {
        let number = u8::try_from(signal.as_raw()).unwrap_or_default();
        let _ = send(&self.channel, &[number], SendFlags::NOSIGNAL);
    }

    /// Waits until the command has ended, and its group with it. Call this once.
    pub fn wait(&self) -> io::Result<Exit> {
        if let Some(Report::Ended(exit)) = receive_report(&self.channel, RecvFlags::empty())? {
            return Ok(exit);
        }
        kill_session(self.supervisor.id());
        Err(io::Error::other("its supervisor was killed, and the command with it"))
    }
}

impl Drop for SupervisedCommand {
    fn drop(&mut self) {
        // This does nothing if it has ended.
        self.signal(Signal::KILL);
        if let Err(error) = self.supervisor.wait() {
            log::warn!("a command supervisor cannot be reaped: {error}");
        }
    }
}

fn start_supervisor(
    program: &Program,
    stdin: BorrowedFd<'_>,
    stdout: Stdio,
    stderr: Stdio,
) -> io::Result<(OwnedFd, Child)> {
    let (channel, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let order = Order { parent: std::process::id(), program: program.clone() };
    let order = postcard::to_allocvec(&order).map_err(io::Error::other)?;
    DescriptorMessage::new(&order)?.send(&channel, &[stdin])?;
    let nothing: [&str; 0] = [];
    let mut copy = copy_of_this_program(SUPERVISOR, nothing).map_err(io::Error::other)?;
    copy.stdin(Stdio::from(theirs)).stdout(stdout).stderr(stderr);
    Ok((channel, copy.spawn()?))
}

/// Receives the next report of a supervisor; none if it has ended.
fn receive_report(channel: &OwnedFd, flags: RecvFlags) -> io::Result<Option<Report>> {
    let mut bytes = [0; REPORT_BYTES_MAX];
    loop {
        match recv(channel, &mut bytes, flags) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(None),
            Ok((_, count)) => {
                return postcard::from_bytes(&bytes[..count]).map(Some).map_err(io::Error::other);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

//! Commands that end with whoever runs them: a guardian stands between the two.
//!
//! The kernel can be asked to kill a process with the one that started it, but only by the process itself, and not what
//! that has started in turn. So a command is started by a *guardian*, a copy of this program in a session of its own,
//! which puts the command into a process group and watches: when its worker ends, however that ends, it kills the
//! command's whole group; when the command ends, it kills what is left of the group and passes on how it ended. The
//! worker sends signals for the group through it, so that they can never hit a later group of the same number.
//!
//! If the guardian itself is killed, the worker notices and kills the guardian's session.

mod guardian;
mod ladder;
mod program;
mod session;
mod watch;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use client::internal::{DescriptorMessage, copy_of_this_program};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::Signal;

pub(crate) use guardian::guard;
pub use ladder::Ladder;
pub use program::{Exit, NotStarted, Program};
pub(crate) use program::{Order, Place, bytes};
pub(crate) use watch::StopWatch;

use program::{REPORT_BYTES_MAX, Report};
use session::kill_session;

/// The role in which a copy of the program is a guardian.
pub(crate) const GUARDIAN: &str = "command";

/// A command that runs, with its guardian. Dropping it kills the command's whole process group.
#[derive(Debug)]
pub struct Guarded {
    guardian: Child,
    /// Signals go one way, reports come the other.
    line: OwnedFd,
}

impl Guarded {
    /// Starts a command with these standard streams, and returns when it runs.
    pub fn start(
        program: &Program,
        stdin: BorrowedFd<'_>,
        stdout: Stdio,
        stderr: Stdio,
    ) -> Result<Guarded, NotStarted> {
        let (line, mut guardian) = start_guardian(program, stdin, stdout, stderr)?;
        match hear(&line, RecvFlags::empty()) {
            Ok(Some(Report::Started)) => return Ok(Guarded { guardian, line }),
            Ok(Some(Report::NotStarted { place, errno })) => {
                guardian.wait()?;
                return Err(NotStarted::new(place, io::Error::from_raw_os_error(errno)));
            }
            Ok(_) => {}
            Err(error) => {
                guardian.kill()?;
                log::warn!("a guardian can not be heard: {error}");
            }
        }
        kill_session(guardian.id());
        let status = guardian.wait()?;
        Err(io::Error::other(format!("its guardian ended before it could start it ({status})")).into())
    }

    /// What is readable when the command has ended, so that [`wait`](Self::wait) does not.
    pub fn ending(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    /// The command's standard output and error, if they were to be captured. Each is given once.
    pub fn take_output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.guardian.stdout.take(), self.guardian.stderr.take())
    }

    /// Sends a signal to all processes of the command's group. One that has ended hears nothing.
    pub fn signal(&self, signal: Signal) {
        let number = u8::try_from(signal.as_raw()).unwrap_or_default();
        let _ = send(&self.line, &[number], SendFlags::NOSIGNAL);
    }

    /// Waits until the command has ended, and its group with it. It is asked for once.
    pub fn wait(&self) -> io::Result<Exit> {
        if let Some(Report::Ended(exit)) = hear(&self.line, RecvFlags::empty())? {
            return Ok(exit);
        }
        kill_session(self.guardian.id());
        Err(io::Error::other("its guardian was ended, and so it was killed"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Nothing happens if it has ended.
        self.signal(Signal::KILL);
        if let Err(error) = self.guardian.wait() {
            log::warn!("a guardian can not be reaped: {error}");
        }
    }
}

fn start_guardian(
    program: &Program,
    stdin: BorrowedFd<'_>,
    stdout: Stdio,
    stderr: Stdio,
) -> io::Result<(OwnedFd, Child)> {
    let (line, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let order = Order { parent: std::process::id(), program: program.clone() };
    let order = postcard::to_allocvec(&order).map_err(io::Error::other)?;
    DescriptorMessage::new(&order)?.send(&line, &[stdin])?;
    let nothing: [&str; 0] = [];
    let mut copy = copy_of_this_program(GUARDIAN, nothing).map_err(io::Error::other)?;
    copy.stdin(Stdio::from(theirs)).stdout(stdout).stderr(stderr);
    Ok((line, copy.spawn()?))
}

/// The next report of a guardian; none if it has ended.
fn hear(line: &OwnedFd, flags: RecvFlags) -> io::Result<Option<Report>> {
    let mut bytes = [0; REPORT_BYTES_MAX];
    loop {
        match recv(line, &mut bytes, flags) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(None),
            Ok((_, count)) => {
                return postcard::from_bytes(&bytes[..count]).map(Some).map_err(io::Error::other);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

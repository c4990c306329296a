//! Commands that end with the process that runs them, because a supervisor stands between the two.
//!
//! The kernel can kill a process together with its parent, but only if the process itself asks for it, and it does not
//! kill what that process has started. So a *command supervisor* starts the command: a copy of this program that leads
//! a process session (setsid(2)), in which the command leads a process group. Everything that the command starts is in
//! that session, unless it begins a session of its own on purpose, as daemons do. The worker sends signals for the
//! group through the supervisor, so that they never reach a later group of the same number.
//!
//! # Nothing of a command runs beside what comes after it
//!
//! What comes after it is the next holder of the lock, or the next attempt of the task. The processes of a run end one
//! by one, and the first that ends may be any of them, at any moment. So each of these waits until nothing of the
//! process session is left, zombies aside, and kills it meanwhile:
//!
//! | what ends first | who ends the rest, and waits for it | what it does then |
//! | --- | --- | --- |
//! | the command | the supervisor | reports its end; the worker goes on: it gives the lock back, say |
//! | the supervisor | the worker, which sees the end of its channel | the same |
//! | the worker | the supervisor and the manager, both at once | the manager ends the worker's session |
//! | the worker and the supervisor | the manager | the same |
//!
//! The manager can do that because the worker has *bound* the process session to its own session with the manager. It
//! does so when the supervisor leads it and has not started anything: so whatever runs in it is bound, and no process
//! needs to inherit a descriptor, which many programs close. A supervisor that is ready waits for its order. If the
//! worker ends before it has sent the order, the supervisor ends, too.
//!
//! A command starts with the signals ignored and blocked that the program which runs it was started with, or, in a
//! worker, the program that owns the worker. Worker and supervisor begin with none blocked: see `sys::inherited`.
//!
//! A supervisor that does not do its work, since somebody has suspended it, continues with each signal that the worker
//! sends through it. If the command has still not ended a second after it was to be killed, the worker kills both.
//!
//! A process that cannot end, as in an uninterruptible call of the system, keeps the lock until it does; an inspection
//! of the lock says so. If the manager ends, no lock is left that a command could have. The worker ends the command
//! then, within its grace; a manager that is started meanwhile does not know of it.

mod deadlock;
mod escalation;
mod lock_wait;
mod preconditions;
mod program;
mod stop_watch;
mod supervisor;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::Duration;

use client::internal::operations::{BindProcesses, UnbindProcesses};
use client::internal::{DescriptorMessage, Link, Operation, copy_of_this_program};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use sys::Signal;
use sys::inherited::Inherited;
use sys::process::Process;
use sys::process_session::ProcessSession;

pub use escalation::Escalation;
pub use preconditions::{Permission, Preconditions, StopReason};
pub use program::{Exit, NotStarted, Program};
pub(crate) use program::{FailedPart, Order, bytes};
pub(crate) use stop_watch::StopWatch;
pub(crate) use supervisor::supervise;

use program::{REPORT_BYTES_MAX, Report};

/// The role in which a copy of the program is a command supervisor.
pub(crate) const SUPERVISOR: &str = "command";

/// Its name in lists of processes.
const SUPERVISOR_NAME: &str = "supervisor";

/// How long a supervisor may take to kill its command. Then it is killed, too.
const SUPERVISOR_TIME_MAX: Duration = Duration::from_secs(1);

/// A command that runs under a supervisor. Dropping it kills everything that belongs to it.
#[derive(Debug)]
pub struct SupervisedCommand {
    supervisor: SupervisorProcess,
    /// What is bound to this process's session with a manager; none if there is no manager.
    _binding: Option<Binding>,
}

/// A supervisor, which may have started its command.
#[derive(Debug)]
struct SupervisorProcess {
    process: Child,
    /// The same process; a signal through this never reaches a later one of its number.
    handle: Process,
    /// Takes the order and signals to the supervisor, and brings its reports.
    channel: OwnedFd,
    /// What it and its command belong to, once it leads that.
    session: Option<ProcessSession>,
}

/// A process session that is bound to this process's session with a manager. Nothing of it may be left when this is
/// dropped.
#[derive(Debug)]
struct Binding {
    link: Arc<Link>,
    leader: u32,
}

impl SupervisedCommand {
    /// Starts a command with these standard streams, and returns once it runs. It is bound to the session of this
    /// process with the manager, if there is one: what this process holds there stays held until nothing of the command
    /// runs any more, even if this process is killed.
    pub fn start(
        manager: Option<&Arc<Link>>,
        program: &Program,
        stdin: BorrowedFd<'_>,
        stdout: Stdio,
        stderr: Stdio,
    ) -> Result<SupervisedCommand, NotStarted> {
        let mut supervisor = SupervisorProcess::start(stdout, stderr)?;
        let binding = match supervisor.lead()? {
            Some(session) => manager.map(|link| Binding::new(link, &session)).transpose()?,
            None => return Err(supervisor.failure()?),
        };
        match supervisor.run(program, stdin)? {
            Some(Report::Started) => Ok(SupervisedCommand { supervisor, _binding: binding }),
            Some(Report::NotStarted { part, errno }) => {
                Err(NotStarted::new(program, part, io::Error::from_raw_os_error(errno)))
            }
            _ => Err(supervisor.failure()?),
        }
    }

    /// A descriptor that is readable when the command has ended, so that [`wait`](Self::wait) returns at once.
    pub fn ending(&self) -> BorrowedFd<'_> {
        self.supervisor.channel.as_fd()
    }

    /// The command's standard output and error, if they are piped. Each is returned once.
    pub fn take_output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.supervisor.process.stdout.take(), self.supervisor.process.stderr.take())
    }

    /// Sends a signal to all processes of the command's group. Does nothing if the command has ended.
    pub fn signal(&self, signal: Signal) {
        self.supervisor.signal(signal);
    }

    /// Kills the supervisor, and everything that belongs to it.
    fn kill_with_supervisor(&self) {
        self.supervisor.kill();
    }

    /// Waits until the command has ended, and nothing of it runs any more. Call this once.
    pub fn wait(&self) -> io::Result<Exit> {
        if let Some(Report::Ended(exit)) = receive_report(&self.supervisor.channel)? {
            return Ok(exit);
        }
        self.supervisor.end_session();
        Err(io::Error::other("its supervisor was killed, and the command with it"))
    }
}

impl SupervisorProcess {
    /// Starts a supervisor, whose output is that of the command.
    fn start(stdout: Stdio, stderr: Stdio) -> io::Result<SupervisorProcess> {
        let (channel, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let nothing: [&str; 0] = [];
        let mut copy = copy_of_this_program(SUPERVISOR, nothing).map_err(io::Error::other)?;
        copy.stdin(Stdio::from(theirs)).stdout(stdout).stderr(stderr);
        let mut process = copy.spawn()?;
        let handle = Process::of_child(&process).inspect_err(|_| {
            let _ = process.kill();
            let _ = process.wait();
        })?;
        Ok(SupervisorProcess { process, handle, channel, session: None })
    }

    /// Waits until it leads a session; none if it has ended.
    fn lead(&mut self) -> io::Result<Option<ProcessSession>> {
        if receive_report(&self.channel)? == Some(Report::Ready) {
            self.session = Some(ProcessSession::led_by(self.process.id())?);
        }
        Ok(self.session)
    }

    /// Has it start the command, and returns what it reports; none if it has ended.
    fn run(&self, program: &Program, stdin: BorrowedFd<'_>) -> io::Result<Option<Report>> {
        let Inherited { ignored, blocked } = Inherited::noted();
        let order = Order { parent: std::process::id(), program: program.clone(), ignored, blocked };
        let order = postcard::to_allocvec(&order).map_err(io::Error::other)?;
        match DescriptorMessage::new(&order)?.send(&self.channel, &[stdin]) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
            sent => {
                sent?;
                receive_report(&self.channel)
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let number = u8::try_from(signal.as_raw()).unwrap_or_default();
        let _ = send(&self.channel, &[number], SendFlags::NOSIGNAL);
        // A suspended one would not read that. The only possible error is that it has ended.
        let _ = self.handle.signal(Signal::CONT);
    }

    /// Kills it, and whatever belongs to it. The errors are those of processes that have ended; whoever waits for the
    /// end kills those that this has missed.
    fn kill(&self) {
        let _ = self.handle.signal(Signal::KILL);
        if let Some(session) = self.session {
            let _ = session.kill(None);
        }
    }

    /// Waits until it has ended; false if the time is over first.
    fn has_ended_within(&self, time: Duration) -> bool {
        self.handle.has_ended_within(time).unwrap_or(false)
    }

    /// Ends whatever a supervisor has left behind that was killed.
    fn end_session(&self) {
        if let Some(session) = self.session {
            session.end(None);
        }
    }

    /// Why there is no command although the supervisor has ended.
    fn failure(&mut self) -> io::Result<NotStarted> {
        self.end_session();
        let status = self.process.wait()?;
        Ok(io::Error::other(format!("its supervisor ended before it started the command ({status})")).into())
    }
}

impl Drop for SupervisorProcess {
    fn drop(&mut self) {
        // This does nothing if it has ended. A supervisor that waits for its order ends, too.
        self.signal(Signal::KILL);
        if !self.has_ended_within(SUPERVISOR_TIME_MAX) {
            self.kill();
        }
        if let Err(error) = self.process.wait() {
            log::warn!("a command supervisor cannot be reaped: {error}");
        }
        // This finds nobody, unless the supervisor was killed.
        self.end_session();
    }
}

impl Binding {
    fn new(link: &Arc<Link>, session: &ProcessSession) -> io::Result<Binding> {
        let leader = session.id();
        link.run(BindProcesses { leader }).map_err(io::Error::other)?;
        Ok(Binding { link: Arc::clone(link), leader })
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // With the next request, since the binding does no harm until then. If the manager is gone, so is the binding.
        let _ = self.link.queue(UnbindProcesses { leader: self.leader }.into_request());
    }
}

/// Receives the next report of a supervisor; none if it has ended.
fn receive_report(channel: &OwnedFd) -> io::Result<Option<Report>> {
    let mut bytes = [0; REPORT_BYTES_MAX];
    loop {
        match recv(channel, &mut bytes, RecvFlags::empty()) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(None),
            Ok((_, count)) => {
                return postcard::from_bytes(&bytes[..count]).map(Some).map_err(io::Error::other);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

//! Child processes that are bound to what this process holds.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::Arc;

use client_core::Operation;
use client_core::operations::{BindProcesses, UnbindProcesses};
use sys::process::Process;
use sys::process_session::{self, ProcessSession};

use crate::connection::link::Link;
use crate::objects::reference::Reference;
use crate::{Error, ErrorKind, LockGuard, Permit, Result};

/// A child process that never runs without the lock or the permits that it was started under. Made by
/// [`LockGuard::spawn`] and [`Permit::spawn`], it borrows the guard, which can be released only after it.
///
/// **What is bound.** The child leads a process session of its own (setsid(2)), and everything that it starts belongs
/// to that, unless it begins a session in its turn, as daemons do. Below, *the child* means all of these processes. It
/// has no terminal, and gets no Ctrl-C from this program's.
///
/// **Death.** If this process ends, in whatever way and at whatever moment, the manager kills the child, and waits
/// until nothing of it runs any more. Until then *everything* that this process holds at this manager stays held: all
/// of its locks and permits, the items that it got and has not finished, the action of a barrier, and the tasks that it
/// runs. So nobody who takes the lock next ever runs beside the child. This takes milliseconds as a rule. A process
/// that cannot end, as in an uninterruptible call of the system, keeps the lock until it does.
/// [`inspect`](crate::Manager::inspect) says so, and names the process session, to be ended by hand; and
/// [`force_release`](crate::Lock::force_release) takes a lock all the same. If the manager itself ends, so does the
/// lock, and the child goes on until this process ends it: see [`LockGuard`]. A manager that ends with this process, as
/// those of [`Manager::start`](crate::Manager::start) do, kills the child first.
///
/// **A regular end.** [`wait`](Self::wait) returns when nothing of the child runs any more. It kills what the child has
/// left behind. Dropping this kills the child, and waits for that. A process that exits while it has a child like this
/// has it killed; it does not leave the child to init.
///
/// ```no_run
/// use std::process::Command;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = client::Manager::connect()?;
/// let guard = manager.lock("deploy")?.acquire()?;
/// let mut command = Command::new("./deploy.sh");
/// command.arg("--all");
/// // If this program is killed from here on, the script is killed, too, before anybody else gets the lock.
/// let status = guard.spawn(command)?.wait()?;
/// println!("{status}");
/// guard.release()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a bound child kills it"]
pub struct BoundChild<'held> {
    /// Writes to the child's standard input, if that is piped.
    pub stdin: Option<ChildStdin>,
    /// Reads the child's standard output, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// Reads the child's standard error, if that is piped.
    pub stderr: Option<ChildStderr>,
    child: Child,
    /// The same process.
    process: Process,
    session: ProcessSession,
    link: Arc<Link>,
    /// How it ended, once nothing of it is left.
    status: Option<ExitStatus>,
    held: PhantomData<&'held ()>,
}

impl BoundChild<'_> {
    fn spawn(reference: &Reference, command: Command) -> Result<BoundChild<'static>> {
        let name = command.get_program().to_string_lossy().into_owned();
        let link = Arc::clone(reference.link()?);
        let mut bound = None;
        let mut refusal = None;
        let spawned = process_session::spawn(command, |leader| {
            let session = ProcessSession::led_by(leader)?;
            // Before it runs: once it has ended, there may be nothing to open, as in a program that ignores SIGCHLD.
            let process = Process::open(leader)?;
            match link.run(BindProcesses { leader }) {
                Ok(()) => {
                    bound = Some((session, process));
                    Ok(())
                }
                Err(error) => {
                    refusal = Some(error);
                    Err(io::Error::from(io::ErrorKind::PermissionDenied))
                }
            }
        });
        match (spawned, bound, refusal) {
            (Ok(mut child), Some((session, process)), _) => {
                let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
                Ok(BoundChild {
                    stdin,
                    stdout,
                    stderr,
                    child,
                    process,
                    session,
                    link,
                    status: None,
                    held: PhantomData,
                })
            }
            (_, _, Some(refusal)) => Err(refusal),
            (spawned, bound, None) => {
                if let Some((session, _)) = bound {
                    unbind(&link, &session);
                }
                let text = spawned.err().map(|error| error.to_string()).unwrap_or_default();
                Err(Error::new(ErrorKind::Other, format!("{name} cannot be started: {text}")))
            }
        }
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Closes the child's standard input, if it is piped and was not taken, and waits until the child has ended and
    /// nothing of it runs any more: what it has left behind is killed. Later calls return the same.
    ///
    /// # Errors
    ///
    /// Those of the system. It does not say how the child ended to a program that ignores SIGCHLD, unless it is Linux
    /// 6.15 or later; nothing of the child runs then either.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if self.status.is_none() {
            // This program does not reap it before the others are gone, so that its number stays its own.
            self.process.wait_for_end()?;
        }
        self.end()
    }

    /// Kills the child, and waits until nothing of it runs any more. If it has ended by itself, this returns how.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.end()
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        self.session.end(None);
        let status = self.process.reap(&mut self.child);
        // Also if it cannot be told how it ended: nothing of it is left.
        unbind(&self.link, &self.session);
        let status = status?.ok_or_else(|| {
            let text = "the child has ended, and Linux before 6.15 does not say how to a program that ignores SIGCHLD";
            io::Error::other(text)
        })?;
        self.status = Some(status);
        Ok(status)
    }
}

/// Ends a binding with the next request: it does no harm until then. If the manager is gone, so is the binding.
fn unbind(link: &Link, session: &ProcessSession) {
    let _ = link.queue(UnbindProcesses { leader: session.id() }.into_request());
}

impl Drop for BoundChild<'_> {
    fn drop(&mut self) {
        // A forked child has a copy of this, and the process is its parent's.
        if self.link.process() == std::process::id()
            && let Err(error) = self.end()
        {
            log::warn!("a bound child cannot be ended: {error}");
        }
    }
}

impl fmt::Debug for BoundChild<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BoundChild { child, status, .. } = self;
        formatter
            .debug_struct("BoundChild")
            .field("id", &child.id())
            .field("status", status)
            .finish_non_exhaustive()
    }
}

/// Child processes.
impl LockGuard {
    /// Starts a child process that never runs without this lock: see [`BoundChild`]. A child that is to have several
    /// locks is started under any of them, since all stay held while it runs; keep the other guards as long.
    ///
    /// # Errors
    ///
    /// [`is_not_owner`](Error::is_not_owner) if this guard holds no lock; [`is_bad_argument`](Error::is_bad_argument)
    /// if the manager cannot watch the child, as when it does not see the same process ids; or the command cannot be
    /// started, for which there is no predicate. In each case, nothing has run.
    pub fn spawn(&self, command: Command) -> Result<BoundChild<'_>> {
        self.check_held()?;
        BoundChild::spawn(self.lock(), command)
    }
}

/// Child processes.
impl Permit {
    /// Starts a child process that never runs without these permits: see [`BoundChild`].
    ///
    /// # Errors
    ///
    /// As with [`LockGuard::spawn`].
    pub fn spawn(&self, command: Command) -> Result<BoundChild<'_>> {
        self.check_held()?;
        BoundChild::spawn(self.semaphore(), command)
    }
}

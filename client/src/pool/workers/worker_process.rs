//! One worker process, as its supervisor sees it.
//!
//! A worker has one end of a socket pair as its standard input. It gets its assignment there, and reports three things,
//! a byte each: [`READY`] when it can work, [`LEAVING`] when it ends because it must take no more tasks, and
//! [`RETIRING`] when it ends because it has run its number of tasks.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use protocol::NamedSignal;
use sys::process::Process;
use sys::{Signal, process_group};

use crate::pool::workers::stderr_tail::StderrTail;
use crate::process::descriptor_message::DescriptorMessage;

/// What a worker writes when it has connected to the manager and its initializer has returned.
pub const READY: u8 = b'R';

/// What a worker writes when it ends because it must take no more tasks.
pub const LEAVING: u8 = b'C';

/// What a worker writes when it ends so that another one takes its place.
pub const RETIRING: u8 = b'N';

/// The time after which the log reports a worker that is not ready: calls wait for it, and nothing else says why.
const READY_TIME: Duration = Duration::from_secs(5);

/// One worker process. Its owner must reap it.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    process: Process,
    /// The other end of the worker's standard input, until the worker closes its own.
    control: Option<UnixStream>,
    /// Its index among the workers of its supervisor.
    index: u32,
    is_ready: bool,
    is_leaving: bool,
    is_retiring: bool,
    /// When the log will report that it is not ready, if it has not done so.
    is_late_at: Option<Instant>,
    /// What it wrote before it was ready.
    stderr_tail: StderrTail,
}

impl WorkerProcess {
    /// Starts a worker with this command, this assignment and this index, in a process group of its own.
    pub(crate) fn start(
        mut command: Command,
        assignment: &DescriptorMessage,
        index: u32,
    ) -> io::Result<WorkerProcess> {
        let (control, theirs) = UnixStream::pair()?;
        control.set_nonblocking(true)?;
        // Sent before the start, so that this never waits, whatever the program does with it.
        assignment.send(&control, &[io::stderr().as_fd()])?;
        (&control).write_all(&index.to_ne_bytes())?;
        // In a group of its own, the worker does not get a terminal's Ctrl-C: only the owner decides when it ends.
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        match WorkerProcess::watch(&mut child) {
            Ok((process, stderr_tail)) => Ok(WorkerProcess {
                child,
                process,
                control: Some(control),
                index,
                is_ready: false,
                is_leaving: false,
                is_retiring: false,
                is_late_at: Some(Instant::now() + READY_TIME),
                stderr_tail,
            }),
            Err(error) => {
                // Most likely no descriptor is free. Nothing would watch this worker, so it must end. It is a child of
                // this process, so these two calls cannot fail, nor hit another process.
                let _ = child.kill().and_then(|()| child.wait());
                Err(error)
            }
        }
    }

    fn watch(child: &mut Child) -> io::Result<(Process, StderrTail)> {
        let process = Process::of_child(child)?;
        let stderr = child.stderr.take().ok_or_else(|| io::Error::other("it has no standard error"))?;
        Ok((process, StderrTail::of(stderr)?))
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its index among the workers of its supervisor.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Whether it has reported that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// How long until it is late. None if it is ready, or if the log has reported it as late.
    pub(crate) fn is_late_in(&self) -> Option<Duration> {
        let is_late_at = self.is_late_at.filter(|_| !self.is_ready)?;
        Some(is_late_at.saturating_duration_since(Instant::now()))
    }

    /// Reports in the log, once, that it is late.
    pub(crate) fn report_if_late(&mut self) {
        if self.is_late_in().is_some_and(|rest| rest.is_zero()) {
            self.is_late_at = None;
            let id = self.id();
            log::warn!(
                "worker {id} is not ready after {READY_TIME:?}: its initializer, or what its program does before \
                 `rallypoint::init`, takes long or does not end"
            );
        }
    }

    /// Whether it has reported that it ends because it must take no more tasks.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Whether it has reported that it ends so that another one takes its place.
    pub(crate) fn is_retiring(&self) -> bool {
        self.is_retiring
    }

    /// The end of what it wrote to its standard error before it was ready. The worker has ended.
    pub(crate) fn stderr_tail(&self) -> String {
        self.stderr_tail.text()
    }

    /// A descriptor that becomes readable when the worker ends.
    pub(crate) fn end(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// Descriptors that become readable when the worker ends or reports something.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [Some(self.end()), self.control.as_ref().map(AsFd::as_fd)].into_iter().flatten()
    }

    /// Reads what the worker reports.
    pub(crate) fn read_reports(&mut self) {
        let mut bytes = [0; 16];
        while let Some(control) = &mut self.control {
            match control.read(&mut bytes) {
                Ok(count @ 1..) => {
                    self.is_ready |= bytes[..count].contains(&READY);
                    self.is_leaving |= bytes[..count].contains(&LEAVING);
                    self.is_retiring |= bytes[..count].contains(&RETIRING);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A closed end stays readable forever, so no wait may include it again.
                Ok(0) | Err(_) => self.control = None,
            }
        }
    }

    /// Whether the process has ended and must be reaped.
    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    /// Signals the whole process group: the commands that a worker runs end with it.
    pub(crate) fn signal(&self, signal: Signal) {
        // The only possible error is that the group is empty, which is what the caller wants.
        let _ = process_group::signal(self.id(), signal);
    }

    /// Reaps the ended process, and returns how it ended, such as “was ended by signal 9 (SIGKILL)”.
    pub(crate) fn reap(&mut self) -> io::Result<String> {
        self.process.reap(&mut self.child).map(describe)
    }
}

fn describe(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.signal(), status.code())) {
        Some((Some(signal), _)) => format!("was ended by {}", NamedSignal(signal)),
        Some((None, Some(code))) => format!("exited with status {code}"),
        Some((None, None)) | None => "ended".to_owned(),
    }
}

//! The command supervisor: a process between a worker and its command. The parent module says why.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio, exit};

use client::internal::DescriptorMessage;
use rustix::io::Errno;
use rustix::net::sockopt::socket_type;
use rustix::net::{RecvFlags, SendFlags, SocketType, recv, send};
use rustix::stdio::stdin;
use sys::bounded_write::{LINE_TIME_MAX, write_within};
use sys::inherited::Inherited;
use sys::poll::{Watched, wait_for_any};
use sys::process::{self, Process};
use sys::process_session::ProcessSession;
use sys::{Signal, process_group, signals};

use super::program::{Exit, FailedPart, Order, Report};
use crate::isolation::streams::take_stdin;

/// The signals after which a command should end, even if it was suspended.
const ASKING_TO_END: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// The exit status of a supervisor that nobody started as one, such as a person who has seen it in a list of processes.
const MISUSE: i32 = 2;

/// The exit status of a supervisor that failed.
const FAILED: i32 = 125;

/// In a copy of the program: starts the command that arrives on the standard input, supervises it, and never returns.
pub(crate) fn supervise() -> ! {
    // Lists of processes would show every copy as `exe`, after the path it is started by. A failure is harmless.
    process::name_thread(c"supervisor");
    if socket_type(stdin()) != Ok(SocketType::SEQPACKET) {
        let text = "this program was started to supervise a command, which only `worker run` and workers do; to run \
                    one, use `worker run`";
        say(&format!("{text}\n"));
        exit(MISUSE);
    }
    if let Err(error) = try_supervise() {
        say(&format!("this command cannot be supervised: {error}\n"));
        exit(FAILED);
    }
    exit(0);
}

/// Prints a text to standard error. If nobody reads it, this ends all the same.
fn say(text: &str) {
    let _ = write_within(&io::stderr(), text.as_bytes(), LINE_TIME_MAX);
}

fn try_supervise() -> io::Result<()> {
    // In a session of its own, the supervisor does not get a signal to the worker's process group, after which it has
    // work to do. It has no terminal either, so the command's use of a terminal cannot suspend it.
    process_group::begin_session()?;
    let session = ProcessSession::led_by(std::process::id())?;
    let channel = take_stdin()?;
    report(&channel, Report::Ready)?;
    let (order, mut descriptors) = match DescriptorMessage::receive(&channel) {
        // The worker has ended, or wants no command any more.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        received => received?,
    };
    let Order { parent, program, ignored, blocked } =
        postcard::from_bytes(&order).map_err(io::Error::other)?;
    let stdin =
        descriptors.pop().ok_or_else(|| io::Error::other("the command's standard input is missing"))?;
    let worker = watch_parent(parent)?;

    // This comes first, so that a relative path of the program starts in this folder.
    if let Some(folder) = program.folder()
        && let Err(error) = std::env::set_current_dir(folder)
    {
        return not_started(&channel, FailedPart::Folder, &error);
    }
    let mut command = program.to_command();
    signals::reset_those_of_the_library(&mut command);
    Inherited { ignored, blocked }.give_to(&mut command);
    // A signal to the command's own group reaches everything that the command starts, and not the supervisor.
    match command.stdin(Stdio::from(stdin)).process_group(0).spawn() {
        Ok(child) => {
            drop(command);
            CommandSupervisor { session, channel, worker, child }.supervise()
        }
        Err(error) => not_started(&channel, FailedPart::Program, &error),
    }
}

/// A descriptor that becomes readable when the process that started this one ends.
fn watch_parent(parent: u32) -> io::Result<Process> {
    let watched = Process::open(parent)?;
    // A supervisor that was suspended continues then, and does its work.
    process::signal_at_death_of_parent(Signal::CONT)?;
    // If it ended before that call, its number may be another process's by now.
    match process::parent() {
        Some(now) if now == parent => Ok(watched),
        _ => Err(io::Error::other(format!("process {parent}, which started it, has ended"))),
    }
}

fn not_started(channel: &OwnedFd, part: FailedPart, error: &io::Error) -> io::Result<()> {
    report(channel, Report::NotStarted { part, errno: error.raw_os_error().unwrap_or_default() })
}

fn report(channel: &OwnedFd, report: Report) -> io::Result<()> {
    let bytes = postcard::to_allocvec(&report).map_err(io::Error::other)?;
    send(channel, &bytes, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Supervises a command that runs.
struct CommandSupervisor {
    /// Everything that the command starts, unless it leaves on purpose; and this process.
    session: ProcessSession,
    /// Brings signals from the worker, and takes reports to it.
    channel: OwnedFd,
    /// Readable when the worker has ended.
    worker: Process,
    /// Reaped only after its group is dead, so that the group's number cannot be reused before.
    child: Child,
}

impl CommandSupervisor {
    fn supervise(mut self) -> io::Result<()> {
        let watched = Process::of_child(&self.child);
        // A command that cannot be watched, or that nobody waits for, is killed.
        if let (Ok(command), Ok(())) = (&watched, report(&self.channel, Report::Started)) {
            self.pass_on_signals(command);
        }
        // Also after a regular end: processes that the command leaves behind end with it. Those of its group get the
        // signal in one step; the session has other groups if the command has begun some, as timeout(1) does.
        self.signal(Signal::KILL);
        let exit = Exit::from(self.child.wait()?);
        // Whoever waits for the end of the command goes on with the report, and nothing of it may run any more.
        self.session.end(Some(std::process::id()));
        // This fails if the worker has ended, and then nobody needs the report.
        let _ = report(&self.channel, Report::Ended(exit));
        Ok(())
    }

    /// Passes on the worker's signals, until the worker or the command has ended.
    fn pass_on_signals(&self, command: &Process) {
        loop {
            let mut watched =
                [command.as_fd(), self.worker.as_fd(), self.channel.as_fd()].map(Watched::borrowed);
            if wait_for_any(&mut watched, None).is_err() {
                // If it cannot watch for the end, it has to assume it.
                return;
            }
            let [command, worker, channel] = watched.each_ref().map(Watched::is_ready);
            if command || worker || (channel && !self.pass_on_signal()) {
                return;
            }
        }
    }

    /// Passes on the next signal; false if the worker has ended.
    fn pass_on_signal(&self) -> bool {
        let mut number = [0];
        match recv(&self.channel, &mut number, RecvFlags::DONTWAIT) {
            Ok((_, 1..)) => {
                if let Some(signal) = Signal::from_named_raw(number[0].into()) {
                    self.signal(signal);
                    // A stopped process handles a signal only when it continues.
                    if ASKING_TO_END.contains(&signal) {
                        self.signal(Signal::CONT);
                    }
                }
                true
            }
            Ok(_) => false,
            Err(error) => matches!(error, Errno::INTR | Errno::AGAIN),
        }
    }

    fn signal(&self, signal: Signal) {
        // The only possible error is that no process is left in the group.
        let _ = process_group::signal(self.child.id(), signal);
    }
}

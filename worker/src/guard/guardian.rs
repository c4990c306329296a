//! The guardian: a process between a worker and its command. See the module above.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio, exit};

use client::internal::DescriptorMessage;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{
    Pid, PidfdFlags, Signal, getppid, kill_process_group, pidfd_open, set_parent_process_death_signal, setsid,
};

use super::program::{Exit, Order, Place, Report};
use crate::lifeline::take_stdin;

/// The exit status of a guardian that could not do its work.
const FAILED: i32 = 125;

/// In a copy: starts the command that is ordered on the standard input, guards it, and never returns.
pub(crate) fn guard() -> ! {
    // Copies are started by a path that would make all of them `exe` in lists of processes. It is only a name.
    let _ = rustix::thread::set_name(c"guardian");
    if let Err(error) = try_guard() {
        eprintln!("this command can not be guarded: {error}");
        exit(FAILED);
    }
    exit(0);
}

fn try_guard() -> io::Result<()> {
    // Whoever kills the worker's process group does not kill the guardian, which has work to do then. It has no
    // terminal either, so what the command does with one can not suspend it.
    setsid()?;
    let line = take_stdin()?;
    let (order, mut descriptors) = DescriptorMessage::receive(&line)?;
    let Order { parent, program } = postcard::from_bytes(&order).map_err(io::Error::other)?;
    let stdin = descriptors.pop().ok_or_else(|| io::Error::other("there is no standard input for it"))?;
    let worker = watch_parent(parent)?;

    // First, so that a relative path of the program is one from there.
    if let Some(folder) = program.folder()
        && let Err(error) = std::env::set_current_dir(folder)
    {
        return not_started(&line, Place::Folder, &error);
    }
    let mut command = program.to_command();
    // The group is the command's: a signal to it reaches whatever the command starts, and not the guardian.
    match command.stdin(Stdio::from(stdin)).process_group(0).spawn() {
        Ok(child) => {
            drop(command);
            Guardian { line, worker, child }.guard()
        }
        Err(error) => not_started(&line, Place::Program, &error),
    }
}

/// What becomes readable when the process ends that started this one.
fn watch_parent(parent: u32) -> io::Result<OwnedFd> {
    let process = Pid::from_raw(parent.cast_signed()).ok_or(Errno::INVAL)?;
    let watched = pidfd_open(process, PidfdFlags::empty())?;
    // So that a guardian that was stopped goes on then, and does its work.
    set_parent_process_death_signal(Some(Signal::CONT))?;
    // If it had ended before, the number may be another's.
    match getppid() {
        Some(now) if now == process => Ok(watched),
        _ => Err(io::Error::other(format!("process {parent}, which wanted it, has ended"))),
    }
}

fn not_started(line: &OwnedFd, place: Place, error: &io::Error) -> io::Result<()> {
    tell(line, Report::NotStarted { place, errno: error.raw_os_error().unwrap_or_default() })
}

fn tell(line: &OwnedFd, report: Report) -> io::Result<()> {
    let bytes = postcard::to_allocvec(&report).map_err(io::Error::other)?;
    send(line, &bytes, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A guardian whose command runs.
struct Guardian {
    /// Signals come, reports go.
    line: OwnedFd,
    /// Readable when the worker has ended.
    worker: OwnedFd,
    /// Not reaped before its group is dead, so that the group's number can not be another's.
    child: Child,
}

impl Guardian {
    fn guard(mut self) -> io::Result<()> {
        let watched = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty());
        // What can not be watched, and what nobody waits for, does not stay.
        if let (Ok(command), Ok(())) = (&watched, tell(&self.line, Report::Started)) {
            self.pass_on_signals(command);
        }
        // Also when all is well: what a command leaves behind in its group is as unwanted as the rest of it.
        self.signal(Signal::KILL);
        let exit = Exit::from(self.child.wait()?);
        // If nobody listens any more, this was the worker's end.
        let _ = tell(&self.line, Report::Ended(exit));
        Ok(())
    }

    /// Does as the worker says, until the worker or the command has ended.
    fn pass_on_signals(&self, command: &OwnedFd) {
        loop {
            let mut watched = [command.as_fd(), self.worker.as_fd(), self.line.as_fd()]
                .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
            match poll(&mut watched, None) {
                Err(Errno::INTR) => continue,
                // An end that can not be seen coming has to be taken to be here.
                Err(_) => return,
                Ok(_) => {}
            }
            let [command, worker, line] = watched.map(|watched| !watched.revents().is_empty());
            if command || worker || (line && !self.pass_on_signal()) {
                return;
            }
        }
    }

    /// False: the worker has ended.
    fn pass_on_signal(&self) -> bool {
        let mut number = [0];
        match recv(&self.line, &mut number, RecvFlags::DONTWAIT) {
            Ok((_, 1..)) => {
                if let Some(signal) = Signal::from_named_raw(number[0].into()) {
                    self.signal(signal);
                    // A process that was stopped hears a signal only when it goes on.
                    self.signal(Signal::CONT);
                }
                true
            }
            Ok(_) => false,
            Err(error) => matches!(error, Errno::INTR | Errno::AGAIN),
        }
    }

    fn signal(&self, signal: Signal) {
        // The one error that can come is that nobody is left in the group.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }
}

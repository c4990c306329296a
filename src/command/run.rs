//! Running one command under a named event, a named lock, or both.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, stdin};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use clap::{ArgGroup, Args};
use client::Result;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sys::Signal;
use worker::internal::{Escalation, Permission, Preconditions, Program, StopReason, SupervisedCommand};
use worker::tasks::Exit;

use super::{connect, parse_name};

/// The command was stopped by the event, or never started since the event was set.
const STOPPED: u8 = 75;

/// The lock was taken away while the command ran, or the manager ended that kept it.
const LOCK_LOST: u8 = 76;

/// The manager can not be reached, refuses, or ended.
const NO_MANAGER: u8 = 69;

/// There is no such program.
const NOT_FOUND: u8 = 127;

/// There is a program that can not be started.
const NOT_STARTED: u8 = 126;

/// What is added to the number of a signal that ended the command, as shells do.
const SIGNALLED: u8 = 128;

/// How long a wait that is given up may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs one command under a named event, a named lock, or both.
///
/// With --lock, the command starts as soon as this has the lock, and the lock is given back when the command has ended.
/// With --stop, it does not start if the event is set, and is stopped when the event is set later: its process group
/// gets SIGTERM, and SIGKILL if it has not ended after the grace. The same is done when the lock is lost, when the
/// manager ends, and when this program gets SIGINT, SIGTERM or SIGHUP (which is passed on as it is; a second one kills
/// at once). When this program is killed, so is the command. That the lock is lost, as it was taken away or removed, is
/// noticed within a second: for that long the command may run beside the next holder's.
///
/// The command runs in a process group of its own, and what it leaves behind there ends with it. It has no
/// terminal, but this program's output, and its input too unless that is a terminal.
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
#[command(group = ArgGroup::new("under").required(true).multiple(true).args(["stop", "lock"]))]
pub(crate) struct Run {
    /// The event that stops the command; it is made if it is not there
    #[arg(long, value_name = "EVENT", value_parser = parse_name)]
    stop: Option<String>,

    /// The lock that is held while the command runs; it is made if it is not there
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    lock: Option<String>,

    /// How long the command has to end by itself when it is stopped: a number and its unit, ms, s, min or h, as in
    /// 300ms or 1.5min; seconds if there is no unit
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    #[arg(allow_hyphen_values = true)]
    grace: Duration,

    /// The manager's socket [default: the one that RALLYPOINT_SOCKET names, or this user's own]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXIT_STATUS: &str = "\
Exit status:
  that of the command, or 128 and the number of the signal that ended it; but
  75   the event stopped the command, or kept it from starting
  76   the lock was lost while the command ran
  69   the manager can not be reached, refuses, or ended
  126  the command can not be started
  127  there is no such command
  2    these arguments are wrong";

/// What happens.
enum News {
    /// The wait to start has ended.
    Permission(Result<Permission>),
    /// The command is to end.
    StopReason(StopReason),
    /// The command has ended.
    Ended(std::io::Result<Exit>),
    /// This program got a signal.
    Signal(i32),
}

impl Run {
    /// Runs the command, and returns the exit status.
    pub(crate) fn run(&self) -> u8 {
        let (sender, news) = channel();
        // Before there is anything to end, so that no signal comes too early to end it.
        if let Err(error) = tell_signals(sender.clone()) {
            return give_up(NOT_STARTED, &format!("signals can not be handled: {error}"));
        }
        let preconditions = connect(self.socket.as_deref())
            .and_then(|manager| Preconditions::open(&manager, self.stop.as_deref(), self.lock.as_deref()));
        match preconditions {
            Ok(preconditions) => self.run_under(&Arc::new(preconditions), &sender, &news),
            Err(error) => give_up(NO_MANAGER, &error.to_string()),
        }
    }

    fn run_under(
        &self,
        preconditions: &Arc<Preconditions>,
        sender: &Sender<News>,
        news: &Receiver<News>,
    ) -> u8 {
        tell(sender, preconditions, |preconditions| News::Permission(preconditions.wait()));
        if let Err(status) = self.wait_to_start(preconditions, news) {
            return status;
        }
        let command = match self.start() {
            Ok(command) => Arc::new(command),
            Err(status) => {
                // The command's failure is what counts, whatever becomes of the lock.
                let _ = preconditions.release();
                return status;
            }
        };
        log::info!("the command runs: {}", self.command[0].display());
        tell(sender, preconditions, |preconditions| News::StopReason(preconditions.watch()));
        tell(sender, &command, |command| News::Ended(command.wait()));
        let (exit, trouble) = self.attend(&command, news);
        log::info!("the command has ended: {exit:?}");
        let released = preconditions.release();
        match (trouble, exit) {
            (Some(trouble), _) => give_up(status_of(&trouble), &trouble.to_string()),
            (None, Err(error)) => give_up(SIGNALLED + 9, &error.to_string()),
            (None, Ok(exit)) => match released {
                Ok(()) => exit_status(exit),
                // It had ended when the lock was looked for, but the lock was lost before that.
                Err(error) => give_up(LOCK_LOST, &StopReason::LockLost(error.to_string()).to_string()),
            },
        }
    }

    /// Waits until the command may start. An error is the status to exit with.
    fn wait_to_start(
        &self,
        preconditions: &Preconditions,
        news: &Receiver<News>,
    ) -> std::result::Result<(), u8> {
        let mut signal = None;
        let leave = loop {
            // After a signal it only has to be seen whether the lock has come all the same.
            let next = match signal {
                None => news.recv().map_err(RecvTimeoutError::from),
                Some(_) => news.recv_timeout(PATIENCE),
            };
            match next {
                Ok(News::Permission(leave)) => break leave,
                Ok(News::Signal(number)) => {
                    signal = Some(number);
                    preconditions.cancel();
                }
                Ok(News::StopReason(_) | News::Ended(_)) => unreachable!("there is no command yet"),
                Err(_) => break Ok(Permission::Cancelled),
            }
        };
        if let Some(number) = signal {
            let _ = preconditions.release();
            return Err(exit_status(Exit::Signal(number)));
        }
        match leave {
            Ok(Permission::Granted(None)) => Ok(()),
            Ok(Permission::Granted(Some(abandonment))) => {
                let protocol::Abandonment { process, program, how, .. } = abandonment;
                eprintln!("worker run: the lock was left behind by pid {process} ({program}), which {how}");
                Ok(())
            }
            Ok(Permission::Stopped(cause)) => Err(give_up(STOPPED, &StopReason::Stopped(cause).to_string())),
            Ok(Permission::Cancelled) => Err(give_up(NO_MANAGER, "the manager does not answer")),
            Err(error) => Err(give_up(NO_MANAGER, &error.to_string())),
        }
    }

    /// Starts the command. An error is the status to exit with.
    fn start(&self) -> std::result::Result<SupervisedCommand, u8> {
        let (name, arguments) = self.command.split_first().expect("the command line has a command");
        let mut program = Program::new(name);
        program.arguments = arguments.iter().map(|argument| argument.as_encoded_bytes().to_vec()).collect();
        // It would take away what is typed for others, as for the shell if this program runs in the background.
        let nothing = File::open("/dev/null").map_err(|error| give_up(NOT_STARTED, &error.to_string()))?;
        let input = stdin();
        let input = if input.is_terminal() { nothing.as_fd() } else { input.as_fd() };
        SupervisedCommand::start(&program, input, Stdio::inherit(), Stdio::inherit()).map_err(|fault| {
            let status = if fault.is_not_found() { NOT_FOUND } else { NOT_STARTED };
            give_up(status, &format!("{}: {fault}", name.display()))
        })
    }

    /// Stops the command if it is to be stopped, until it has ended. Returns how it did, and why it was to.
    fn attend(
        &self,
        command: &SupervisedCommand,
        news: &Receiver<News>,
    ) -> (std::io::Result<Exit>, Option<StopReason>) {
        let mut escalation = Escalation::new(self.grace);
        let mut trouble = None;
        loop {
            escalation.advance(command);
            let next = match escalation.time_left() {
                None => news.recv().map_err(RecvTimeoutError::from),
                Some(rest) => news.recv_timeout(rest),
            };
            match next {
                Ok(News::Ended(exit)) => return (exit, trouble),
                Ok(News::StopReason(first)) => {
                    escalation.start(command, Signal::TERM);
                    trouble = Some(first);
                }
                Ok(News::Signal(number)) => {
                    let signal = Signal::from_named_raw(number).unwrap_or(Signal::TERM);
                    escalation.start_or_kill(command, signal);
                }
                Ok(News::Permission(_)) => unreachable!("it has been granted"),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("the sender is kept"),
            }
        }
    }
}

/// Does this on a thread of its own, and tells what comes of it.
fn tell<T: Send + Sync + 'static>(
    sender: &Sender<News>,
    what: &Arc<T>,
    wait: impl FnOnce(&T) -> News + Send + 'static,
) {
    let (sender, what) = (sender.clone(), Arc::clone(what));
    thread::spawn(move || {
        // Nobody listens any more when the program is about to end anyway.
        let _ = sender.send(wait(&what));
    });
}

/// Tells every request from outside to end, but for those that whoever started this wants ignored, as `nohup` does.
fn tell_signals(sender: Sender<News>) -> std::io::Result<()> {
    let ignored = ignored_signals();
    let wanted = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|number| ignored & (1 << (number - 1)) == 0);
    let mut signals = Signals::new(wanted)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        signals.forever().try_for_each(|number| sender.send(News::Signal(number))).unwrap_or_default();
    })?;
    Ok(())
}

/// The signals that this process ignores, a bit each, as far as the system tells.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Says why the command did not run to its end, and returns the status that says so, too.
fn give_up(status: u8, text: &str) -> u8 {
    eprintln!("worker run: {text}");
    status
}

fn status_of(trouble: &StopReason) -> u8 {
    match trouble {
        StopReason::Stopped(_) => STOPPED,
        StopReason::LockLost(_) => LOCK_LOST,
        StopReason::EventLost(_) => NO_MANAGER,
    }
}

fn exit_status(exit: Exit) -> u8 {
    match exit {
        // It is a byte, as the system has it.
        Exit::Status(status) => u8::try_from(status).unwrap_or(u8::MAX),
        Exit::Signal(signal) => SIGNALLED.saturating_add(u8::try_from(signal).unwrap_or_default()),
    }
}

/// Reads a number and its unit; seconds without one.
fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    if text.starts_with('-') {
        return Err("a time is not negative; 0s leaves none".to_owned());
    }
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("there is no unit {other:?}; use ms, s, min or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} does not begin with a number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in [
            ("5s", 5_000),
            ("7", 7_000),
            ("0.5 s", 500),
            ("300ms", 300),
            ("2min", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1s", "5 parsecs", "1.2.3", "1e9s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}

//! Running one command under a named event, a named lock, or both.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, stdin};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use clap::{ArgGroup, Args, CommandFactory};
use client::Result;
use manager::Address;
use protocol::escaped;
use sys::Signal;
use worker::internal::{
    Escalation, NotStarted, Permission, Preconditions, Program, StopReason, SupervisedCommand,
};
use worker::tasks::Exit;

use super::arguments::parse_name;
use super::exit_status::{self, ExitStatus};
use super::output::complain;
use super::{signals, socket, time};

/// The name under which errors are printed.
const PROGRAM: &str = "worker run";

/// How long something may take to end after a signal.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs one command under a named event, a named lock, or both.
///
/// With --lock, the command starts as soon as this program holds the lock; it releases the lock when the command has
/// ended. With --stop, the command does not start if the event is set. If the event is set later, this program stops
/// the command: its process group gets SIGTERM, and SIGKILL if it has not ended after the grace. It does the same when
/// it loses the lock and when the manager ends. It passes SIGINT, SIGTERM, SIGHUP and SIGQUIT on to the command, with
/// the same grace; a second one kills at once. It passes SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH and SIGCONT on, and
/// nothing follows. A signal that was ignored when this program started stays ignored, for the command too: SIGHUP
/// under nohup, and SIGINT in the background of a script, where SIGTERM still ends it.
///
/// The next holder gets the lock only when nothing of the command runs any more, whichever process is killed: this
/// program, its helper, the command, or a process that the command has started. If this program is killed, the command
/// is killed too. There are three exceptions. This program notices within a second that somebody has taken the lock
/// away by force or removed it: until then the command may run beside the next holder's. If the manager ends, so do its
/// locks, and a new manager grants them while the command has its grace. And what has begun a session of its own
/// (setsid), as daemons do, has left the command and goes on without the lock.
///
/// If the lock does not come within a second, this program says who holds it, and goes on waiting. It ends with status
/// 78 if the lock can never come: its holder is another `worker run`, in whose command this one runs, or several wait
/// for each other in a circle. For that, each is taken to wait for whatever its command has started. Where --stop can
/// end a circle, this program only says so. It does not find a circle that leads through the child of another program.
///
/// The command runs in a process group of its own, and processes that it leaves behind end with it. It has no
/// terminal. Its output is this program's, and so is its input unless that is a terminal.
#[derive(Debug, Args)]
#[command(after_help = exit_status::help_of_run())]
#[command(group = ArgGroup::new("under").required(true).multiple(true).args(["stop", "lock"]))]
pub(crate) struct Run {
    /// The event that stops the command; it is created if it does not exist
    #[arg(long, value_name = "EVENT", value_parser = parse_name)]
    stop: Option<String>,

    /// The lock to hold while the command runs; it is created if it does not exist
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    lock: Option<String>,

    #[arg(help = format!("How long a stopped command has to end by itself: {}", time::FORMS))]
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time::parse)]
    #[arg(allow_hyphen_values = true)]
    grace: Duration,

    #[arg(long, value_name = "ADDRESS", value_parser = socket::parser())]
    #[arg(help = socket::HELP, long_help = socket::LONG_HELP)]
    socket: Option<Address>,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What happens before and while a command runs.
enum RunInput {
    /// The objects are open, or cannot be opened.
    Opened(Result<Preconditions>),
    /// The wait to start has ended.
    Permission(Result<Permission>),
    /// The command runs, or cannot be started.
    Started(std::result::Result<Arc<SupervisedCommand>, NotStarted>),
    /// The command is to end.
    StopReason(StopReason),
    /// The command has ended.
    Ended(std::io::Result<Exit>),
    /// This program got a signal.
    Signal(i32),
}

/// What happens, in order. Whatever may take long runs on a thread of its own and sends its outcome, so that this
/// program always heeds signals, even if the manager does not answer.
struct Inputs {
    receiver: Receiver<RunInput>,
    sender: Sender<RunInput>,
    /// The first signal that asked this program to end before the command ran.
    signal: Option<i32>,
    /// The other signals that came since the command was about to start.
    kept: Vec<i32>,
}

impl Inputs {
    /// Runs this on a thread of its own, and sends what it returns.
    fn spawn(&self, wait: impl FnOnce() -> RunInput + Send + 'static) {
        let sender = self.sender.clone();
        thread::spawn(move || {
            // The receiver is gone only if the program is about to end anyway.
            let _ = sender.send(wait());
        });
    }

    /// The next outcome of a thread. After a signal to end, which `cancel` is told, it is none if it takes long.
    fn outcome(&mut self, cancel: impl Fn()) -> Option<RunInput> {
        loop {
            let next = match self.signal {
                None => self.receiver.recv().map_err(RecvTimeoutError::from),
                Some(_) => self.receiver.recv_timeout(PATIENCE),
            };
            match next {
                Ok(RunInput::Signal(number)) if signals::asks_to_end(number) => {
                    self.signal = self.signal.or(Some(number));
                    cancel();
                }
                // The command may run already, although the thread that starts it has not said so yet.
                Ok(RunInput::Signal(number)) => self.kept.push(number),
                Ok(outcome) => return Some(outcome),
                Err(_) => return None,
            }
        }
    }

    /// The exit status after a signal.
    fn status_of_signal(&self) -> Option<ExitStatus> {
        self.signal.map(|number| ExitStatus::OfCommand(Exit::Signal(number)))
    }
}

impl Run {
    /// Runs the command, and returns the exit status.
    pub(crate) fn run<P: CommandFactory>(&self) -> ExitStatus {
        let address = socket::address::<P>(self.socket.as_ref());
        let (sender, receiver) = channel();
        // Before the command starts, so that no signal comes too early to end it.
        if let Err(error) = signals::forward(signals::to_pass_on(), sender.clone(), RunInput::Signal) {
            return give_up(ExitStatus::NotStarted, &format!("signals cannot be handled: {error}"));
        }
        let mut inputs = Inputs { receiver, sender, signal: None, kept: Vec::new() };
        let (stop, lock) = (self.stop.clone(), self.lock.clone());
        inputs.spawn(move || {
            let manager = socket::connect(&address);
            RunInput::Opened(
                manager.and_then(|manager| Preconditions::open(&manager, stop.as_deref(), lock.as_deref())),
            )
        });
        let opened = inputs.outcome(|| {});
        match (inputs.status_of_signal(), opened) {
            (Some(status), _) => status,
            (None, Some(RunInput::Opened(Ok(preconditions)))) => {
                self.run_under(&Arc::new(preconditions), &mut inputs)
            }
            (None, Some(RunInput::Opened(Err(error)))) => {
                give_up(ExitStatus::from(&error), &error.to_string())
            }
            (None, _) => unreachable!("nothing else was begun"),
        }
    }

    fn run_under(&self, preconditions: &Arc<Preconditions>, inputs: &mut Inputs) -> ExitStatus {
        let waiting = Arc::clone(preconditions);
        inputs.spawn(move || RunInput::Permission(waiting.wait()));
        let looking = Arc::clone(preconditions);
        thread::spawn(move || looking.watch_wait(|text| complain(PROGRAM, &text)));
        let command = match self
            .wait_to_start(preconditions, inputs)
            .and_then(|()| self.start(preconditions, inputs))
        {
            Ok(command) => command,
            Err(status) => {
                // Why there is no command counts, whatever becomes of the lock.
                let _ = preconditions.release();
                return status;
            }
        };
        log::info!("the command runs: {}", escaped(self.command[0].display()));
        let watched = Arc::clone(preconditions);
        inputs.spawn(move || RunInput::StopReason(watched.watch()));
        let (exit, reason) = self.attend(&command, inputs);
        match &exit {
            Ok(exit) => log::info!("the command {exit}"),
            Err(error) => log::info!("the command has ended, and how is not known: {error}"),
        }
        let released = preconditions.release();
        match (reason, exit) {
            (Some(reason), _) => give_up(ExitStatus::of_stop(&reason), &reason.to_string()),
            (None, Err(error)) => {
                give_up(ExitStatus::OfCommand(Exit::Signal(Signal::KILL.as_raw())), &error.to_string())
            }
            (None, Ok(exit)) => match released {
                Ok(()) => ExitStatus::OfCommand(exit),
                // The command ended before the lock was checked, but the lock was lost before that.
                Err(error) => {
                    let reason = StopReason::of_lock(&error);
                    give_up(ExitStatus::of_stop(&reason), &reason.to_string())
                }
            },
        }
    }

    /// Waits until the command may start. The error is the exit status.
    fn wait_to_start(
        &self,
        preconditions: &Preconditions,
        inputs: &mut Inputs,
    ) -> std::result::Result<(), ExitStatus> {
        let outcome = inputs.outcome(|| preconditions.cancel());
        if let Some(status) = inputs.status_of_signal() {
            return Err(status);
        }
        match outcome {
            Some(RunInput::Permission(Ok(Permission::Granted(None)))) => Ok(()),
            Some(RunInput::Permission(Ok(Permission::Granted(Some(abandonment))))) => {
                let protocol::Abandonment { process, program, how, .. } = abandonment;
                let text = format!("the lock was left behind by pid {process} ({program}), which {how}");
                complain(PROGRAM, &text);
                Ok(())
            }
            Some(RunInput::Permission(Ok(Permission::Stopped(cause)))) => {
                Err(give_up(ExitStatus::Stopped, &StopReason::Stopped(cause).to_string()))
            }
            Some(RunInput::Permission(Err(error))) => {
                Err(give_up(ExitStatus::from(&error), &error.to_string()))
            }
            _ => unreachable!("only a signal cancels the wait"),
        }
    }

    /// Starts the command. The error is the exit status.
    fn start(
        &self,
        preconditions: &Arc<Preconditions>,
        inputs: &mut Inputs,
    ) -> std::result::Result<Arc<SupervisedCommand>, ExitStatus> {
        let (name, arguments) = self.command.split_first().expect("the command line has a command");
        let mut program = Program::new(name);
        program.arguments = arguments.iter().map(|argument| argument.as_encoded_bytes().to_vec()).collect();
        let (preconditions, sender) = (Arc::clone(preconditions), inputs.sender.clone());
        // There was no command that could have got them.
        inputs.kept.clear();
        // One thread starts it and waits for it: the system takes the end of that thread for the end of the parent.
        inputs.spawn(move || match start(&preconditions, &program) {
            Ok(command) => {
                let command = Arc::new(command);
                let _ = sender.send(RunInput::Started(Ok(Arc::clone(&command))));
                RunInput::Ended(command.wait())
            }
            Err(error) => RunInput::Started(Err(error)),
        });
        match inputs.outcome(|| {}) {
            Some(RunInput::Started(Ok(command))) => Ok(command),
            Some(RunInput::Started(Err(fault))) => {
                let status = if fault.is_not_found() { ExitStatus::NotFound } else { ExitStatus::NotStarted };
                Err(give_up(status, &format!("{}: {fault}", escaped(name.display()))))
            }
            None => Err(inputs.status_of_signal().expect("only a signal ends the wait early")),
            Some(_) => unreachable!("nothing else was begun"),
        }
    }

    /// Waits until the command has ended, and stops it if there is a reason. Returns how it ended, and the reason.
    fn attend(
        &self,
        command: &SupervisedCommand,
        inputs: &Inputs,
    ) -> (std::io::Result<Exit>, Option<StopReason>) {
        let mut escalation = Escalation::new(self.grace);
        let mut reason = None;
        inputs.kept.iter().for_each(|&number| command.signal(signal_of(number)));
        if let Some(number) = inputs.signal {
            escalation.start_or_kill(command, signal_of(number));
        }
        loop {
            escalation.advance(command);
            let next = match escalation.time_left() {
                None => inputs.receiver.recv().map_err(RecvTimeoutError::from),
                Some(rest) => inputs.receiver.recv_timeout(rest),
            };
            match next {
                Ok(RunInput::Ended(exit)) => return (exit, reason),
                Ok(RunInput::StopReason(first)) => {
                    escalation.start(command, Signal::TERM);
                    reason = Some(first);
                }
                Ok(RunInput::Signal(number)) if signals::asks_to_end(number) => {
                    escalation.start_or_kill(command, signal_of(number));
                }
                Ok(RunInput::Signal(number)) => command.signal(signal_of(number)),
                Ok(RunInput::Opened(_) | RunInput::Permission(_) | RunInput::Started(_)) => {
                    unreachable!("the command runs")
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("the sender is kept"),
            }
        }
    }
}

/// Starts the command.
fn start(
    preconditions: &Preconditions,
    program: &Program,
) -> std::result::Result<SupervisedCommand, NotStarted> {
    // A command that reads the terminal would take input that is meant for others, such as the shell's next line if
    // this program runs in the background.
    let nothing = File::open("/dev/null")?;
    let input = stdin();
    let input = if input.is_terminal() { nothing.as_fd() } else { input.as_fd() };
    let output = Stdio::inherit;
    SupervisedCommand::start(Some(preconditions.link()), program, input, output(), output())
}

/// The signal of this number, which this program can get.
fn signal_of(number: i32) -> Signal {
    Signal::from_named_raw(number).unwrap_or(Signal::TERM)
}

/// Prints why the command did not run to its end, and returns the exit status for that.
fn give_up(status: ExitStatus, text: &str) -> ExitStatus {
    complain(PROGRAM, &text);
    status
}

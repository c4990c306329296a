//! Serving a named pool of a running manager with worker processes.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, CommandFactory};
use client::Manager;
use client::internal::Operation;
use client::internal::operations::Inspect;
use manager::{Address, shell_word};
use protocol::Selector;
use protocol::limits::PROCESSES_MAX;
use worker::{Ended, Service};

use super::arguments::parse_name;
use super::exit_status::ExitStatus;
use super::output::{complain, say};
use super::{signals, socket};

/// What the program prints when it asks the workers to leave.
const LEAVES: &str =
    "worker takes no more calls, and ends after those that run; a second signal ends it at once";

/// How long the manager may take to answer when the workers are asked to leave.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// The first pause between two tries to connect to a manager that is not there. It doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What to serve, and where.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The name of the pool to serve; it is created if it does not exist
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pool: String,

    /// The number of worker processes, from 1 to 1024 [default: one for each core]
    #[arg(long, value_name = "NUMBER", value_parser = parse_processes, allow_hyphen_values = true)]
    processes: Option<usize>,

    #[arg(long, value_name = "ADDRESS", value_parser = socket::parser())]
    #[arg(help = socket::HELP, long_help = socket::LONG_HELP)]
    socket: Option<Address>,
}

/// What happens while a pool is served.
enum ServeInput {
    /// All workers are ready.
    Ready,
    /// A signal asks this program to end.
    Signal,
    /// The manager does not answer, so that the workers cannot be asked to leave.
    Unanswered,
    /// All workers have ended.
    Ended(Ended),
}

/// How the service of one manager's pool ended.
enum ServiceEnd {
    /// This program was asked to end, or the pool is no more.
    Over,
    /// The manager is gone. There may be another one soon.
    ManagerGone,
}

impl Serve {
    /// Serves until a signal or the pool's end.
    pub(crate) fn run<P: CommandFactory>(&self) -> ExitCode {
        match self.try_run(&socket::address::<P>(self.socket.as_ref())) {
            Ok(()) => ExitCode::SUCCESS,
            Err((status, text)) => {
                complain("worker", &text);
                ExitCode::from(status.number())
            }
        }
    }

    /// Serves, and looks for another manager when one is gone; the error is the exit status, and the message to print.
    fn try_run(&self, address: &Address) -> Result<(), (ExitStatus, String)> {
        let (sender, inputs) = channel();
        // Before the workers start, so that no signal comes too early to end them.
        signals::forward(signals::to_end_on(), sender.clone(), |_| ServeInput::Signal)
            .and_then(|()| signals::disregard_others())
            .map_err(|error| (ExitStatus::Failed, format!("signals cannot be handled: {error}")))?;
        let mut pause = PAUSE_MIN;
        let mut is_told = false;
        loop {
            match socket::connect(address) {
                Ok(manager) => match self.serve(&manager, &sender, &inputs)? {
                    ServiceEnd::Over => return Ok(()),
                    ServiceEnd::ManagerGone => {
                        let gone = gone(manager.address());
                        complain("worker", &format_args!("{gone}; this program waits for it"));
                        (pause, is_told) = (PAUSE_MIN, true);
                    }
                },
                Err(error) if error.is_not_running() || error.is_manager_gone() => {
                    if !is_told {
                        complain("worker", &format_args!("{error}; this program waits for one"));
                        is_told = true;
                    }
                }
                Err(error) => return Err(failed(&error)),
            }
            if is_asked_to_end(&inputs, pause) {
                return Ok(());
            }
            pause = PAUSE_MAX.min(2 * pause);
        }
    }

    /// Serves the pool of one manager.
    fn serve(
        &self,
        manager: &Manager,
        sender: &Sender<ServeInput>,
        inputs: &Receiver<ServeInput>,
    ) -> Result<ServiceEnd, (ExitStatus, String)> {
        let service = match Service::start(manager, &self.pool, self.processes) {
            Err(error) if error.is_manager_gone() => return Ok(ServiceEnd::ManagerGone),
            service => service.map_err(|error| failed(&error))?,
        };
        thread::scope(|scope| {
            scope.spawn(|| watch(&service, sender));
            let mut is_leaving = false;
            let mut is_ended = false;
            for input in inputs {
                match input {
                    ServeInput::Ready => say(&format!(
                        "worker is ready: {} pool {:?} at {}",
                        who_serves(service.processes()),
                        self.pool,
                        manager.address()
                    )),
                    ServeInput::Signal if is_leaving || is_ended => service.terminate(),
                    ServeInput::Signal => match service.leave() {
                        Ok(()) => {
                            is_leaving = true;
                            say(LEAVES);
                            watch_answer(manager, &self.pool, sender);
                        }
                        // If the workers cannot be asked to leave, they are terminated.
                        Err(_) => {
                            is_ended = true;
                            service.terminate();
                        }
                    },
                    ServeInput::Unanswered => {
                        complain("worker", &"the manager does not answer, so the workers end at once");
                        service.terminate();
                    }
                    // The manager may have been gone before the signal came.
                    ServeInput::Ended(Ended::ManagerGone) if is_ended => return Ok(ServiceEnd::Over),
                    ServeInput::Ended(Ended::Left) if is_leaving => return Ok(ServiceEnd::Over),
                    ServeInput::Ended(Ended::ManagerGone) if is_leaving => {
                        return Err((ExitStatus::NoManager, gone(manager.address())));
                    }
                    ServeInput::Ended(ended) => return self.conclude(ended),
                }
            }
            Ok(ServiceEnd::Over)
        })
    }

    fn conclude(&self, ended: Ended) -> Result<ServiceEnd, (ExitStatus, String)> {
        match ended {
            Ended::Terminated => Ok(ServiceEnd::Over),
            Ended::Left => {
                say(&format!("pool {:?} is closed or removed", self.pool));
                Ok(ServiceEnd::Over)
            }
            Ended::ManagerGone => Ok(ServiceEnd::ManagerGone),
            Ended::Broken(reason) => Err((ExitStatus::Failed, reason)),
        }
    }
}

/// That the manager at this address is gone, and what to do about it.
fn gone(address: &Address) -> String {
    format!(
        "the manager at {address} is gone; start it again with `manager --socket {}`",
        shell_word(address)
    )
}

/// The exit status and the message for a request that failed.
fn failed(error: &client::Error) -> (ExitStatus, String) {
    (ExitStatus::from(error), error.to_string())
}

/// Waits this long before the next try to connect, unless a signal asks this program to end.
fn is_asked_to_end(inputs: &Receiver<ServeInput>, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    loop {
        match inputs.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(ServeInput::Signal) => return true,
            // What a manager has not answered that is gone.
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// As in “4 processes serve”.
fn who_serves(processes: usize) -> String {
    if processes == 1 { "1 process serves".to_owned() } else { format!("{processes} processes serve") }
}

/// Parses the number of processes.
fn parse_processes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a pool needs at least one process".to_owned()),
        Ok(processes @ ..=PROCESSES_MAX) => Ok(processes),
        Ok(_) => Err(format!("at most {PROCESSES_MAX} processes can serve a pool, not {text}")),
        Err(_) => Err(format!("this is not a number from 1 to {PROCESSES_MAX}")),
    }
}

/// Sends if the manager does not answer soon. What it answers tells that it has carried out earlier requests, such as
/// to have the workers leave.
fn watch_answer(manager: &Manager, pool: &str, sender: &Sender<ServeInput>) {
    let (link, sender) = (Arc::clone(manager.link()), sender.clone());
    let asked = link.begin(Inspect { object: Selector::Name(pool) }.into_request());
    thread::spawn(move || {
        // If the manager is gone, so are the workers.
        if let Ok(None) = asked.and_then(|asked| asked.wait_at_most(ANSWER_TIME_MAX)) {
            // The receiver is gone only if the program is about to end anyway.
            let _ = sender.send(ServeInput::Unanswered);
        }
    });
}

/// Sends when the workers are ready, and when they have ended.
fn watch(service: &Service, sender: &Sender<ServeInput>) {
    // The receiver lives until the last of these messages has arrived.
    if service.wait_ready() {
        let _ = sender.send(ServeInput::Ready);
    }
    let _ = sender.send(ServeInput::Ended(service.join()));
}

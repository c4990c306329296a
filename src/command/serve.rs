//! Serving a named pool of a running manager with worker processes.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use clap::Args;
use protocol::limits::PROCESSES_MAX;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use worker::{Ended, Service};

use super::{connect, parse_name};

/// What is said when the workers are asked to leave.
const LEAVES: &str = "worker takes no more calls, and ends with those that run; at once if asked again";

/// What to serve, and where.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The name of the pool to serve; it is made if it is not there
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pool: String,

    /// How many worker processes, from 1 to 1024 [default: one for each core]
    #[arg(long, value_name = "NUMBER", value_parser = parse_processes)]
    processes: Option<usize>,

    /// The manager's socket [default: the one that RALLYPOINT_SOCKET names, or this user's own]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// What happens while a pool is served.
enum News {
    /// All workers are ready.
    Ready,
    /// Somebody asks this program to end.
    Signal,
    /// All workers have ended.
    Ended(Ended),
}

impl Serve {
    /// Serves until a signal or the pool's end.
    pub(crate) fn run(&self) -> ExitCode {
        match self.try_run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => {
                // In one write, as workers that end may have something to say as well.
                let line = format!("worker: {text}\n");
                eprint!("{line}");
                ExitCode::FAILURE
            }
        }
    }

    /// An error is the text to show.
    fn try_run(&self) -> Result<(), String> {
        let (sender, news) = channel();
        // Before there is anything to end, so that no signal comes too early to end it.
        tell_signals(sender.clone()).map_err(|error| format!("signals can not be handled: {error}"))?;
        let manager = connect(self.socket.as_deref()).map_err(|error| error.to_string())?;
        let service =
            Service::start(&manager, &self.pool, self.processes).map_err(|error| error.to_string())?;
        thread::scope(|scope| {
            scope.spawn(|| tell_progress(&service, &sender));
            let mut is_leaving = false;
            for news in news {
                match news {
                    News::Ready => say(&format!(
                        "worker is ready: {} pool {:?} at {}",
                        who_serves(service.processes()),
                        self.pool,
                        manager.socket().display()
                    )),
                    News::Signal if is_leaving => service.terminate(),
                    News::Signal => match service.leave() {
                        Ok(()) => {
                            is_leaving = true;
                            say(LEAVES);
                        }
                        // Who can not be told is ended.
                        Err(_) => service.terminate(),
                    },
                    News::Ended(Ended::Left) if is_leaving => return Ok(()),
                    News::Ended(ended) => return self.conclude(ended, manager.socket()),
                }
            }
            Ok(())
        })
    }

    fn conclude(&self, ended: Ended, socket: &Path) -> Result<(), String> {
        match ended {
            Ended::Terminated => Ok(()),
            Ended::Left => {
                say(&format!("pool {:?} is closed, or not there any more", self.pool));
                Ok(())
            }
            Ended::ManagerGone => {
                let socket = socket.display();
                Err(format!(
                    "the manager at {socket} is gone; start it again with `manager --socket {socket}`, and then \
                     this again"
                ))
            }
            Ended::Broken(reason) => Err(reason),
        }
    }
}

/// As in “4 processes serve”.
fn who_serves(processes: usize) -> String {
    if processes == 1 { "1 process serves".to_owned() } else { format!("{processes} processes serve") }
}

/// Reads how many processes there are to be.
fn parse_processes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a pool needs at least one process".to_owned()),
        Ok(processes @ ..=PROCESSES_MAX) => Ok(processes),
        Ok(_) => Err(format!("a pool is served by at most {PROCESSES_MAX} processes, not by {text}")),
        Err(_) => Err(format!("it is not a number from 1 to {PROCESSES_MAX}")),
    }
}

/// Tells every request from outside to end.
fn tell_signals(sender: Sender<News>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        // Nobody listens any more when the program is about to end anyway.
        signals.forever().try_for_each(|_| sender.send(News::Signal)).unwrap_or_default();
    })?;
    Ok(())
}

/// Tells when the workers are ready, and when they have ended.
fn tell_progress(service: &Service, sender: &Sender<News>) {
    // The listener ends with the last of these, and not before.
    if service.wait_ready() {
        let _ = sender.send(News::Ready);
    }
    let _ = sender.send(News::Ended(service.join()));
}

/// Says a line on standard output. Whoever started this may not listen, which is no reason to end.
fn say(line: &str) {
    let mut output = stdout().lock();
    if let Err(error) = writeln!(output, "{line}").and_then(|()| output.flush()) {
        log::debug!("nobody reads {line:?}: {error}");
    }
}

//! The program `worker`: serves a named pool of a running manager, or runs one command under an event and a lock.

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use log::LevelFilter;
use sys::inherited::normalize;
use worker::Registry;
use worker::internal::level_of_owner;
use worker::tasks::{COMMAND, COUNTDOWN, command, countdown};

use super::run::Run;
use super::serve::Serve;
use super::{exit_status, logging};

/// Serves a named pool of a running manager with worker processes.
///
/// The workers run the functions `countdown` and `command` for every program that submits them to the pool. They end
/// when this program or the manager ends. If there is no manager, or no longer one, this program says so and waits: it
/// tries again after a pause, which grows up to five seconds, and serves the next manager at the address. On SIGINT,
/// SIGTERM, SIGQUIT or SIGHUP the workers take no more calls, and this program ends when the running calls have ended;
/// a second signal ends them at once. SIGINT, SIGQUIT and SIGHUP stay ignored if this program was started so, as in the
/// background of a script or by nohup. SIGUSR1, SIGUSR2 and SIGALRM do nothing.
#[derive(Debug, Parser)]
#[command(name = "worker", version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
#[command(after_help = exit_status::help_of_worker())]
struct CommandLine {
    #[command(flatten)]
    serve: Option<Serve>,

    #[command(subcommand)]
    action: Option<Action>,

    /// Log more to standard error, in the workers too; twice for still more. RUST_LOG overrides this
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Action {
    Run(Run),
}

/// Becomes a worker if a pool started this process as one; otherwise parses the command line, and does what it asks
/// for.
pub fn main() -> ExitCode {
    normalize();
    if let Some(level) = level_of_owner() {
        // If `RUST_LOG` is set, this process reads it as its owner did: the owner's level is only that of its noisiest
        // part.
        let is_set = std::env::var_os("RUST_LOG").is_some_and(|set| !set.is_empty());
        logging::start(if is_set { LevelFilter::Warn } else { level });
    }
    worker::init(Registry::new().named(COUNTDOWN, countdown).named(COMMAND, command));

    let CommandLine { serve, action, verbose } = super::arguments::parse::<CommandLine>();
    logging::start(logging::level(verbose));
    match (action, serve) {
        (Some(Action::Run(run)), _) => ExitCode::from(run.run::<CommandLine>().number()),
        (None, Some(serve)) => serve.run::<CommandLine>(),
        (None, None) => unreachable!("without a command, a pool is required"),
    }
}

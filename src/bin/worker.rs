//! The program `worker`: serves a named pool of a running manager, or runs one command under an event and a lock.

#[path = "../command/mod.rs"]
mod command;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use command::run::Run;
use command::serve::Serve;
use log::LevelFilter;
use worker::Registry;
use worker::internal::level_of_owner;
use worker::tasks::{COMMAND, COUNTDOWN, countdown};

/// Serves a named pool of a running manager with worker processes.
///
/// The workers run the functions `countdown` and `command` for every program that submits them to the pool. They end
/// when this program does, and when the manager does. With SIGINT or SIGTERM they take no more calls, and this program
/// ends when those have ended that run; a second one ends them at once.
#[derive(Debug, Parser)]
#[command(name = "worker", version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(flatten)]
    serve: Option<Serve>,

    #[command(subcommand)]
    action: Option<Action>,

    /// Say more on standard error, and have the workers do so; twice for still more. RUST_LOG has the last word
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Action {
    Run(Run),
}

fn main() -> ExitCode {
    if let Some(level) = level_of_owner() {
        // What is set in detail is set here as well, and the owner's level is that of its most talkative part.
        let is_set = std::env::var_os("RUST_LOG").is_some_and(|set| !set.is_empty());
        start_logging(if is_set { LevelFilter::Warn } else { level });
    }
    worker::init(Registry::new().named(COUNTDOWN, countdown).named(COMMAND, worker::tasks::command));

    let CommandLine { serve, action, verbose } = CommandLine::parse();
    start_logging(match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    });
    match (action, serve) {
        (Some(Action::Run(run)), _) => ExitCode::from(run.run()),
        (None, Some(serve)) => serve.run(),
        (None, None) => unreachable!("without a command, a pool is required"),
    }
}

fn start_logging(level: LevelFilter) {
    env_logger::Builder::new().filter_level(level).parse_default_env().init();
}

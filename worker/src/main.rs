//! The program `worker`: serves a named pool of a running manager, or runs one command under an event and a lock.

mod program;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use program::run::Run;
use program::serve::Serve;
use worker::Registry;
use worker::tasks::{COMMAND, COUNTDOWN, command, countdown};

/// Serves a named pool of a running manager with worker processes.
///
/// The workers run the functions `countdown` and `command` for every program that submits them to the pool. They end
/// when this program does, and when the manager does.
#[derive(Debug, Parser)]
#[command(name = "worker", version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(flatten)]
    serve: Option<Serve>,

    #[command(subcommand)]
    action: Option<Action>,

    /// Say more on standard error; twice for still more. RUST_LOG says it in detail
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Action {
    Run(Run),
}

fn main() -> ExitCode {
    if worker::is_worker() {
        env_logger::init();
    }
    worker::init(Registry::new().named(COUNTDOWN, countdown).named(COMMAND, command));

    let CommandLine { serve, action, verbose } = CommandLine::parse();
    let level = ["warn", "info", "debug"][usize::from(verbose).min(2)];
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
    match (action, serve) {
        (Some(Action::Run(run)), _) => ExitCode::from(run.run()),
        (None, Some(serve)) => serve.run(),
        (None, None) => unreachable!("without a command, a pool is required"),
    }
}

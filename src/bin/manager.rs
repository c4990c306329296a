//! The program `manager`: a command line around the library of the same name.

use std::fmt;
use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Parser};
use log::LevelFilter;
use manager::{Address, Options};

/// Hosts synchronization objects and task pools for the processes of one user.
///
/// Prints one line when it is ready, and serves until SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "manager", version)]
struct Arguments {
    /// The socket to serve [default: $RALLYPOINT_SOCKET, or $XDG_RUNTIME_DIR/rallypoint/manager.sock].
    ///
    /// Without either it is /tmp/rallypoint-UID/manager.sock. The folder must belong to the user who
    /// runs this, and to nobody else, and be reached without links; it is made if it is missing.
    #[arg(long, value_name = "PATH", value_parser = OsStringValueParser::new().try_map(Address::parse))]
    socket: Option<Address>,

    /// Logs more: once for what matters, twice for sessions, three times for every message.
    ///
    /// The variable RUST_LOG, where it is set, has the last word.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// Ends when this process does, which must be the one that started it; for programs that start their own.
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<u32>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging(arguments.verbose);
    let address = match arguments.socket.map_or_else(Address::of_this_user, Ok) {
        Ok(address) => address,
        Err(error) => return complain(&error),
    };
    let options = Options { parent: arguments.parent, ..Options::new(address) };
    match manager::serve(options, manager::announce) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

/// Says on standard error why this program ends. Nobody may be able to hear it, which changes nothing.
fn complain(error: &dyn fmt::Display) -> ExitCode {
    let _ = writeln!(stderr(), "manager: {error}");
    ExitCode::FAILURE
}

fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    // What waits for events tells of every descriptor, which nobody wants who looks for messages.
    let quiet = LevelFilter::Info.min(level);
    env_logger::Builder::new().filter_level(level).filter_module("mio", quiet).parse_default_env().init();
}

//! The program `manager`: hosts objects and pools, until a signal ends it.

use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Parser};
use manager::{Address, ManagerOptions};

use super::logging;
use super::output::complain;

/// Hosts synchronization objects and task pools for the processes of one user.
///
/// Prints one line when it is ready, and serves until SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "manager", version)]
struct Arguments {
    /// The socket to serve [default: $RALLYPOINT_SOCKET, or $XDG_RUNTIME_DIR/rallypoint/manager.sock].
    ///
    /// If neither variable is set, it is /tmp/rallypoint-UID/manager.sock. The folder must belong to the user who runs
    /// this and be closed to all others, and its path must have no links. The manager makes it if it is missing.
    #[arg(long, value_name = "PATH", value_parser = OsStringValueParser::new().try_map(Address::parse))]
    socket: Option<Address>,

    /// Log more: once for what matters, twice for sessions, three times for every message.
    ///
    /// If the variable RUST_LOG is set, it overrides this.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// End when this process does, which must be the one that started the manager; for programs that start their own.
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<u32>,
}

/// Parses the command line, and serves.
pub fn main() -> ExitCode {
    let arguments = super::parse::<Arguments>();
    logging::start(logging::level(arguments.verbose));
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain("manager", &error);
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let address = arguments.socket.map_or_else(Address::of_this_user, Ok)?;
    let options = ManagerOptions { parent: arguments.parent, ..ManagerOptions::new(address) };
    Ok(manager::serve(options, manager::announce)?)
}

//! The program `manager`: hosts objects and pools, until a signal ends it.

use std::process::ExitCode;

use clap::{ArgAction, Parser};
use manager::{Address, ManagerOptions};

use super::exit_status::{self, ExitStatus};
use super::output::complain;
use super::{logging, socket};

/// Hosts synchronization objects and task pools for the processes of one user.
///
/// Prints one line when it is ready, and serves until SIGINT, SIGTERM or SIGHUP. SIGINT and SIGHUP stay ignored if it
/// was started so, as in the background of a script or by nohup.
#[derive(Debug, Parser)]
#[command(name = "manager", version, after_help = exit_status::help_of_manager())]
struct Arguments {
    /// The address to serve, as in unix:/path/manager.sock, or the path alone [default: $RALLYPOINT_SOCKET, or
    /// $XDG_RUNTIME_DIR/rallypoint/manager.sock].
    ///
    /// If neither variable is set, it is /tmp/rallypoint-UID/manager.sock. The folder must belong to the user who runs
    /// this and be closed to all others, and its path must have no links. The manager makes it if it is missing.
    #[arg(long, value_name = "ADDRESS", value_parser = socket::parser())]
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
    let arguments = super::arguments::parse::<Arguments>();
    logging::start(logging::level(arguments.verbose));
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain("manager", &error);
            ExitCode::from(ExitStatus::Failed.number())
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), manager::Error> {
    let address = socket::address::<Arguments>(arguments.socket.as_ref());
    let options = ManagerOptions { parent: arguments.parent, ..ManagerOptions::new(address) };
    manager::serve(options, manager::announce)
}

//! The program `manager`: hosts objects and pools, until a signal ends it.

use std::process::ExitCode;

use clap::{ArgAction, Parser};
use manager::{Address, ManagerOptions};
use protocol::Limits;

use super::exit_status::{self, ExitStatus};
use super::output::complain;
use super::{logging, socket};

/// Hosts synchronization objects and task pools for the processes of one user.
///
/// Prints one line when it is ready, and serves until SIGINT, SIGTERM, SIGQUIT or SIGHUP. A terminal that is closed
/// sends SIGHUP. SIGINT, SIGQUIT and SIGHUP stay ignored if it was started so, as in the background of a script or by
/// nohup. SIGUSR1, SIGUSR2 and SIGALRM do nothing. Other signals that end processes, such as SIGKILL, leave the socket
/// behind, and the next manager there takes it over.
#[derive(Debug, Parser)]
#[command(name = "manager", version, after_help = exit_status::help_of_manager())]
struct Arguments {
    /// The address to serve, as in unix:/path/manager.sock, or the path alone [default: $RALLYPOINT_SOCKET, or
    /// $XDG_RUNTIME_DIR/rallypoint/manager.sock].
    ///
    /// If neither variable is set, or XDG_RUNTIME_DIR names a folder of another user, it is
    /// /tmp/rallypoint-UID/manager.sock. The folder must belong to the user who runs this and be closed to all others.
    /// Its path must have no links, and lead through folders of root's and this user's alone. The manager makes the
    /// folder if it is missing.
    #[arg(long, value_name = "ADDRESS", value_parser = socket::parser())]
    socket: Option<Address>,

    /// How much memory all clients together may have the manager keep, in bytes or with K, M, G or T, as in 512M; at
    /// least 1M [default: 8G].
    ///
    /// Three quarters of it are for objects, waiting requests, items, tasks and results, and one quarter for what is on
    /// its way. By default, 4G of that at most are for the bytes of items, arguments and results. A request that needs
    /// more is refused. The manager's resident memory stays below twice this and some megabytes of its own.
    #[arg(long, value_name = "BYTES", value_parser = parse_memory, allow_hyphen_values = true)]
    memory_max: Option<usize>,

    /// Log more: once for what matters, twice for sessions, three times for every message.
    ///
    /// If the variable RUST_LOG is set, it overrides this.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// End when this process does, which must be the one that started the manager; for programs that start their own.
    ///
    /// Without an address, the manager chooses one that no other has, and prints it.
    #[arg(long, value_name = "PID")]
    parent: Option<u32>,
}

/// Parses the command line, and serves.
pub fn main() -> ExitCode {
    sys::inherited::normalize();
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
    let mut limits = Limits::default();
    if let Some(bytes) = arguments.memory_max {
        limits.memory_bytes_max = bytes;
        // Payloads may take all of it that is for what is stored.
        limits.stored_bytes_max = bytes;
    }
    if let (None, Some(owner)) = (&arguments.socket, arguments.parent) {
        return manager::serve_private(owner, limits);
    }
    let address = socket::address::<Arguments>(arguments.socket.as_ref());
    let options = ManagerOptions { address, limits, parent: arguments.parent };
    manager::serve(options, manager::announce)
}

/// Parses an amount of memory.
fn parse_memory(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((end, 'K')) => (&text[..end], 10),
        Some((end, 'M')) => (&text[..end], 20),
        Some((end, 'G')) => (&text[..end], 30),
        Some((end, 'T')) => (&text[..end], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "this is not a number of bytes, as in 512M".to_owned())?;
    let bytes = number.checked_mul(1 << shift).and_then(|bytes| usize::try_from(bytes).ok());
    match bytes {
        None => Err("this is more than the machine can address".to_owned()),
        Some(bytes) if bytes < 1 << 20 => Err("a manager needs at least 1M".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_bytes_or_have_a_unit() {
        for (text, bytes) in [("1048576", 1 << 20), ("1024K", 1 << 20), ("512M", 512 << 20), ("8G", 8 << 30)]
        {
            assert_eq!(parse_memory(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1M", "1.5G", "1048575", "512m", "17179869184T", "1 G"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }
}

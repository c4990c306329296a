//! The functions that the program `worker` serves, with the types for submitting them by name.
//!
//! ```no_run
//! # mod rallypoint { pub use client::*; pub use worker::{Registry, init, tasks}; }
//! use rallypoint::task::named;
//! use rallypoint::tasks::{COMMAND, Command, CommandResult};
//! use rallypoint::{Manager, Pool};
//!
//! # fn main() -> rallypoint::Result<()> {
//! let manager = Manager::connect()?;
//! let pool = Pool::open(&manager, "demo")?;
//! let command = named::<(Command,), CommandResult>(COMMAND);
//! let finished = pool.apply(command, (Command::new("uname").argument("-r"),))?.expect("there is a `uname`");
//! println!("{}", String::from_utf8_lossy(&finished.stdout));
//! # Ok(())
//! # }
//! ```

mod capture;
mod command;
mod countdown;

pub use crate::supervised_command::Exit;
pub use capture::OUTPUT_BYTES_MAX;
pub use command::{Captured, Command, CommandResult, GRACE, command};
pub use countdown::countdown;

/// The name under which the program `worker` serves [`command`](fn@command): [`Command`] to [`CommandResult`].
pub const COMMAND: &str = "command";

/// The name under which the program `worker` serves [`countdown`]: `(u32, Event)` to `Result<()>`.
pub const COUNTDOWN: &str = "countdown";

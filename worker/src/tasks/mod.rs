//! The functions that the program `worker` serves, with the types for submitting them by name.
//!
//! ```no_run
//! use client::task::named;
//! use client::{Manager, Pool};
//! use worker::tasks::{COMMAND, Command, CommandResult};
//!
//! # fn main() -> client::Result<()> {
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

pub use crate::command::Exit;
pub use capture::OUTPUT_BYTES_MAX;
pub use command::{Captured, Command, CommandResult, GRACE, command};
pub use countdown::countdown;

/// The name under which the program `worker` serves [`command`](fn@command): [`Command`] to [`CommandResult`].
pub const COMMAND: &str = "command";

/// The name under which the program `worker` serves [`countdown`]: `(u32, Event)` to `client::Result<()>`.
pub const COUNTDOWN: &str = "countdown";

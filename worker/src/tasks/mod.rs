//! The functions that the program `worker` serves, typed for those who submit them by name.
//!
//! ```no_run
//! use client::task::named;
//! use client::{Manager, Pool};
//! use worker::tasks::{COMMAND, CommandResult};
//!
//! # fn main() -> client::Result<()> {
//! let manager = Manager::connect()?;
//! let pool = Pool::open(&manager, "demo")?;
//! let command = named::<(String, Vec<String>), CommandResult>(COMMAND);
//! let finished = pool.apply(command, ("uname".to_owned(), vec!["-r".to_owned()]))?.expect("there is a `uname`");
//! println!("{}", String::from_utf8_lossy(&finished.stdout));
//! # Ok(())
//! # }
//! ```

mod command;
mod countdown;

pub(crate) use command::become_command;
pub use command::{Captured, CommandResult, Exit, OUTPUT_BYTES_MAX, command};
pub use countdown::countdown;

/// The name under which the program `worker` serves [`command`]: `(String, Vec<String>)` to [`CommandResult`].
pub const COMMAND: &str = "command";

/// The name under which the program `worker` serves [`countdown`]: `(u32, Event)` to `client::Result<()>`.
pub const COUNTDOWN: &str = "countdown";

//! The programs of this package: one file for each thing that they do, and files for what they share.
//!
//! `manager` hosts objects and pools ([`manager`]). `worker` ([`worker`]) serves a pool, or runs one command.

pub mod manager;
pub mod worker;

mod logging;
mod output;
mod run;
mod serve;
mod signals;
mod socket;

use protocol::Name;

/// Parses the name of an object on the command line.
fn parse_name(text: &str) -> Result<String, String> {
    Name::check(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

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

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use protocol::{Name, shortened};

/// Parses the command line. If it is wrong, this says so and ends the process; of what is long it quotes the beginning.
fn parse<Arguments: Parser>() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|mut error| {
        for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
            if let Some(ContextValue::String(text)) = error.get(kind) {
                let text = shortened(text).into_owned();
                error.insert(kind, ContextValue::String(text));
            }
        }
        error.exit()
    })
}

/// Parses the name of an object on the command line.
fn parse_name(text: &str) -> Result<String, String> {
    Name::check(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

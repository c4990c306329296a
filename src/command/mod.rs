//! What the program `worker` can do, one file each.

pub(crate) mod run;
pub(crate) mod serve;

use std::path::Path;

use client::{Manager, Result};
use protocol::Name;

/// Connects to the manager at this socket, or at the one that is usual.
fn connect(socket: Option<&Path>) -> Result<Manager> {
    let manager = match socket {
        Some(socket) => Manager::connect_to(socket),
        None => Manager::connect(),
    }?;
    log::info!("connected to the manager at {}", manager.socket().display());
    Ok(manager)
}

/// Reads the name of an object from the command line.
fn parse_name(text: &str) -> std::result::Result<String, String> {
    Name::check(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

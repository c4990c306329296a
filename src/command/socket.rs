//! The option `--socket`, which names the manager to connect to.

use std::path::Path;

use client::{Manager, Result};

/// The help of `--socket`.
pub(super) const HELP: &str =
    "The manager's socket [default: the one that RALLYPOINT_SOCKET names, or this user's own]";

/// Connects to the manager at this socket, or at the default one.
pub(super) fn connect(socket: Option<&Path>) -> Result<Manager> {
    let manager = match socket {
        Some(socket) => Manager::connect_to(socket),
        None => Manager::connect(),
    }?;
    log::info!("connected to the manager at {}", manager.socket().display());
    Ok(manager)
}

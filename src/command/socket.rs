//! The option `--socket`, the address of a manager. All programs read it in one way.

use clap::CommandFactory;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use client::{Manager, Result};
use manager::{Address, disregarded_folder};
use protocol::endpoint::SOCKET_VARIABLE;
use protocol::escaped;

/// The help of the option.
pub(super) const HELP: &str = "The address of the manager, as in unix:/path/manager.sock, or the path alone \
    [default: $RALLYPOINT_SOCKET, or $XDG_RUNTIME_DIR/rallypoint/manager.sock]";

/// The long help of the option for a program that connects.
pub(super) const LONG_HELP: &str = "The address of the manager, as in unix:/path/manager.sock, or the path alone \
    [default: $RALLYPOINT_SOCKET, or $XDG_RUNTIME_DIR/rallypoint/manager.sock]\n\n\
    Without either, or if XDG_RUNTIME_DIR names a folder of another user, it is /tmp/rallypoint-UID/manager.sock.";

/// What reads the value of the option.
pub(super) fn parser() -> impl TypedValueParser<Value = Address> {
    OsStringValueParser::new().try_map(Address::parse)
}

/// The address that the option names, or else the default one. A variable of the environment that is no address is a
/// mistake of usage, like an option that is none, and ends this program, `P`.
pub(super) fn address<P: CommandFactory>(option: Option<&Address>) -> Address {
    if option.is_none()
        && std::env::var_os(SOCKET_VARIABLE).is_none_or(|value| value.is_empty())
        && let Some((folder, owner)) = disregarded_folder()
    {
        let folder = escaped(folder.display());
        log::warn!("XDG_RUNTIME_DIR is not used: it names {folder}, which belongs to another user ({owner})");
    }
    option.cloned().map_or_else(Address::of_this_user, Ok).unwrap_or_else(|error| {
        P::command().error(ErrorKind::ValueValidation, error).exit();
    })
}

/// Connects to the manager at this address.
pub(super) fn connect(address: &Address) -> Result<Manager> {
    let manager = Manager::connect_to(address)?;
    log::info!("connected to the manager at {}", manager.address());
    Ok(manager)
}

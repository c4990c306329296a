//! What an address leads to: for each kind of place, the transport that knows it.

use protocol::endpoint::SOCKET_VARIABLE;

use crate::{Address, AddressError, ConnectError, Place, Stream, place, unix};

impl Address {
    /// The default address of this user's manager: the one that the environment variable `RALLYPOINT_SOCKET` names, or
    /// else a socket in this user's own folder.
    ///
    /// # Errors
    ///
    /// If the variable is not empty and not an address.
    pub fn of_this_user() -> Result<Address, AddressError> {
        match std::env::var_os(SOCKET_VARIABLE) {
            Some(text) if !text.is_empty() => Address::parse(text).map_err(|error| {
                AddressError::InVariable { variable: SOCKET_VARIABLE, error: Box::new(error) }
            }),
            _ => Address::unix(unix::default_socket()),
        }
    }
}

/// The address in the form that means the same in every process: that of a socket has no links. Proxies travel in
/// formats that know text and not paths, so it is text.
///
/// # Errors
///
/// If nothing is there, or the address is too long, or not text.
pub fn canonical(address: &Address) -> Result<Address, ConnectError> {
    match place(address) {
        Place::Unix(path) => unix::diagnosis::canonical(path),
    }
}

/// Begins to connect to an address. Never waits.
///
/// # Errors
///
/// If nobody listens there, if the listener's backlog is full, or if the system reports another error.
pub fn connect(address: &Address) -> Result<Box<dyn Stream>, ConnectError> {
    match place(address) {
        Place::Unix(path) => unix::diagnosis::connect(path),
    }
}

/// The error for an address at which nobody listens, as when the other side closes before it has said anything.
#[must_use]
pub fn refused(address: &Address) -> ConnectError {
    match place(address) {
        Place::Unix(path) => unix::diagnosis::refused(path),
    }
}

/// Removes what a manager at this address leaves behind when it is killed. No other manager may ever have the address.
pub fn remove_remains(address: &Address) {
    match place(address) {
        Place::Unix(path) => unix::remove_remains(path),
    }
}

//! Where clients arrive: a socket that one manager serves, in a folder that one user can enter.

pub(crate) mod folder;
pub(crate) mod locked_socket;
pub(crate) mod stale_sockets;

//! The manager as a program: its socket, its owner, and what it leaves behind.

mod address;
mod ending;
pub(crate) mod namespaces;
pub(crate) mod private;
pub(crate) mod socket;

//! Streams between a manager and its clients, and the addresses at which managers are found.
//!
//! The manager and its clients speak to a [`Stream`], and know nothing about what carries it: it is read and written,
//! tells who is at its other end, is something to poll, and passes descriptors if it can. Today one thing carries
//! streams: Unix sockets, in `unix`. What comes next to it is one more file, one more variant of [`Address`],
//! [`Listener`] and [`Stream`], and what the compiler then asks for.

mod address;
mod stream;
mod unix;

pub use address::{Address, AddressError};
pub use stream::{Listener, PeerIdentity, ReadMode, Readiness, Stream};

//! Streams between a manager and its clients, and the addresses at which managers are found.
//!
//! The manager and its clients use a [`Stream`], and know nothing about what carries it. They read and write it, ask it
//! for the process at its other end, poll it, and pass descriptors if it can. Today only Unix sockets carry streams, in
//! `unix`. Another transport is one more file, one more variant of [`Address`], [`Listener`] and [`Stream`], and what
//! the compiler then asks for.

mod address;
mod stream;
mod unix;

pub use address::{Address, AddressError};
pub use stream::{Listener, PeerIdentity, ReadMode, Readiness, Stream};

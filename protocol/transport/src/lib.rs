//! Streams between a manager and its clients, and the addresses at which managers are found.
//!
//! The manager and its clients use a [`Stream`], and know nothing about what carries it. They read and write it, ask it
//! for the process at its other end, poll it, and pass descriptors if it can. Today only Unix sockets carry streams, in
//! [`unix`].
//!
//! Another transport is a folder beside `unix`, with its [`Stream`]; a form of an address and a variant of [`Place`] in
//! `address.rs`; its lines in `connect.rs`; and in the manager, a [`Listener`]. The compiler asks for each. Nothing
//! else tells the kinds of places apart, which a test of the project checks.

mod address;
mod connect;
mod connect_error;
mod shell_word;
mod stream;
pub mod unix;

pub use address::{Address, AddressError, Place, place};
pub use connect::{canonical, connect, refused, remove_remains};
pub use connect_error::{ConnectError, ConnectErrorKind};
pub use shell_word::{ShellWord, shell_word};
pub use stream::{Available, Listener, PeerIdentity, ReadMode, Stream, StreamReadiness, UntrustedPeer};

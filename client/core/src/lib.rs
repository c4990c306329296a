//! One session with a manager, seen from the client, without input or output.
//!
//! This crate has what every client of Rallypoint needs, whatever its sockets and threads are like: which request an
//! answer belongs to, which answers the manager may forget, in which order requests leave, and what is left when the
//! connection ends. A driver brings bytes and takes bytes; nothing here waits, and nothing depends on an operating
//! system.
//!
//! # The parts of a session
//!
//! * [`Outgoing`]: request ids, and requests as bytes in the order in which they leave.
//! * [`Incoming`]: bytes as answers, and the manager's farewell.
//! * [`PendingRequests`]: the requests that wait for an answer, and the end of all waiting.
//! * [`Acks`]: which answers were received, which every request tells the manager.
//!
//! A driver that threads share puts each part behind a lock of its own, as the package `client` does.
//!
//! # Operations
//!
//! Everything that a client can do with an object is a typed value, an [`Operation`]: it makes the request, and it says
//! what the answer means. They are in [`operations`], one file for each kind of object. A blocking call, a pipeline and
//! an asynchronous call differ only in how they carry the request out.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod acks;
mod deferred_release;
mod disconnect_reason;
mod incoming;
mod operation;

pub mod operations;
mod outgoing;
mod pending;
mod request_map;
#[cfg(test)]
mod session;

pub use acks::{Acks, HeldAnswer, UnacknowledgedGrants};
pub use deferred_release::{DeferredRelease, NoReleaseMemory, ReleaseMemory};
pub use disconnect_reason::DisconnectReason;
pub use incoming::Incoming;

pub use operation::{Operation, SignalOperation, Unexpected, WaitTarget};
pub use outgoing::Outgoing;
pub use pending::{PendingRequests, Unclaimed};
pub use request_map::RequestMap;

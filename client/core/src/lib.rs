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
//! * [`Incoming`]: bytes as answers, and the manager's final refusal.
//! * [`PendingRequests`]: the requests that wait for an answer, and the end of all waiting.
//! * [`Acks`]: which answers were received, which every request tells the manager.
//!
//! # How a driver puts them together
//!
//! A session is given as parts because the threads of a process share it. In the package `client`, threads send under
//! one lock and enter what they wait for under another, and one thread at a time has [`Incoming`] to itself and reads
//! without a lock. A type for the whole session would have one lock for all of that, and whoever sends would wait for
//! whoever reads. An asynchronous driver has a connection to itself: it keeps the parts in one value without a lock,
//! and its futures leave their requests with it. `tests/driver/memory_driver.rs` is such a driver, without a socket.
//! Whatever its locks are like, a driver does this:
//!
//! * **To make a request**, it takes an id ([`Outgoing::next_request`]), enters who waits
//!   ([`PendingRequests::insert`], which fails once the session is over), and encodes the request
//!   ([`Outgoing::append`]) with the count of [`Acks::acknowledged`]. No other request may get an id in between. It
//!   begins no wait that [`UnacknowledgedGrants::check`] refuses.
//! * **To send**, it moves the bytes of [`Outgoing::poll_output`] into the connection, and says how many have left
//!   ([`Outgoing::handle_written`]).
//! * **To receive**, it reads into [`Incoming::space`], and says how many bytes came ([`Incoming::handle_input`]). Each
//!   answer of [`Incoming::poll_answer`] goes to [`Acks::handle_answer`] first, so that nobody who has an answer can
//!   send a count without it, and then to the waiter that [`PendingRequests::handle_answer`] takes out. If nobody waits
//!   any more, the driver releases the answer ([`Acks::release`]).
//! * **To give a request up**, it takes the waiter out ([`PendingRequests::abandon`]) and sends the request to cancel.
//! * **At the end**, [`Incoming::end_of_input`] or an error says why. [`PendingRequests::handle_end`] gives back
//!   everyone who waits, and [`Outgoing::discard`] drops what nobody will read.
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

pub use acks::{Acks, HeldAnswer, UnacknowledgedGrants};
pub use deferred_release::{DeferredRelease, NoReleaseMemory, ReleaseMemory};
pub use disconnect_reason::DisconnectReason;
pub use incoming::Incoming;
pub use operation::{Operation, SignalOperation, Unexpected, WaitTarget};
pub use outgoing::Outgoing;
pub use pending::{PendingRequests, Unclaimed};
pub use request_map::RequestMap;

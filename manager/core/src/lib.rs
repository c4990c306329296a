//! The state machine of a manager: what every request does, and nothing about how requests travel.
//!
//! [`State::apply`] takes the time and one [`Input`] and appends [`Effect`]s to a list. It has no socket, clock,
//! thread or randomness, so the same inputs give the same effects, byte for byte; its driver owns all of these. All
//! time is an argument: [`State::next_deadline`] says when to call again if nothing else happens.
//!
//! # How a request becomes effects
//!
//! 1. `state` finds the session and dispatches the request to the file of the object it concerns.
//! 2. That file changes its object and marks it *touched* if a waiter may now be served.
//! 3. `waiting` serves the waiters of touched objects, first come, first served, until no object is touched. Serving
//!    one may touch further objects.
//! 4. Each decision is an effect: a reply to one request of one session.
//!
//! # One wait
//!
//! Every blocking request is a [`Request::Wait`](protocol::Request::Wait) for one or more targets, or begins one as its
//! last step; `waiting` decides it, and nothing else does. An object kind says when it is *ready* for a waiter (a
//! question) and what *taking* it does (a change); it knows nothing of queues, deadlines or other objects.
//!
//! # One way in
//!
//! Nothing but [`State::apply`] changes a state, and all of it is plain data. So a driver can serialize a state between
//! two inputs and continue it elsewhere, and can keep inputs and apply them again.
//!
//! # No invariants broken by input
//!
//! A mistake by a client is a refusal. A broken invariant is an assertion. No input reaches an assertion.

#![no_std]

extern crate alloc;

mod input;
mod inspect;
mod invariants;
mod objects;
mod pools;
mod sessions;
mod state;
mod store;
mod time;
mod waiting;
mod work;

pub use input::{BlobArrival, BlobEffect, DeathCause, Effect, Input, Peer, SessionEnd};
pub use objects::mirror::Publication;
pub use pools::call_record::CallRecord;
pub use sessions::deferred_release::Holding;
pub use state::State;
pub use time::Time;

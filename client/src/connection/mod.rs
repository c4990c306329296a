//! The way to a manager: one connection for a whole process, whatever its threads and forked children do.
//!
//! A [`link::Link`] is a manager as this process sees it, found in the [`registry`]. It begins a session by
//! [`connect`], and makes its calls over a [`shared::SharedConnection`], on which one of the waiting callers reads for
//! all.

pub(crate) mod acks;
mod blob_transfer;
mod callers;
pub(crate) mod calls;
mod connect;
pub(crate) mod deferred_release;
#[cfg(test)]
pub(crate) mod fake_manager;
pub(crate) mod link;
mod reader;
pub(crate) mod registry;
mod sender;
pub(crate) mod shared;
mod shared_memory;
mod turn_slot;
#[cfg(test)]
mod turn_slot_tests;

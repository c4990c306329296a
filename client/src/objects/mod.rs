//! The proxies of a manager's objects, one file for each kind, and what they share.
//!
//! A proxy is a [`reference::Reference`] with the operations of its kind. Waits for several objects are in [`wait`],
//! what can be part of one is in [`waitable`], and how objects are opened is in [`open_options`].

pub(crate) mod abandonment;
pub(crate) mod barrier;
pub(crate) mod bound_child;
pub(crate) mod condition;
pub(crate) mod event;
pub(crate) mod event_cause;
pub(crate) mod guard;
pub(crate) mod item;
pub(crate) mod latch;
pub(crate) mod lock;
pub(crate) mod mirror;
pub(crate) mod open_options;
pub(crate) mod passed;
pub(crate) mod permit;
mod proxy;
pub(crate) mod putting;
pub(crate) mod queue;
pub(crate) mod reason;
pub(crate) mod reference;
mod release_and_wait;
pub(crate) mod semaphore;
pub(crate) mod wait;
pub(crate) mod waitable;

//! The kinds of objects, one file each.

pub(crate) mod barrier;
pub(crate) mod condition;
pub(crate) mod event;
pub(crate) mod latch;
pub(crate) mod lock;
pub(crate) mod mirror;
pub(crate) mod queue;
pub(crate) mod reason;
pub(crate) mod semaphore;

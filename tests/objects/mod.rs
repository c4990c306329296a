//! The objects across processes: what the others see of an action, and what a death leaves behind.

pub(crate) mod abandoned_lock;
pub(crate) mod barrier;
pub(crate) mod condition;
pub(crate) mod condition_lock;
pub(crate) mod deadlock;
pub(crate) mod event;
pub(crate) mod inspect;
pub(crate) mod large_items;
pub(crate) mod latch;
pub(crate) mod lock;
pub(crate) mod mirror;
pub(crate) mod pipeline;
pub(crate) mod python_parity;
pub(crate) mod queue;
pub(crate) mod queue_items;
pub(crate) mod returned_items;
pub(crate) mod rlock;
pub(crate) mod semaphore;
pub(crate) mod unattachable_proxies;

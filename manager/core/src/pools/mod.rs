//! Pools: batches of tasks, and the workers that take them.

pub(crate) mod batch;
pub(crate) mod pool;
pub(crate) mod prefetch;
pub(crate) mod task;

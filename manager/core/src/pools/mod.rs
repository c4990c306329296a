//! Pools: batches of calls, and the workers that take them.

pub(crate) mod batch;
mod batch_end;
mod blob_calls;
pub(crate) mod call_record;
pub(crate) mod calls;
mod chunk;
pub(crate) mod outcomes;
pub(crate) mod pool;
pub(crate) mod prefetch;
mod reports;
mod submission;
pub(crate) mod termination;
mod worker_end;

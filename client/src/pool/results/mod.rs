//! The results of submitted calls: how a pool fetches them, keeps them, waits for them and hands them to the program.

pub(crate) mod async_result;
mod busy_poll;
pub(crate) mod callbacks;
mod decoding;
pub(crate) mod detached_batches;
pub(crate) mod failure;
pub(crate) mod outcomes;
pub(crate) mod progress;
#[cfg(feature = "progress")]
pub(crate) mod progress_bar;
mod result_iterator;
mod result_rate;
pub(crate) mod runs;
pub(crate) mod submitted_batch;
pub(crate) mod unserved_warning;
mod waiting;

pub use async_result::AsyncResult;
pub use result_iterator::ResultIterator;

//! How a program submits calls: the verbs, the chunks of calls, and the way of a batch to the manager.

pub(crate) mod batch_builder;
pub(crate) mod chunks;
pub(crate) mod input_feeder;
pub(crate) mod submission;
mod verbs;

pub use batch_builder::BatchBuilder;

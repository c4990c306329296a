//! How calls are submitted: the verbs, how calls are cut into chunks, and how a batch of them reaches the manager.

pub(crate) mod batch_builder;
pub(crate) mod chunks;
pub(crate) mod input_feeder;
pub(crate) mod submission;
mod verbs;

pub use batch_builder::BatchBuilder;

//! The simulator: one seed makes the limits of a manager, and inputs as clients send them, real and hostile ones. The
//! core and the model take each input, and the simulator compares what they do.

pub(crate) mod batches;
pub(crate) mod blobs;
pub(crate) mod choosing;
pub(crate) mod counting;
pub(crate) mod following;
pub(crate) mod random;
pub(crate) mod requests;
pub(crate) mod running;
pub(crate) mod seeds;
pub(crate) mod shrinking;
pub(crate) mod source;
pub(crate) mod step;

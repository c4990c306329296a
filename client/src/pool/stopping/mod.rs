//! How calls are stopped: on request, by Ctrl-C, and with increasing force.

pub(crate) mod batch_handle;
pub(crate) mod escalation;
pub(crate) mod interrupts;

pub use batch_handle::{BatchHandle, Progress};
pub use escalation::{Ending, StopReport};

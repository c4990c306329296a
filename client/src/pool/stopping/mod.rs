//! How calls are stopped: on request, by Ctrl-C, and with increasing force.

pub(crate) mod batch_handle;
pub(crate) mod escalation;
pub(crate) mod interrupts;
mod pool_stop;
pub(crate) mod stop_report;
mod stop_requests;

pub use batch_handle::BatchHandle;
pub use stop_report::{Ending, StopReport};

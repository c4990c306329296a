//! The worker processes of a pool: their start, watch, replacement and end.

mod assignment;
pub(crate) mod initializer;
mod service;
pub(crate) mod start;
mod stderr_tail;
pub(crate) mod supervisor;
mod worker_process;

pub use assignment::{Assignment, WORKER};
pub use initializer::{Initialized, Initializer, InitializerAnswer};
pub use service::Service;
pub use supervisor::Ended;
pub use worker_process::{LEAVING, READY, RETIRING};

//! The programs at a command line: what they run, print and exit with.

pub(crate) mod bound;
pub(crate) mod command_task;
mod deadlock;
mod inherited;
pub(crate) mod log;
pub(crate) mod overlaps;
mod run_fixture;
pub(crate) mod signals;
pub(crate) mod suspended;
mod unread_output;
pub(crate) mod usage;
pub(crate) mod worker_program;
pub(crate) mod worker_run;

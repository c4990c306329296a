//! The programs of this package: one file for each thing that they do, and files for what they share.
//!
//! `manager` hosts objects and pools ([`manager`]). `worker` ([`worker`]) serves a pool, or runs one command.

pub mod manager;
pub mod worker;

mod arguments;
mod exit_status;
mod logging;
mod output;
mod run;
mod serve;
mod signals;
mod socket;
mod time;

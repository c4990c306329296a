//! Tests of the running loop over real sockets. Each has a manager of its own, in a thread or in a process.

mod deaths;
mod every_limit;
mod limits;
mod malformed_peers;
mod manager_process;
mod patience;
pub(crate) mod peer;
mod player;
mod processes;
mod refusals;
mod requests;
mod running_manager;
mod sharing;

//! Tests of the running loop over real sockets. Each has a manager of its own, in a thread or in a process.

mod blobs;
mod call_records;
mod deaths;
mod every_limit;
mod helper;
mod hostile;
mod limits;
mod malformed_peers;
mod manager_process;
mod processes;
pub(crate) mod raw_client;
mod refusals;
mod requests;
mod responsiveness;
mod responsiveness_together;
mod running_manager;
mod sharing;
mod timeouts;
mod unusual_requests;

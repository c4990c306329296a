//! Pools of workers: tasks, results, and the ways in which both end.

pub(crate) mod broken_programs;
pub(crate) mod calls;
pub(crate) mod imap;
pub(crate) mod inherited;
pub(crate) mod interrupt;
pub(crate) mod large_payloads;
pub(crate) mod lifecycle;
pub(crate) mod prefetch;
pub(crate) mod progress;
pub(crate) mod sharing;
pub(crate) mod stop;
pub(crate) mod stopping_tasks;
pub(crate) mod task;
pub(crate) mod task_context;
pub(crate) mod worker_options;

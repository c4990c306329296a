//! Waiting: wait queues, which waiter is served, deadlines, deadlocks.

pub(crate) mod agenda;
pub(crate) mod deadlock;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod targets;
pub(crate) mod ticket_queue;
pub(crate) mod unfinished;
pub(crate) mod wait;
pub(crate) mod wait_queue;

//! What a task may do to its worker's process, and how the worker goes on: panics, forks, closed standard streams.

pub(crate) mod fork;
pub(crate) mod panics;
pub(crate) mod streams;

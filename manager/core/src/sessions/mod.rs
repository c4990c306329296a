//! Sessions: one for each client process, from its hello to its end.

pub(crate) mod deferred_release;
pub(crate) mod session;
pub(crate) mod teardown;

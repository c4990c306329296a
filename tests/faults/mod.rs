//! What breaks, stalls or misbehaves, and what everybody else notices.

pub(crate) mod deferred_releases;
pub(crate) mod fork;
pub(crate) mod malformed_peers;
pub(crate) mod manager_death;
pub(crate) mod misbehaving_tasks;
pub(crate) mod process_death;
pub(crate) mod stale_guards;
pub(crate) mod stopped_manager;

//! Memory that the manager shares with clients to save them round trips: its content, as the manager sees it.

pub(crate) mod call_record;
pub(crate) mod deferred_releases;
pub(crate) mod mirror;

//! Memory that is shared with clients, which saves them round trips: what stands in it, as the manager sees it.

pub(crate) mod deferred_releases;
pub(crate) mod mirror;

//! The store of objects: by key, id and name, from when they are opened to when they are freed.

pub(crate) mod blob;
pub(crate) mod catalog;
pub(crate) mod lifetime;
pub(crate) mod long_queue;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod open;
pub(crate) mod slab;
pub(crate) mod small_map;

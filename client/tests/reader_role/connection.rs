//! The files under test, which are the client's own.

#[path = "../../src/connection/callers.rs"]
pub(crate) mod callers;
#[path = "../../src/connection/turn_slot.rs"]
pub(crate) mod turn_slot;

//! The files under test, which are the client's own.

#[path = "../../src/connection/answer_slot.rs"]
pub(crate) mod answer_slot;
#[path = "../../src/connection/callers.rs"]
pub(crate) mod callers;

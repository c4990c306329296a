//! The state and its one way in.

use alloc::vec::Vec;

use protocol::{Epoch, Limits};

use crate::{Effect, Input, Time};

/// Everything that a manager knows.
#[derive(Debug)]
pub struct State {}

impl State {
    /// An empty state for this life of a manager.
    pub fn new(_epoch: Epoch, _limits: Limits) -> State {
        State {}
    }

    /// Takes one input and appends what follows from it to `effects`.
    ///
    /// `now` must not go back. Waits whose deadline `now` has reached are timed out before the input is looked at.
    pub fn apply(&mut self, _now: Time, _input: Input<'_>, _effects: &mut Vec<Effect>) {}

    /// When to apply [`Input::TimePassed`] if nothing else comes before.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }
}

//! A party's place among those that passed a barrier together.

use client_core::operations::BarrierTurn;

/// A party's place among those that passed a barrier together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// How many of them came before this one: each number below the number of parties occurs once.
    pub index: u32,
    /// Whether this party leads, which exactly one of them does: the one that ran its action, or the last to come if
    /// none brought an action.
    pub leads: bool,
}

impl From<BarrierTurn> for Passed {
    fn from(turn: BarrierTurn) -> Passed {
        Passed { index: turn.index, leads: turn.leads }
    }
}

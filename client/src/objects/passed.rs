//! A party's place among those with which it passed a barrier.

use client_core::operations::BarrierTurn;

/// A party's place among those with which it passed a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// How many of them came before this one: each number below the number of parties occurs once.
    pub index: u32,
    /// True for exactly one of them: the one that ran the action, or the last to come if none brought one.
    pub leads: bool,
}

impl From<BarrierTurn> for Passed {
    fn from(turn: BarrierTurn) -> Passed {
        Passed { index: turn.index, leads: turn.leads }
    }
}

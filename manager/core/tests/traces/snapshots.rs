//! Snapshots: a state that was written down and read again goes on as the one that was written down.

use manager_core::{Effect, Input, State, Time};

use crate::fuzz::{Random, run_with_snapshots};
use crate::{hostile, orderly};

/// Restores a state every now and then, and goes on with the one that was written down as well.
pub(crate) struct Snapshots {
    random: Random,
    /// The state that was written down last, and has taken all inputs since.
    kept: Option<State>,
}

impl Snapshots {
    pub(crate) fn new(seed: u64) -> Snapshots {
        Snapshots { random: Random(!seed), kept: None }
    }

    /// Applies an input to the state that was kept, or to none, as it is after it was written down and read again.
    /// Returns what follows from it, as that is after the same.
    pub(crate) fn follow(&mut self, now: Time, input: &Input<'_>) -> Option<Vec<Effect>> {
        let kept = self.kept.as_mut()?;
        let written = postcard::to_allocvec(input).unwrap();
        let mut effects = Vec::new();
        kept.apply(now, postcard::from_bytes(&written).unwrap(), &mut effects);
        let written = postcard::to_allocvec(&effects).unwrap();
        assert_eq!(postcard::from_bytes::<Vec<Effect>>(&written).unwrap(), effects);
        Some(effects)
    }

    /// Now and then, has the state go on that is read from what was written down.
    pub(crate) fn restore(&mut self, state: &mut State, seed: u64) {
        if !self.random.chance(20) {
            return;
        }
        let snapshot = postcard::to_allocvec(state).unwrap();
        if let Some(kept) = &self.kept {
            assert!(postcard::to_allocvec(kept).unwrap() == snapshot, "seed {seed}");
            assert_eq!(format!("{kept:?}"), format!("{state:?}"), "seed {seed}");
        }
        let restored: State = postcard::from_bytes(&snapshot).unwrap();
        assert!(postcard::to_allocvec(&restored).unwrap() == snapshot, "seed {seed}");
        self.kept = Some(std::mem::replace(state, restored));
    }
}

#[test]
fn a_restored_state_takes_anything_as_the_one_that_was_written_down() {
    for seed in 0..100 {
        run_with_snapshots(seed, 400, None, hostile::request);
    }
}

#[test]
fn a_restored_state_serves_in_the_same_order() {
    for seed in 0..100 {
        run_with_snapshots(seed, 500, Some(orderly::setup), orderly::request);
    }
}

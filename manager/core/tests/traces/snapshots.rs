//! Snapshots: a state that was serialized and restored goes on like the original.

use manager_core::{Effect, Input, State, Time};

use crate::random::Random;

/// Restores a state now and then, and also goes on with the original.
pub(crate) struct Snapshots {
    random: Random,
    /// The last state that was serialized, which has taken all inputs since.
    kept: Option<State>,
}

impl Snapshots {
    pub(crate) fn new(seed: u64) -> Snapshots {
        Snapshots { random: Random(!seed), kept: None }
    }

    /// Applies an input, serialized and restored itself, to the original state, if there is one. Returns its effects,
    /// serialized and restored as well.
    pub(crate) fn follow(&mut self, now: Time, input: &Input<'_>) -> Option<Vec<Effect>> {
        let kept = self.kept.as_mut()?;
        let written = postcard::to_allocvec(input).unwrap();
        let mut effects = Vec::new();
        kept.apply(now, postcard::from_bytes(&written).unwrap(), &mut effects);
        let written = postcard::to_allocvec(&effects).unwrap();
        assert_eq!(postcard::from_bytes::<Vec<Effect>>(&written).unwrap(), effects);
        Some(effects)
    }

    /// Now and then replaces the state with one that is restored from a snapshot of it.
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

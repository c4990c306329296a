//! Numbers that look random, and the seeds that bring them back.

use std::ops::RangeInclusive;
use std::{env, thread};

/// The variable that gives random tests one seed instead of their own.
const SEED_VARIABLE: &str = "RALLYPOINT_SEED";

/// The first seeds, this many, or only the one that `RALLYPOINT_SEED` names.
///
/// A test that fails at one of them says how to run it again with that one alone.
pub(crate) fn seeds(count: u64) -> Seeds {
    let left = match env::var(SEED_VARIABLE) {
        Ok(text) => {
            let seed: u64 =
                text.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE} is not a number: {text}"));
            seed..=seed
        }
        Err(_) => 0..=count - 1,
    };
    Seeds { left, current: None }
}

/// The seeds of a test, one after the other.
pub(crate) struct Seeds {
    left: RangeInclusive<u64>,
    /// The one with which the test runs now.
    current: Option<u64>,
}

impl Iterator for Seeds {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.current = self.left.next();
        self.current
    }
}

impl Drop for Seeds {
    fn drop(&mut self) {
        let Some(seed) = self.current.filter(|_| thread::panicking()) else { return };
        // The test harness names the threads after the tests.
        let thread = thread::current();
        let test = thread.name().unwrap_or_default();
        let command = "cargo test -p rallypoint-manager-core --test traces -- --exact";
        println!("to run it again: {SEED_VARIABLE}={seed} {command} {test}");
    }
}

/// A small generator of numbers that look random (splitmix64); the same seed gives the same run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
}

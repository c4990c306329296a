//! Numbers that look random, and the seeds that bring them back.

use std::ops::RangeInclusive;
use std::{env, thread};

#[path = "../model/simulator/random.rs"]
mod generator;

pub(crate) use generator::Random;

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

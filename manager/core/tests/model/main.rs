//! The core against a model of the page: traces that found something, and some random runs.
//!
//! `scripts/simulate` runs many more.

mod edges;
mod reference;
mod simulator;
mod traces;

use simulator::seeds::run_seed;
use simulator::shrinking::shrink;
use simulator::source::source;

/// Runs these seeds.
fn run(seeds: std::ops::Range<u64>, steps: u64) {
    for seed in seeds {
        if let Err(divergence) = run_seed(seed, steps) {
            let shrunk = shrink(*divergence);
            panic!("seed {seed}, steps {steps}: {}\n\n{}", shrunk.what, source(seed, &shrunk));
        }
    }
}

#[test]
fn the_core_does_what_the_page_says() {
    run(0..250, 600);
}

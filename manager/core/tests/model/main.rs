//! The core against a model of the page: traces that found something, and some random runs.
//!
//! `scripts/simulate` runs many more.

mod edges;
mod reference;
mod simulator;
mod sliced_traces;
mod traces;

use simulator::counting::Counts;
use simulator::seeds::run_seed;
use simulator::shrinking::shrink;
use simulator::source::source;

/// Runs these seeds.
fn run(seeds: std::ops::Range<u64>, steps: u64) {
    for seed in seeds {
        if let Err(divergence) = run_seed(seed, steps, &mut None) {
            let shrunk = shrink(*divergence);
            panic!("seed {seed}, steps {steps}: {}\n\n{}", shrunk.what, source(seed, &shrunk));
        }
    }
}

#[test]
fn the_core_does_what_the_page_says() {
    run(0..250, 600);
}

/// What never comes up is not compared.
#[test]
fn every_request_of_the_page_comes_up() {
    let mut all = Counts::default();
    for seed in 0..100 {
        let mut counts = Some(Counts::default());
        run_seed(seed, 300, &mut counts).unwrap();
        all.append(counts.unwrap());
    }
    let report = all.report();
    let missing: Vec<&str> = report
        .lines()
        .filter(|line| line.contains("never  request") || line.contains("never  target"))
        .collect();
    assert_eq!(missing, [""; 0], "{report}");
}

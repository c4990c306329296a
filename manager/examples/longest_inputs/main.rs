//! The longest input of each kind at the limits, for `scripts/longest-inputs`: how long one call of `State::apply`
//! takes at most, in the time that its thread has had of a processor.
//!
//! `longest_inputs` lists the scenarios; `longest_inputs NAME` prints how long the longest input of NAME took, be it a
//! request or a slice of what a request has left, how many steps that counted, and how many inputs there were. It
//! fails if that is more than an input may take.

use std::process::ExitCode;
use std::time::Duration;

use crate::timed_core::{TimedCore, TimedScenario};

mod deadlocks;
mod objects;
mod pools;
mod queues;
mod requests;
mod results;
mod timed_core;
mod waits;

/// The most that an input may take.
const TIME_MAX: Duration = Duration::from_millis(5);

/// Everything that is measured, by the name that the script shows.
fn scenarios() -> impl Iterator<Item = &'static (&'static str, TimedScenario)> {
    let of_pools = pools::SCENARIOS.iter().chain(results::SCENARIOS);
    waits::SCENARIOS
        .iter()
        .chain(deadlocks::SCENARIOS)
        .chain(objects::SCENARIOS)
        .chain(queues::SCENARIOS)
        .chain(of_pools)
}

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        scenarios().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((name, scenario)) = scenarios().find(|(name, _)| *name == wanted) else {
        eprintln!("there is no scenario of the name {wanted}");
        return ExitCode::from(2);
    };
    // As in a manager.
    sys::heap::free_evenly();
    let mut world = TimedCore::new();
    scenario(&mut world);
    let (longest, steps, inputs) = world.longest();
    let is_too_long = longest > TIME_MAX;
    let mark = if is_too_long { "  TOO LONG" } else { "" };
    let longest_ms = longest.as_secs_f64() * 1000.0;
    println!("{longest_ms:6.2} ms  {steps:6} steps  {inputs:7} inputs  {name}{mark}");
    // To free all of it takes as long as to make it.
    std::mem::forget(world);
    if is_too_long { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

//! Seeds: each makes a run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use protocol::Limits;

use super::choosing::{Choices, limits};
use super::counting::Counts;
use super::random::Random;
use super::running::{SimulatedRun, panic_text};
use super::step::SimulatedStep;

/// The most steps of one input in runs that go on in slices, so that they do.
const STEPS_MAX: u64 = 50;

/// The steps of a run after which the core and the model differ, and how.
#[derive(Debug)]
pub(crate) struct Divergence {
    pub(crate) limits: Limits,
    pub(crate) steps: Vec<SimulatedStep>,
    pub(crate) what: String,
}

/// Runs one seed for this many steps. Returns how many inputs there were.
pub(crate) fn run_seed(seed: u64, steps: u64, counts: &mut Option<Counts>) -> Result<u64, Box<Divergence>> {
    let mut random = Random(seed);
    let limits = limits(&mut random);
    let mut run = SimulatedRun::new(limits.clone());
    run.counts = counts.take();
    let mut choices = Choices::new(random, &limits);
    let mut trace = Vec::with_capacity(steps as usize);
    let result = catch_unwind(AssertUnwindSafe(|| {
        if seed % 2 == 1 {
            let slices = SimulatedStep::Slices { steps: 1 + seed / 2 % STEPS_MAX };
            trace.push(slices.clone());
            run.take(&slices)?;
        }
        for _ in 0..steps {
            let step = choices.next(&run);
            trace.push(step.clone());
            run.take(&step)?;
            if run.model.is_open {
                return Ok(());
            }
        }
        run.finish(&limits)
    }));
    *counts = run.counts.take();
    let what = match result {
        Ok(Ok(())) => return Ok(run.inputs),
        Ok(Err(what)) => what,
        Err(panic) => panic_text(&*panic),
    };
    Err(Box::new(Divergence { limits, steps: trace, what }))
}

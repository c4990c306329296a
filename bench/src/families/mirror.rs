//! The mirror of an event: reads its flag from memory, without a round trip.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::pinning;
use crate::report::{Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::rivals::python::Python;
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::shared::MeasurementMemory;
use crate::turns::{Samples, Turns};

/// How many looks are one sample, since one takes less time than to read a clock.
const LOOKS: u64 = 10_000;

/// The same in Python, whose looks take hundreds of times as long.
const PYTHON_LOOKS: usize = 2_000;

/// How many samples a turn has.
const SAMPLES: usize = 20;

pub(super) fn measure(settings: &Settings, missing: &Missing) -> Result<Vec<Row>> {
    let _pinned = pinning::to_first_core()?;
    let server = MeasuredManager::start(settings)?;
    let mirror = server.connect()?.anonymous_event()?.mirror()?;
    ensure!(mirror.is_mapped(), "the mirror is not mapped");
    let (shared, _) = MeasurementMemory::create()?;
    let python = missing.check("Python", Python::start("event"));

    let mut turns = Turns::new();
    let floor = turns.add(|samples: &mut Samples| {
        let look = || Ok(black_box(shared.word.peek()) != 0);
        look_often(samples, look)
    });
    let ours = turns.add(|samples: &mut Samples| look_often(samples, || Ok(mirror.is_set()?)));
    let python =
        turns.add_if(python.map(|mut python| {
            move |samples: &mut Samples| python.measure_mean("is_set", PYTHON_LOOKS, samples)
        }));
    let results = turns.run(settings.pick(60, 20))?;

    let row = |name, what| {
        Row::new(name, what, Unit::Nanoseconds, ONE_CORE)
            .floor(&results[floor])
            .ours(&results[ours])
            .rival("multiprocessing.Event", python.map(|python| &results[python]))
    };
    Ok(vec![
        row("mirror_is_set", "mirror is_set(); floor: a load from shared memory").at_most(Bound::Ours, 2.0),
        row("mirror_is_set_to_python", "mirror is_set(), to multiprocessing.Event")
            .at_most(Bound::OursToRival, 1.0 / 200.0),
    ])
}

/// Looks often enough for a clock to measure it. The compiler cannot leave out a look: its outcome decides whether the
/// next one follows.
fn look_often(samples: &mut Samples, look: impl Fn() -> Result<bool>) -> Result<()> {
    for _ in 0..SAMPLES {
        let began = Instant::now();
        for _ in 0..LOOKS {
            if look()? {
                break;
            }
        }
        samples.record_many(began.elapsed(), LOOKS);
    }
    Ok(())
}

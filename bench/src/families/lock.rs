//! A lock that nobody else wants: acquired and released.

use anyhow::Result;

use super::floors::PingPong;
use crate::pinning;
use crate::report::{Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::rivals::python::Python;
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::turns::{self, ContenderKey, Measurements, Samples, Turns};

/// How many times a turn acquires and releases the lock.
const CALLS: usize = 300;

pub(super) fn measure(settings: &Settings, missing: &Missing) -> Result<Vec<Row>> {
    let _pinned = pinning::to_first_core()?;
    let ((floor, ours, python), results) =
        turns::afresh(settings.pick(6, 3), || take_turns(settings, missing))?;
    let python = python.map(|python| &results[python]);
    let (floor, ours) = (&results[floor], &results[ours]);
    let row = |name, what| Row::new(name, what, Unit::Microseconds, ONE_CORE);
    Ok(vec![
        row("lock", "Lock: acquire and release, not contended")
            .floor(floor)
            .ours(ours)
            .rival("Python Manager", python)
            .at_most(Bound::OursToFloor, 1.5),
        row("lock_p99", "Lock: acquire and release, p99")
            .p99(floor, ours, python.map(|python| ("Python Manager", python)))
            .value_is(Bound::OursToFloor),
    ])
}

/// The floor, ours and Python.
type LockKeys = (ContenderKey, ContenderKey, Option<ContenderKey>);

fn take_turns(settings: &Settings, missing: &Missing) -> Result<(LockKeys, Measurements)> {
    let server = MeasuredManager::start(settings)?;
    let lock = server.connect()?.anonymous_lock()?;
    let python = missing.check("Python", Python::start("manager"));

    let mut turns = Turns::new();
    let floor = turns.add(PingPong::start(CALLS)?);
    // The time includes the drop of the guard, which releases the lock.
    let ours = turns.add(|samples: &mut Samples| {
        samples.time(CALLS, || {
            drop(lock.acquire()?);
            Ok(())
        })
    });
    let python = turns
        .add_if(python.map(|mut python| move |samples: &mut Samples| python.measure("lock", CALLS, samples)));
    Ok(((floor, ours, python), turns.run(settings.pick(30, 8))?))
}

//! How long a manager takes from its start to its first answer.

use anyhow::{Result, ensure};
use client::Manager;
use std::time::Instant;

use crate::peer::{self, PeerProcess};
use crate::pinning;
use crate::report::{Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::rivals::python::Python;
use crate::settings::Settings;
use crate::turns::{Samples, Turns};

pub(super) fn measure(settings: &Settings, missing: &Missing) -> Result<Vec<Row>> {
    let _pinned = pinning::to_first_core()?;
    let mut turns = Turns::new();
    let floor = turns.add(|samples: &mut Samples| {
        let began = Instant::now();
        let _copy = PeerProcess::copy("nothing", &[])?;
        samples.record(began.elapsed());
        Ok(())
    });
    let ours = turns.add(|samples: &mut Samples| {
        let began = Instant::now();
        let manager = Manager::start()?;
        ensure!(!manager.anonymous_event()?.is_set()?, "a new event is not set");
        samples.record(began.elapsed());
        Ok(())
    });
    let mut python = |method: &'static str| {
        let python = missing.check("Python", Python::start("start"));
        turns.add_if(python.map(|mut python| move |samples: &mut Samples| python.measure(method, 1, samples)))
    };
    let (spawn, fork) = (python("spawn"), python("fork"));
    let results = turns.run(settings.pick(20, 5))?;

    let row = |name, what, rival_name, rival: Option<_>| {
        Row::new(name, what, Unit::Milliseconds, ONE_CORE)
            .floor(&results[floor])
            .ours(&results[ours])
            .rival(rival_name, rival.map(|rival| &results[rival]))
    };
    Ok(vec![
        row(
            "start",
            "Manager::start() to the first reply; floor: a process started",
            "Python Manager, spawn",
            spawn,
        )
        .at_most(Bound::OursToRival, 0.1),
        row(
            "start_to_fork",
            "Manager::start() to the first reply, to Python's fork",
            "Python Manager, fork",
            fork,
        )
        .value_is(Bound::OursToRival),
    ])
}

/// In a role: a process that says it is ready, and ends.
pub(crate) fn nothing() -> Result<()> {
    peer::ready();
    Ok(())
}

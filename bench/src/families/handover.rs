//! Two processes that pass control back and forth: `set_and_wait` of one event for the other.

use anyhow::{Context, Result};
use client::{Event, Manager};

use super::floors::{FutexPair, PingPong, Relay};
use crate::peer::{self, PeerProcess};
use crate::pinning;
use crate::report::{Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::rivals::iceoryx::Iceoryx;
use crate::rivals::python::Python;
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::turns::{self, ContenderKey, Measurements, Samples, Turns};

/// How many rounds a turn has.
const ROUNDS: usize = 300;

/// The same for Python, which takes ten times as long.
const PYTHON_ROUNDS: usize = 60;

pub(super) fn measure(settings: &Settings, missing: &Missing) -> Result<Vec<Row>> {
    let _pinned = pinning::to_first_core()?;
    let (keys, results) = turns::afresh(settings.pick(6, 3), || take_turns(settings, missing))?;
    let [floor, relay, futex, ours] = keys.0;
    let (python, iceoryx) = keys.1;
    let row = |name, what| Row::new(name, what, Unit::Microseconds, ONE_CORE).ours(&results[ours]);
    Ok(vec![
        row("set_and_wait", "two processes, a round by set_and_wait")
            .floor(&results[floor])
            .rival("Python Manager", python.map(|python| &results[python]))
            .at_most(Bound::OursToFloor, 2.3),
        // This cannot cost less than a third process between the two.
        row("set_and_wait_to_relay", "two processes, a round; floor: bare, through a third process")
            .floor(&results[relay])
            .value_is(Bound::OursToFloor),
        // These two share memory and have no manager between them, so this is their best.
        row("set_and_wait_to_iceoryx2", "two processes, a round; floor: a bare futex")
            .floor(&results[futex])
            .rival("iceoryx2 event", iceoryx.map(|iceoryx| &results[iceoryx]))
            .value_is(Bound::OursToRival),
    ])
}

/// The three floors and ours; Python and iceoryx2.
type HandoverKeys = ([ContenderKey; 4], (Option<ContenderKey>, Option<ContenderKey>));

fn take_turns(settings: &Settings, missing: &Missing) -> Result<(HandoverKeys, Measurements)> {
    let server = MeasuredManager::start(settings)?;
    let (mine, other) = events(&server.connect()?)?;
    let _partner = PeerProcess::copy("handover", &[server.socket_text()])?;
    let python = missing.check("Python", Python::start("manager"));
    let iceoryx = missing.check("iceoryx2", Iceoryx::start(ROUNDS));

    let mut turns = Turns::new();
    let floor = turns.add(PingPong::start(ROUNDS)?);
    let relay = turns.add(Relay::start(ROUNDS)?);
    let futex = turns.add(FutexPair::start(ROUNDS)?);
    let ours = turns.add(|samples: &mut Samples| {
        samples.time(ROUNDS, || {
            other.set_and_wait(&mine, None)?.context("it waits without a timeout")?;
            Ok(())
        })
    });
    let python = turns.add_if(
        python.map(|mut python| move |samples: &mut Samples| python.measure("round", PYTHON_ROUNDS, samples)),
    );
    let iceoryx = turns.add_if(iceoryx);
    Ok((([floor, relay, futex, ours], (python, iceoryx)), turns.run(settings.pick(20, 6))?))
}

/// The events of the first and of the second process. Each set lets one wait through.
fn events(manager: &Manager) -> Result<(Event, Event)> {
    let event = |name| manager.event_options().auto_reset(true).open_or_create(name);
    Ok((event("first")?, event("second")?))
}

/// In a role: the second process.
pub(crate) fn hand_back(arguments: &[String]) -> Result<()> {
    let [socket] = arguments else { anyhow::bail!("a socket is needed") };
    let manager = Manager::connect_to(socket)?;
    let (first, second) = events(&manager)?;
    peer::end_with_input();
    peer::ready();
    second.wait(None)?;
    loop {
        first.set_and_wait(&second, None)?;
    }
}

//! One process waits for an event, another sets it: how long it takes until the first one runs.

use std::time::Duration;

use anyhow::{Result, bail};
use client::Manager;

use crate::peer::{self, PeerProcess};
use crate::pinning;
use crate::report::{Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::shared::{MeasurementMemory, now_ns};
use crate::turns::{self, Contender, ContenderKey, Measurements, Samples, Turns};

/// How many times a turn wakes the waiter.
const CALLS: usize = 100;

/// A pause in which the waiter begins to wait again: on one core, it runs while this process sleeps.
const PAUSE: Duration = Duration::from_micros(100);

/// The event, which stays set until it is cleared.
const EVENT: &str = "wake";

pub(super) fn measure(settings: &Settings, _missing: &Missing) -> Result<Vec<Row>> {
    let _pinned = pinning::to_first_core()?;
    let ([floor, wait, mirror], results) = turns::afresh(settings.pick(4, 2), || take_turns(settings))?;
    let row = |name, what, ours| {
        Row::new(name, what, Unit::Microseconds, ONE_CORE)
            .floor(&results[floor])
            .ours(&results[ours])
            .value_is(Bound::OursToFloor)
    };
    Ok(vec![
        row("wake", "set() to one waiter awake; floor: a bare futex", wait),
        row("wake_mirror", "set() to one waiter of a mirror awake; floor: a bare futex", mirror),
    ])
}

fn take_turns(settings: &Settings) -> Result<([ContenderKey; 3], Measurements)> {
    let server = MeasuredManager::start(settings)?;
    let event = server.connect()?.event(EVENT)?;
    let socket = server.socket_text();
    let set_or_clear =
        |_: &MeasurementMemory, wakes: bool| Ok(if wakes { event.set() } else { event.clear() }?);

    let mut turns = Turns::new();
    let floor = turns.add(WaitingProcess::start("futex", "", |shared, wakes| {
        shared.word.set(u32::from(wakes));
        if wakes {
            shared.word.wake(1);
        }
        Ok(())
    })?);
    let wait = turns.add(WaitingProcess::start("wait", &socket, set_or_clear)?);
    let mirror = turns.add(WaitingProcess::start("mirror", &socket, set_or_clear)?);
    Ok(([floor, wait, mirror], turns.run(settings.pick(10, 5))?))
}

/// A process that waits again and again, and the function that wakes it: false as its argument prepares, and true
/// wakes.
struct WaitingProcess<F> {
    shared: &'static MeasurementMemory,
    wake: F,
    _process: PeerProcess,
}

impl<F: FnMut(&MeasurementMemory, bool) -> Result<()>> WaitingProcess<F> {
    /// Starts one that waits in this way, with the manager at this socket.
    fn start(how: &str, socket: &str, wake: F) -> Result<WaitingProcess<F>> {
        let (shared, path) = MeasurementMemory::create()?;
        shared.done.set(1);
        let process = PeerProcess::copy("wake", &[path, how.to_owned(), socket.to_owned()])?;
        Ok(WaitingProcess { shared, wake, _process: process })
    }
}

impl<F: FnMut(&MeasurementMemory, bool) -> Result<()>> Contender for WaitingProcess<F> {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        for _ in 0..CALLS {
            (self.wake)(self.shared, false)?;
            self.shared.done.set(0);
            self.shared.done.wake(1);
            std::thread::sleep(PAUSE);
            let began_ns = now_ns();
            (self.wake)(self.shared, true)?;
            let done_ns = self.shared.await_done()?;
            samples.record(Duration::from_nanos(done_ns - began_ns));
        }
        Ok(())
    }
}

/// In a role: the process that waits.
pub(crate) fn wait_again(arguments: &[String]) -> Result<()> {
    let [path, how, socket] = arguments else { bail!("three arguments are needed") };
    let shared = MeasurementMemory::open(path)?;
    match how.as_str() {
        "futex" => again(shared, || {
            shared.word.wait_while(0);
            Ok(())
        }),
        "wait" => {
            let event = Manager::connect_to(socket)?.event(EVENT)?;
            again(shared, || Ok(event.wait(None).map(drop)?))
        }
        "mirror" => {
            let mirror = Manager::connect_to(socket)?.event(EVENT)?.mirror()?;
            again(shared, || Ok(mirror.wait(None).map(drop)?))
        }
        _ => bail!("there is no way {how:?} to wait"),
    }
}

fn again(shared: &MeasurementMemory, wait: impl Fn() -> Result<()>) -> Result<()> {
    peer::end_with_input();
    peer::ready();
    loop {
        shared.done.wait_while(1);
        wait()?;
        shared.finish();
    }
}

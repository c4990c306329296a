//! One process waits for an event, another sets it: how long until the first one runs.

use std::time::Duration;

use anyhow::Result;
use client::{Event, Manager};

use crate::peer::{self, Peer};
use crate::pinning;
use crate::report::{Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::server::Server;
use crate::settings::Settings;
use crate::shared::{Shared, now_ns};
use crate::turns::{Contender, Samples, Turns};

/// How many times the waiter is woken in a turn.
const CALLS: usize = 100;

/// Long enough for the waiter to wait again: on one core, it runs while this process sleeps.
const PAUSE: Duration = Duration::from_micros(100);

pub(super) fn measure(settings: &Settings, _missing: &Missing) -> Result<Vec<Row>> {
    let _pinned = pinning::to_first_core()?;
    let server = Server::start(settings)?;
    let event = event(&server.connect()?)?;

    let mut turns = Turns::new();
    let floor = turns.add(Waiter::start("", |shared| {
        shared.word.set(1);
        shared.word.wake(1);
        Ok(())
    })?);
    let ours = turns.add(Waiter::start(&server.socket_text(), |_| Ok(event.set()?))?);
    let results = turns.run(settings.pick(30, 12))?;

    let row =
        Row::new("wake", "set() to one waiter awake; floor: a bare futex", Unit::Microseconds, ONE_CORE);
    Ok(vec![row.floor(&results[floor]).ours(&results[ours]).value_is(Bound::OursToFloor)])
}

/// Each set lets one wait through.
fn event(manager: &Manager) -> Result<Event> {
    Ok(manager.event_options().auto_reset(true).open_or_create("wake")?)
}

/// A process that waits again and again, and how it is woken.
struct Waiter<F> {
    shared: &'static Shared,
    wake: F,
    _process: Peer,
}

impl<F: FnMut(&Shared) -> Result<()>> Waiter<F> {
    /// One that waits at the manager at this socket, or for a futex if there is none.
    fn start(socket: &str, wake: F) -> Result<Waiter<F>> {
        let (shared, path) = Shared::create()?;
        let process = Peer::copy("wake", &[path, socket.to_owned()])?;
        Ok(Waiter { shared, wake, _process: process })
    }
}

impl<F: FnMut(&Shared) -> Result<()>> Contender for Waiter<F> {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        for _ in 0..CALLS {
            self.shared.done.set(0);
            std::thread::sleep(PAUSE);
            let began_ns = now_ns();
            (self.wake)(self.shared)?;
            let done_ns = self.shared.await_done();
            samples.record(Duration::from_nanos(done_ns - began_ns));
        }
        Ok(())
    }
}

/// In a role: the process that waits.
pub(crate) fn wait_again(arguments: &[String]) -> Result<()> {
    let [path, socket] = arguments else { anyhow::bail!("a path and a socket are needed") };
    let shared = Shared::open(path)?;
    let event = match socket.as_str() {
        "" => None,
        socket => Some(event(&Manager::connect_to(socket)?)?),
    };
    peer::end_with_input();
    peer::ready();
    loop {
        match &event {
            None => {
                shared.word.wait_while(0);
                shared.word.set(0);
            }
            Some(event) => {
                event.wait(None)?;
            }
        }
        shared.finish();
    }
}

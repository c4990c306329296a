//! A crowd that waits for one event: how long it takes to wake ten thousand threads in four processes.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use client::{Event, EventMirror, Manager};

use crate::peer::{self, PeerProcess};
use crate::quiet::await_quiet;
use crate::report::{ALL_CORES, Bound, Row, Unit};
use crate::rivals::Missing;
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::shared::{MeasurementMemory, now_ns};
use crate::turns::{Contender, Samples, Turns};

/// How many threads wait.
const THREADS: u32 = 10_000;

/// How many processes they are in.
const PROCESSES: u32 = 4;

/// The stack of a thread, of which little is used.
const STACK_BYTES: usize = 128 << 10;

/// The event, which stays set until it is cleared.
const EVENT: &str = "crowd";

pub(super) fn measure(settings: &Settings, _missing: &Missing) -> Result<Vec<Row>> {
    let server = MeasuredManager::start(settings)?;
    let event = server.connect()?.event(EVENT)?;

    let mut turns = Turns::new();
    let floor = turns.add(CrowdOf::start(WaitMethod::Futex, &[], |shared, wakes| {
        shared.word.set(u32::from(wakes));
        if wakes {
            shared.word.wake_all();
        }
        Ok(())
    })?);
    let wake = |_: &MeasurementMemory, wakes: bool| Ok(if wakes { event.set() } else { event.clear() }?);
    let ours = turns.add(CrowdOf::start(WaitMethod::Wait(server.socket_text()), &[server.id()], wake)?);
    let mirror = turns.add(CrowdOf::start(WaitMethod::Mirror(server.socket_text()), &[server.id()], wake)?);
    let results = turns.run(settings.pick(20, 4))?;

    let row = |name, what, ours| {
        Row::new(name, what, Unit::Milliseconds, ALL_CORES).floor(&results[floor]).ours(&results[ours])
    };
    Ok(vec![
        row("crowd", "10,000 waiters in 4 processes, set() to last awake; floor: a bare futex", ours)
            .at_most(Bound::OursToFloor, 1.1),
        row("crowd_mirror", "10,000 waiters of a mirror, set() to last awake; floor: a bare futex", mirror)
            .value_is(Bound::OursToFloor),
    ])
}

/// What the threads of a crowd wait for.
#[derive(Clone, Debug)]
enum WaitMethod {
    /// A word of shared memory.
    Futex,
    /// An event of the manager at this socket, by `wait`.
    Wait(String),
    /// The same event, by `wait` of its mirror.
    Mirror(String),
}

impl WaitMethod {
    fn into_arguments(self) -> [String; 2] {
        match self {
            WaitMethod::Futex => ["futex".to_owned(), String::new()],
            WaitMethod::Wait(socket) => ["wait".to_owned(), socket],
            WaitMethod::Mirror(socket) => ["mirror".to_owned(), socket],
        }
    }

    fn of_arguments(how: &str, socket: &str) -> Result<WaitMethod> {
        match how {
            "futex" => Ok(WaitMethod::Futex),
            "wait" => Ok(WaitMethod::Wait(socket.to_owned())),
            "mirror" => Ok(WaitMethod::Mirror(socket.to_owned())),
            _ => anyhow::bail!("there is no way {how:?} to wait"),
        }
    }
}

/// Processes with waiting threads, and the function that wakes them: false as its argument prepares, and true wakes.
struct CrowdOf<F> {
    shared: &'static MeasurementMemory,
    wake: F,
    /// The processes that have to be at rest before the crowd is woken.
    at_rest: Vec<u32>,
    processes: Vec<PeerProcess>,
}

impl<F: FnMut(&MeasurementMemory, bool) -> Result<()>> CrowdOf<F> {
    fn start(how: WaitMethod, others: &[u32], wake: F) -> Result<CrowdOf<F>> {
        let (shared, path) = MeasurementMemory::create()?;
        let threads = (THREADS / PROCESSES).to_string();
        let [how, socket] = how.into_arguments();
        let arguments = [path, threads, how, socket];
        let processes: Vec<_> =
            (0..PROCESSES).map(|_| PeerProcess::copy("crowd", &arguments)).collect::<Result<_>>()?;
        let at_rest = processes.iter().map(PeerProcess::id).chain(others.iter().copied()).collect();
        Ok(CrowdOf { shared, wake, at_rest, processes })
    }
}

impl<F: FnMut(&MeasurementMemory, bool) -> Result<()>> Contender for CrowdOf<F> {
    fn turn(&mut self, samples: &mut Samples) -> Result<()> {
        let shared = self.shared;
        (self.wake)(shared, false)?;
        for word in [&shared.arrived, &shared.awake, &shared.done] {
            word.set(0);
        }
        shared.gate.increment();
        shared.gate.wake_all();
        while shared.arrived.get() < THREADS {
            self.processes.iter_mut().try_for_each(PeerProcess::check_alive)?;
            thread::sleep(Duration::from_millis(1));
        }
        await_quiet(&self.at_rest)?;

        let began_ns = now_ns();
        (self.wake)(shared, true)?;
        let done_ns = shared.await_done()?;
        samples.record(Duration::from_nanos(done_ns - began_ns));
        await_quiet(&self.at_rest)
    }
}

/// In a role: a process of a crowd.
pub(crate) fn wait_again(arguments: &[String]) -> Result<()> {
    let [path, threads, how, socket] = arguments else { anyhow::bail!("four arguments are needed") };
    let shared = MeasurementMemory::open(path)?;
    let place = match WaitMethod::of_arguments(how, socket)? {
        WaitMethod::Futex => WaitingPlace::Futex,
        WaitMethod::Wait(socket) => WaitingPlace::Event(Manager::connect_to(socket)?.event(EVENT)?),
        WaitMethod::Mirror(socket) => {
            WaitingPlace::Mirror(Manager::connect_to(socket)?.event(EVENT)?.mirror()?)
        }
    };
    for _ in 0..threads.parse()? {
        let place = place.clone();
        let wait = move || wait_in_rounds(shared, &place);
        thread::Builder::new().stack_size(STACK_BYTES).spawn(wait).context("starting a thread")?;
    }
    peer::end_with_input();
    peer::ready();
    loop {
        thread::park();
    }
}

/// Where a thread of a crowd waits.
#[derive(Clone)]
enum WaitingPlace {
    Futex,
    Event(Event),
    Mirror(EventMirror),
}

/// One thread of a crowd.
fn wait_in_rounds(shared: &MeasurementMemory, place: &WaitingPlace) {
    for round in 0.. {
        shared.gate.wait_while(round);
        shared.arrived.increment();
        let waited = match place {
            WaitingPlace::Futex => {
                shared.word.wait_while(0);
                Ok(())
            }
            WaitingPlace::Event(event) => event.wait(None).map(drop),
            WaitingPlace::Mirror(mirror) => mirror.wait(None).map(drop),
        };
        // The manager has ended, and so has the measurement.
        if waited.is_err() {
            return;
        }
        if shared.awake.increment() == THREADS {
            shared.finish();
        }
    }
}

//! A manager with many objects and clients: how much memory each takes, and whether they slow down others.

use anyhow::{Result, ensure};
use client::Event;
use protocol::{Reply, Request, Target, ThreadId, WaitMode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::pinning;
use crate::quiet::await_quiet;
use crate::report::{Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::turns::{Samples, Turns};
use crate::wire::{WireSession, open_event};

/// How many events there are in the measurements with many.
const EVENTS: u32 = 1_000_000;

/// How many connections there are in the measurements with many, if that many files may be open.
const CONNECTIONS: usize = 10_000;

/// How many other files a manager or this program has open.
const OTHER_FILES: u64 = 60;

/// How many there are before memory is measured, so that memory that is needed only once does not count.
const WARM: usize = 100;

/// How many calls a turn has.
const CALLS: usize = 500;

pub(super) fn measure(settings: &Settings, _missing: &Missing) -> Result<Vec<Row>> {
    let connections = connections_allowed();
    let _pinned = pinning::to_first_core()?;
    let (alone, many_events) = (MeasuredManager::start(settings)?, MeasuredManager::start(settings)?);
    let many_connections = MeasuredManager::start(settings)?;

    let (_maker, event_bytes) = fill_with_events(&many_events)?;
    let (mut sessions, connection_bytes) = fill_with_connections(&many_connections, connections)?;

    let events = [&alone, &many_events, &many_connections]
        .map(|server| Ok(server.connect()?.anonymous_event()?))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let mut turns = Turns::new();
    let keys: Vec<_> = events.iter().map(|event| turns.add(asks(event))).collect();
    let results = turns.run(settings.pick(60, 12))?;

    let waiter_bytes = fill_with_waiters(&many_connections, &mut sessions)?;

    let time = |name, what: &str, number: usize| {
        Row::new(name, what, Unit::Microseconds, ONE_CORE)
            .floor(&results[keys[0]])
            .ours(&results[keys[number]])
            .at_most(Bound::OursToFloor, 1.1)
    };
    let memory = |name, what: &str, bytes, goal| {
        Row::new(name, what, Unit::Bytes, ONE_CORE).ours_is(vec![bytes]).at_most(Bound::Ours, goal)
    };
    let idle = format!("is_set() with {connections} idle connections; floor: with one");
    Ok(vec![
        time("is_set_million_objects", "is_set() with a million objects; floor: with one", 1),
        time("is_set_idle_connections", &idle, 2),
        memory("memory_event", "memory of a named event, of a million", event_bytes, 250.0),
        memory(
            "memory_waiter",
            &format!("memory of a waiting client, beyond its connection, of {connections}"),
            waiter_bytes,
            400.0,
        ),
        memory(
            "memory_connection",
            &format!("memory of an idle connection, of {connections}"),
            connection_bytes,
            4096.0,
        ),
    ])
}

fn asks(event: &Event) -> impl FnMut(&mut Samples) -> Result<()> {
    move |samples: &mut Samples| {
        samples.time(CALLS, || {
            ensure!(!event.is_set()?, "nobody has set this event");
            Ok(())
        })
    }
}

/// How many connections are possible: the manager has two open files for each.
fn connections_allowed() -> usize {
    let wanted = 2 * CONNECTIONS as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    // Only some users may raise the hard limit; the others take what it allows.
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum.map(|maximum| maximum.max(wanted)) };
    let at_most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = setrlimit(Resource::Nofile, raised).or_else(|_| setrlimit(Resource::Nofile, at_most));
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
    CONNECTIONS.min((open_files.saturating_sub(OTHER_FILES) / 2) as usize)
}

/// How many bytes each of `count` more takes, once there are some.
fn bytes_each(server: &MeasuredManager, count: usize, fill: impl FnOnce() -> Result<()>) -> Result<f64> {
    await_quiet(&[server.id()])?;
    let before = server.resident_bytes()?;
    fill()?;
    await_quiet(&[server.id()])?;
    Ok((server.resident_bytes()? - before) / count as f64)
}

/// Makes the events. Returns the session that keeps them, and how many bytes each takes.
fn fill_with_events(server: &MeasuredManager) -> Result<(WireSession, f64)> {
    let mut session = WireSession::connect(server.socket())?;
    session.make_events(0, WARM as u32)?;
    let bytes = bytes_each(server, EVENTS as usize - WARM, || session.make_events(WARM as u32, EVENTS))?;
    Ok((session, bytes))
}

fn fill_with_connections(server: &MeasuredManager, count: usize) -> Result<(Vec<WireSession>, f64)> {
    let connect =
        |count| (0..count).map(|_| WireSession::connect(server.socket())).collect::<Result<Vec<_>>>();
    let mut sessions = connect(WARM)?;
    let bytes = bytes_each(server, count - WARM, || {
        sessions.extend(connect(count - WARM)?);
        Ok(())
    })?;
    Ok((sessions, bytes))
}

/// Has each client wait for the same event, and in the end checks that all of them did.
fn fill_with_waiters(server: &MeasuredManager, sessions: &mut [WireSession]) -> Result<f64> {
    let mut setter = WireSession::connect(server.socket())?;
    let Reply::Opened { id, .. } = setter.call(open_event("waited for"))? else {
        anyhow::bail!("an event cannot be opened");
    };
    let mut wait = |session: &mut WireSession| -> Result<()> {
        session.queue(Request::Wait {
            mode: WaitMode::Any,
            targets: [Target::Event { id }].into_iter().collect(),
            timeout_ns: None,
            thread: ThreadId(1),
        })?;
        session.send()
    };
    let (warm, rest) = sessions.split_at_mut(WARM);
    warm.iter_mut().try_for_each(&mut wait)?;
    let bytes = bytes_each(server, rest.len(), || rest.iter_mut().try_for_each(&mut wait))?;
    setter.call(Request::EventSet { id, reason: None })?;
    for session in sessions {
        let answer = session.answer()?;
        ensure!(matches!(answer, Reply::Taken(_)), "each waiter is woken");
    }
    Ok(bytes)
}

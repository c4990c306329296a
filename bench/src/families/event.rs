//! `Event::is_set`: one round trip.

use std::time::Instant;

use anyhow::{Result, ensure};
use client::Event;

use super::floors::PingPong;
use crate::pinning;
use crate::report::{A_CORE_EACH, Bound, ONE_CORE, Row, Unit};
use crate::rivals::Missing;
use crate::rivals::python::Python;
use crate::rivals::redis::{Redis, RedisConnection};
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::turns::{self, ContenderKey, Measurements, Samples, Turns};

/// How many calls a turn has.
const CALLS: usize = 500;

/// How many requests leave together where they are sent in pipelines.
const PIPELINED: usize = 64;

pub(super) fn measure(settings: &Settings, missing: &Missing) -> Result<Vec<Row>> {
    let mut rows = one_core_rows(settings, missing)?;
    rows.extend(a_core_each_row(settings, missing)?);
    Ok(rows)
}

fn one_core_rows(settings: &Settings, missing: &Missing) -> Result<Vec<Row>> {
    let _pinned = pinning::to_first_core()?;
    let ((floor, ours, pipelined, python, redis), results) =
        turns::afresh(settings.pick(6, 3), || take_turns(settings, missing))?;
    let (floor, ours) = (&results[floor], &results[ours]);
    let python = python.map(|python| &results[python]);
    let redis = redis.map(|redis| &results[redis]);
    let row = |name, what| Row::new(name, what, Unit::Microseconds, ONE_CORE);
    let mut rows = vec![
        row("is_set", "is_set(), a round trip")
            .floor(floor)
            .ours(ours)
            .rival("Python Manager", python)
            .at_most(Bound::OursToFloor, 1.15),
        row("is_set_to_python", "is_set(), to Python's")
            .floor(floor)
            .ours(ours)
            .rival("Python Manager", python)
            .at_most(Bound::OursToRival, 0.45),
        row("is_set_p99", "is_set(), p99")
            .p99(floor, ours, python.map(|python| ("Python Manager", python)))
            .value_is(Bound::OursToFloor),
    ];
    rows.push(
        row("is_set_to_redis", "is_set(), to Redis GET of one client")
            .floor(floor)
            .ours(ours)
            .rival("Redis GET", redis)
            .value_is(Bound::OursToRival),
    );
    rows.push(
        row("is_set_pipeline", "is_set() in pipelines of 64, for each")
            .floor(floor)
            .ours(&results[pipelined])
            .value_is(Bound::OursToFloor),
    );
    Ok(rows)
}

/// The same with the calling process on a core of its own. That core sleeps while it waits, and waking it takes longer
/// than all else. None on a machine with one core.
fn a_core_each_row(settings: &Settings, missing: &Missing) -> Result<Option<Row>> {
    if pinning::to_second_core()?.is_none() {
        return Ok(None);
    }
    let ((floor, ours, redis), results) = turns::afresh(settings.pick(6, 3), || {
        let servers = pinning::to_first_core()?;
        let server = MeasuredManager::start(settings)?;
        let event = server.connect()?.anonymous_event()?;
        let redis = missing.check("Redis", Redis::start());
        let redis_client = redis.as_ref().map(Redis::connect).transpose()?;
        let mut turns = Turns::new();
        let floor = turns.add(PingPong::start(CALLS)?);
        let ours = turns.add(asking(event));
        let redis = turns.add_if(redis_client.map(getting));
        drop(servers);
        let _client = pinning::to_second_core()?;
        Ok(((floor, ours, redis), turns.run(settings.pick(30, 10))?))
    })?;
    let row = Row::new("is_set_apart", "is_set(), a round trip", Unit::Microseconds, A_CORE_EACH)
        .floor(&results[floor])
        .ours(&results[ours])
        .rival("Redis GET", redis.map(|redis| &results[redis]))
        .value_is(Bound::OursToFloor);
    Ok(Some(row))
}

/// Asks whether an event is set that nobody has set.
fn asking(event: Event) -> impl FnMut(&mut Samples) -> Result<()> {
    move |samples| {
        samples.time(CALLS, || {
            ensure!(!event.is_set()?, "nobody has set this event");
            Ok(())
        })
    }
}

fn getting(mut client: RedisConnection) -> impl FnMut(&mut Samples) -> Result<()> {
    move |samples| samples.time(CALLS, || client.get())
}

/// The floor, ours, ours in pipelines, Python and Redis.
type EventKeys = (ContenderKey, ContenderKey, ContenderKey, Option<ContenderKey>, Option<ContenderKey>);

fn take_turns(settings: &Settings, missing: &Missing) -> Result<(EventKeys, Measurements)> {
    let server = MeasuredManager::start(settings)?;
    let manager = server.connect()?;
    let event = manager.anonymous_event()?;
    let redis = missing.check("Redis", Redis::start());
    let redis_client = redis.as_ref().map(Redis::connect).transpose()?;
    let python = missing.check("Python", Python::start("manager"));

    let mut turns = Turns::new();
    let floor = turns.add(PingPong::start(CALLS)?);
    let ours = turns.add(asking(event.clone()));
    let pipelined = turns.add(|samples: &mut Samples| {
        for _ in 0..CALLS / PIPELINED {
            let began = Instant::now();
            let answers = manager
                .pipeline(|pipeline| (0..PIPELINED).map(|_| pipeline.is_set(&event)).collect::<Vec<_>>())?;
            for answer in answers {
                ensure!(!answer.get()?, "nobody has set this event");
            }
            samples.record_many(began.elapsed(), PIPELINED as u64);
        }
        Ok(())
    });
    let python = turns.add_if(
        python.map(|mut python| move |samples: &mut Samples| python.measure("is_set", CALLS, samples)),
    );
    let redis = turns.add_if(redis_client.map(getting));
    Ok(((floor, ours, pipelined, python, redis), turns.run(settings.pick(30, 10))?))
}

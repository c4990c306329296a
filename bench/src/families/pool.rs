//! The pool: tasks that do nothing, beside Python's pool and procspawn's, all with two workers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use client::{Event, Manager, Pool, task};
use worker::Registry;

use super::floors::PingPong;
use super::large;
use crate::pinning;
use crate::quiet::await_quiet;
use crate::report::{ALL_CORES, Bound, Row, Unit};
use crate::rivals::Missing;
use crate::rivals::python::Python;
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::turns::{Contender, Samples, Turns};

/// How many workers each pool has.
const WORKERS: usize = 2;

/// How many tasks are queued to measure their memory.
const QUEUED: u32 = 1_000_000;

/// How many round trips a turn has.
const APPLIES: usize = 200;

/// The row of a round trip through the pool, to the kernel's between two cores.
const APPLY_TO_PING_PONG: &str = "pool: apply; floor: a ping-pong between two cores that sleep";

/// How long tasks sleep unless they are stopped: more than the measurement needs.
const SLEEP: Duration = Duration::from_secs(60);

/// The tasks of this program.
pub(crate) fn registry() -> Registry {
    let registry = Registry::new().task(nothing).task(look).task(one).task(doze);
    registry.task(large::length_of_view).task(large::length_of_copy).task(large::give_back)
}

fn nothing(_number: u32) {}

fn look(_number: u32, _event: Event) {}

fn one() -> u32 {
    1
}

/// Sleeps until it is stopped. Returns whether it slept to the end.
fn doze() -> bool {
    task::sleep(SLEEP)
}

pub(super) fn measure(settings: &Settings, missing: &Missing) -> Result<Vec<Row>> {
    let server = MeasuredManager::start(settings)?;
    let manager = server.connect()?;
    let pool = Pool::new(&manager, WORKERS)?;
    pool.map(nothing, 0..100)?;

    let mut rows = task_rows(settings, missing, &manager, &pool)?;
    rows.extend(start_rows(settings, missing, &manager)?);
    rows.push(stop_row(settings, &pool)?);
    drop(pool);
    rows.push(memory_row(&server, &manager)?);
    Ok(rows)
}

fn task_rows(settings: &Settings, missing: &Missing, manager: &Manager, pool: &Pool) -> Result<Vec<Row>> {
    let rounds = settings.pick(9, 4);
    let tasks = settings.pick(20_000, 5_000);
    let event_tasks = settings.pick(2_000, 300);
    let event = manager.anonymous_event()?;
    let procspawn = missing.check("procspawn", procspawn::Pool::new(WORKERS).map_err(Into::into));
    let python = missing.check("Python", Python::start("pool")).map(std::cell::RefCell::new);
    let python = python.as_ref();

    let mut turns = Turns::new();
    let ours_tasks = turns.add(|samples: &mut Samples| {
        let began = Instant::now();
        pool.batch(nothing).chunk_size(1).map(0..tasks as u32)?;
        samples.record_many(began.elapsed(), tasks as u64);
        Ok(())
    });
    let ours_event_tasks = turns.add(|samples: &mut Samples| {
        let began = Instant::now();
        let arguments = (0..event_tasks as u32).map(|number| (number, event.clone()));
        pool.batch(look).chunk_size(1).starmap(arguments)?;
        samples.record_many(began.elapsed(), event_tasks as u64);
        Ok(())
    });
    let ours_apply = turns.add(|samples: &mut Samples| {
        samples.time(APPLIES, || {
            ensure!(pool.apply(one, ())? == 1, "it returns one");
            Ok(())
        })
    });
    let ping_pong = turns.add(ping_pong_between_cores()?);
    let mut python_key = |what: &'static str, count| {
        turns.add_if(python.map(|python| {
            move |samples: &mut Samples| match what {
                "apply" => python.borrow_mut().measure(what, count, samples),
                _ => python.borrow_mut().measure_mean(what, count, samples),
            }
        }))
    };
    let python_tasks = python_key("tasks", tasks);
    let python_event_tasks = python_key("event_tasks", event_tasks);
    let python_apply = python_key("apply", APPLIES);
    let procspawn_apply = turns.add_if(procspawn.as_ref().map(|pool| {
        |samples: &mut Samples| {
            samples.time(APPLIES, || {
                ensure!(pool.spawn((), |()| 1).join()? == 1, "it returns one");
                Ok(())
            })
        }
    }));
    let results = turns.run(rounds)?;

    let row = |name, what, ours, rival_name, rival: Option<_>| {
        Row::new(name, what, Unit::Microseconds, ALL_CORES)
            .ours(&results[ours])
            .rival(rival_name, rival.map(|rival| &results[rival]))
    };
    let python_row = |name, what, ours, rival, goal| {
        row(name, what, ours, "Python Pool", rival).at_most(Bound::OursToRival, goal)
    };
    let of_nothing = "pool: a task of nothing, chunk size 1";
    let of_an_event = "pool: a task that is given an event";
    Ok(vec![
        python_row("pool_tasks", of_nothing, ours_tasks, python_tasks, 1.0 / 3.0),
        python_row("pool_event_tasks", of_an_event, ours_event_tasks, python_event_tasks, 1.0 / 50.0),
        python_row("pool_apply", "pool: apply, a round trip", ours_apply, python_apply, 1.0 / 3.0),
        row("pool_apply_to_ping_pong", APPLY_TO_PING_PONG, ours_apply, "Python Pool", python_apply)
            .floor(&results[ping_pong])
            .at_most(Bound::OursToFloor, 0.7),
        row("pool_apply_to_procspawn", "pool: apply, to procspawn", ours_apply, "procspawn", procspawn_apply)
            .value_is(Bound::OursToRival),
    ])
}

/// A ping-pong whose other side is bound to the first core, with this side on the second while it takes its turn.
fn ping_pong_between_cores() -> Result<impl Contender> {
    let mut ping_pong = {
        let _pinned = pinning::to_first_core()?;
        PingPong::start(APPLIES)?
    };
    Ok(move |samples: &mut Samples| {
        let _pinned = pinning::to_second_core()?;
        ping_pong.turn(samples)
    })
}

fn start_rows(settings: &Settings, missing: &Missing, manager: &Manager) -> Result<Vec<Row>> {
    let mut turns = Turns::new();
    let ours = turns.add(|samples: &mut Samples| {
        let began = Instant::now();
        let pool = Pool::new(manager, WORKERS)?;
        pool.apply(one, ())?;
        samples.record(began.elapsed());
        Ok(())
    });
    let mut python = |method: &'static str| {
        let python = missing.check("Python", Python::start("pool"));
        turns.add_if(python.map(|mut python| move |samples: &mut Samples| python.measure(method, 1, samples)))
    };
    let (spawn, fork) = (python("spawn"), python("fork"));
    let procspawn = turns.add(|samples: &mut Samples| {
        let began = Instant::now();
        let pool = procspawn::Pool::new(WORKERS)?;
        pool.spawn((), |()| 1).join()?;
        samples.record(began.elapsed());
        Ok(())
    });
    let results = turns.run(settings.pick(15, 4))?;

    let row = |name, what, rival_name, rival: Option<_>| {
        Row::new(name, what, Unit::Milliseconds, ALL_CORES)
            .ours(&results[ours])
            .rival(rival_name, rival.map(|rival| &results[rival]))
    };
    Ok(vec![
        row("pool_start", "pool: start to the first result", "Python Pool, spawn", spawn)
            .at_most(Bound::OursToRival, 0.25),
        row(
            "pool_start_to_fork",
            "pool: start to the first result, to Python's fork",
            "Python Pool, fork",
            fork,
        )
        .value_is(Bound::OursToRival),
        row(
            "pool_start_to_procspawn",
            "pool: start to the first result, to procspawn",
            "procspawn",
            Some(procspawn),
        )
        .value_is(Bound::OursToRival),
    ])
}

/// The time from setting the stop event of a batch until its owner knows that the last task has ended.
fn stop_row(settings: &Settings, pool: &Pool) -> Result<Row> {
    let mut turns = Turns::new();
    let ours = turns.add(|samples: &mut Samples| {
        let result = pool.batch(doze).chunk_size(1).starmap_async([(); WORKERS])?;
        while result.progress()?.running < WORKERS as u64 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Now both tasks sleep.
        await_quiet(&pool.process_ids())?;
        let stop = result.stop_event();
        let began = Instant::now();
        stop.set()?;
        let slept_on = result.get(None)?;
        samples.record(began.elapsed());
        ensure!(slept_on.iter().all(|slept_on| !slept_on), "the tasks were woken");
        Ok(())
    });
    let results = turns.run(settings.pick(20, 5))?;
    let what = "pool: set() to the end of the last task, all in task::sleep";
    let row = Row::new("pool_stop", what, Unit::Milliseconds, ALL_CORES);
    Ok(row.ours(&results[ours]).at_most(Bound::Ours, 5.0))
}

/// How much the manager's memory grows for each task that nobody runs.
fn memory_row(server: &MeasuredManager, manager: &Manager) -> Result<Row> {
    let pool = Pool::open(manager, "nobody serves this")?;
    await_quiet(&[server.id()])?;
    let before = server.resident_bytes()?;
    let result = pool.batch(task::named::<(u32,), ()>("nothing")).chunk_size(1).map_async(0..QUEUED)?;
    let waiting = result.progress().context("asking for the progress of a batch")?;
    ensure!(waiting.waiting > 0, "tasks that nobody runs wait");
    await_quiet(&[server.id(), std::process::id()])?;
    let bytes = (server.resident_bytes()? - before) / f64::from(QUEUED);
    result.cancel()?;
    let row = Row::new("pool_memory", "pool: memory of a queued task, of a million", Unit::Bytes, ALL_CORES);
    Ok(row.ours_is(vec![bytes]).at_most(Bound::Ours, 200.0))
}

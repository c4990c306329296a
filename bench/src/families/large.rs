//! Large payloads: a task's argument beside one write of as many bytes into memory, and bytes there and back beside
//! Python's pool.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::{Result, ensure};
use client::{Bytes, Pool};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::report::{ALL_CORES, Bound, Row, Unit};
use crate::rivals::Missing;
use crate::rivals::python::Python;
use crate::server::MeasuredManager;
use crate::settings::Settings;
use crate::turns::{Samples, Turns};

/// The bytes that go there and back.
const BACK_BYTES: usize = 256 << 20;

/// How many times as long as one write an argument may take.
const SLOWER_MAX: f64 = 1.3;

/// The size of an argument that is seen as a view.
pub(super) fn length_of_view(bytes: Bytes) -> usize {
    bytes.len()
}

/// The size of an argument that is copied.
pub(super) fn length_of_copy(bytes: Vec<u8>) -> usize {
    bytes.len()
}

/// The argument as the result.
pub(super) fn give_back(bytes: Bytes) -> Bytes {
    bytes
}

pub(super) fn measure(settings: &Settings, missing: &Missing) -> Result<Vec<Row>> {
    let server = MeasuredManager::start(settings)?;
    let manager = server.connect()?;
    let pool = Pool::new(&manager, 2)?;
    let bytes = settings.pick(1 << 30, 256 << 20);
    let rounds = settings.pick(7, 3);
    let large = Bytes::from(vec![7_u8; bytes]);
    let resident_before = server.resident_bytes()?;

    let mut turns = Turns::new();
    let write = turns.add(|samples: &mut Samples| {
        let began = Instant::now();
        let mut file = File::from(memfd_create("bench", MemfdFlags::CLOEXEC)?);
        file.write_all(&large)?;
        samples.record(began.elapsed());
        Ok(())
    });
    let copy = turns.add(|samples: &mut Samples| {
        let began = Instant::now();
        let copied = std::hint::black_box(large.to_vec());
        samples.record(began.elapsed());
        ensure!(copied.len() == bytes, "all of it was copied");
        Ok(())
    });
    let view = turns.add(|samples: &mut Samples| {
        samples.time(1, || {
            ensure!(pool.apply(length_of_view, (large.clone(),))? == bytes, "all of it arrives");
            Ok(())
        })
    });
    let vec = turns.add(|samples: &mut Samples| {
        let argument = large.to_vec();
        let began = Instant::now();
        ensure!(pool.apply(length_of_copy, (argument,))? == bytes, "all of it arrives");
        samples.record(began.elapsed());
        Ok(())
    });
    let results = turns.run(rounds)?;
    let grown = server.resident_bytes()? - resident_before;
    let row = |name, what: &str| Row::new(name, what, Unit::Milliseconds, ALL_CORES);
    let both = results[write].turns.iter().zip(&results[copy].turns);
    let write_and_copy = both.map(|(write, copy)| (SLOWER_MAX * write + copy) / 1e6).collect();
    let size = bytes >> 20;
    let mut rows = vec![
        row("large_argument", &format!("pool: apply with {size} MiB as a view, beside one write() of it"))
            .ours(&results[view])
            .floor(&results[write])
            .at_most(Bound::OursToFloor, SLOWER_MAX),
        row("large_vector", &format!("pool: apply with {size} MiB as a vector, beside that and a copy"))
            .floor_is(write_and_copy)
            .ours(&results[vec])
            .at_most(Bound::OursToFloor, 1.0),
        Row::new("large_memory", "pool: what the manager's memory grew by meanwhile", Unit::Bytes, ALL_CORES)
            .ours_is(vec![grown])
            .at_most(Bound::Ours, f64::from(16 << 20)),
    ];
    rows.push(measure_both_ways(&pool, rounds, missing)?);
    Ok(rows)
}

/// Measures bytes that go there and come back.
fn measure_both_ways(pool: &Pool, rounds: usize, missing: &Missing) -> Result<Row> {
    let python = missing.check("Python", Python::start("large"));
    let back = Bytes::from(vec![7_u8; BACK_BYTES]);
    let mut turns = Turns::new();
    let ours = turns.add(|samples: &mut Samples| {
        samples.time(1, || {
            ensure!(pool.apply(give_back, (back.clone(),))?.len() == BACK_BYTES, "all of it comes back");
            Ok(())
        })
    });
    let python = turns.add_if(
        python.map(|mut python| move |samples: &mut Samples| python.measure("give_back", 1, samples)),
    );
    let results = turns.run(rounds)?;
    let what = "pool: apply with 256 MiB there and back";
    Ok(Row::new("large_back", what, Unit::Milliseconds, ALL_CORES)
        .ours(&results[ours])
        .rival("Python Pool", python.map(|rival| &results[rival]))
        .at_most(Bound::OursToRival, 1.0 / 3.0))
}

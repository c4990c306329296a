//! Pools with many batches and calls.

use protocol::limits::{CALLS_PER_REQUEST_MAX, CARRIES_PER_REQUEST_MAX, CHUNKS_PER_REQUEST_MAX};
use protocol::{Chunk, Request, Spec, StopSignal};

use crate::timed_core::TimedScenario;

pub(crate) const SCENARIOS: &[(&str, TimedScenario)] = &[
    ("a request adds as many chunks, calls and objects as it may", |world| {
        let a = world.session();
        let objects = world.open_many(a, 2_000_000, Spec::Latch { count: 1 });
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch(a, pool);
        let calls = CALLS_PER_REQUEST_MAX / CHUNKS_PER_REQUEST_MAX;
        let arguments = vec![0; calls];
        let far = |number: usize| objects[number * 7_919 % objects.len()];
        let chunk = |number: usize| Chunk {
            arguments: &arguments,
            carries: (number < CARRIES_PER_REQUEST_MAX).then(|| far(number)).into_iter().collect(),
            calls: calls as u32,
        };
        let chunks: Vec<_> = (0..CHUNKS_PER_REQUEST_MAX).map(chunk).collect();
        world.begin();
        for _ in 0..4 {
            world.carry_out(a, Request::BatchAdd { id: batch, chunks: chunks.clone(), last: false });
        }
    }),
    ("many calls are added and cancelled", |world| {
        let a = world.session();
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch(a, pool);
        world.begin();
        world.add(a, batch, 5_000_000);
        world.carry_out(a, Request::BatchCancel { id: batch });
    }),
    ("a batch is cancelled again and again", |world| {
        let (a, b) = (world.session(), world.session());
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch(a, pool);
        world.add(a, batch, 400_000);
        for _ in 0..20_000 {
            world.add_at_once(a, batch, 1);
            world.send_one_way(b, Request::BatchCancel { id: batch });
        }
        world.begin();
        world.carry_out(b, Request::BatchProgress { id: batch });
    }),
    ("the time of many calls is over", |world| {
        let a = world.session();
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch_with(a, pool, None, Some(1_000_000_000));
        world.add(a, batch, 100_000);
        world.take_calls(a, pool, 100_000);
        world.begin();
        world.now = world.now.after_ns(1_000_000_000);
        world.work();
    }),
    ("a pool is terminated of which many calls run", |world| {
        let a = world.session();
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch(a, pool);
        world.add(a, batch, 600_000);
        world.take_calls(a, pool, 300_000);
        world.begin();
        world.carry_out(a, Request::PoolTerminate { id: pool, reason: "enough" });
    }),
    ("a pool of many batches is terminated", |world| {
        let a = world.session();
        let pool = world.open(a, Spec::Pool);
        for _ in 0..400_000 {
            world.batch(a, pool);
        }
        world.begin();
        world.carry_out(a, Request::PoolTerminate { id: pool, reason: "enough" });
    }),
    ("an owner of many batches dies", |world| {
        let (a, b) = (world.session(), world.session());
        let pool = world.open(b, Spec::Pool);
        for _ in 0..400_000 {
            world.batch(a, pool);
        }
        world.begin();
        world.kill(a);
    }),
    ("an event is set that sets many", |world| {
        let a = world.session();
        let pool = world.open(a, Spec::Pool);
        let parent = world.event(a);
        for _ in 0..300_000 {
            world.batch_with(a, pool, Some(parent), None);
        }
        world.begin();
        world.carry_out(a, Request::EventSet { id: parent, reason: Some("enough") });
    }),
    ("a worker dies with many grants", |world| {
        let (a, b) = (world.session(), world.session());
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch(a, pool);
        world.add(a, batch, 300_000);
        world.take_calls(b, pool, 300_000);
        world.begin();
        world.kill(b);
    }),
    ("a batch is stopped by a signal to as many workers as there may be", |world| {
        let a = world.session();
        let pool = world.open(a, Spec::Pool);
        let batch = world.batch(a, pool);
        world.add(a, batch, 16_384);
        for _ in 0..16_000 {
            let b = world.session();
            world.take_calls(b, pool, 1);
        }
        world.begin();
        world.carry_out(a, Request::BatchSignal { id: batch, signal: StopSignal::Kill });
    }),
];

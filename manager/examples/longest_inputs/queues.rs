//! Queues with many items.

use protocol::limits::PAYLOAD_BYTES_MAX;
use protocol::{ObjectId, Request, SessionId, Target, ThreadId, WaitMode};

use crate::requests::{any, queue};
use crate::timed_core::{TimedCore, TimedScenario};

pub(crate) const SCENARIOS: &[(&str, TimedScenario)] = &[
    ("items are put and taken", |world| {
        let a = world.session();
        let queue = world.open(a, queue(false));
        world.begin();
        put(world, a, queue, 3_000_000);
        get(world, a, queue, 1_500_000);
        put(world, a, queue, 3_000_000);
        get(world, a, queue, 4_500_000);
    }),
    ("items of a joinable queue are finished without numbers", |world| {
        let a = world.session();
        let queue = world.open(a, queue(true));
        put(world, a, queue, 1_000_002);
        get(world, a, queue, 1_000_000);
        world.send(a, any(2, [Target::Get { queue }]));
        world.send(a, any(3, [Target::Get { queue }]));
        world.begin();
        for (item, thread) in [(None, 3), (None, 2), (Some(500_000), 2), (None, 4)] {
            world.send(a, Request::QueueItemDone { id: queue, item, thread: ThreadId(thread) });
        }
        world.carry_out(a, Request::Remove { id: queue });
    }),
    ("a joinable queue is removed of which all sessions have items", |world| {
        let a = world.session();
        let queue = world.open(a, queue(true));
        put(world, a, queue, 16_384);
        for _ in 0..16_384 {
            let b = world.session();
            world.send(b, any(1, [Target::Get { queue }]));
        }
        world.begin();
        world.carry_out(a, Request::Remove { id: queue });
    }),
    ("a session dies with many unfinished items", |world| {
        let (a, b) = (world.session(), world.session());
        let queue = world.open(a, queue(true));
        put(world, a, queue, 500_000);
        get(world, b, queue, 500_000);
        world.begin();
        world.kill(b);
    }),
    ("many grants are confirmed at once", |world| {
        let (a, b) = (world.session(), world.session());
        let queue = world.open(a, queue(false));
        put(world, a, queue, 65_000);
        world.confirms = false;
        get(world, b, queue, 65_000);
        world.confirms = true;
        world.begin();
        world.carry_out(b, Request::QueueLength { id: queue });
    }),
    ("the largest item is put and taken", |world| {
        let a = world.session();
        let queue = world.open(a, queue(false));
        let item = vec![1; PAYLOAD_BYTES_MAX];
        world.begin();
        for _ in 0..10 {
            let targets = [Target::Put { queue, item: &item, carries: Vec::new() }].into_iter().collect();
            let (mode, thread) = (WaitMode::Any, ThreadId(1));
            world.send(a, Request::Wait { mode, targets, timeout_ns: None, thread });
        }
        get(world, a, queue, 10);
    }),
];

fn put(world: &mut TimedCore, session: SessionId, queue: ObjectId, items: u64) {
    for _ in 0..items {
        world.send(session, any(1, [Target::Put { queue, item: b"", carries: Vec::new() }]));
    }
    world.work();
}

fn get(world: &mut TimedCore, session: SessionId, queue: ObjectId, items: u64) {
    for _ in 0..items {
        world.send(session, any(1, [Target::Get { queue }]));
    }
    world.work();
}

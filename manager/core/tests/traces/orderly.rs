//! Clients that know their objects and whose threads do one thing at a time: every waiter is served, and no thread
//! waits forever in a cycle of locks.

use protocol::{
    LockChoice, ObjectId, OpenMode, Request, RequestId, Signal, Spec, Target, Targets, ThreadId, WaitMode,
};
use uuid::Uuid;

use crate::fuzz::{run, run_in_slices, run_with_snapshots};
use crate::random::{Random, seeds};
use crate::requests::{JOINABLE, bounded, queue, semaphore};

const LOCKS: [u128; 3] = [10, 11, 12];
const REENTRANT: u128 = 13;
/// Conditions over the first lock and over the reentrant one.
const CONDITIONS: [u128; 2] = [14, 15];
const EVENTS: [u128; 2] = [16, 17];
const SEMAPHORES: [u128; 2] = [18, 19];
const BARRIER: u128 = 20;
const LATCH: u128 = 21;
const QUEUES: [u128; 2] = [22, 23];

fn id(number: u128) -> ObjectId {
    ObjectId(Uuid::from_u128(number))
}

/// Makes every object; most have names, so that they outlive their makers.
pub(crate) fn setup() -> Vec<Request<'static>> {
    let given = |number| Spec::Condition { over: LockChoice::Given { id: id(number) } };
    let specs = [
        (10, Some("lock 0"), Spec::Lock),
        (11, Some("lock 1"), Spec::Lock),
        (12, Some("lock 2"), Spec::Lock),
        (13, None, Spec::RLock),
        (14, Some("condition 0"), given(10)),
        (15, Some("condition 1"), given(13)),
        (16, Some("event 0"), Spec::Event { auto_reset: false }),
        (17, Some("event 1"), Spec::Event { auto_reset: true }),
        (18, Some("semaphore 0"), semaphore(3)),
        (19, Some("semaphore 1"), bounded(2)),
        (20, Some("barrier"), Spec::Barrier { parties: 2 }),
        (21, Some("latch"), Spec::Latch { count: 20 }),
        (22, Some("queue 0"), queue(Some(2))),
        (23, Some("queue 1"), JOINABLE),
    ];
    let open = |(number, name, spec)| Request::Open { id: id(number), name, spec, mode: OpenMode::CreateNew };
    specs.map(open).to_vec()
}

fn target(random: &mut Random) -> Target<'static> {
    match random.below(16) {
        0..=2 => Target::Lock { id: id(random.pick(&LOCKS)) },
        3 => Target::RLock { id: id(REENTRANT) },
        4..=7 => Target::Event { id: id(random.pick(&EVENTS)) },
        8 | 9 => Target::Semaphore { id: id(random.pick(&SEMAPHORES)), permits: 1 + random.below(2) },
        10 => Target::Barrier { id: id(BARRIER), has_action: random.chance(2) },
        11 => Target::Latch { id: id(LATCH) },
        12 => Target::Join { queue: id(QUEUES[1]) },
        13 | 14 => Target::Get { queue: id(random.pick(&QUEUES)) },
        _ => Target::Put { queue: id(random.pick(&QUEUES)), item: b"item", carries: vec![] },
    }
}

/// A wait for a lock, for a condition and perhaps more, or for anything.
fn wait(random: &mut Random) -> (WaitMode, Targets<'static>) {
    let mode = random.pick(&[WaitMode::Any, WaitMode::All]);
    let more = random.pick(&[0, 0, 1, 2]);
    match random.below(8) {
        0 | 1 => (mode, [Target::Lock { id: id(random.pick(&LOCKS)) }].into_iter().collect()),
        2 => (mode, [Target::RLock { id: id(REENTRANT) }].into_iter().collect()),
        3..=5 => {
            let condition = Target::Condition { id: id(random.pick(&CONDITIONS)), holding: None };
            (WaitMode::Any, (0..more).map(|_| target(random)).chain([condition]).collect())
        }
        _ => (mode, (0..=more).map(|_| target(random)).collect()),
    }
}

pub(crate) fn request(random: &mut Random) -> Request<'static> {
    let thread = ThreadId(random.below(2));
    let lock = id(random.pick(&[LOCKS[0], LOCKS[1], LOCKS[2], REENTRANT]));
    match random.below(32) {
        number @ 0..=17 => {
            let (mode, targets) = wait(random);
            let timeout_ns = random.pick(&[None, None, None, Some(0), Some(500)]);
            let signal = Signal::Release { id: lock, holding: None };
            match number {
                0 => Request::SignalAndWait { signal, mode, targets, timeout_ns, thread },
                _ => Request::Wait { mode, targets, timeout_ns, thread },
            }
        }
        18..=20 => Request::Release { id: lock, holding: None, thread },
        21..=23 => {
            let count = random.pick(&[None, Some(1)]);
            Request::Notify { id: id(random.pick(&CONDITIONS)), count, holding: None, thread }
        }
        24 => Request::EventSet { id: id(random.pick(&EVENTS)), reason: None },
        25 => Request::EventClear { id: id(EVENTS[0]) },
        26 => Request::SemaphoreRelease { id: id(random.pick(&SEMAPHORES)), permits: 1 },
        27 => Request::LatchCountDown { id: id(LATCH), count: 1 },
        28 => Request::QueueItemDone { id: id(QUEUES[1]), item: None, thread: ThreadId(1) },
        29 => Request::BarrierPass { id: id(BARRIER), turn: random.below(20) },
        30 => Request::Cancel { request: RequestId(random.below(400)) },
        _ => match random.below(8) {
            0 => Request::QueueClose { id: id(QUEUES[0]) },
            1 => Request::ForceRelease { id: lock },
            2 => Request::Remove { id: id(10 + u128::from(random.below(14))) },
            _ => Request::BarrierReset { id: id(BARRIER) },
        },
    }
}

#[test]
fn nobody_is_forgotten_and_no_thread_waits_forever_in_a_cycle() {
    for seed in seeds(200) {
        run(seed, 500, Some(setup), request);
    }
}

#[test]
fn a_restored_state_serves_in_the_same_order() {
    for seed in seeds(100) {
        run_with_snapshots(seed, 500, Some(setup), request);
    }
}

#[test]
fn a_manager_that_does_a_few_steps_at_a_time_keeps_the_rules() {
    for seed in seeds(100) {
        run_in_slices(seed, 500, Some(setup), request);
    }
}

//! Clients that send anything: no input reaches an assertion, every request gets at most one answer, and the same
//! inputs have the same effects.

use protocol::{
    BatchOptions, CallsOutcome, Chunk, Epoch, Failure, FailureKind, Kind, LockChoice, ObjectId, OpenMode,
    Outcome, Request, RequestId, Selector, SharedMemory, Signal, Spec, StopSignal, Target, Targets, ThreadId,
    WaitMode,
};
use uuid::Uuid;

use crate::fuzz::{run, run_in_slices, run_with_snapshots};
use crate::random::{Random, seeds};
use crate::world::EPOCH;

/// Few ids, so that they collide in every way: used again, of another kind, removed in between.
fn id(random: &mut Random) -> ObjectId {
    ObjectId(Uuid::from_u128(u128::from(random.below(8))))
}

/// Every kind of object.
const KINDS: [Kind; 10] = [
    Kind::Event,
    Kind::Pool,
    Kind::Batch,
    Kind::Lock,
    Kind::RLock,
    Kind::Condition,
    Kind::Semaphore,
    Kind::Barrier,
    Kind::Latch,
    Kind::Queue,
];

/// A valid reason, or an invalid one.
fn reason(random: &mut Random) -> &'static str {
    random.pick(&["enough", "enough", "enough", "", "red\x1b[31m"])
}

/// The number of a turn of a barrier, a holding of a lock or an item: a possible one, or one that never was.
fn number(random: &mut Random) -> u64 {
    random.pick(&[0, 1, 1, 2, 2, 3, 4, u64::MAX])
}

/// What a call or an item carries. Only upwards, because objects that carry each other in a circle are never freed.
fn carried(random: &mut Random, by: ObjectId) -> Vec<ObjectId> {
    Some(id(random)).filter(|carried| *carried > by).into_iter().collect()
}

fn target(random: &mut Random) -> Target<'static> {
    let id = id(random);
    match random.below(14) {
        0 => Target::Event { id },
        1 => Target::Calls { pool: id, most: random.pick(&[0, 1, 3, u32::MAX]) },
        2 if random.chance(2) => Target::Results { batch: id },
        2 => Target::ManyResults { batch: id, least: random.pick(&[0, 1, 3, u32::MAX]) },
        3 | 4 => Target::Lock { id },
        5 | 6 => Target::RLock { id },
        7 => Target::Condition { id, holding: random.pick(&[None, None, Some(1), Some(2)]) },
        8 => Target::Semaphore { id, permits: random.pick(&[0, 1, 1, 2, 3, u64::MAX]) },
        9 => Target::Barrier { id, has_action: random.chance(2) },
        10 => Target::Latch { id },
        11 => Target::Get { queue: id },
        12 => Target::Put { queue: id, item: b"item", carries: carried(random, id) },
        _ => Target::Join { queue: id },
    }
}

fn spec(random: &mut Random) -> Spec {
    let id = id(random);
    match random.below(12) {
        0 => Spec::Event { auto_reset: random.chance(2) },
        1 | 2 => Spec::Pool,
        3 => Spec::Lock,
        4 => Spec::RLock,
        5 | 6 => Spec::Condition {
            over: match random.below(3) {
                0 => LockChoice::Given { id },
                _ => LockChoice::Own { id, is_reentrant: random.chance(2) },
            },
        },
        7 | 8 => {
            Spec::Semaphore { permits: random.pick(&[0, 1, 2, 3, u64::MAX]), is_bounded: random.chance(2) }
        }
        9 => Spec::Barrier { parties: random.below(4) as u32 },
        10 => Spec::Latch { count: random.below(3) },
        _ => Spec::Queue {
            capacity: random.pick(&[None, Some(0), Some(1), Some(2)]),
            is_joinable: random.chance(2),
        },
    }
}

fn wait(random: &mut Random) -> (WaitMode, Targets<'static>, Option<u64>, ThreadId) {
    (
        random.pick(&[WaitMode::Any, WaitMode::Any, WaitMode::All]),
        (0..random.pick(&[0, 1, 1, 1, 2, 3])).map(|_| target(random)).collect(),
        random.pick(&[None, None, None, Some(0), Some(5), Some(1000), Some(u64::MAX)]),
        ThreadId(random.below(2)),
    )
}

fn batch_options(random: &mut Random) -> BatchOptions {
    BatchOptions {
        stop: id(random),
        parent: random.chance(3).then(|| id(random)),
        priority: random.pick(&[-1, 0, 0, 1]),
        retries: random.pick(&[0, 1]),
        time_limit_ns: random.pick(&[None, Some(0), Some(700)]),
    }
}

fn call(random: &mut Random) -> u64 {
    random.pick(&[0, 0, 1, 2, 3, 4, 5, 8, u64::MAX])
}

fn calls_outcome(random: &mut Random) -> CallsOutcome<&'static [u8], &'static str> {
    let outcome = if random.chance(3) {
        Outcome::Failed(Failure { kind: FailureKind::Panicked, text: "no" })
    } else {
        Outcome::Returned(random.pick(&[[1, 7].as_slice(), &[1, 7, 0], &[0x80], &[]]))
    };
    CallsOutcome { calls: random.pick(&[1, 1, 2, 0, u32::MAX]), outcome }
}

fn chunks(random: &mut Random, id: ObjectId) -> Vec<Chunk<'static>> {
    let count = random.pick(&[0, 1, 2, 11]);
    let chunk = |random: &mut Random| Chunk {
        arguments: random.pick(&[&[2, 7, 7], &[0, 1, 7, 0, 0], &[0x80], &[]]),
        carries: carried(random, id),
        calls: random.pick(&[1, 1, 4, 4, 0, u32::MAX]),
    };
    (0..count).map(|_| chunk(random)).collect()
}

pub(crate) fn request(random: &mut Random) -> Request<'static> {
    let id = id(random);
    let thread = ThreadId(random.below(2));
    match random.below(44) {
        0..=4 => Request::Open {
            id,
            name: random.pick(&[None, None, Some("x"), Some("y"), Some("")]),
            spec: spec(random),
            mode: random.pick(&[OpenMode::OpenOrCreate, OpenMode::CreateNew, OpenMode::Open]),
        },
        5 => Request::Attach {
            id,
            kind: random.pick(&KINDS),
            epoch: random.pick(&[EPOCH, EPOCH, EPOCH, Epoch(Uuid::nil())]),
        },
        6 | 7 => Request::Detach { id },
        8 => Request::Remove { id },
        9..=18 => {
            let (mode, targets, timeout_ns, thread) = wait(random);
            Request::Wait { mode, targets, timeout_ns, thread }
        }
        19 | 20 => {
            let (mode, targets, timeout_ns, thread) = wait(random);
            let signal = match random.below(4) {
                0 => Signal::EventSet { id, reason: random.chance(2).then(|| reason(random)) },
                1 => Signal::Release { id, holding: random.chance(2).then(|| number(random)) },
                2 => Signal::SemaphoreRelease { id, permits: random.pick(&[0, 1, 1, 2, u64::MAX]) },
                _ => Signal::LatchCountDown { id, count: random.pick(&[0, 1, u64::MAX]) },
            };
            Request::SignalAndWait { signal, mode, targets, timeout_ns, thread }
        }
        21 => Request::Cancel { request: RequestId(random.below(2000)) },
        22 => Request::EventSet { id, reason: random.chance(2).then(|| reason(random)) },
        23 => Request::EventClear { id },
        24 if random.chance(4) => Request::BatchCancel { id },
        24 if random.chance(4) => {
            Request::BatchSignal { id, signal: random.pick(&[StopSignal::Terminate, StopSignal::Kill]) }
        }
        24 => {
            Request::BatchOpen { id, pool: self::id(random), function: "f", options: batch_options(random) }
        }
        25 if random.chance(3) => Request::BatchRun {
            id,
            pool: self::id(random),
            function: "f",
            options: batch_options(random),
            chunks: chunks(random, id),
            timeout_ns: random.pick(&[None, None, Some(0), Some(5), Some(u64::MAX)]),
            thread,
        },
        25 => Request::BatchAdd { id, chunks: chunks(random, id), last: random.chance(2) },
        26 if random.chance(4) => Request::CallsGiveBack { batch: id, first: call(random) },
        26 => Request::CallsEnd {
            batch: id,
            first: call(random),
            ends: (0..random.pick(&[0, 1, 1, 1, 3])).map(|_| calls_outcome(random)).collect(),
            carries: carried(random, id),
        },
        27 if random.chance(2) => Request::PoolClose { id },
        27 => Request::PoolTerminate { id, reason: reason(random) },
        28..=30 => Request::Release { id, holding: random.pick(&[None, Some(1), Some(2), Some(3)]), thread },
        31 => Request::ForceRelease { id },
        32 | 33 => Request::Notify {
            id,
            count: random.pick(&[None, Some(0), Some(1), Some(2)]),
            holding: random.pick(&[None, None, Some(1), Some(2)]),
            thread,
        },
        34 => Request::SemaphoreRelease { id, permits: random.pick(&[0, 1, 1, 2, u64::MAX]) },
        35 => Request::SemaphoreForget { id, permits: random.below(3) },
        36 => Request::BarrierPass { id, turn: number(random) },
        37 => Request::BarrierAbort {
            id,
            turn: random.chance(2).then(|| number(random)),
            reason: reason(random),
        },
        38 => Request::BarrierReset { id },
        39 => Request::LatchCountDown { id, count: 1 },
        40 => Request::QueueItemDone { id, item: random.chance(2).then(|| number(random)), thread },
        41 => Request::QueueClose { id },
        42 => match random.below(11) {
            0 => Request::EventIsSet { id },
            1 => Request::EventCause { id },
            2 => Request::BatchProgress { id },
            3 => Request::ConditionLock { id },
            4 => Request::SemaphoreAvailable { id },
            5 => Request::BarrierStatus { id },
            6 => Request::LatchCount { id },
            7 => Request::QueueLength { id },
            8 => Request::EventMirror { id },
            9 => Request::Share {
                memory: random.pick(&[SharedMemory::Mirror, SharedMemory::DeferredReleases]),
            },
            _ => Request::ListSessions { after: None },
        },
        _ => match random.below(3) {
            0 => Request::ListObjects { after: None },
            1 => Request::Inspect { object: Selector::Id(id) },
            _ => Request::Inspect { object: Selector::Name("x") },
        },
    }
}

#[test]
fn anything_may_be_sent() {
    for seed in seeds(200) {
        run(seed, 400, None, request);
    }
}

#[test]
fn a_restored_state_takes_anything_as_the_one_that_was_written_down() {
    for seed in seeds(100) {
        run_with_snapshots(seed, 400, None, request);
    }
}

#[test]
fn a_manager_that_does_a_few_steps_at_a_time_takes_anything() {
    for seed in seeds(100) {
        run_in_slices(seed, 400, None, request);
    }
}

//! Traces after which the core and the model once differed.

use protocol::{
    BatchOptions, CallsOutcome, Chunk, Limits, LockChoice, ObjectId, OpenMode, Outcome, Request, RequestId,
    SessionId, Signal, Spec, Target, Targets, ThreadId, WaitMode,
};

use crate::simulator::running::replay;
use crate::simulator::step::{CURRENT, End, SimulatedStep, id};

/// Asserts that the core and the model do the same.
pub(crate) fn agree(limits: &Limits, steps: &[SimulatedStep]) {
    if let Some((taken, what)) = replay(limits, steps) {
        panic!("after {taken} of {} steps: {what}", steps.len());
    }
}

pub(crate) fn targets<const COUNT: usize>(targets: [Target<'static>; COUNT]) -> Targets<'static> {
    targets.into_iter().collect()
}

pub(crate) fn request(session: u64, request: u64, body: Request<'static>) -> SimulatedStep {
    SimulatedStep::Request { session: SessionId(session), request: RequestId(request), unread: 0, body }
}

pub(crate) fn open(id: ObjectId, spec: Spec) -> Request<'static> {
    Request::Open { id, name: None, spec, mode: OpenMode::OpenOrCreate }
}

pub(crate) fn wait<const COUNT: usize>(
    thread: u64,
    mode: WaitMode,
    list: [Target<'static>; COUNT],
) -> Request<'static> {
    Request::Wait { mode, targets: targets(list), timeout_ns: None, thread: ThreadId(thread) }
}

/// One more party completes two barriers: the first in its list counts.
#[test]
fn a_party_that_completes_two_barriers_passes_the_first_in_its_list() {
    let parties = |parties| Spec::Barrier { parties };
    let barrier = |number, has_action| Target::Barrier { id: id(number), has_action };
    agree(
        &Limits::default(),
        &[
            SimulatedStep::Begin { session: SessionId(1) },
            request(1, 1, open(id(1), parties(2))),
            request(1, 2, open(id(2), parties(1))),
            request(1, 3, wait(1, WaitMode::Any, [barrier(1, true)])),
            request(1, 4, wait(2, WaitMode::Any, [barrier(2, false), barrier(1, true), barrier(2, false)])),
        ],
    );
}

/// A reentrant lock is taken and taken again in one input, and keeps its token.
#[test]
fn two_waits_of_one_thread_take_a_reentrant_lock_in_one_step() {
    let semaphore = Target::Semaphore { id: id(3), permits: 1 };
    let signal = Signal::SemaphoreRelease { id: id(3), permits: 1 };
    agree(
        &Limits::default(),
        &[
            SimulatedStep::Begin { session: SessionId(1) },
            request(1, 1, open(id(1), Spec::RLock)),
            request(1, 2, open(id(2), Spec::Lock)),
            request(1, 3, open(id(3), Spec::Semaphore { permits: 0, is_bounded: false })),
            request(
                1,
                4,
                wait(1, WaitMode::All, [Target::RLock { id: id(1) }, Target::Lock { id: id(2) }, semaphore]),
            ),
            request(
                1,
                5,
                Request::SignalAndWait {
                    signal,
                    mode: WaitMode::Any,
                    targets: targets([Target::RLock { id: id(1) }]),
                    timeout_ns: None,
                    thread: ThreadId(1),
                },
            ),
            request(1, 6, Request::Release { id: id(1), holding: Some(CURRENT), thread: ThreadId(9) }),
        ],
    );
}

/// The manager ended here once, as it looked for the lock.
#[test]
fn a_party_whose_lock_has_ended_passes_the_barrier_without_it() {
    let over = LockChoice::Own { id: id(2), is_reentrant: false };
    let barrier = Target::Barrier { id: id(3), has_action: true };
    agree(
        &Limits::default(),
        &[
            SimulatedStep::Begin { session: SessionId(1) },
            SimulatedStep::Begin { session: SessionId(2) },
            request(1, 1, open(id(1), Spec::Condition { over })),
            request(2, 1, wait(1, WaitMode::Any, [Target::Lock { id: id(2) }])),
            request(2, 2, open(id(3), Spec::Barrier { parties: 2 })),
            request(
                2,
                3,
                wait(1, WaitMode::Any, [Target::Condition { id: id(1), holding: None }, barrier.clone()]),
            ),
            request(2, 4, wait(2, WaitMode::Any, [barrier])),
            SimulatedStep::End { session: SessionId(1), ending: End::Killed, found: None },
            request(2, 5, Request::BarrierPass { id: id(3), turn: CURRENT }),
        ],
    );
}

/// Two requests of one moment: the one that came later counts as the younger, whatever their numbers are.
#[test]
fn the_request_that_came_last_is_refused_to_break_a_cycle() {
    agree(
        &Limits::default(),
        &[
            SimulatedStep::Begin { session: SessionId(1) },
            request(
                1,
                1,
                Request::Open { id: id(12), name: Some("a"), spec: Spec::Lock, mode: OpenMode::OpenOrCreate },
            ),
            SimulatedStep::Begin { session: SessionId(3) },
            request(
                1,
                6,
                open(id(13), Spec::Condition { over: LockChoice::Own { id: id(9), is_reentrant: true } }),
            ),
            request(1, 26, wait(1, WaitMode::Any, [Target::RLock { id: id(9) }])),
            request(1, 34, wait(2, WaitMode::Any, [Target::RLock { id: id(9) }])),
            request(
                1,
                37,
                Request::Wait {
                    mode: WaitMode::Any,
                    targets: targets([Target::Lock { id: id(12) }]),
                    timeout_ns: Some(635),
                    thread: ThreadId(1),
                },
            ),
            request(1, 40, wait(1, WaitMode::Any, [Target::Condition { id: id(13), holding: None }])),
            request(
                1,
                44,
                Request::Notify { id: id(13), count: None, holding: Some(CURRENT), thread: ThreadId(2) },
            ),
            request(
                1,
                48,
                wait(2, WaitMode::Any, [Target::Condition { id: id(13), holding: Some(CURRENT) }]),
            ),
            request(
                3,
                40,
                Request::Wait {
                    mode: WaitMode::Any,
                    targets: targets([Target::RLock { id: id(9) }]),
                    timeout_ns: Some(CURRENT),
                    thread: ThreadId(1),
                },
            ),
            request(
                1,
                55,
                Request::Wait {
                    mode: WaitMode::Any,
                    targets: targets([Target::Condition { id: id(13), holding: Some(CURRENT) }]),
                    timeout_ns: Some(357),
                    thread: ThreadId(1),
                },
            ),
            request(1, 64, wait(1, WaitMode::Any, [Target::RLock { id: id(9) }])),
            request(3, 51, wait(1, WaitMode::Any, [Target::Lock { id: id(12) }])),
            SimulatedStep::Due,
        ],
    );
}

/// The conditions over a lock end before its waits, so nobody gets a notification of one of these.
#[test]
fn a_notification_ends_with_its_condition_when_their_lock_is_removed() {
    agree(
        &Limits::default(),
        &[
            SimulatedStep::Begin { session: SessionId(4) },
            request(4, 1, open(id(5), Spec::Semaphore { permits: 1, is_bounded: true })),
            request(
                4,
                5,
                Request::Open {
                    id: id(4),
                    name: Some("b"),
                    spec: Spec::Condition { over: LockChoice::Own { id: id(6), is_reentrant: false } },
                    mode: OpenMode::OpenOrCreate,
                },
            ),
            request(
                4,
                68,
                Request::Wait {
                    mode: WaitMode::Any,
                    targets: targets([Target::Semaphore { id: id(5), permits: 1 }]),
                    timeout_ns: Some(12),
                    thread: ThreadId(1),
                },
            ),
            request(
                4,
                75,
                Request::Wait {
                    mode: WaitMode::All,
                    targets: targets([Target::Lock { id: id(6) }]),
                    timeout_ns: Some(487),
                    thread: ThreadId(1),
                },
            ),
            request(4, 79, wait(1, WaitMode::Any, [Target::Condition { id: id(4), holding: None }])),
            request(4, 90, wait(1, WaitMode::Any, [Target::Lock { id: id(6) }])),
            request(
                4,
                91,
                Request::SignalAndWait {
                    signal: Signal::SemaphoreRelease { id: id(5), permits: 1 },
                    mode: WaitMode::All,
                    targets: targets([Target::Lock { id: id(6) }]),
                    timeout_ns: Some(611),
                    thread: ThreadId(1),
                },
            ),
            request(
                4,
                99,
                Request::Notify { id: id(4), count: None, holding: Some(CURRENT), thread: ThreadId(1) },
            ),
            request(4, 100, wait(1, WaitMode::Any, [Target::Condition { id: id(4), holding: None }])),
            request(
                4,
                102,
                Request::Notify { id: id(4), count: Some(1), holding: None, thread: ThreadId(1) },
            ),
            request(
                4,
                103,
                wait(1, WaitMode::Any, [Target::Condition { id: id(4), holding: Some(CURRENT) }]),
            ),
            request(4, 104, Request::Remove { id: id(6) }),
        ],
    );
}

/// A batch of which one call has returned. It was added by the session 1, and the session 2 waits for three results.
fn a_wait_for_many_results() -> Vec<SimulatedStep> {
    let options = BatchOptions { stop: id(3), parent: None, priority: 0, retries: 0, time_limit_ns: None };
    let chunks = vec![Chunk { arguments: &[0, 0, 0], carries: Vec::new(), calls: 3 }];
    let many = Target::ManyResults { batch: id(2), least: 3 };
    let ends = vec![CallsOutcome { calls: 1, outcome: Outcome::Returned([0].as_slice()) }];
    vec![
        SimulatedStep::Begin { session: SessionId(1) },
        SimulatedStep::Begin { session: SessionId(2) },
        request(1, 1, open(id(1), Spec::Pool)),
        request(1, 2, Request::BatchOpen { id: id(2), pool: id(1), function: "f", options }),
        request(1, 3, Request::BatchAdd { id: id(2), chunks, last: true }),
        request(1, 4, wait(1, WaitMode::Any, [Target::Calls { pool: id(1), most: 1 }])),
        request(2, 1, wait(1, WaitMode::Any, [many])),
        request(1, 5, Request::CallsEnd { batch: id(2), first: 0, ends: ends.into(), carries: Vec::new() }),
    ]
}

#[test]
fn who_waits_for_one_result_waits_behind_who_waits_for_many() {
    let mut steps = a_wait_for_many_results();
    steps.push(request(1, 6, wait(1, WaitMode::Any, [Target::Results { batch: id(2) }])));
    agree(&Limits::default(), &steps);
}

/// The other once waited forever.
#[test]
fn who_waits_behind_one_that_gives_up_gets_the_results() {
    let mut steps = a_wait_for_many_results();
    steps.push(request(1, 6, wait(1, WaitMode::Any, [Target::Results { batch: id(2) }])));
    steps.push(request(2, 2, Request::Cancel { request: RequestId(1) }));
    agree(&Limits::default(), &steps);
}

/// An event may have the id of a stop event that was removed.
#[test]
fn the_end_of_an_owner_sets_no_other_event() {
    let options = BatchOptions { stop: id(3), parent: None, priority: 0, retries: 0, time_limit_ns: None };
    agree(
        &Limits::default(),
        &[
            SimulatedStep::Begin { session: SessionId(1) },
            SimulatedStep::Begin { session: SessionId(2) },
            request(2, 1, open(id(1), Spec::Pool)),
            request(1, 1, Request::BatchOpen { id: id(2), pool: id(1), function: "f", options }),
            request(2, 2, Request::Remove { id: id(3) }),
            request(2, 3, open(id(3), Spec::Event { auto_reset: false })),
            SimulatedStep::End { session: SessionId(1), ending: End::Killed, found: None },
            request(2, 4, Request::EventIsSet { id: id(3) }),
        ],
    );
}

/// Calls that are due at the same time end in their order, whichever of them began to run last.
#[test]
fn calls_that_are_due_at_the_same_time_end_in_their_order() {
    let (pool, batch, stop) = (id(1), id(2), id(3));
    let options = BatchOptions { stop, parent: None, priority: 0, retries: 0, time_limit_ns: Some(1000) };
    let take = || wait(1, WaitMode::Any, [Target::Calls { pool, most: 1 }]);
    let chunk = Chunk { arguments: &[0, 0, 0], carries: vec![], calls: 3 };
    agree(
        &Limits::default(),
        &[
            SimulatedStep::Begin { session: SessionId(1) },
            SimulatedStep::Begin { session: SessionId(2) },
            SimulatedStep::Begin { session: SessionId(3) },
            request(1, 1, open(pool, Spec::Pool)),
            request(1, 2, Request::BatchOpen { id: batch, pool, function: "work", options }),
            request(1, 3, Request::BatchAdd { id: batch, chunks: vec![chunk], last: true }),
            request(2, 1, take()),
            request(3, 1, take()),
            request(2, 2, Request::CallsGiveBack { batch, first: 0 }),
            request(2, 3, take()),
            SimulatedStep::Due,
            request(1, 4, wait(1, WaitMode::Any, [Target::ManyResults { batch, least: 2 }])),
        ],
    );
}

/// The one that came last is kept where one was that came before the other.
#[test]
fn waits_whose_time_is_over_together_give_up_in_the_order_in_which_they_came() {
    let over = |number| Spec::Condition { over: LockChoice::Own { id: id(number), is_reentrant: false } };
    let lock = |number| wait(1, WaitMode::Any, [Target::Lock { id: id(number) }]);
    let wait_at_condition = |number| Request::Wait {
        mode: WaitMode::Any,
        targets: targets([Target::Condition { id: id(number), holding: None }]),
        timeout_ns: Some(258),
        thread: ThreadId(1),
    };
    let release = |number| Request::Release { id: id(number), holding: Some(CURRENT), thread: ThreadId(1) };
    agree(
        &Limits::default(),
        &[
            SimulatedStep::Begin { session: SessionId(1) },
            SimulatedStep::Begin { session: SessionId(2) },
            request(1, 1, open(id(10), over(3))),
            request(1, 2, lock(3)),
            // Its place among the waits is free again when the other has come.
            request(2, 1, lock(3)),
            request(1, 3, wait_at_condition(10)),
            request(2, 2, release(3)),
            request(1, 4, lock(3)),
            request(1, 5, wait_at_condition(10)),
            SimulatedStep::Pass { nanoseconds: 315 },
        ],
    );
}

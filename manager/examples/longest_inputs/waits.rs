//! Many waits that end together.

use protocol::{
    LockChoice, ObjectId, Request, Selector, SessionId, Signal, Spec, Target, ThreadId, WaitMode,
};

use crate::requests::{all, any, queue, release, semaphore, within};
use crate::timed_core::{TimedCore, TimedScenario};

/// What any barrier is waited for with.
fn party(id: ObjectId) -> Target<'static> {
    Target::Barrier { id, has_action: false }
}

pub(crate) const SCENARIOS: &[(&str, TimedScenario)] = &[
    ("an event is set for which many wait", |world| {
        let a = world.session();
        let event = world.event(a);
        world.block(500_000, || any(1, [Target::Event { id: event }]));
        world.begin();
        world.carry_out(a, Request::EventSet { id: event, reason: Some("enough") });
    }),
    ("an event is set for which many wait for all of 1,000", |world| {
        let a = world.session();
        let event = world.event(a);
        let semaphores = world.open_many(a, 999, semaphore(1_000_000));
        let targets = || semaphores.iter().map(|&id| Target::Semaphore { id, permits: 1 });
        world.block(2_000, || all(1, targets().chain([Target::Event { id: event }])));
        world.begin();
        world.carry_out(a, Request::EventSet { id: event, reason: None });
    }),
    ("the time of many waits is over", |world| {
        let a = world.session();
        let event = world.event(a);
        world.block(500_000, || within(1_000_000_000, Target::Event { id: event }));
        world.begin();
        world.now = world.now.after_ns(1_000_000_000);
        world.carry_out(a, Request::EventIsSet { id: event });
    }),
    ("many are notified", |world| {
        let (a, lock, condition) = sleepers(world, 200_000);
        world.begin();
        world.carry_out(a, notify_all(condition));
        world.carry_out(a, release(lock, 1));
    }),
    ("many are notified, and their session dies", |world| {
        let (a, _, condition) = sleepers(world, 60_000);
        world.carry_out(a, notify_all(condition));
        world.begin();
        world.kill(SessionId(2));
    }),
    ("a condition with many waiters is removed", |world| {
        let (a, _, condition) = sleepers(world, 200_000);
        world.begin();
        world.carry_out(a, Request::Remove { id: condition });
    }),
    ("a barrier of many is full", |world| {
        let a = world.session();
        let barrier = world.open(a, Spec::Barrier { parties: 300_000 });
        world.block(299_999, || any(1, [party(barrier)]));
        world.begin();
        world.carry_out(a, any(1, [party(barrier)]));
    }),
    ("a barrier is full of waits for any of 1,000", |world| {
        let a = world.session();
        let barrier = world.open(a, Spec::Barrier { parties: 5_000 });
        let events = world.open_many(a, 1_000, Spec::Event { auto_reset: false });
        let events = || events.iter().map(|&id| Target::Event { id });
        world.block(4_999, || any(1, events().chain([party(barrier)])));
        world.begin();
        world.carry_out(a, any(1, [party(barrier)]));
    }),
    ("a barrier with many waiters breaks", |world| {
        let a = world.session();
        let barrier = world.open(a, Spec::Barrier { parties: 600_000 });
        world.block(300_000, || any(1, [party(barrier)]));
        world.begin();
        world.carry_out(a, Request::BarrierAbort { id: barrier, turn: None, reason: "enough" });
    }),
    ("a queue with many waiters is removed", |world| {
        let a = world.session();
        let queue = world.open(a, queue(false));
        world.block(300_000, || any(1, [Target::Get { queue }]));
        world.begin();
        world.carry_out(a, Request::Remove { id: queue });
    }),
    ("the first of many waiters gives up, and the others wait for all", |world| {
        let a = world.session();
        let (semaphore, event) = (world.open(a, semaphore(1)), world.event(a));
        let first = world.send(a, any(1, [Target::Semaphore { id: semaphore, permits: 2 }]));
        let both = [Target::Semaphore { id: semaphore, permits: 1 }, Target::Event { id: event }];
        world.block(500_000, || all(1, both.clone()));
        world.begin();
        world.carry_out(a, Request::Cancel { request: first });
    }),
    ("a session dies with waits for any of 1,000", |world| {
        let a = world.session();
        let events = world.open_many(a, 1_000, Spec::Event { auto_reset: false });
        let sessions = world.block(5_000, || any(1, events.iter().map(|&id| Target::Event { id })));
        world.begin();
        world.kill(sessions[0]);
    }),
    ("a session dies with many waits", |world| {
        let a = world.session();
        let event = world.event(a);
        let sessions = world.block(65_536, || any(1, [Target::Event { id: event }]));
        world.begin();
        world.kill(sessions[0]);
    }),
    ("a signal frees many waits, and its own is for any of 1,000", |world| {
        let a = world.session();
        let event = world.event(a);
        let others = world.open_many(a, 1_000, Spec::Event { auto_reset: false });
        let others = || others.iter().map(|&id| Target::Event { id });
        world.block(60_000, || any(1, [Target::Event { id: event }]));
        // As many as the session may have.
        world.block(65_536, || any(1, others().take(1)));
        let signal_and_wait = || Request::SignalAndWait {
            signal: Signal::EventSet { id: event, reason: Some("enough") },
            mode: WaitMode::Any,
            targets: others().collect(),
            timeout_ns: None,
            thread: ThreadId(1),
        };
        world.begin();
        world.carry_out(SessionId(3), signal_and_wait());
        world.carry_out(a, Request::EventClear { id: event });
        world.block(60_000, || any(1, [Target::Event { id: event }]));
        world.carry_out(a, signal_and_wait());
    }),
    ("an inspection of waits that name the object often", |world| {
        let a = world.session();
        let event = world.event(a);
        world.block(2_000, || any(1, std::iter::repeat_n(Target::Event { id: event }, 1_024)));
        world.begin();
        world.send(a, Request::Inspect { object: Selector::Id(event) });
    }),
    ("a thread takes a reentrant lock, and has many waits", |world| {
        let a = world.session();
        let (lock, event) = (world.open(a, Spec::RLock), world.event(a));
        let sessions = world.block(65_536, || any(1, [Target::Event { id: event }]));
        world.begin();
        world.carry_out(sessions[0], any(1, [Target::RLock { id: lock }]));
    }),
];

fn notify_all(id: ObjectId) -> Request<'static> {
    Request::Notify { id, count: None, holding: None, thread: ThreadId(1) }
}

/// A condition for which many wait, and a session that holds its lock.
fn sleepers(world: &mut TimedCore, count: u64) -> (SessionId, ObjectId, ObjectId) {
    let a = world.session();
    let lock = world.open(a, Spec::Lock);
    let condition = world.open(a, Spec::Condition { over: LockChoice::Given { id: lock } });
    let mut sleeper = a;
    for number in 0..count {
        if number % 60_000 == 0 {
            sleeper = world.session();
        }
        world.send(sleeper, any(1, [Target::Lock { id: lock }]));
        world.send(sleeper, any(1, [Target::Condition { id: condition, holding: None }]));
    }
    world.send(a, any(1, [Target::Lock { id: lock }]));
    (a, lock, condition)
}

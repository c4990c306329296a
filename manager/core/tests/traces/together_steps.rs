//! How much one input does at the limits when one step decides what becomes of many waiters: a notification, a full
//! barrier, a removal and the like.
//!
//! Each of these took tens of milliseconds with 60,000 waiters when it was done in one go, a barrier of two with so
//! many behind 12 s. `manager/src/tests/responsiveness_together.rs` has another client ask meanwhile.

use protocol::{Code, Grant, Kind, ObjectId, Reply, Request, RequestId, SessionId, Spec, StopSignal, Target};

use crate::call_messages::input;
use crate::requests::{
    SECOND, any, barrier, barrier_with_action, condition, event, get, lock, notify, notify_all, over,
    permits, put, queue, release, semaphore, wait_at_most, wait_for,
};
use crate::steps::STEPS_MAX;
use crate::world::World;

/// What waits for an object.
type Aim = fn(ObjectId) -> Target<'static>;

/// So many that no input comes to all of them.
const MANY: u64 = 8_000;

/// A condition over a lock, for which a session waits often, and a session that holds the lock.
struct SleepingWaiters {
    world: World,
    sleeper: SessionId,
    holder: SessionId,
    lock: ObjectId,
    condition: ObjectId,
    /// For which one of the last waits as well.
    event: ObjectId,
    waits: Vec<RequestId>,
}

impl SleepingWaiters {
    fn new() -> SleepingWaiters {
        let mut world = World::new();
        let (sleeper, holder) = (world.session("sleeper"), world.session("holder"));
        let l = world.open(holder, None, Spec::Lock);
        let c = world.open(holder, None, over(l));
        let e = world.event(holder, "event");
        let mut sleep = |targets: &[Target<'static>]| {
            world.acquire(sleeper, lock(l));
            world.block(sleeper, any(targets))
        };
        let mut waits: Vec<_> = (0..MANY).map(|_| sleep(&[condition(c)])).collect();
        waits.push(sleep(&[event(e), condition(c)]));
        world.acquire(sleeper, lock(l));
        waits.push(world.block(sleeper, wait_at_most(SECOND, condition(c))));
        world.acquire(holder, lock(l));
        world.forget_steps();
        SleepingWaiters { world, sleeper, holder, lock: l, condition: c, event: e, waits }
    }
}

/// Each party leaves the wait queues of a thousand events.
#[test]
fn a_full_barrier_of_waits_for_a_thousand() {
    let mut world = World::new();
    let a = world.session("a");
    let gate = world.open(a, None, Spec::Barrier { parties: 200 });
    let mut targets: Vec<_> =
        (0..1_000).map(|_| event(world.open(a, None, Spec::Event { auto_reset: false }))).collect();
    targets.push(barrier(gate));
    let waits: Vec<_> = (0..199).map(|_| world.block(a, any(&targets))).collect();
    world.forget_steps();
    let last = world.send(a, wait_for(barrier(gate)));
    assert!(world.work() > 10);
    assert_eq!(world.granted(), [&waits[..], &[last]].concat());
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn a_notification_for_all_of_many_waiters() {
    let SleepingWaiters { mut world, sleeper, holder, lock: l, condition: c, event: e, waits } =
        SleepingWaiters::new();
    let other = world.session("other");
    let notified = world.send(holder, notify_all(c));
    assert_eq!(
        world.answer(holder, notified),
        None,
        "it is answered when all have joined the wait queue of the lock"
    );
    // Nobody undoes it, sees a half of it, or comes in between.
    let [last, before_last] = [waits.len() - 1, waits.len() - 2].map(|at| waits[at]);
    assert!(world.holds_back(sleeper, &Request::Cancel { request: last }));
    assert!(world.holds_back(other, &wait_for(lock(l))));
    assert!(world.holds_back(other, &Request::Remove { id: c }));
    assert!(world.holds_back(other, &Request::Remove { id: l }));
    assert!(world.holds_back(other, &notify_all(c)));
    assert!(!world.holds_back(other, &Request::EventSet { id: e, reason: None }));
    // It came before this, and before the time of the last.
    world.send(other, Request::EventSet { id: e, reason: None });
    world.jump(SECOND);
    assert!(world.work() > 1);
    assert_eq!(world.answer(holder, notified), Some(Reply::Count(waits.len() as u64)));
    world.forget_answers();
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    // Each in its turn.
    world.done(holder, release(l));
    assert_eq!(world.granted(), [waits[0]]);
    for &request in &waits[1..waits.len() - 2] {
        world.send(sleeper, Request::Cancel { request });
    }
    world.work();
    world.forget_answers();
    for request in [before_last, last] {
        world.done(sleeper, release(l));
        let taken = world.taken(sleeper, request);
        assert_eq!(taken.grants[..], [Grant::Notified]);
    }
}

#[test]
fn the_death_of_many_that_were_notified_passes_their_notifications_on() {
    let SleepingWaiters { mut world, sleeper, holder, lock: l, condition: c, waits, .. } =
        SleepingWaiters::new();
    let other = world.session("other");
    world.done(holder, release(l));
    world.acquire(other, lock(l));
    let behind = world.block(other, wait_for(condition(c)));
    world.acquire(holder, lock(l));
    let notified = world.send(holder, notify(c, waits.len() as u32));
    assert_eq!(world.answer(holder, notified), None);
    world.kill(sleeper);
    assert!(world.work() > 1);
    assert_eq!(world.answer(holder, notified), Some(Reply::Count(waits.len() as u64)));
    world.silent();
    world.done(holder, release(l));
    assert_eq!(world.granted(), [behind]);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// One for each kind of wait queue.
#[test]
fn the_removal_of_an_object_with_many_waiters() {
    let specs: [(Spec, Aim); 6] = [
        (Spec::Event { auto_reset: false }, event),
        (semaphore(0), |id| permits(id, 1)),
        (Spec::Barrier { parties: u32::MAX }, barrier),
        (queue(None), get),
        (queue(Some(1)), |id| put(id, b"item")),
        (Spec::Lock, lock),
    ];
    for (spec, target) in specs {
        let mut world = World::new();
        let (a, b) = (world.session("a"), world.session("b"));
        let id = world.open(a, Some("it"), spec);
        let is_taken = matches!(spec, Spec::Lock | Spec::Queue { capacity: Some(_), .. });
        if is_taken {
            let first = world.send(b, wait_for(target(id)));
            world.taken(b, first);
        }
        let never = world.event(b, "never");
        let waits: Vec<_> = (0..MANY).map(|_| world.block(a, any(&[event(never), target(id)]))).collect();
        world.forget_steps();
        let remove = world.send(b, Request::Remove { id });
        assert_eq!(world.answer(b, remove), None, "it is answered after those who wait");
        // It is gone for everyone, and its name is free.
        assert_eq!(world.refused_at_once(a, wait_for(target(id))), Code::NoSuchObject);
        let new = world.fresh_id();
        let open = Request::Open { id: new, name: Some("it"), spec, mode: protocol::OpenMode::CreateNew };
        let opened = world.send(a, open);
        assert_eq!(world.answer(a, opened), Some(Reply::Opened { id: new, created: true }));
        let again = Request::Open { id, name: None, spec, mode: protocol::OpenMode::CreateNew };
        let opened = world.send(a, again);
        assert_eq!(world.answer(a, opened), Some(Reply::Opened { id, created: true }));
        // What else they wait for comes too late.
        world.send(a, Request::EventSet { id: never, reason: None });
        assert!(world.work() > 1);
        assert_eq!(world.answer(b, remove), Some(Reply::Done));
        for request in waits {
            assert_eq!(world.refusal(a, request).0, Code::Removed);
        }
        assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    }
}

#[test]
fn the_removal_of_a_lock_for_which_many_wait_again() {
    let SleepingWaiters { mut world, sleeper, holder, lock: l, condition: c, waits, .. } =
        SleepingWaiters::new();
    world.ask(holder, notify(c, MANY as u32 / 2));
    world.forget_steps();
    let remove = world.send(holder, Request::Remove { id: l });
    let other = world.session("other");
    assert_eq!(world.refused_at_once(other, Request::ConditionLock { id: c }), Code::NoSuchObject);
    assert!(world.work() > 1);
    assert_eq!(world.answer(holder, remove), Some(Reply::Done));
    for request in waits {
        assert_eq!(world.refusal(sleeper, request).0, Code::Removed);
    }
    world.silent();
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn the_last_of_many_parties_of_a_barrier() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let id = world.open(a, None, Spec::Barrier { parties: MANY as u32 + 3 });
    let e = world.event(b, "event");
    let mut waits = vec![world.block(a, any(&[event(e), barrier(id)]))];
    waits.extend((0..MANY).map(|_| world.block(a, wait_for(barrier(id)))));
    waits.push(world.block(a, wait_at_most(SECOND, barrier(id))));
    world.forget_steps();
    let last = world.send(b, wait_for(barrier(id)));
    // All have come, whatever is asked meanwhile and however long it takes.
    for request in [
        Request::BarrierAbort { id, turn: None, reason: "enough" },
        Request::BarrierReset { id },
        Request::BarrierStatus { id },
        Request::Remove { id },
    ] {
        assert!(world.holds_back(c, &request), "{request:?}");
    }
    assert!(world.holds_back(a, &Request::Cancel { request: waits[waits.len() - 2] }));
    let next = world.send(c, wait_for(barrier(id)));
    world.send(c, Request::EventSet { id: e, reason: None });
    world.jump(SECOND);
    assert!(world.work() > 1);
    for (&request, number) in waits.iter().zip(0..) {
        let grant = world.taken(a, request).grants.remove(0);
        assert_eq!(grant, Grant::Barrier { index: number, leads: false, turn: 1 });
    }
    let grant = world.taken(b, last).grants.remove(0);
    assert_eq!(grant, Grant::Barrier { index: MANY as u32 + 2, leads: true, turn: 1 });
    assert_eq!(world.answer(c, next), None, "it waits for the next turn");
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn the_action_of_a_barrier_of_many_parties() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let id = world.open(a, None, Spec::Barrier { parties: MANY as u32 + 1 });
    let e = world.event(b, "event");
    let both = |target| any(&[event(e), target]);
    let waits: Vec<_> = (0..MANY).map(|_| world.block(a, both(barrier(id)))).collect();
    world.forget_steps();
    let leader = world.send(b, both(barrier_with_action(id)));
    world.work();
    let grant = world.taken(b, leader).grants.remove(0);
    assert_eq!(grant, Grant::Barrier { index: MANY as u32, leads: true, turn: 1 });
    world.set(b, e);
    world.work();
    world.silent();
    let pass = world.send(b, Request::BarrierPass { id, turn: 1 });
    assert_eq!(world.answer(b, pass), None);
    assert!(world.holds_back(a, &Request::BarrierReset { id }));
    // The death of the leader comes too late to break it.
    world.kill(b);
    assert!(world.work() > 1);
    assert_eq!(world.granted(), waits);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn the_reset_of_a_barrier_with_many_parties() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let id = world.open(a, None, Spec::Barrier { parties: MANY as u32 + 1 });
    let waits: Vec<_> = (0..MANY).map(|_| world.block(a, wait_for(barrier(id)))).collect();
    world.forget_steps();
    let reset = world.send(b, Request::BarrierReset { id });
    assert_eq!(world.answer(b, reset), None);
    // Who comes now does not fill it together with those that go.
    let c = world.session("c");
    let next = world.block(c, wait_for(barrier(id)));
    assert!(world.work() > 1);
    assert_eq!(world.answer(b, reset), Some(Reply::Done));
    for request in waits {
        assert_eq!(world.refusal(a, request).0, Code::Broken);
    }
    assert_eq!(world.answer(c, next), None);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// While an action runs, parties for many turns come.
#[test]
fn a_barrier_of_two_with_many_behind() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let id = world.open(a, None, Spec::Barrier { parties: 2 });
    world.send(a, wait_for(barrier_with_action(id)));
    world.send(a, wait_for(barrier_with_action(id)));
    let waits: Vec<_> = (0..MANY).map(|_| world.block(b, wait_for(barrier(id)))).collect();
    world.forget_answers();
    world.forget_steps();
    world.done(a, Request::BarrierPass { id, turn: 1 });
    world.work();
    let turns = waits.into_iter().zip(0..).map(|(request, number)| {
        let grant = world.taken(b, request).grants.remove(0);
        assert_eq!(
            grant,
            Grant::Barrier { index: number % 2, leads: number % 2 == 1, turn: 2 + u64::from(number / 2) }
        );
    });
    assert_eq!(turns.count() as u64, MANY);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn a_signal_to_a_worker_with_many_waits() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let pool = world.open(a, Some("pool"), Spec::Pool);
    world.attach(b, pool, Kind::Pool);
    let batch = world.batch(a, pool);
    world.done(a, Request::BatchAdd { id: batch, chunks: vec![input(&[0], 1)], last: false });
    let first = world.send(b, wait_for(Target::Calls { pool, most: 1 }));
    world.taken(b, first);
    let waits: Vec<_> =
        (0..MANY).map(|_| world.block(b, wait_for(Target::Calls { pool, most: 1 }))).collect();
    let other = world.block(c, wait_for(Target::Calls { pool, most: 1 }));
    world.forget_steps();
    let signal = world.send(a, Request::BatchSignal { id: batch, signal: StopSignal::Terminate });
    // What comes now does not go to the worker, although its waits are first in the wait queue.
    let batch = world.batch(c, pool);
    world.done(c, Request::BatchAdd { id: batch, chunks: vec![input(&[0], 1)], last: false });
    world.work();
    assert_eq!(world.answer(a, signal), Some(Reply::Count(1)));
    for request in waits {
        assert_eq!(world.refusal(b, request).0, Code::Cancelled);
    }
    world.taken(c, other);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// What serves a wait queue one by one has never been long.
#[test]
fn what_serves_a_long_wait_queue() {
    type TogetherScene = (Spec, Aim, fn(ObjectId) -> Request<'static>);
    let scenes: [TogetherScene; 5] = [
        (semaphore(0), |id| permits(id, 1), |id| Request::SemaphoreRelease { id, permits: MANY }),
        (Spec::Latch { count: 1 }, |id| Target::Latch { id }, |id| Request::LatchCountDown { id, count: 1 }),
        (queue(None), get, |id| Request::QueueClose { id }),
        (queue(Some(1)), |id| put(id, b"item"), |id| Request::QueueClose { id }),
        (Spec::Barrier { parties: u32::MAX }, barrier, |id| Request::BarrierAbort {
            id,
            turn: None,
            reason: "r",
        }),
    ];
    for (spec, target, request) in scenes {
        let mut world = World::new();
        let (a, b) = (world.session("a"), world.session("b"));
        let id = world.open(a, None, spec);
        for _ in 0..=MANY {
            world.send(a, wait_for(target(id)));
        }
        world.forget_answers();
        world.forget_steps();
        world.send(b, request(id));
        assert!(world.work() > 1);
        assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    }
}

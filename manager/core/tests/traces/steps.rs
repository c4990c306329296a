//! How much one input does at the limits, in steps: no graph and no line of waiters makes an input long.

use protocol::{Code, Kind, ObjectId, Request, RequestId, SessionId, Spec};

use crate::words::{
    SECOND, all, any, condition, event, lock, notify_all, on_thread, over, permits, release, semaphore,
    wait_at_most, wait_for,
};
use crate::world::World;

/// The most steps of one input: what the core allows, and what begins before it looks whether that is used up.
const STEPS_MAX: u64 = 16_384 + 2_100;

/// Locks, each acquired by a thread of its own, counted from 1.
fn held_locks(world: &mut World, session: SessionId, count: u64) -> Vec<ObjectId> {
    let locks: Vec<_> = (0..count).map(|_| world.open(session, None, Spec::Lock)).collect();
    for (&id, thread) in locks.iter().zip(1..) {
        let request = world.send(session, on_thread(thread, wait_for(lock(id))));
        world.locked(session, request);
    }
    locks
}

/// Has a thread of its own wait for each of these locks but the last, in a chain. The last thread runs.
fn chain(world: &mut World, session: SessionId, locks: &[ObjectId]) -> Vec<RequestId> {
    let waits = locks.iter().skip(1).zip(1..);
    waits.map(|(&next, thread)| world.block(session, on_thread(thread, wait_for(lock(next))))).collect()
}

#[test]
fn a_wait_for_a_thousand_locks_whose_holders_wait_for_a_thousand() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let locks = held_locks(&mut world, a, 1000);
    let way_out = world.open(b, None, Spec::Lock);
    world.acquire(b, lock(way_out));
    let targets: Vec<_> = locks.iter().map(|&id| lock(id)).collect();
    let behind: Vec<_> = [lock(way_out)].into_iter().chain(targets.clone()).collect();
    for thread in 1..=1000 {
        world.block(a, on_thread(thread, any(&behind)));
    }
    let victim = world.block(b, all(&targets));
    assert_eq!(world.answer(b, victim), None, "this takes more steps than one input may");
    let slices = world.work();
    assert!((2..1000).contains(&slices), "{slices} slices");
    let (code, text) = world.refusal(b, victim);
    assert_eq!(code, Code::Deadlock, "{text}");
    world.silent();
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    // The others go on.
    world.release(b, way_out);
    assert_eq!(world.granted().len(), 1);
}

#[test]
fn a_wait_that_closes_a_long_chain_of_locks() {
    let mut world = World::new();
    let a = world.session("a");
    let locks = held_locks(&mut world, a, 30_000);
    chain(&mut world, a, &locks);
    // One more waits behind it all, which is no deadlock.
    let b = world.session("b");
    let last = world.block(b, wait_for(lock(locks[0])));
    world.work();
    world.silent();
    let victim = world.block(a, on_thread(30_000, wait_for(lock(locks[0]))));
    assert!(world.work() > 1);
    let (code, text) = world.refusal(a, victim);
    assert_eq!(code, Code::Deadlock);
    assert!(text.ends_with("and so on by 29900 more locks"), "{text}");
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    world.done(b, Request::Cancel { request: last });
    world.refusal(b, last);
    world.silent();
}

#[test]
fn threads_go_on_while_the_core_looks_for_a_deadlock_among_them() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let locks = held_locks(&mut world, a, 30_000);
    let waits = chain(&mut world, a, &locks);
    world.block(a, on_thread(30_000, wait_for(lock(locks[0]))));
    world.slice();
    // A request in the middle is cancelled, and that breaks the cycle.
    world.done(a, Request::Cancel { request: waits[15_000] });
    world.refusal(a, waits[15_000]);
    world.work();
    world.silent();
    // It waits again, and is now the youngest. Another process takes its lock by force while the core looks.
    let again = world.block(a, on_thread(15_001, wait_for(lock(locks[15_001]))));
    world.slice();
    world.done(b, Request::ForceRelease { id: locks[7] });
    world.work();
    assert_eq!(world.granted(), [waits[6]], "the thread before it has the lock, and nobody is refused");
    // Without help it is refused.
    let closing = world.block(a, on_thread(7, wait_for(lock(locks[7 + 1]))));
    world.work();
    assert_eq!(world.refusal(a, closing).0, Code::Deadlock);
    assert_eq!(world.answer(a, again), None);
    world.silent();
}

#[test]
fn a_notification_for_all_by_a_thread_in_a_long_chain_of_locks() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let locks = held_locks(&mut world, a, 4000);
    let (l, x) = (world.open(b, None, Spec::Lock), world.open(b, None, Spec::Lock));
    let c = world.open(b, None, over(l));
    let sleepers: Vec<_> = (2..200)
        .map(|thread| {
            let request = world.send(b, on_thread(thread, wait_for(lock(l))));
            world.locked(b, request);
            world.block(b, on_thread(thread, wait_for(condition(c))))
        })
        .collect();
    let request = world.send(b, on_thread(300, wait_for(lock(x))));
    world.locked(b, request);
    // The notifier holds `l`, and waits in another request behind all of the chain.
    world.acquire(b, lock(l));
    chain(&mut world, a, &locks);
    world.block(b, wait_for(lock(locks[0])));
    assert_eq!(world.count(b, notify_all(c)), sleepers.len() as u64);
    world.work();
    world.silent();
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    world.done(b, release(l));
    assert_eq!(world.granted(), [sleepers[0]]);
}

#[test]
fn waits_of_one_thread_that_end_together() {
    let mut world = World::new();
    let a = world.session("a");
    let stop = world.event(a, "stop");
    for _ in 0..60_000 {
        world.send(a, wait_at_most(SECOND, event(stop)));
    }
    world.pass(SECOND);
    world.work();
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn the_death_of_a_session_with_many_objects_goes_on_in_slices() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let shared = world.event(b, "shared");
    let held = world.open(b, None, Spec::Lock);
    world.acquire(a, lock(held));
    let behind = world.block(b, wait_for(lock(held)));
    let objects: Vec<_> = (0..50_000).map(|_| world.open(a, None, Spec::Latch { count: 1 })).collect();
    world.kill(a);
    world.locked(b, behind);
    assert!(!world.is_set(b, shared), "another may ask in between");
    assert!(world.work() > 1);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    for id in [objects[0], objects[25_000], objects[49_999]] {
        assert_eq!(world.refused(b, Request::LatchCount { id }).0, Code::NoSuchObject);
    }
}

#[test]
fn the_death_of_an_owner_of_many_batches_goes_on_in_slices() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let pool = world.open(b, Some("pool"), Spec::Pool);
    let batches: Vec<_> = (0..5000).map(|_| world.batch(a, pool)).collect();
    let stop = world.stop_of(batches[4999]);
    world.attach(b, stop, Kind::Event);
    let stopped = world.block(b, wait_for(event(stop)));
    world.kill(a);
    assert_eq!(world.answer(b, stopped), None);
    assert!(world.work() > 1);
    world.taken(b, stopped);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    assert_eq!(world.refused(b, Request::BatchProgress { id: batches[0] }).0, Code::NoSuchObject);
}

#[test]
fn nothing_that_goes_to_the_dead_is_lost() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let held = world.open(b, None, Spec::Lock);
    world.acquire(b, lock(held));
    let stop = world.event(a, "stop");
    for _ in 0..20_000 {
        world.send(a, wait_for(event(stop)));
    }
    let waiting = world.send(a, on_thread(2, wait_for(lock(held))));
    let behind = world.block(b, on_thread(2, wait_for(lock(held))));
    world.kill(a);
    // The departure has not come to the wait of the dead, and it gets the lock.
    world.release(b, held);
    assert!(world.work() > 1);
    assert_eq!(world.answer(a, waiting), None, "nobody reads it");
    assert!(world.locked(b, behind).abandoned.is_some());
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// The most steps of an input that examines a line of waits for all: a few for each.
const STEPS_PER_WAIT: u64 = 8;

#[test]
fn cancels_and_releases_before_a_long_line_of_waits_for_all() {
    const WAITS: u64 = 20_000;
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (x, y) = (world.open(a, None, Spec::Lock), world.open(a, None, Spec::Lock));
    world.acquire(b, lock(x));
    world.acquire(b, lock(y));
    let waits: Vec<_> = (0..WAITS).map(|_| world.block(a, all(&[lock(x), lock(y)]))).collect();
    world.forget_steps();
    for &request in waits.iter().step_by(2) {
        world.done(a, Request::Cancel { request });
        world.refusal(a, request);
    }
    assert!(world.steps_most() <= 100, "a cancel takes {} steps", world.steps_most());
    // Each release finds that the whole line lacks the other lock, and anyone may take the lock meanwhile.
    for _ in 0..5 {
        world.release(b, x);
        world.acquire(b, lock(x));
    }
    let most = WAITS / 2 * STEPS_PER_WAIT;
    assert!(world.steps_most() <= most, "a release takes {} steps", world.steps_most());
    world.release(b, x);
    world.release(b, y);
    assert_eq!(world.granted(), [waits[1]]);
}

#[test]
fn an_event_that_frees_waits_for_a_thousand_targets_behind_others_that_stay() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let start = world.event(b, "start");
    let never = world.event(b, "never");
    let permits_of: Vec<_> = (0..999).map(|_| world.open(a, None, semaphore(1_000_000))).collect();
    let mut targets: Vec<_> = permits_of.iter().map(|&id| permits(id, 1)).collect();
    targets.push(event(start));
    let mut behind = targets.clone();
    behind.insert(500, event(never));
    let blocked: Vec<_> = (0..100).map(|_| world.block(a, all(&behind))).collect();
    let freed: Vec<_> = (0..20).map(|_| world.block(a, all(&targets))).collect();
    world.forget_steps();
    world.set(b, start);
    assert_eq!(world.granted(), freed);
    // Each wait reads its targets a few times, and no change to one target has all lines walked again.
    assert!(world.steps_most() <= 120 * 1000 * 4, "{} steps", world.steps_most());
    world.done(a, Request::Cancel { request: blocked[0] });
}

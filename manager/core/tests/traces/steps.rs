//! How much one input does at the limits, in steps: no graph and no wait queue makes an input long.
//!
//! Each of these took long once, when it was done in one go; the tests of what ends are in `ending_steps.rs`, those of
//! what one step decides about many waiters in `together_steps.rs`.
//! `manager/src/tests/responsiveness.rs` has another client ask meanwhile.
//!
//! | what | took | test |
//! | --- | --- | --- |
//! | a wait for all of 1,000 locks whose holders wait for any of 1,001 | 12.9 s | `a_wait_for_a_thousand_locks_…` |
//! | an event that frees 100 waits for 1,001 behind 500 that stay | 2.4 s | `an_event_that_frees_waits_…` |
//! | cancels, then releases, with 60,000 queued waits for all | 1.2 s | `cancels_and_releases_…` |
//! | the death of a session with a million objects | 0.74 s | `the_death_of_a_session_…` |
//! | the death of an owner of 100,000 open batches | 0.6 s | `the_death_of_an_owner_…` |
//! | an acquire in an adverse graph of 4,000 locks | 0.42 s | `a_wait_that_closes_a_long_chain_…` |
//! | a notification for all by a thread in a chain of 4,000 locks | 0.35 s | `a_notification_for_all_…` |
//! | 60,000 waits of one thread that end together | 0.25 s | `waits_of_one_thread_…` |
//! | the termination of a pool with 80,000 calls that run | 2.2 s | `the_termination_of_a_pool_…` |
//! | the cancellation of 27,000 calls with 1,000 objects each | 0.08 s | `the_cancellation_of_many_calls_…` |
//! | 500 inspections in one write | 0.2 s | `reading.rs` of the server bounds the work of a turn |

use protocol::{Code, Kind, ObjectId, Reply, Request, RequestId, SessionId, Spec};

use crate::requests::{
    SECOND, all, any, condition, event, lock, notify_all, on_thread, over, permits, release, semaphore,
    wait_at_most, wait_for,
};
use crate::world::World;

/// The most steps of one input: what the core allows, and what begins before it looks whether that is used up, which is
/// a wait for a thousand targets at most.
pub(crate) const STEPS_MAX: u64 = 16_384 + 4_200;

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

/// A wait that gives up frees a long wait queue behind it. A request that comes then is held back, and what makes way
/// for it is not done within its input.
#[test]
fn a_wait_that_gives_up_before_a_long_queue() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let id = world.open(a, None, semaphore(0));
    world.attach(b, id, Kind::Semaphore);
    world.block(a, wait_at_most(SECOND, permits(id, 40_000)));
    for _ in 0..30_000 {
        world.block(a, wait_for(permits(id, 1)));
    }
    world.done(b, Request::SemaphoreRelease { id, permits: 30_000 });
    world.jump(SECOND);
    world.forget_steps();
    world.slice();
    assert!(world.holds_back(b, &wait_for(permits(id, 1))));
    assert!(world.work() > 1);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn cancels_and_releases_before_a_long_queue_of_waits_for_all() {
    const WAITS: u64 = 60_000;
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
    // Each release finds that the whole wait queue lacks the other lock, and then anyone may take the lock.
    for _ in 0..5 {
        let released = world.send(b, release(x));
        assert_eq!(world.answer(b, released), None, "it is answered after those who might get the lock");
        assert!(world.holds_back(b, &wait_for(lock(y))), "so is all of its session");
        assert!(world.holds_back(a, &wait_for(lock(x))), "nobody takes it meanwhile");
        assert!(!world.holds_back(a, &Request::ListSessions { after: None }));
        assert!(world.work() > 1);
        assert_eq!(world.answer(b, released), Some(Reply::Done));
        world.acquire(b, lock(x));
    }
    world.release(b, x);
    world.release(b, y);
    assert_eq!(world.granted(), [waits[1]]);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn a_long_queue_of_waits_for_all_behind_one_that_wants_more() {
    const WAITS: u64 = 20_000;
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(a, None, semaphore(3));
    let start = world.event(b, "start");
    let before: Vec<_> = (0..WAITS).map(|_| world.block(a, all(&[permits(s, 1), event(start)]))).collect();
    let large = world.block(a, wait_for(permits(s, 5)));
    for _ in 0..WAITS {
        world.block(a, all(&[permits(s, 1), event(start)]));
    }
    world.forget_steps();
    // No wait looks at all of the others to learn whether one of them comes first.
    world.set(b, start);
    assert_eq!(world.granted(), before[..3]);
    world.done(a, Request::Cancel { request: large });
    world.work();
    world.refusal(a, large);
    for _ in 0..2 {
        world.done(a, Request::SemaphoreRelease { id: s, permits: 1 });
    }
    assert_eq!(world.granted(), before[3..5]);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// Nobody looks for the next one that has a claim within one step: that is what the agenda does.
#[test]
fn the_first_of_a_long_queue_of_waits_for_all_gives_up() {
    const WAITS: u64 = 20_000;
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(a, None, semaphore(1));
    let start = world.event(b, "start");
    let large = [world.block(a, wait_for(permits(s, 9))), world.block(a, wait_for(permits(s, 8)))];
    let both = [permits(s, 1), event(start)];
    let before: Vec<_> = (0..WAITS).map(|_| world.block(a, all(&both))).collect();
    let last = world.block(a, wait_for(permits(s, 3)));
    let behind = world.block(a, all(&both));
    world.set(b, start);
    world.silent();
    world.forget_steps();
    // The second has the claim, and keeps it. Then the claim is sought behind it.
    for request in large {
        let cancel = world.send(a, Request::Cancel { request });
        if world.answer(a, cancel).is_none() {
            assert!(world.holds_back(b, &wait_for(permits(s, 1))), "nobody comes between");
            assert!(world.work() > 0);
            assert_eq!(world.answer(a, cancel), Some(Reply::Done));
        }
        world.refusal(a, request);
    }
    assert_eq!(world.granted(), before[..1]);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    // Those before the last pass it, and it keeps those behind it from what it wants more of.
    world.done(a, Request::SemaphoreRelease { id: s, permits: 2 });
    assert_eq!(world.granted(), before[1..3]);
    for &request in &before[3..] {
        world.send(a, Request::Cancel { request });
    }
    world.work();
    world.forget_answers();
    world.done(a, Request::SemaphoreRelease { id: s, permits: 2 });
    world.silent();
    let late = world.block(b, wait_for(permits(s, 1)));
    world.done(a, Request::SemaphoreRelease { id: s, permits: 1 });
    assert_eq!(world.granted(), [last]);
    world.done(a, Request::SemaphoreRelease { id: s, permits: 2 });
    assert_eq!(world.granted(), [behind, late]);
}

#[test]
fn the_end_of_a_search_through_many_threads() {
    let mut world = World::new();
    let a = world.session("a");
    let locks = held_locks(&mut world, a, 30_000);
    chain(&mut world, a, &locks);
    let victim = world.block(a, on_thread(30_000, wait_for(lock(locks[0]))));
    let mut slices = 0;
    while world.answer(a, victim).is_none() {
        world.slice();
        slices += 1;
    }
    // What it knows of the threads is not freed at once.
    assert!(world.work() > 1, "{slices} slices before");
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn an_event_that_frees_waits_for_a_thousand_targets_behind_others_that_stay() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let start = world.event(b, "start");
    let never = world.event(b, "never");
    let permits_of: Vec<_> = (0..1000).map(|_| world.open(a, None, semaphore(1_000_000))).collect();
    let mut targets: Vec<_> = permits_of.iter().map(|&id| permits(id, 1)).collect();
    targets.push(event(start));
    let mut behind = targets.clone();
    behind.insert(500, event(never));
    let blocked: Vec<_> = (0..500).map(|_| world.block(a, all(&behind))).collect();
    let freed: Vec<_> = (0..100).map(|_| world.block(a, all(&targets))).collect();
    world.forget_steps();
    let set = world.send(b, Request::EventSet { id: start, reason: None });
    assert!(world.is_set(a, start), "it is set for everyone at once");
    assert!(world.holds_back(a, &Request::EventClear { id: start }), "and lets all of them through");
    assert!(!world.holds_back(a, &wait_for(event(start))), "nor does anyone take it from them");
    let slices = world.work();
    assert!(
        (10..100).contains(&slices),
        "{slices} slices: no change to one target has all wait queues walked again"
    );
    assert_eq!(world.answer(b, set), Some(Reply::Done));
    assert_eq!(world.granted(), freed);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    world.done(a, Request::Cancel { request: blocked[0] });
}

#[test]
fn waits_of_one_thread_that_an_event_ends_together() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let stop = world.event(b, "stop");
    let waits: Vec<_> = (0..60_000).map(|_| world.block(a, wait_for(event(stop)))).collect();
    let late = world.send(a, wait_at_most(SECOND, event(stop)));
    world.forget_steps();
    let set = world.send(b, Request::EventSet { id: stop, reason: None });
    let clear = Request::EventClear { id: stop };
    assert_eq!(world.answer(b, set), None);
    assert!(world.holds_back(a, &clear) && world.holds_back(b, &clear));
    // A wait whose time comes meanwhile is let through all the same.
    world.jump(SECOND);
    assert!(world.work() > 1);
    assert_eq!(world.answer(b, set), Some(Reply::Done));
    world.taken(a, late);
    assert_eq!(world.granted(), waits);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn a_driver_that_holds_nothing_back_gets_the_same_answers() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let stop = world.event(b, "stop");
    let waits: Vec<_> = (0..20_000).map(|_| world.block(a, wait_for(event(stop)))).collect();
    let set = world.send(b, Request::EventSet { id: stop, reason: None });
    assert_eq!(world.answer(b, set), None);
    world.clear(a, stop);
    assert_eq!(world.answer(b, set), Some(Reply::Done));
    assert_eq!(world.granted(), waits, "all went on before the clear");
    world.silent();
}

#[test]
fn the_end_of_a_session_meanwhile_and_of_one_that_is_owed_an_answer() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let held = world.open(c, None, Spec::Lock);
    world.acquire(b, lock(held));
    for _ in 0..10_000 {
        world.block(a, all(&[lock(held)]));
    }
    let last = world.block(c, wait_for(lock(held)));
    let stop = world.event(b, "stop");
    for _ in 0..20_000 {
        world.block(a, wait_for(event(stop)));
    }
    let set = world.send(b, Request::EventSet { id: stop, reason: None });
    world.kill(b);
    world.kill(a);
    world.work();
    assert_eq!(world.answer(b, set), None, "nobody reads it");
    assert!(world.locked(c, last).abandoned.is_some());
}

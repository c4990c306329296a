//! Waits over mixed kinds.

use protocol::{Code, Grant, LockChoice, Reply, Request, Spec, Target, WaitMode};

use crate::requests::{
    JOINABLE, SECOND, all, any, barrier, barrier_with_action, condition, event, get, latch, lock, notify,
    over, permits, put, queue, rlock, semaphore, wait, wait_for,
};
use crate::world::World;

#[test]
fn taking_a_lock_unless_an_event_is_set() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, None, Spec::Lock);
    let stop = world.event(a, "stop");
    let unless = any(&[event(stop), lock(l)]);
    let request = world.send(a, unless.clone());
    assert_eq!(world.taken(a, request).index, 1);
    let waiting = world.block(b, unless.clone());
    world.set(a, stop);
    assert_eq!(world.taken(b, waiting).index, 0);
    world.release(a, l);
    // Both are ready: the first in the list is taken, and the lock stays free.
    let request = world.send(b, unless);
    assert_eq!(world.taken(b, request).index, 0);
    assert_eq!(world.acquire(a, lock(l)).depth, 1);
}

#[test]
fn a_wait_for_any_of_every_kind_takes_the_one_that_comes_and_nothing_else() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let e = world.auto_event(a);
    let (l, r) = (world.open(a, None, Spec::Lock), world.open(a, None, Spec::RLock));
    let s = world.open(a, None, semaphore(0));
    let gate = world.open(a, None, Spec::Barrier { parties: 2 });
    let down = world.open(a, None, Spec::Latch { count: 1 });
    let (q, full) = (world.open(a, None, queue(None)), world.open(a, None, queue(Some(1))));
    let pool = world.open(a, None, Spec::Pool);
    world.acquire(a, lock(l));
    world.acquire(a, rlock(r));
    world.put(a, full, b"1");
    let targets = [
        event(e),
        lock(l),
        rlock(r),
        permits(s, 1),
        barrier(gate),
        get(q),
        put(full, b"2"),
        Target::Calls { pool, most: 1 },
        latch(down),
    ];
    let wait_b = |world: &mut World| world.block(b, any(&targets));
    let taken = |world: &mut World, request| world.taken(b, request).index;
    let request = wait_b(&mut world);
    world.set(a, e);
    assert_eq!(taken(&mut world, request), 0);
    let request = wait_b(&mut world);
    world.release(a, l);
    assert_eq!(taken(&mut world, request), 1);
    let request = wait_b(&mut world);
    world.release(a, r);
    assert_eq!(taken(&mut world, request), 2);
    world.release(b, r);
    world.acquire(a, rlock(r));
    let request = wait_b(&mut world);
    world.done(a, Request::SemaphoreRelease { id: s, permits: 1 });
    assert_eq!(taken(&mut world, request), 3);
    let request = wait_b(&mut world);
    world.take(a, barrier(gate));
    assert_eq!(taken(&mut world, request), 4);
    let request = wait_b(&mut world);
    world.put(a, q, b"3");
    assert_eq!(taken(&mut world, request), 5);
    let request = wait_b(&mut world);
    world.get(a, full);
    assert_eq!(taken(&mut world, request), 6);
    let request = wait_b(&mut world);
    let batch = world.batch(a, pool);
    world.fill(a, batch, &[b"task"]);
    assert_eq!(taken(&mut world, request), 7);
    let request = wait_b(&mut world);
    world.count(a, Request::LatchCountDown { id: down, count: 1 });
    assert_eq!(taken(&mut world, request), 8);
    world.silent();
    let barrier = world.inspect(a, gate);
    assert_eq!(barrier.waiting, 0);
}

#[test]
fn a_wait_for_all_over_mixed_kinds_takes_everything_in_one_moment() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let e = world.auto_event(a);
    let l = world.open(a, None, Spec::Lock);
    let s = world.open(a, None, semaphore(5));
    let down = world.open(a, None, Spec::Latch { count: 1 });
    let (q, room) = (world.open(a, None, queue(None)), world.open(a, None, queue(Some(1))));
    let targets = [lock(l), permits(s, 3), event(e), latch(down), get(q), put(room, b"out")];
    let everything = world.block(b, all(&targets));
    world.set(a, e);
    world.put(a, q, b"in");
    assert_eq!((world.available(a, s), world.is_set(a, e)), (5, true), "nothing is taken before");
    assert_eq!((world.length(a, q), world.length(a, room)), (1, 0));
    world.count(a, Request::LatchCountDown { id: down, count: 1 });
    let taken = world.taken(b, everything);
    assert_eq!((taken.index, taken.grants.len()), (0, targets.len()));
    assert!(matches!(&taken.grants[0], Grant::Lock(grant) if grant.depth == 1));
    assert!(matches!(&taken.grants[4], Grant::Item(item) if item.payload.as_bytes() == b"in"));
    assert_eq!(taken.grants[5], Grant::Put);
    assert_eq!((world.available(a, s), world.is_set(a, e)), (2, false));
    assert_eq!((world.length(a, q), world.length(a, room)), (0, 1));
    world.block(a, wait_for(lock(l)));
}

#[test]
fn a_wait_for_all_that_times_out_or_dies_has_taken_nothing() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, None, Spec::Lock);
    let s = world.open(a, None, semaphore(5));
    let e = world.event(a, "e");
    let everything = wait(WaitMode::All, &[lock(l), permits(s, 1), event(e)], Some(SECOND));
    let request = world.block(b, everything.clone());
    world.pass(SECOND);
    assert_eq!(world.answer(b, request), Some(Reply::TimedOut { reacquired: None }));
    world.block(b, everything);
    world.kill(b);
    assert_eq!(world.acquire(a, lock(l)).abandoned, None);
    assert_eq!(world.available(a, s), 5);
}

#[test]
fn a_wait_for_all_holds_nobody_up_whatever_it_lacks() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let s = world.open(a, None, semaphore(5));
    let e = world.event(a, "e");
    // It lacks permits only, then the event only, and others take permits in both cases.
    world.set(a, e);
    let everything = world.block(b, all(&[permits(s, 6), event(e)]));
    assert_eq!(world.take(c, permits(s, 1)), Grant::Permits { abandoned: None });
    world.clear(a, e);
    world.done(a, Request::SemaphoreRelease { id: s, permits: 2 });
    assert_eq!(world.take(c, permits(s, 1)), Grant::Permits { abandoned: None });
    world.done(c, Request::SemaphoreRelease { id: s, permits: 2 });
    world.silent();
    world.set(a, e);
    assert_eq!(world.granted(), [everything]);
}

#[test]
fn what_one_death_frees_goes_to_the_waits_in_the_order_in_which_they_came() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (c, d) = (world.session("c"), world.session("d"));
    let [x, y, z] = [0; 3].map(|_| world.open(b, None, Spec::Lock));
    for id in [x, y, z] {
        world.acquire(a, lock(id));
    }
    let first = world.block(b, all(&[lock(y), lock(z)]));
    let second = world.block(c, all(&[lock(x), lock(y)]));
    let third = world.block(d, wait_for(lock(x)));
    // All three become free in one moment, and `x` before the others.
    world.kill(a);
    assert_eq!(world.granted(), [first, third]);
    world.release(d, x);
    world.silent();
    world.release(b, y);
    assert_eq!(world.granted(), [second]);
}

#[test]
fn a_wait_for_all_does_not_take_what_an_earlier_waiter_waits_for_more_of() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let s = world.open(a, None, semaphore(5));
    let l = world.open(a, None, Spec::Lock);
    let large = world.block(a, wait_for(permits(s, 6)));
    let both = world.block(b, all(&[lock(l), permits(s, 1)]));
    // Nor does it hold up a wait for the lock alone.
    world.acquire(c, lock(l));
    world.release(c, l);
    world.silent();
    world.done(c, Request::SemaphoreRelease { id: s, permits: 1 });
    assert_eq!(world.granted(), [large]);
    world.done(a, Request::SemaphoreRelease { id: s, permits: 6 });
    assert_eq!(world.granted(), [both]);
}

#[test]
fn what_cannot_be_part_of_a_wait_for_all_is_refused() {
    let mut world = World::new();
    let a = world.session("a");
    let l = world.open(a, None, Spec::Lock);
    let c = world.open(a, None, over(l));
    let gate = world.open(a, None, Spec::Barrier { parties: 1 });
    let (q, other) = (world.open(a, None, queue(None)), world.open(a, None, queue(None)));
    let e = world.event(a, "e");
    world.acquire(a, lock(l));
    for targets in [
        [event(e), condition(c)],
        [barrier(gate), event(e)],
        [barrier_with_action(gate), event(e)],
        [get(q), get(other)],
        [put(q, b"1"), get(q)],
        [lock(l), lock(l)],
    ] {
        assert_eq!(world.refused(a, all(&targets)).0, Code::BadTarget, "{targets:?}");
    }
    // For one target, all is the same as any.
    assert!(matches!(world.ask(a, all(&[barrier(gate)])), Reply::Taken(_)));
}

#[test]
fn a_wait_has_one_condition_at_most() {
    let mut world = World::new();
    let a = world.session("a");
    let l = world.open(a, None, Spec::Lock);
    let (c, other) = (world.open(a, None, over(l)), world.open(a, None, over(l)));
    world.acquire(a, lock(l));
    assert_eq!(world.refused(a, any(&[condition(c), condition(other)])).0, Code::BadTarget);
}

#[test]
fn ten_thousand_targets_are_refused_and_a_thousand_are_not() {
    let mut world = World::new();
    let a = world.session("a");
    let e = world.event(a, "e");
    let (code, text) = world.refused(a, any(&vec![event(e); 10_000]));
    assert_eq!(code, Code::LimitReached);
    assert_eq!(text, "a wait has at most 1024 targets, this one has 10000");
    let events: Vec<_> = (0..1024).map(|_| event(world.auto_event(a))).collect();
    let waiting = [world.block(a, any(&events)), world.block(a, all(&events))];
    for target in &events {
        let (id, _) = target.object();
        world.set(a, id);
    }
    assert_eq!(world.granted(), [waiting[0]]);
    let (first, _) = events[0].object();
    world.set(a, first);
    assert_eq!(world.granted(), [waiting[1]]);
}

#[test]
fn a_target_that_never_will_be_refuses_the_wait_unless_one_before_it_is_ready() {
    let mut world = World::new();
    let a = world.session("a");
    let q = world.open(a, None, queue(None));
    let e = world.event(a, "e");
    let waiting = world.block(a, any(&[event(e), get(q)]));
    world.done(a, Request::QueueClose { id: q });
    assert_eq!(world.refusal(a, waiting).0, Code::Closed);
    assert_eq!(world.refused(a, any(&[event(e), get(q)])).0, Code::Closed);
    world.set(a, e);
    assert!(matches!(world.ask(a, any(&[event(e), get(q)])), Reply::Taken(_)));
}

#[test]
fn a_wait_for_a_condition_or_permits_keeps_what_it_took_if_its_lock_is_removed() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, Some("l"), Spec::Lock);
    let c = world.open(a, None, over(l));
    let s = world.open(b, None, semaphore(0));
    world.acquire(a, lock(l));
    let either = world.block(a, any(&[condition(c), permits(s, 1)]));
    world.acquire(b, lock(l));
    world.done(b, Request::SemaphoreRelease { id: s, permits: 1 });
    // It took the permit and waits for its lock; neither a cancel nor the lock's end may lose the permit.
    world.done(a, Request::Cancel { request: either });
    world.silent();
    world.done(b, Request::Remove { id: l });
    let taken = world.taken(a, either);
    assert_eq!((taken.index, taken.reacquired), (1, None));
    world.done(a, Request::SemaphoreRelease { id: s, permits: 1 });
}

#[test]
fn an_item_taken_by_one_that_dies_before_it_has_its_lock_again_is_not_lost() {
    let mut world = World::new();
    for spec in [queue(None), JOINABLE] {
        let (a, b) = (world.session("a"), world.session("b"));
        let own = world.fresh_id();
        let over = LockChoice::Own { id: own, is_reentrant: false };
        let c = world.open(b, None, Spec::Condition { over });
        let q = world.open(b, None, spec);
        world.acquire(a, lock(own));
        world.block(a, any(&[condition(c), get(q)]));
        world.acquire(b, lock(own));
        world.put(b, q, b"1");
        assert_eq!(world.length(b, q), 0);
        world.kill(a);
        assert_eq!(world.get(b, q), b"1");
        assert_eq!(world.count(b, notify(c, 1)), 0);
    }
}

#[test]
fn an_event_taken_by_one_that_is_cancelled_before_it_has_its_lock_again_is_set_again() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, None, Spec::Lock);
    let c = world.open(a, None, over(l));
    let e = world.auto_event(a);
    world.acquire(a, lock(l));
    let either = world.block(a, any(&[condition(c), event(e)]));
    world.acquire(b, lock(l));
    world.set(b, e);
    assert!(!world.is_set(b, e));
    world.done(a, Request::Cancel { request: either });
    assert_eq!(world.refusal(a, either).0, Code::Cancelled);
    assert!(world.is_set(b, e));
}

#[test]
fn what_the_dead_held_is_served_to_all_who_wait_in_one_step() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(b, None, Spec::Lock);
    let s = world.open(b, None, semaphore(1));
    let q = world.open(b, None, JOINABLE);
    world.put(b, q, b"1");
    world.acquire(a, lock(l));
    world.take(a, permits(s, 1));
    world.get(a, q);
    let everything = world.block(b, all(&[get(q), permits(s, 1), lock(l)]));
    world.kill(a);
    let taken = world.taken(b, everything);
    assert!(matches!(&taken.grants[0], Grant::Item(item) if item.payload.as_bytes() == b"1"));
    assert!(matches!(&taken.grants[1], Grant::Permits { abandoned: Some(_) }));
    assert!(matches!(&taken.grants[2], Grant::Lock(grant) if grant.abandoned.is_some()));
}

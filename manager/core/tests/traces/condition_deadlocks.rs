//! Deadlocks that a waiter for a condition closes when it is woken and wants its lock again.

use protocol::{Code, ObjectId, Reply, SessionId};

use crate::deadlocks::{deadlocked, locks};
use crate::requests::{
    SECOND, all, any, condition, event, lock, notify, notify_all, on_thread, over, wait_at_most, wait_for,
};
use crate::world::World;

/// `a` waits for a condition over `l` and holds `x`; `b` holds `l`, and may notify.
fn asleep_with_a_lock(world: &mut World) -> ([SessionId; 2], [ObjectId; 3], protocol::RequestId) {
    let (a, b) = (world.session("a"), world.session("b"));
    let [l, x] = locks(world, a, ["l", "x"]);
    let c = world.open(a, Some("c"), over(l));
    world.acquire(a, lock(l));
    world.acquire(a, lock(x));
    let asleep = world.block(a, wait_for(condition(c)));
    world.acquire(b, lock(l));
    ([a, b], [l, x, c], asleep)
}

#[test]
fn a_waiter_for_a_lock_of_a_sleeper_may_be_helped_by_a_notification() {
    let mut world = World::new();
    let ([a, b], [l, x, c], asleep) = asleep_with_a_lock(&mut world);
    // `a` waits for a notification, which anyone could give, except that `b` holds the lock for it.
    world.release(b, l);
    let waiting = world.block(b, wait_for(lock(x)));
    let d = world.session("d");
    world.acquire(d, lock(l));
    world.count(d, notify(c, 1));
    world.release(d, l);
    world.notified(a, asleep);
    world.release(a, x);
    world.locked(b, waiting);
}

#[test]
fn a_notifier_that_waits_for_a_lock_of_the_notified_is_refused() {
    let mut world = World::new();
    let ([a, b], [l, x, c], asleep) = asleep_with_a_lock(&mut world);
    // Another thread of `b` waits for `x` of `a`; that is no cycle yet, as `a` waits for a notification.
    let request = world.send(b, on_thread(2, wait_for(lock(x))));
    assert_eq!(world.answer(b, request), None);
    world.count(b, notify(c, 1));
    // The first thread of `b` holds `l` and is not blocked, so there is no deadlock either.
    world.silent();
    let text = deadlocked(&mut world, b, wait_for(lock(x)));
    assert!(text.contains("the lock \"l\""), "{text}");
    world.release(b, l);
    world.notified(a, asleep);
}

#[test]
fn a_wait_that_sleeps_with_a_deadline_closes_a_cycle_when_its_time_has_come() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let [l, x] = locks(&mut world, a, ["l", "x"]);
    let c = world.open(a, Some("c"), over(l));
    world.acquire(a, lock(l));
    world.acquire(a, lock(x));
    let asleep = world.block(a, wait_at_most(SECOND, condition(c)));
    world.acquire(b, lock(l));
    // `b` holds `l` and waits for `x`: fine, as long as `a` may be notified.
    let victim = world.block(b, wait_for(lock(x)));
    world.pass(SECOND);
    let (code, text) = world.refusal(b, victim);
    assert_eq!(code, Code::Deadlock);
    assert_eq!(
        text,
        "this wait would never end: process 100 (a), thread 1 waits for the lock \"l\", \
         held by process 200 (b), thread 1, which waits for the lock \"x\", \
         held by process 100 (a), thread 1"
    );
    assert_eq!(world.answer(a, asleep), None, "a wait for a condition does not fail");
    world.release(b, l);
    assert!(matches!(world.answer(a, asleep), Some(Reply::TimedOut { reacquired: Some(_) })));
}

#[test]
fn of_several_requests_in_the_cycle_the_youngest_fails() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let [l, x, y] = locks(&mut world, a, ["l", "x", "y"]);
    let c = world.open(a, Some("c"), over(l));
    world.acquire(a, lock(l));
    world.acquire(a, lock(x));
    world.acquire(d, lock(y));
    let asleep = world.block(a, wait_at_most(2 * SECOND, condition(c)));
    world.acquire(b, lock(l));
    let older = world.block(d, wait_for(lock(x)));
    world.pass(SECOND);
    let younger = world.block(b, wait_for(lock(y)));
    world.pass(SECOND);
    assert_eq!(world.refusal(b, younger).0, Code::Deadlock);
    world.silent();
    world.release(b, l);
    assert!(matches!(world.answer(a, asleep), Some(Reply::TimedOut { reacquired: Some(_) })));
    world.release(a, x);
    world.locked(d, older);
}

#[test]
fn every_cycle_that_a_notified_waiter_closes_is_broken() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (p, q) = (world.session("p"), world.session("q"));
    let [l, m, n, x, y] = locks(&mut world, a, ["l", "m", "n", "x", "y"]);
    let c = world.open(a, Some("c"), over(l));
    for id in [l, m, n] {
        world.acquire(a, lock(id));
    }
    let asleep = world.block(a, wait_at_most(SECOND, condition(c)));
    world.acquire(b, lock(l));
    world.acquire(p, lock(x));
    world.acquire(q, lock(y));
    // `b` needs both `p` and `q`, and each of them needs `a`.
    let both = world.block(b, all(&[lock(x), lock(y)]));
    let victims = [world.block(p, wait_for(lock(m))), world.block(q, wait_for(lock(n)))];
    world.pass(SECOND);
    assert_eq!(world.refusal(p, victims[0]).0, Code::Deadlock);
    assert_eq!(world.refusal(q, victims[1]).0, Code::Deadlock);
    world.release(p, x);
    world.release(q, y);
    assert_eq!(world.granted(), [both]);
    world.release(b, l);
    assert!(matches!(world.answer(a, asleep), Some(Reply::TimedOut { reacquired: Some(_) })));
}

#[test]
fn a_request_may_fail_in_the_step_that_would_have_looked_at_it_next() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let [l, x] = locks(&mut world, a, ["l", "x"]);
    let c = world.open(a, Some("c"), over(l));
    let stop = world.event(a, "stop");
    world.acquire(a, lock(l));
    world.acquire(a, lock(x));
    let asleep = world.block(a, any(&[condition(c), event(stop)]));
    world.acquire(b, lock(l));
    let victim = world.block(b, all(&[lock(x), event(stop)]));
    world.set(a, stop);
    assert_eq!(world.refusal(b, victim).0, Code::Deadlock);
    world.release(b, l);
    assert_eq!(world.taken(a, asleep).index, 1);
}

#[test]
fn a_condition_and_a_lock_are_not_waited_for_in_one_request() {
    let mut world = World::new();
    let a = world.session("a");
    let [l, x] = locks(&mut world, a, ["l", "x"]);
    let c = world.open(a, None, over(l));
    world.acquire(a, lock(l));
    // It would get `l` as a target, and could then never hold it again as the condition's lock.
    assert_eq!(world.refused(a, any(&[condition(c), lock(l)])).0, Code::BadTarget);
    assert_eq!(world.refused(a, any(&[lock(x), condition(c)])).0, Code::BadTarget);
    assert_eq!(world.count(a, notify_all(c)), 0, "the lock is still held");
}

//! Holdings of locks: an earlier holding neither gives back nor gives up a lock that was taken anew.

use protocol::{Code, Request, Spec, Target, ThreadId};

use crate::requests::{condition, lock, notify, over, release_holding, rlock, wait_for};
use crate::world::World;

#[test]
fn a_stale_holding_gives_back_nothing_of_a_later_one_of_the_same_thread() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    for (spec, target) in [(Spec::Lock, lock as fn(_) -> _), (Spec::RLock, rlock)] {
        let l = world.open(a, None, spec);
        let stale = world.acquire(a, target(l));
        world.done(b, Request::ForceRelease { id: l });
        let held = world.acquire(a, target(l));
        assert!(held.holding > stale.holding && held.abandoned.is_some());
        let (code, text) = world.refused(a, release_holding(l, stale.holding));
        assert_eq!(code, Code::NotOwner);
        assert!(text.contains("was taken since, and is held by process 100 (a), thread 1"), "{text}");
        let waiting = world.block(b, wait_for(target(l)));
        world.done(a, release_holding(l, held.holding));
        world.locked(b, waiting);
    }
}

#[test]
fn a_caller_that_names_a_holding_waits_and_notifies_in_that_one_only() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, Some("l"), Spec::Lock);
    let c = world.open(a, None, over(l));
    let stale = world.acquire(a, lock(l)).holding;
    world.done(b, Request::ForceRelease { id: l });
    let held = world.acquire(a, lock(l)).holding;
    let wait_in = |holding| wait_for(Target::Condition { id: c, holding: Some(holding) });
    let notify_in =
        |holding| Request::Notify { id: c, count: Some(1), holding: Some(holding), thread: ThreadId(1) };
    let (code, text) = world.refused(a, wait_in(stale));
    assert_eq!(code, Code::NotOwner);
    assert!(text.contains("was taken since"), "{text}");
    assert_eq!(world.refused(a, notify_in(stale)).0, Code::NotOwner);
    assert_eq!(world.count(a, notify_in(held)), 0, "it still holds the lock");
    let waiting = world.block(a, wait_in(held));
    let other = world.acquire(b, lock(l)).holding;
    assert_eq!(world.count(b, notify_in(other)), 1);
    world.release(b, l);
    assert_eq!(world.notified(a, waiting).holding, held);
}

#[test]
fn a_holding_of_a_reentrant_lock_outlasts_an_inner_wait_and_ends_with_one_that_fails() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let r = world.open(a, None, Spec::RLock);
    let c = world.open(a, None, over(r));
    let outer = world.acquire(a, rlock(r));
    world.acquire(a, rlock(r));
    let waiting = world.block(a, wait_for(condition(c)));
    world.acquire(b, rlock(r));
    world.count(b, notify(c, 1));
    world.release(b, r);
    let inner = world.notified(a, waiting);
    assert_eq!((inner.holding, inner.depth), (outer.holding, 2));
    assert!(inner.token > outer.token);
    world.done(a, release_holding(r, inner.holding));

    world.acquire(a, rlock(r));
    let waiting = world.block(a, wait_for(condition(c)));
    world.done(b, Request::Remove { id: c });
    assert_eq!(world.refusal(a, waiting).0, Code::Removed);
    let later = world.acquire(a, rlock(r));
    assert_eq!(later.depth, 1);
    assert_eq!(world.refused(a, release_holding(r, outer.holding)).0, Code::NotOwner);
    world.done(a, release_holding(r, later.holding));
}

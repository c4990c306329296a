//! Conditions and their locks: which lock a condition has, and how long each of the two lives.

use protocol::{Code, Kind, LockChoice, OpenMode, Reply, Request, Spec};

use crate::conditions::{pair, wait_holding};
use crate::requests::{condition, lock, notify, notify_all, over, release, rlock, wait_for};
use crate::world::World;

#[test]
fn removing_the_lock_removes_its_conditions_and_refuses_everyone_who_waits() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    let woken = wait_holding(&mut world, a, l, wait_for(condition(c)));
    let asleep = wait_holding(&mut world, b, l, wait_for(condition(c)));
    world.acquire(d, lock(l));
    world.count(d, notify(c, 1));
    world.done(d, Request::Remove { id: l });
    for (session, request) in [(a, woken), (b, asleep)] {
        let (code, text) = world.refusal(session, request);
        assert_eq!((code, &*text), (Code::Removed, r#"the lock "l" was removed by process 300 (d)"#));
    }
    assert_eq!(world.refused(d, notify(c, 1)).0, Code::NoSuchObject);
    assert_eq!(world.refused(d, release(l)).0, Code::NoSuchObject);
    world.kill(d);
    world.open(a, Some("c"), Spec::Latch { count: 1 });
}

#[test]
fn removing_the_condition_refuses_its_waiters_but_not_the_notified() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    let woken = wait_holding(&mut world, a, l, wait_for(condition(c)));
    let asleep = wait_holding(&mut world, b, l, wait_for(condition(c)));
    world.acquire(d, lock(l));
    world.count(d, notify(c, 1));
    world.done(d, Request::Remove { id: c });
    assert_eq!(world.refusal(b, asleep).0, Code::Removed);
    world.release(d, l);
    world.notified(a, woken);
}

#[test]
fn a_condition_keeps_its_lock_alive() {
    let mut world = World::new();
    let a = world.session("a");
    let l = world.open(a, None, Spec::Lock);
    let c = world.open(a, None, over(l));
    world.done(a, Request::Detach { id: l });
    world.acquire(a, lock(l));
    assert_eq!(world.ask(a, Request::ConditionLock { id: c }), Reply::Lock { id: l, is_reentrant: false });
    world.done(a, Request::Detach { id: c });
    assert_eq!(world.refused(a, release(l)).0, Code::NoSuchObject);
}

#[test]
fn a_condition_may_have_a_lock_of_its_own_which_goes_with_it() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let own = |id, is_reentrant| Spec::Condition { over: LockChoice::Own { id, is_reentrant } };
    let l = world.fresh_id();
    let c = world.open(a, Some("c"), own(l, true));
    // A client that opens it does not know that lock's id, and asks for it.
    let unused = world.fresh_id();
    assert_eq!(world.open(b, Some("c"), own(unused, true)), c);
    assert_eq!(world.ask(b, Request::ConditionLock { id: c }), Reply::Lock { id: l, is_reentrant: true });
    world.acquire(b, rlock(l));
    assert_eq!(world.count(b, notify_all(c)), 0);
    for other in [own(unused, false), over(l)] {
        let (id, mode) = (world.fresh_id(), OpenMode::OpenOrCreate);
        let request = Request::Open { id, name: Some("c"), spec: other, mode };
        assert_eq!(world.refused(b, request).0, Code::WrongParameters);
    }
    world.done(b, Request::Remove { id: c });
    assert_eq!(world.refused(b, release(l)).0, Code::NoSuchObject);
}

#[test]
fn a_condition_is_over_a_lock_that_is_there() {
    let mut world = World::new();
    let a = world.session("a");
    let (id, unknown) = (world.fresh_id(), world.fresh_id());
    let e = world.event(a, "e");
    let mut refused =
        |spec| world.refused(a, Request::Open { id, name: None, spec, mode: OpenMode::CreateNew }).0;
    assert_eq!(refused(over(unknown)), Code::NoSuchObject);
    assert_eq!(refused(over(e)), Code::WrongKind);
    let own = |id| Spec::Condition { over: LockChoice::Own { id, is_reentrant: false } };
    assert_eq!(refused(own(id)), Code::BadArgument);
    assert_eq!(refused(own(e)), Code::AlreadyExists);
}

#[test]
fn a_condition_that_cannot_be_made_leaves_no_lock_behind() {
    let limits = protocol::Limits { objects_max: 1, ..protocol::Limits::default() };
    let mut world = World::with_limits(limits);
    let a = world.session("a");
    let (id, own) = (world.fresh_id(), world.fresh_id());
    let spec = Spec::Condition { over: LockChoice::Own { id: own, is_reentrant: false } };
    let request = Request::Open { id, name: None, spec, mode: OpenMode::CreateNew };
    assert_eq!(world.refused(a, request).0, Code::LimitReached);
    let epoch = crate::world::EPOCH;
    assert_eq!(world.refused(a, Request::Attach { id: own, kind: Kind::Lock, epoch }).0, Code::NoSuchObject);
    world.event(a, "there is room");
}

#[test]
fn several_conditions_share_a_lock() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    let other = world.open(d, None, over(l));
    let here = wait_holding(&mut world, a, l, wait_for(condition(c)));
    let there = wait_holding(&mut world, b, l, wait_for(condition(other)));
    world.acquire(d, lock(l));
    assert_eq!(world.count(d, notify_all(other)), 1);
    world.release(d, l);
    world.notified(b, there);
    assert_eq!(world.answer(a, here), None);
}

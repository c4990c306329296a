//! Locks and reentrant locks: which thread holds them, in which order they are granted, and what a death leaves behind.

use protocol::{Code, Kind, LockGrant, Reply, Request, Spec};

use crate::requests::{
    NO_TIME, SECOND, lock, on_thread, release, release_holding, rlock, wait_at_most, wait_for,
};
use crate::world::World;

#[test]
fn a_free_lock_is_granted_at_once_and_a_held_one_when_it_is_given_back() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, Some("l"), Spec::Lock);
    let first = world.acquire(a, lock(l));
    assert_eq!(first, LockGrant { holding: first.holding, token: first.token, depth: 1, abandoned: None });
    let waiting = world.block(b, wait_for(lock(l)));
    world.release(a, l);
    let second = world.locked(b, waiting);
    assert_eq!((second.depth, second.abandoned), (1, None));
}

#[test]
fn a_lock_is_granted_first_come_first_served() {
    let mut world = World::new();
    let a = world.session("a");
    for (spec, target) in [(Spec::Lock, lock as fn(_) -> _), (Spec::RLock, rlock)] {
        let id = world.open(a, None, spec);
        world.acquire(a, target(id));
        let sessions: Vec<_> = (0..5).map(|_| world.session("b")).collect();
        let waits: Vec<_> =
            sessions.iter().map(|&session| (session, world.block(session, wait_for(target(id))))).collect();
        let mut holder = a;
        for (session, wait) in waits {
            world.release(holder, id);
            assert_eq!(world.granted(), [wait]);
            holder = session;
        }
        world.silent();
    }
}

#[test]
fn a_newcomer_to_a_free_lock_does_not_overtake_the_waiters() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let l = world.open(a, None, Spec::Lock);
    world.acquire(a, lock(l));
    let first = world.block(b, wait_for(lock(l)));
    let second = world.block(c, wait_for(lock(l)));
    world.release(a, l);
    // The thread that gave it back comes again, and is last in the wait queue.
    let third = world.block(a, wait_for(lock(l)));
    assert_eq!(world.granted(), [first]);
    world.release(b, l);
    assert_eq!(world.granted(), [second]);
    world.release(c, l);
    assert_eq!(world.granted(), [third]);
}

#[test]
fn trying_is_a_wait_of_no_time() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, None, Spec::Lock);
    let attempt = wait_at_most(NO_TIME, lock(l));
    assert!(matches!(world.ask(a, attempt.clone()), Reply::Taken(_)));
    assert_eq!(world.ask(b, attempt.clone()), Reply::TimedOut { reacquired: None });
    assert_eq!(world.ask(a, attempt), Reply::TimedOut { reacquired: None }, "its own holder, too");
    assert!(!world.has_deadline());
}

#[test]
fn a_wait_for_a_lock_times_out_and_leaves_the_queue() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let l = world.open(a, None, Spec::Lock);
    world.acquire(a, lock(l));
    let impatient = world.block(b, wait_at_most(SECOND, lock(l)));
    let patient = world.block(c, wait_for(lock(l)));
    world.pass(SECOND);
    assert_eq!(world.answer(b, impatient), Some(Reply::TimedOut { reacquired: None }));
    world.release(a, l);
    assert_eq!(world.granted(), [patient]);
}

#[test]
fn only_the_holding_thread_releases_without_the_holding() {
    let mut world = World::new();
    let (a, b) = (world.session("holder"), world.session("b"));
    let l = world.open(a, Some("l"), Spec::Lock);
    let (code, text) = world.refused(a, release(l));
    assert_eq!((code, &*text), (Code::NotOwner, r#"the lock "l" is not held"#));
    let grant = world.acquire(a, lock(l));
    let (code, text) = world.refused(b, release(l));
    assert_eq!(code, Code::NotOwner);
    assert_eq!(text, r#"the lock "l" is held by process 100 (holder), thread 1"#);
    assert_eq!(world.refused(a, on_thread(2, release(l))).0, Code::NotOwner);
    assert_eq!(world.refused(b, release_holding(l, grant.holding)).0, Code::NotOwner, "another process");
    assert_eq!(world.refused(a, release_holding(l, grant.holding + 1)).0, Code::NotOwner, "another holding");
    world.release(a, l);
}

#[test]
fn any_thread_of_the_process_releases_with_the_holding() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, None, Spec::Lock);
    let grant = world.acquire(a, lock(l));
    let waiting = world.block(b, wait_for(lock(l)));
    world.done(a, release_holding(l, grant.holding));
    assert!(world.locked(b, waiting).token > grant.token);
    assert_eq!(world.refused(a, release_holding(l, grant.holding)).0, Code::NotOwner, "twice");
}

#[test]
fn tokens_grow_with_every_grant_of_any_lock() {
    let mut world = World::new();
    let a = world.session("a");
    let (x, y) = (world.open(a, None, Spec::Lock), world.open(a, None, Spec::RLock));
    let mut last = 0;
    for _ in 0..3 {
        for target in [lock(x), rlock(y)] {
            let token = world.acquire(a, target).token;
            assert!(token > last);
            last = token;
        }
        world.release(a, x);
        world.release(a, y);
    }
}

#[test]
fn a_reentrant_lock_counts_and_is_free_when_all_was_given_back() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let r = world.open(a, None, Spec::RLock);
    let first = world.acquire(a, rlock(r));
    let second = world.acquire(a, rlock(r));
    assert_eq!((first.depth, second.depth, second.token), (1, 2, first.token));
    let waiting = world.block(b, wait_for(rlock(r)));
    let third = world.acquire(a, rlock(r));
    assert_eq!(third.depth, 3, "a waiter does not hold up the holder");
    world.release(a, r);
    world.done(a, release_holding(r, first.holding));
    assert_eq!(world.answer(b, waiting), None);
    world.release(a, r);
    assert_eq!(world.locked(b, waiting).depth, 1);
    assert_eq!(world.refused(a, release(r)).0, Code::NotOwner);
}

#[test]
fn another_thread_of_the_holder_waits_for_a_reentrant_lock() {
    let mut world = World::new();
    let a = world.session("a");
    let r = world.open(a, None, Spec::RLock);
    world.acquire(a, rlock(r));
    let waiting = world.block(a, on_thread(2, wait_for(rlock(r))));
    world.release(a, r);
    assert_eq!(world.locked(a, waiting).depth, 1);
}

#[test]
fn the_two_kinds_are_not_mistaken_for_each_other() {
    let mut world = World::new();
    let a = world.session("a");
    let (l, r) = (world.open(a, None, Spec::Lock), world.open(a, None, Spec::RLock));
    let e = world.event(a, "e");
    assert_eq!(world.refused(a, wait_for(rlock(l))).0, Code::WrongKind);
    assert_eq!(world.refused(a, wait_for(lock(r))).0, Code::WrongKind);
    let (code, text) = world.refused(a, release(e));
    assert_eq!(code, Code::WrongKind);
    assert!(text.contains("event") && text.contains("lock"), "{text}");
    assert_eq!(world.refused(a, Request::ForceRelease { id: e }).0, Code::WrongKind);
}

#[test]
fn a_lock_of_the_dead_goes_to_the_next_waiter_and_its_grant_says_so() {
    let mut world = World::new();
    let (a, b) = (world.session("crash"), world.session("b"));
    let l = world.open(b, None, Spec::Lock);
    world.attach(a, l, Kind::Lock);
    let before = world.acquire(a, lock(l)).token;
    let waiting = world.block(b, wait_for(lock(l)));
    world.pass(3 * SECOND);
    world.kill(a);
    let grant = world.locked(b, waiting);
    assert!(grant.token > before);
    let abandoned = grant.abandoned.expect("it was left behind");
    assert_eq!((abandoned.process, &*abandoned.program), (100, "crash"));
    assert_eq!((&*abandoned.how, abandoned.held_ns), ("was ended by signal 9 (SIGKILL)", 3_000_000_000));
    world.release(b, l);
    assert_eq!(world.acquire(b, lock(l)).abandoned, None, "told once");
}

#[test]
fn a_lock_of_the_dead_stays_marked_until_somebody_takes_it() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let l = world.open(a, Some("l"), Spec::Lock);
    world.acquire(a, lock(l));
    world.kill(a);
    assert!(world.acquire(b, lock(l)).abandoned.is_some());
    world.block(c, wait_for(lock(l)));
    world.kill(b);
    assert_eq!(world.granted().len(), 1, "a mark after a mark");
}

#[test]
fn one_release_by_anyone_clears_the_mark_of_an_abandoned_lock() {
    let mut world = World::new();
    let (child, parent) = (world.session("child"), world.session("parent"));
    let l = world.open(parent, Some("l"), Spec::Lock);
    world.acquire(child, lock(l));
    world.leave(child);
    // As in Python: one process acquires and ends, and another releases.
    world.release(parent, l);
    assert_eq!(world.refused(parent, release(l)).0, Code::NotOwner);
    assert_eq!(world.acquire(parent, lock(l)).abandoned, None);
}

#[test]
fn a_goodbye_while_holding_abandons_as_well_and_says_so() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let r = world.open(b, None, Spec::RLock);
    world.acquire(a, rlock(r));
    world.acquire(a, rlock(r));
    let waiting = world.block(b, wait_for(rlock(r)));
    world.leave(a);
    let grant = world.locked(b, waiting);
    assert_eq!((grant.depth, &*grant.abandoned.expect("left behind").how), (1, "left"));
}

#[test]
fn a_lock_on_its_way_to_the_dead_goes_to_the_next_waiter() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let l = world.open(a, Some("l"), Spec::Lock);
    world.acquire(a, lock(l));
    world.block(b, wait_for(lock(l)));
    let next = world.block(c, wait_for(lock(l)));
    world.release(a, l);
    // The answer to `b` is never read.
    world.kill(b);
    assert_eq!(world.locked(c, next).abandoned.map(|abandoned| abandoned.process), Some(200));
}

#[test]
fn the_waits_of_the_dead_are_skipped() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let l = world.open(a, None, Spec::Lock);
    world.acquire(a, lock(l));
    world.block(b, wait_for(lock(l)));
    let next = world.block(c, wait_for(lock(l)));
    world.kill(b);
    world.release(a, l);
    assert_eq!(world.granted(), [next]);
}

#[test]
fn an_operator_takes_a_lock_away_and_the_next_grant_names_it() {
    let mut world = World::new();
    let (a, b, operator) = (world.session("stuck"), world.session("b"), world.session("operator"));
    let l = world.open(a, Some("l"), Spec::RLock);
    assert_eq!(world.refused(operator, Request::ForceRelease { id: l }).0, Code::NotOwner);
    let grant = world.acquire(a, rlock(l));
    world.acquire(a, rlock(l));
    let waiting = world.block(b, wait_for(rlock(l)));
    world.done(operator, Request::ForceRelease { id: l });
    let abandoned = world.locked(b, waiting).abandoned.expect("it was taken away");
    assert_eq!((abandoned.process, &*abandoned.program), (100, "stuck"));
    assert_eq!(&*abandoned.how, "was made to release it by process 300 (operator)");
    assert_eq!(world.refused(a, release_holding(l, grant.holding)).0, Code::NotOwner);
    world.kill(a);
    world.release(b, l);
}

#[test]
fn a_holder_that_was_made_to_release_does_not_clear_the_mark_with_its_holding() {
    let mut world = World::new();
    let (a, operator) = (world.session("a"), world.session("operator"));
    let l = world.open(a, None, Spec::Lock);
    let grant = world.acquire(a, lock(l));
    world.done(operator, Request::ForceRelease { id: l });
    assert_eq!(world.refused(a, release_holding(l, grant.holding)).0, Code::NotOwner);
    assert!(world.acquire(a, lock(l)).abandoned.is_some());
}

#[test]
fn removing_a_held_lock_refuses_the_waiters_and_leaves_nothing_to_release() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, Some("l"), Spec::Lock);
    let grant = world.acquire(a, lock(l));
    let waiting = world.block(b, wait_for(lock(l)));
    world.done(b, Request::Remove { id: l });
    assert_eq!(world.refusal(b, waiting).0, Code::Removed);
    assert_eq!(world.refused(a, release_holding(l, grant.holding)).0, Code::NoSuchObject);
    world.kill(a);
    let again = world.open(b, Some("l"), Spec::Lock);
    assert_ne!(again, l);
    assert_eq!(world.acquire(b, lock(again)).abandoned, None);
}

#[test]
fn a_lock_whose_last_proxy_goes_while_it_is_held_is_freed() {
    let mut world = World::new();
    let a = world.session("a");
    let l = world.open(a, None, Spec::Lock);
    world.acquire(a, lock(l));
    world.done(a, Request::Detach { id: l });
    assert_eq!(world.refused(a, release(l)).0, Code::NoSuchObject);
    world.kill(a);
}

#[test]
fn a_thread_need_not_queue_for_a_reentrant_lock_that_another_of_its_waits_got() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let r = world.open(a, Some("r"), Spec::RLock);
    world.acquire(a, rlock(r));
    let first = world.block(b, wait_for(rlock(r)));
    let other = world.block(a, on_thread(2, wait_for(rlock(r))));
    let second = world.block(b, wait_for(rlock(r)));
    world.release(a, r);
    assert_eq!(world.locked(b, first).depth, 1);
    assert_eq!(world.locked(b, second).depth, 2);
    assert_eq!(world.answer(a, other), None);
}

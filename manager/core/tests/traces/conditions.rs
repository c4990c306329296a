//! Conditions: waits that give up the lock and hold it again, the order of wake-ups, and notifications that outlive a
//! death.

use protocol::{Code, ObjectId, Reply, Request, SessionId, Signal, Spec};

use crate::requests::{
    NO_TIME, SECOND, any, condition, event, lock, notify, notify_all, on_thread, over, release,
    release_holding, rlock, wait_at_most, wait_for,
};
use crate::world::World;

/// A named lock and a condition over it.
pub(crate) fn pair(world: &mut World, session: SessionId) -> (ObjectId, ObjectId) {
    let l = world.open(session, Some("l"), Spec::Lock);
    (l, world.open(session, Some("c"), over(l)))
}

/// Waits for a condition with its lock, which is free.
pub(crate) fn wait_holding(
    world: &mut World,
    session: SessionId,
    l: ObjectId,
    wait: Request<'_>,
) -> protocol::RequestId {
    world.acquire(session, lock(l));
    world.block(session, wait)
}

#[test]
fn a_wait_gives_the_lock_up_and_holds_it_again_when_it_was_notified() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (l, c) = pair(&mut world, a);
    let before = world.acquire(a, lock(l));
    let waiting = world.block(a, wait_for(condition(c)));
    let between = world.acquire(b, lock(l));
    assert_eq!(world.count(b, notify(c, 1)), 1);
    assert_eq!(world.answer(a, waiting), None, "the lock is not free yet");
    world.release(b, l);
    let grant = world.notified(a, waiting);
    assert!(
        before.token < between.token && between.token < grant.token,
        "every taking has a token of its own"
    );
    assert_eq!((grant.depth, grant.abandoned), (1, None));
    assert_eq!(grant.holding, before.holding, "the holding goes on");
    assert_eq!(world.refused(a, release_holding(l, between.holding)).0, Code::NotOwner);
    world.done(a, release_holding(l, grant.holding));
}

#[test]
fn waiters_are_woken_first_come_first_served_and_go_to_the_end_of_the_locks_queue() {
    let mut world = World::new();
    let (a, b, d, e) = (world.session("a"), world.session("b"), world.session("d"), world.session("e"));
    let (l, c) = pair(&mut world, a);
    let first = wait_holding(&mut world, a, l, wait_for(condition(c)));
    let second = wait_holding(&mut world, b, l, wait_for(condition(c)));
    world.acquire(d, lock(l));
    let other = world.block(e, wait_for(lock(l)));
    assert_eq!(world.count(d, notify(c, 5)), 2);
    assert_eq!(world.count(d, notify(c, 1)), 0, "a notification that nobody waits for is gone");
    world.release(d, l);
    assert_eq!(world.granted(), [other]);
    world.release(e, l);
    assert_eq!(world.granted(), [first]);
    world.release(a, l);
    assert_eq!(world.granted(), [second]);
}

#[test]
fn notify_wakes_as_many_as_it_says_and_notify_all_everyone() {
    let mut world = World::new();
    let a = world.session("a");
    let (l, c) = pair(&mut world, a);
    let sessions: Vec<_> = (0..5).map(|_| world.session("b")).collect();
    let waits: Vec<_> = (sessions.iter())
        .map(|&session| wait_holding(&mut world, session, l, wait_for(condition(c))))
        .collect();
    world.acquire(a, lock(l));
    assert_eq!(world.count(a, notify(c, 0)), 0);
    assert_eq!(world.count(a, notify(c, 2)), 2);
    world.release(a, l);
    for turn in 0..2 {
        assert_eq!(world.granted(), [waits[turn]]);
        world.release(sessions[turn], l);
    }
    world.silent();
    world.acquire(a, lock(l));
    assert_eq!(world.count(a, notify_all(c)), 3);
    assert_eq!(world.count(a, notify_all(c)), 0);
    world.release(a, l);
    for turn in 2..5 {
        assert_eq!(world.granted(), [waits[turn]]);
        world.release(sessions[turn], l);
    }
}

#[test]
fn waiting_and_notifying_need_the_lock_held_by_the_same_thread() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (l, c) = pair(&mut world, a);
    let (code, text) = world.refused(a, wait_for(condition(c)));
    assert_eq!(code, Code::NotOwner);
    assert_eq!(text, r#"the condition "c" needs its lock held: the lock "l" is not held"#);
    assert_eq!(world.refused(a, notify(c, 1)).0, Code::NotOwner);
    world.acquire(a, lock(l));
    let (code, text) = world.refused(b, notify_all(c));
    assert_eq!(code, Code::NotOwner);
    assert!(text.ends_with(r#"the lock "l" is held by process 100 (a), thread 1"#), "{text}");
    assert_eq!(world.refused(b, wait_for(condition(c))).0, Code::NotOwner);
    assert_eq!(world.refused(a, on_thread(2, notify(c, 1))).0, Code::NotOwner);
    assert_eq!(world.refused(a, on_thread(2, wait_for(condition(c)))).0, Code::NotOwner);
    world.release(a, l);
}

#[test]
fn a_wait_that_times_out_holds_the_lock_again() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (l, c) = pair(&mut world, a);
    let waiting = wait_holding(&mut world, a, l, wait_at_most(SECOND, condition(c)));
    world.pass(SECOND);
    let Some(Reply::TimedOut { reacquired: Some(grant) }) = world.answer(a, waiting) else {
        panic!("it holds the lock");
    };
    world.done(a, release_holding(l, grant.holding));
    // While another thread holds the lock, the answer waits for the lock.
    let waiting = wait_holding(&mut world, a, l, wait_at_most(SECOND, condition(c)));
    world.acquire(b, lock(l));
    world.pass(5 * SECOND);
    world.silent();
    assert!(!world.has_deadline());
    assert_eq!(world.count(b, notify(c, 1)), 0, "a wait that timed out is not woken any more");
    world.release(b, l);
    assert!(matches!(world.answer(a, waiting), Some(Reply::TimedOut { reacquired: Some(_) })));
}

#[test]
fn a_wait_of_no_time_lets_others_have_the_lock_and_then_times_out() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (l, c) = pair(&mut world, a);
    world.acquire(a, lock(l));
    let other = world.block(b, wait_for(lock(l)));
    let waiting = world.send(a, wait_at_most(NO_TIME, condition(c)));
    assert_eq!(world.granted(), [other]);
    world.pass(NO_TIME);
    world.silent();
    world.release(b, l);
    assert!(matches!(world.answer(a, waiting), Some(Reply::TimedOut { reacquired: Some(_) })));
}

#[test]
fn a_notification_beats_a_deadline_that_comes_while_the_lock_is_not_free() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (l, c) = pair(&mut world, a);
    let waiting = wait_holding(&mut world, a, l, wait_at_most(SECOND, condition(c)));
    world.acquire(b, lock(l));
    world.count(b, notify(c, 1));
    world.pass(2 * SECOND);
    world.release(b, l);
    world.notified(a, waiting);
}

#[test]
fn a_reentrant_lock_is_given_up_whole_and_held_again_as_often_as_before() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let r = world.open(a, None, Spec::RLock);
    let c = world.open(a, None, over(r));
    for _ in 0..3 {
        world.acquire(a, rlock(r));
    }
    let waiting = world.block(a, wait_for(condition(c)));
    world.acquire(b, rlock(r));
    world.count(b, notify(c, 1));
    world.release(b, r);
    assert_eq!(world.notified(a, waiting).depth, 3);
    for _ in 0..3 {
        world.release(a, r);
    }
    assert_eq!(world.refused(a, release(r)).0, Code::NotOwner);
}

#[test]
fn a_notification_whose_answer_the_dead_never_read_goes_to_the_next() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    wait_holding(&mut world, a, l, wait_for(condition(c)));
    let next = wait_holding(&mut world, b, l, wait_for(condition(c)));
    world.acquire(d, lock(l));
    assert_eq!(world.count(d, notify(c, 1)), 1);
    world.release(d, l);
    // The answer to `a` is on its way, and never read.
    world.kill(a);
    let grant = world.notified(b, next);
    assert_eq!(grant.abandoned.map(|abandoned| abandoned.process), Some(100), "with the lock it was given");
}

#[test]
fn a_notification_to_one_that_dies_while_it_waits_for_the_lock_goes_to_the_next() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    wait_holding(&mut world, a, l, wait_for(condition(c)));
    let next = wait_holding(&mut world, b, l, wait_for(condition(c)));
    world.acquire(d, lock(l));
    assert_eq!(world.count(d, notify(c, 1)), 1);
    world.kill(a);
    world.silent();
    world.release(d, l);
    world.notified(b, next);
}

#[test]
fn a_notification_is_passed_on_to_another_process_and_not_to_another_thread_of_the_dead() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    for thread in 1..4 {
        world.send(a, on_thread(thread, wait_for(lock(l))));
        world.send(a, on_thread(thread, wait_for(condition(c))));
    }
    world.granted();
    let next = wait_holding(&mut world, b, l, wait_for(condition(c)));
    world.acquire(d, lock(l));
    assert_eq!(world.count(d, notify(c, 2)), 2);
    world.kill(a);
    world.release(d, l);
    world.notified(b, next);
}

#[test]
fn a_notification_that_was_received_is_not_passed_on() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    let woken = wait_holding(&mut world, a, l, wait_for(condition(c)));
    let next = wait_holding(&mut world, b, l, wait_for(condition(c)));
    world.acquire(d, lock(l));
    world.count(d, notify(c, 1));
    world.release(d, l);
    world.notified(a, woken);
    world.release(a, l);
    world.kill(a);
    assert_eq!(world.answer(b, next), None);
}

#[test]
fn a_notification_for_all_is_not_passed_on_to_later_waiters() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    wait_holding(&mut world, a, l, wait_for(condition(c)));
    world.acquire(d, lock(l));
    assert_eq!(world.count(d, notify_all(c)), 1);
    world.release(d, l);
    world.kill(a);
    let later = wait_holding_abandoned(&mut world, b, l, c);
    assert_eq!(world.answer(b, later), None);
}

/// Waits for a condition with its lock, which a dead process left behind.
fn wait_holding_abandoned(
    world: &mut World,
    session: SessionId,
    l: ObjectId,
    c: ObjectId,
) -> protocol::RequestId {
    assert!(world.acquire(session, lock(l)).abandoned.is_some());
    world.block(session, wait_for(condition(c)))
}

#[test]
fn the_dead_are_not_notified() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    wait_holding(&mut world, a, l, wait_for(condition(c)));
    let next = wait_holding(&mut world, b, l, wait_for(condition(c)));
    world.kill(a);
    world.acquire(d, lock(l));
    assert_eq!(world.count(d, notify(c, 1)), 1);
    world.release(d, l);
    world.notified(b, next);
}

#[test]
fn a_notified_waiter_learns_which_process_left_the_lock_behind() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("crash"));
    let (l, c) = pair(&mut world, a);
    let waiting = wait_holding(&mut world, a, l, wait_for(condition(c)));
    world.acquire(b, lock(l));
    world.count(b, notify(c, 1));
    world.kill(b);
    let abandoned = world.notified(a, waiting).abandoned.expect("left behind");
    assert_eq!(&*abandoned.program, "crash");
}

#[test]
fn a_wait_for_a_condition_or_an_event_holds_the_lock_again_whichever_comes() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (l, c) = pair(&mut world, a);
    let stop = world.event(a, "stop");
    let either = any(&[condition(c), event(stop)]);
    let waiting = wait_holding(&mut world, a, l, either.clone());
    world.acquire(b, lock(l));
    world.set(b, stop);
    assert_eq!(world.answer(a, waiting), None, "the lock is not free yet");
    assert_eq!(world.count(b, notify(c, 1)), 0, "it was decided by the event");
    world.release(b, l);
    let taken = world.taken(a, waiting);
    assert_eq!(taken.index, 1);
    assert!(taken.reacquired.is_some());
    // A target that is ready ends the wait before the lock is given up.
    let request = world.send(a, either);
    let taken = world.taken(a, request);
    assert_eq!((taken.index, taken.reacquired), (1, None));
    world.release(a, l);
}

#[test]
fn a_cancelled_wait_leaves_the_lock_given_up() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (l, c) = pair(&mut world, a);
    let waiting = wait_holding(&mut world, a, l, wait_for(condition(c)));
    world.done(a, Request::Cancel { request: waiting });
    assert_eq!(world.refusal(a, waiting).0, Code::Cancelled);
    world.acquire(b, lock(l));
    assert_eq!(world.count(b, notify(c, 1)), 0);
}

#[test]
fn a_waiter_that_is_cancelled_while_it_waits_for_the_lock_passes_its_notification_on() {
    let mut world = World::new();
    let (a, b, d) = (world.session("a"), world.session("b"), world.session("d"));
    let (l, c) = pair(&mut world, d);
    let woken = wait_holding(&mut world, a, l, wait_for(condition(c)));
    let next = wait_holding(&mut world, b, l, wait_for(condition(c)));
    world.acquire(d, lock(l));
    world.count(d, notify(c, 1));
    world.done(a, Request::Cancel { request: woken });
    assert_eq!(world.refusal(a, woken).0, Code::Cancelled);
    world.release(d, l);
    world.notified(b, next);
}

#[test]
fn signalling_another_lock_and_waiting_for_a_condition_is_one_step() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (l, c) = pair(&mut world, a);
    let outer = world.open(a, None, Spec::Lock);
    world.acquire(a, lock(outer));
    world.acquire(a, lock(l));
    let waiting = world.block(
        a,
        Request::SignalAndWait {
            signal: Signal::Release { id: outer, holding: None },
            mode: protocol::WaitMode::Any,
            targets: [condition(c)].into_iter().collect(),
            timeout_ns: None,
            thread: protocol::ThreadId(1),
        },
    );
    world.acquire(b, lock(outer));
    world.acquire(b, lock(l));
    world.count(b, notify(c, 1));
    world.release(b, l);
    world.notified(a, waiting);
}

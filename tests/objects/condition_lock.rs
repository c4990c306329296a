//! The lock of a condition: which one it is, and how waiters get it back.

use std::time::Duration;

use client::Condition;

use crate::objects::condition::{AT_ONCE, begin_wait, notified, start};
use crate::support::observation::until_waiting;
use crate::support::remote_client::{ClientReport, ConditionOrder, LockOrder};
use crate::support::{ManagerProgram, apply, eventually, test};

#[apply(test)]
fn a_wait_gives_up_a_reentrant_lock_whole() {
    let program = ManagerProgram::start();
    let (manager, [mut waiter]) = start(&program);
    let lock = manager.rlock("deep").unwrap();
    let condition = manager.condition_options().over_rlock(&lock).create_new("whole").unwrap();
    waiter.takes(LockOrder::AcquireAgain(lock.clone(), None));
    waiter.takes(LockOrder::AcquireAgain(lock.clone(), None));
    waiter.tell(ConditionOrder::Wait(condition.clone(), None));
    until_waiting(&manager, "whole", 1);
    let guard = lock.acquire().unwrap();
    assert_eq!((guard.depth(), condition.notify_one().unwrap()), (1, 1));
    drop(guard);
    assert_eq!(notified(&mut waiter).depth, 2);
    // Both guards release, even the outer one, which does not know the new token.
    waiter.does(LockOrder::Drop);
    assert!(lock.try_acquire().unwrap().is_none());
    waiter.does(LockOrder::Drop);
    eventually("it is free", || lock.try_acquire().unwrap().is_some());
}

#[apply(test)]
fn of_a_killed_holder_tells_the_woken_waiter() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut waiter]) = start(&program);
    let condition = manager.condition("held").unwrap();
    begin_wait(&manager, &mut waiter, &condition, "held", 1);
    holder.takes(ConditionOrder::Enter(condition.clone()));
    assert_eq!(holder.ask(ConditionOrder::Notify(condition.clone(), Some(1))), Ok(ClientReport::Count(1)));
    let victim = holder.kill();
    let (process, text) = notified(&mut waiter).abandoned.unwrap();
    assert!(process == victim && text.contains("signal 9 (SIGKILL)"), "{text}");
}

#[apply(test)]
fn a_waiter_learns_that_it_was_removed_and_does_not_get_the_lock() {
    let program = ManagerProgram::start();
    let (manager, [mut waiter, mut other]) = start(&program);
    let lock = manager.lock("base").unwrap();
    let over = || manager.condition_options().over_lock(&lock).create_new("short").unwrap();
    let condition = over();
    begin_wait(&manager, &mut waiter, &condition, "short", 1);
    condition.remove().unwrap();
    assert!(waiter.report().unwrap_err().is_removed());
    assert_eq!(waiter.ask(LockOrder::IsHeld), Ok(ClientReport::Flag(false)));
    let guard = lock.try_acquire().unwrap().expect("nobody holds it");
    waiter.does(LockOrder::Drop);
    assert_eq!(other.ask(LockOrder::Acquire(lock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    drop(guard);

    // A wait for a condition that was removed before is refused, and still releases the lock.
    let condition = over();
    other.takes(ConditionOrder::Enter(condition.clone()));
    other.tell(ConditionOrder::Wait(condition.clone(), Some(Duration::ZERO)));
    assert!(matches!(other.report(), Ok(ClientReport::TimedOut(_))));
    let mut guard = {
        other.does(LockOrder::Release);
        condition.acquire().unwrap()
    };
    condition.remove().unwrap();
    assert!(condition.wait(&mut guard, None).unwrap_err().is_no_such_object());
    assert!(!guard.is_held() && lock.try_acquire().unwrap().is_some());

    // The removal of a lock removes its conditions.
    let condition = over();
    begin_wait(&manager, &mut waiter, &condition, "short", 1);
    lock.remove().unwrap();
    assert!(waiter.report().unwrap_err().is_removed());
    assert!(condition.acquire().unwrap_err().is_no_such_object());
}

#[apply(test)]
fn over_a_given_lock_shares_it() {
    let program = ManagerProgram::start();
    let (manager, [mut producer, mut consumer]) = start(&program);
    let lock = manager.lock("shelf").unwrap();
    let [full, empty] =
        ["full", "empty"].map(|name| manager.condition_options().over_lock(&lock).create_new(name).unwrap());
    begin_wait(&manager, &mut consumer, &full, "full", 1);
    begin_wait(&manager, &mut producer, &empty, "empty", 1);
    let guard = lock.acquire().unwrap();
    assert!(empty.try_acquire().unwrap().is_none());
    assert_eq!((full.notify_one().unwrap(), full.notify_one().unwrap()), (1, 0));
    drop(guard);
    notified(&mut consumer);
    assert_eq!(consumer.ask(ConditionOrder::Notify(empty, None)), Ok(ClientReport::Count(1)));
    consumer.does(LockOrder::Drop);
    notified(&mut producer);
}

#[apply(test)]
fn is_opened_with_the_lock_that_it_has() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let plain = manager.condition_options().with_plain_lock().create_new("plain").unwrap();
    let error = manager.condition("plain").unwrap_err();
    assert!(error.is_wrong_parameters() && error.to_string().contains("plain"), "{error:?}");
    // A condition that is opened twice by name is one condition over one lock.
    let same = manager.condition_options().with_plain_lock().open("plain").unwrap();
    let guard = same.acquire().unwrap();
    assert!(plain.acquire().unwrap_err().is_deadlock(), "its lock is not reentrant");
    other.tell(ConditionOrder::Enter(plain.clone()));
    drop(guard);
    other.has_taken();
    assert!(same.try_acquire().unwrap().is_none());

    let reentrant = manager.condition("python").unwrap();
    let outer = reentrant.acquire().unwrap();
    assert_eq!((outer.depth(), reentrant.acquire().unwrap().depth()), (1, 2));
    let lock = manager.lock("given").unwrap();
    let over = manager.condition_options().over_lock(&lock).open_or_create("over").unwrap();
    let error =
        manager.condition_options().over_lock(&manager.anonymous_lock().unwrap()).open("over").unwrap_err();
    assert!(error.is_wrong_parameters(), "{error:?}");
    let guard = over.acquire().unwrap();
    assert!(lock.try_acquire().unwrap().is_none());
    drop(guard);
    let removed = manager.lock("removed").unwrap();
    removed.remove().unwrap();
    let error = manager.condition_options().over_lock(&removed).anonymous().unwrap_err();
    assert!(error.is_no_such_object(), "{error:?}");
}

#[apply(test)]
fn a_proxy_carries_its_lock() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    for condition in [
        manager.anonymous_condition().unwrap(),
        manager.condition_options().with_plain_lock().anonymous().unwrap(),
        manager.condition_options().over_lock(&manager.anonymous_lock().unwrap()).anonymous().unwrap(),
    ] {
        let bytes = postcard::to_allocvec(&condition).unwrap();
        let arrived: Condition = postcard::from_bytes(&bytes).unwrap();
        drop(condition);
        let mut guard = arrived.acquire().unwrap();
        assert!(!arrived.wait(&mut guard, Duration::ZERO).unwrap());
        assert_eq!(arrived.notify_all().unwrap(), 0);
        drop((arrived, guard));
        assert!(postcard::from_bytes::<Condition>(&bytes).is_err(), "nobody is left");
    }
}

//! Conditions across processes: a waiter is notified once, in order, and holds the lock when it goes on.

use std::thread;
use std::time::{Duration, Instant};

use client::{Condition, Manager, WokenBy};
use rustix::process::Signal;

use crate::support::observation::{inspect, until_waiting};
use crate::support::remote_client::{ClientReport, ConditionOrder, HeldGrant, LockOrder, RemoteClient};
use crate::support::{ManagerProgram, PATIENCE, apply, eventually, test};

/// How often two processes take turns.
const ROUNDS: u32 = 1_000;

/// The timeout of a caller that does not wait.
pub(crate) const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

pub(crate) fn start<const N: usize>(program: &ManagerProgram) -> (Manager, [RemoteClient; N]) {
    (program.connect(), [(); N].map(|()| RemoteClient::start(program)))
}

/// Has a client wait; when this returns, it is the last of `count` waiters.
pub(crate) fn begin_wait(
    manager: &Manager,
    client: &mut RemoteClient,
    condition: &Condition,
    name: &str,
    count: u32,
) -> HeldGrant {
    let held = client.takes(ConditionOrder::Enter(condition.clone()));
    client.tell(ConditionOrder::Wait(condition.clone(), None));
    until_waiting(manager, name, count);
    held
}

pub(crate) fn notified(client: &mut RemoteClient) -> HeldGrant {
    match client.report() {
        Ok(ClientReport::Notified(held)) => held,
        report => panic!("it was to be notified: {report:?}"),
    }
}

#[apply(test)]
fn notifications_go_to_the_longest_waiters() {
    let program = ManagerProgram::start();
    let (manager, mut clients) = start::<5>(&program);
    let condition = manager.condition("news").unwrap();
    let mut tokens = Vec::new();
    for (client, count) in clients.iter_mut().zip(1..) {
        tokens.push(begin_wait(&manager, client, &condition, "news", count).token);
    }
    let guard = condition.acquire().unwrap();
    assert_eq!(condition.notify_one().unwrap(), 1);
    assert_eq!(condition.notify(2).unwrap(), 2);
    assert_eq!(inspect(&manager, "news").waiting, 2);
    // They go on one after the other, each when the one before has released the lock.
    drop(guard);
    for (client, token) in clients.iter_mut().zip(tokens).take(3) {
        let held = notified(client);
        assert!(held.token > token && held.depth == 1 && held.abandoned.is_none());
        assert!(condition.try_acquire().unwrap().is_none());
        client.does(LockOrder::Drop);
    }
    assert_eq!(inspect(&manager, "news").waiting, 2, "nobody was woken without need");

    let guard = condition.acquire().unwrap();
    assert_eq!(condition.notify(usize::MAX).unwrap(), 2);
    assert_eq!(condition.notify_all().unwrap(), 0, "all of them were notified before");
    guard.release().unwrap();
    for client in &mut clients[3..] {
        notified(client);
        client.does(LockOrder::Release);
    }
}

#[apply(test)]
fn needs_its_lock_to_notify_and_to_wait() {
    let program = ManagerProgram::start();
    let (manager, [mut holder]) = start(&program);
    let condition = manager.condition("theirs").unwrap();
    for notify in [Condition::notify_one, Condition::notify_all] {
        let error = notify(&condition).unwrap_err();
        assert!(error.is_not_owner() && error.to_string().contains("theirs"), "{error:?}");
    }
    holder.takes(ConditionOrder::Enter(condition.clone()));
    let error = condition.notify_one().unwrap_err();
    assert!(error.is_not_owner() && error.to_string().contains(&holder.process().to_string()), "{error:?}");

    // A guard of another lock is refused before anything is sent, and stays as it is.
    let lock = manager.lock("another").unwrap();
    let mut guard = lock.acquire().unwrap();
    let error = condition.wait(&mut guard, None).unwrap_err();
    assert!(error.is_not_owner() && error.to_string().contains("this guard holds"), "{error:?}");
    assert!(guard.is_held() && lock.try_acquire().unwrap().is_none());
    assert!(condition.wait_for(&mut guard, None, || panic!("it is not asked")).unwrap_err().is_not_owner());

    // So is a guard of another thread.
    holder.does(LockOrder::Drop);
    let mut guard = condition.acquire().unwrap();
    let other = condition.clone();
    let error = thread::spawn(move || other.wait(&mut guard, None)).join().unwrap().unwrap_err();
    assert!(error.is_not_owner() && error.to_string().contains("thread"), "{error:?}");
    assert!(condition.try_acquire().unwrap().is_some(), "the thread has dropped the guard");
}

#[apply(test)]
fn a_wait_that_times_out_holds_the_lock_again() {
    let program = ManagerProgram::start();
    let (manager, [mut waiter, mut other]) = start(&program);
    let lock = manager.rlock("base").unwrap();
    let condition = manager.condition_options().over_rlock(&lock).create_new("never").unwrap();
    let timeout = Duration::from_millis(60);
    let before = waiter.takes(ConditionOrder::Enter(condition.clone()));
    let started = Instant::now();
    let report = waiter.ask(ConditionOrder::Wait(condition.clone(), Some(timeout)));
    let Ok(ClientReport::TimedOut(held)) = report else { panic!("{report:?}") };
    assert!(started.elapsed() >= timeout && held.token > before.token);

    // However long ago the timeout ended, the waiter gets the lock only when its holder releases it.
    waiter.tell(ConditionOrder::Wait(condition.clone(), Some(timeout)));
    other.takes(ConditionOrder::Enter(condition.clone()));
    eventually("the timeout is over", || inspect(&manager, "never").waiting == 0);
    other.does(LockOrder::Drop);
    assert!(matches!(waiter.report(), Ok(ClientReport::TimedOut(_))));
    // With a timeout of zero, those who wait for the lock get it in between.
    other.tell(ConditionOrder::Enter(condition.clone()));
    until_waiting(&manager, "base", 1);
    waiter.tell(ConditionOrder::Wait(condition, AT_ONCE));
    other.has_taken();
    other.does(LockOrder::Drop);
    assert!(matches!(waiter.report(), Ok(ClientReport::TimedOut(_))));
}

#[apply(test)]
fn wait_for_looks_at_first_and_at_last() {
    let program = ManagerProgram::start();
    let (manager, [mut waiter]) = start(&program);
    let (condition, ready) = (manager.condition("goods").unwrap(), manager.event("ready").unwrap());
    let order = |timeout| ConditionOrder::WaitFor(condition.clone(), ready.clone(), timeout);
    // If the predicate is true, nothing waits, and the waiter keeps the lock.
    ready.set().unwrap();
    let token = waiter.takes(ConditionOrder::Enter(condition.clone())).token;
    assert_eq!(waiter.ask(order(None)), Ok(ClientReport::Flag(true)));
    assert!(condition.try_acquire().unwrap().is_none());

    // If it becomes true without a notification, the last look finds it, even after a wait with a timeout of zero.
    let mut guard = {
        waiter.does(LockOrder::Drop);
        condition.acquire().unwrap()
    };
    assert!(guard.token() > token);
    let mut looks = 0;
    let mut at_second = || {
        looks += 1;
        Ok(looks == 2)
    };
    assert!(condition.wait_for(&mut guard, Duration::ZERO, &mut at_second).unwrap());
    assert!(!condition.wait_for(&mut guard, Duration::ZERO, || Ok(false)).unwrap());
    assert!(guard.is_held());
    drop(guard);

    // A notification before the predicate is true does not end the wait.
    ready.clear().unwrap();
    waiter.takes(ConditionOrder::Enter(condition.clone()));
    waiter.tell(order(None));
    for is_set in [false, true] {
        until_waiting(&manager, "goods", 1);
        let guard = condition.acquire().unwrap();
        if is_set {
            ready.set().unwrap();
        }
        assert_eq!(condition.notify_one().unwrap(), 1);
        drop(guard);
    }
    assert_eq!(waiter.report(), Ok(ClientReport::Flag(true)));
}

#[apply(test)]
fn wait_for_counts_all_its_waits_together() {
    let program = ManagerProgram::start();
    let (manager, [mut waiter]) = start(&program);
    let (condition, never) = (manager.condition("goods").unwrap(), manager.anonymous_event().unwrap());
    let timeout = Duration::from_millis(100);
    waiter.takes(ConditionOrder::Enter(condition.clone()));
    waiter.tell(ConditionOrder::WaitFor(condition.clone(), never.clone(), Some(timeout)));
    let started = Instant::now();
    // This ends when the waiter holds the lock for good, which it would not if each notification restarted the timeout.
    while let Some(guard) = condition.acquire_timeout(Duration::from_secs(1)).unwrap() {
        assert!(started.elapsed() < PATIENCE);
        condition.notify_all().unwrap();
        drop(guard);
    }
    assert_eq!(waiter.report(), Ok(ClientReport::Flag(false)));
    assert!(condition.try_acquire().unwrap().is_none(), "it holds the lock");
}

#[apply(test)]
fn wait_for_passes_on_the_error_of_its_predicate() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let condition = manager.anonymous_condition().unwrap();
    let state = manager.event("state").unwrap();
    state.remove().unwrap();
    let mut guard = condition.acquire().unwrap();
    let error = condition.wait_for(&mut guard, None, || state.is_set()).unwrap_err();
    assert!(error.is_no_such_object() && guard.is_held());
    assert_eq!(condition.notify_one().unwrap(), 0, "the lock is held");
}

#[apply(test)]
fn no_notification_is_lost_in_thousands_of_turns() {
    let program = ManagerProgram::start();
    let (manager, [mut one, mut other]) = start(&program);
    let condition = manager.anonymous_condition().unwrap();
    let [ping, pong] = [(); 2].map(|()| manager.anonymous_event().unwrap());
    ping.set().unwrap();
    for (client, mine, theirs) in [(&mut one, &ping, &pong), (&mut other, &pong, &ping)] {
        let (condition, mine, theirs) = (condition.clone(), mine.clone(), theirs.clone());
        client.tell(ConditionOrder::Rally { condition, mine, theirs, rounds: ROUNDS });
    }
    assert_eq!(one.report(), Ok(ClientReport::Done));
    assert_eq!(other.report(), Ok(ClientReport::Done));
    assert!(ping.is_set().unwrap() && !pong.is_set().unwrap());
}

#[apply(test)]
fn can_be_waited_for_together_with_others() {
    let program = ManagerProgram::start();
    let (manager, [mut waiter]) = start(&program);
    let (condition, stop) = (manager.condition("work").unwrap(), manager.event("stop").unwrap());
    let order = |timeout| ConditionOrder::WaitOr(condition.clone(), stop.clone(), timeout);
    waiter.takes(ConditionOrder::Enter(condition.clone()));
    assert!(matches!(waiter.ask(order(Some(Duration::from_millis(20)))), Ok(ClientReport::TimedOut(_))));
    waiter.tell(order(None));
    until_waiting(&manager, "work", 1);
    let guard = condition.acquire().unwrap();
    assert_eq!(condition.notify_one().unwrap(), 1);
    drop(guard);
    notified(&mut waiter);
    waiter.tell(order(None));
    until_waiting(&manager, "work", 1);
    stop.set().unwrap();
    assert_eq!(waiter.report(), Ok(ClientReport::Set));
    assert_eq!(inspect(&manager, "work").waiting, 0);
    assert!(condition.try_acquire().unwrap().is_none(), "it holds the lock again");
    waiter.does(LockOrder::Release);
}

#[apply(test)]
fn others_that_are_ready_are_taken_without_giving_up_the_lock() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let condition = manager.anonymous_condition().unwrap();
    let (never, stop) = (manager.anonymous_event().unwrap(), manager.anonymous_event().unwrap());
    let permits = manager.anonymous_semaphore(2).unwrap();
    let mut guard = condition.acquire().unwrap();
    let token = guard.token();
    let woken = condition.wait_or(&mut guard, &[&never, &permits.permits(2), &stop], None).unwrap();
    let WokenBy::Other(1, client::Taken::Permit(permit)) = woken else { panic!("{woken:?}") };
    assert_eq!((permit.permits(), guard.token()), (2, token));
    assert!(matches!(condition.wait_or(&mut guard, &[&never], Duration::ZERO).unwrap(), WokenBy::TimedOut));
    assert!(guard.token() > token);

    // A lock beside the condition is refused, and the guard holds nothing after that.
    let lock = manager.anonymous_lock().unwrap();
    assert!(condition.wait_or(&mut guard, &[&lock], None).unwrap_err().is_bad_target());
    assert!(!guard.is_held());
    assert!(condition.wait(&mut guard, None).unwrap_err().is_not_owner());
    let theirs = condition.clone();
    assert!(
        thread::spawn(move || theirs.try_acquire().map(|guard| guard.is_some())).join().unwrap().unwrap()
    );
}

#[apply(test)]
fn a_notification_on_its_way_to_a_killed_process_goes_to_the_next() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second]) = start(&program);
    let condition = manager.condition("way").unwrap();
    begin_wait(&manager, &mut first, &condition, "way", 1);
    begin_wait(&manager, &mut second, &condition, "way", 2);
    first.stop();
    let guard = condition.acquire().unwrap();
    assert_eq!(condition.notify_one().unwrap(), 1);
    guard.release().unwrap();
    // The first client holds the lock, and does not know it.
    assert!(condition.try_acquire().unwrap().is_none());
    let victim = first.kill();
    let held = notified(&mut second);
    assert_eq!(held.abandoned.unwrap().0, victim);
    second.does(LockOrder::Drop);

    // A notification for all does not pass to those who come later.
    let mut third = RemoteClient::start(&program);
    let mut fourth = RemoteClient::start(&program);
    begin_wait(&manager, &mut third, &condition, "way", 1);
    third.stop();
    let guard = condition.acquire().unwrap();
    assert_eq!(condition.notify_all().unwrap(), 1);
    drop(guard);
    fourth.tell(ConditionOrder::Enter(condition.clone()));
    third.kill();
    assert!(fourth.has_taken().abandoned.is_some());
    fourth.tell(ConditionOrder::Wait(condition.clone(), Some(Duration::from_millis(50))));
    assert!(matches!(fourth.report(), Ok(ClientReport::TimedOut(_))));
}

#[apply(test)]
fn a_killed_waiter_leaves_the_wait_queue() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second]) = start(&program);
    let condition = manager.condition("line").unwrap();
    begin_wait(&manager, &mut first, &condition, "line", 1);
    begin_wait(&manager, &mut second, &condition, "line", 2);
    first.kill();
    until_waiting(&manager, "line", 1);
    let guard = condition.acquire().unwrap();
    assert_eq!(guard.abandoned(), None, "a waiter holds nothing");
    assert_eq!(condition.notify(2).unwrap(), 1);
    drop(guard);
    notified(&mut second);
}

#[apply(test)]
fn a_waiter_learns_that_the_manager_was_killed() {
    let program = ManagerProgram::start();
    let (manager, [mut waiter]) = start(&program);
    let condition = manager.condition("gone").unwrap();
    begin_wait(&manager, &mut waiter, &condition, "gone", 1);
    program.running.signal(Signal::KILL);
    assert!(waiter.report().unwrap_err().is_manager_gone());
    assert_eq!(waiter.ask(LockOrder::IsHeld), Ok(ClientReport::Flag(false)));
    assert!(condition.notify_one().unwrap_err().is_manager_gone());
    waiter.does(LockOrder::Drop);
    waiter.end();
}

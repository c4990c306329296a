//! Guards of locks that were taken away or given up: they release nothing that the same thread has taken since.

use std::thread;
use std::time::Duration;

use client::Manager;

use crate::support::observation::until_waiting;
use crate::support::remote_client::{ClientReport, LockOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, test};

/// The timeout of a caller that does not wait.
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

fn start(program: &ManagerProgram) -> (Manager, [RemoteClient; 1]) {
    (program.connect(), [RemoteClient::start(program)])
}

#[apply(test)]
fn a_guard_gives_back_nothing_of_a_later_holding() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let (lock, rlock) = (manager.lock("l").unwrap(), manager.rlock("r").unwrap());
    // The same thread holds the lock again when it drops or uses the older guard.
    let stale = lock.acquire().unwrap();
    lock.force_release().unwrap();
    let held = lock.acquire().unwrap();
    drop(stale);
    assert_eq!(other.ask(LockOrder::Acquire(lock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    held.release().unwrap();
    let stale = rlock.acquire().unwrap();
    rlock.force_release().unwrap();
    let held = rlock.acquire().unwrap();
    assert!(stale.release().unwrap_err().is_not_owner());
    assert_eq!(other.ask(LockOrder::AcquireAgain(rlock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    held.release().unwrap();
    other.takes(LockOrder::AcquireAgain(rlock, AT_ONCE));
}

#[apply(test)]
fn a_condition_is_not_waited_for_with_a_guard_of_an_earlier_holding() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let lock = manager.lock("l").unwrap();
    let condition = manager.condition_options().over_lock(&lock).open_or_create("c").unwrap();
    let mut stale = lock.acquire().unwrap();
    lock.force_release().unwrap();
    let held = lock.acquire().unwrap();
    let error = condition.wait(&mut stale, None).unwrap_err();
    assert!(error.is_not_owner() && error.to_string().contains("was taken since"), "{error:?}");
    assert!(!stale.is_held());
    drop(stale);
    assert_eq!(other.ask(LockOrder::Acquire(lock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    held.release().unwrap();
}

#[apply(test)]
fn a_failed_wait_leaves_outer_guards_with_nothing() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let lock = manager.rlock("r").unwrap();
    let condition = manager.condition_options().over_rlock(&lock).open_or_create("c").unwrap();
    let first = lock.acquire().unwrap();
    let mut inner = lock.acquire().unwrap();
    // After a successful wait, the outer guard still releases its part of the new holding.
    assert!(!condition.wait(&mut inner, AT_ONCE).unwrap());
    assert!(inner.token() > first.token());
    inner.release().unwrap();
    assert_eq!(other.ask(LockOrder::AcquireAgain(lock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    first.release().unwrap();

    let outer = lock.acquire().unwrap();
    let mut inner = lock.acquire().unwrap();
    let waiting = condition.clone();
    let remover = thread::spawn(move || {
        until_waiting(&manager, "c", 1);
        waiting.remove().unwrap();
    });
    assert!(condition.wait(&mut inner, None).unwrap_err().is_removed());
    remover.join().unwrap();
    let held = lock.acquire().unwrap();
    assert_eq!(held.depth(), 1);
    drop((outer, inner));
    assert_eq!(other.ask(LockOrder::AcquireAgain(lock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    held.release().unwrap();
}

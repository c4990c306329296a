//! A manager that is suspended: a dropped guard does not wait for it, and the manager carries the release out when it
//! continues.

use std::time::{Duration, Instant};

use client::Manager;
use rustix::process::Signal;

use crate::support::observation::{holder, until_waiting};
use crate::support::remote_client::{ClientOrder, LockOrder, RemoteClient, SemaphoreOrder};
use crate::support::{ManagerProgram, PATIENCE, apply, eventually, state, test};

/// The timeout of a caller that does not wait.
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

/// Suspends the manager, so that it does nothing until it is continued.
fn stop(program: &ManagerProgram) {
    program.running.signal(Signal::STOP);
    let folder = format!("/proc/{}", program.running.process());
    eventually("it is stopped", || state(folder.as_ref()) == Some('T'));
}

/// Asserts that a client does all of this while the manager is suspended, and lets the manager continue.
fn does_meanwhile(
    program: &ManagerProgram,
    client: &mut RemoteClient,
    orders: impl IntoIterator<Item = impl Into<ClientOrder>>,
) {
    stop(program);
    let started = Instant::now();
    orders.into_iter().for_each(|order| client.does(order));
    assert!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());
    let folder = format!("/proc/{}", program.running.process());
    assert_eq!(state(folder.as_ref()), Some('T'), "the manager has not gone on by itself");
    program.running.signal(Signal::CONT);
}

fn start(program: &ManagerProgram) -> (Manager, RemoteClient, RemoteClient) {
    (program.connect(), RemoteClient::start(program), RemoteClient::start(program))
}

#[apply(test)]
fn a_dropped_guard_of_a_lock_does_not_wait() {
    let program = ManagerProgram::start();
    let (manager, mut holder, mut next) = start(&program);
    let lock = manager.lock("mine").unwrap();
    // Nobody wants the lock,
    holder.takes(LockOrder::Acquire(lock.clone(), None));
    does_meanwhile(&program, &mut holder, [LockOrder::Drop]);
    next.takes(LockOrder::Acquire(lock.clone(), AT_ONCE));
    next.does(LockOrder::Release);
    // or somebody waits for it.
    holder.takes(LockOrder::Acquire(lock.clone(), None));
    next.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "mine", 1);
    does_meanwhile(&program, &mut holder, [LockOrder::Drop]);
    assert_eq!(next.has_taken().abandoned, None);
    assert_eq!(self::holder(&manager, "mine").unwrap().process, next.process());
}

#[apply(test)]
fn a_dropped_guard_of_a_reentrant_lock_does_not_wait() {
    let program = ManagerProgram::start();
    let (manager, mut holder, mut next) = start(&program);
    let lock = manager.rlock("mine").unwrap();
    for _ in 0..3 {
        holder.takes(LockOrder::AcquireAgain(lock.clone(), None));
    }
    next.tell(LockOrder::AcquireAgain(lock.clone(), None));
    until_waiting(&manager, "mine", 1);
    does_meanwhile(&program, &mut holder, [LockOrder::Drop, LockOrder::Drop]);
    assert_eq!(self::holder(&manager, "mine").unwrap().process, holder.process(), "once is left");
    does_meanwhile(&program, &mut holder, [LockOrder::Drop]);
    let held = next.has_taken();
    assert_eq!((held.depth, held.abandoned), (1, None));
}

#[apply(test)]
fn dropped_permits_do_not_wait() {
    let program = ManagerProgram::start();
    let (manager, mut holder, mut next) = start(&program);
    let slots = manager.bounded_semaphore("slots", 3).unwrap();
    holder.takes(SemaphoreOrder::Take(slots.clone(), 1, None));
    holder.takes(SemaphoreOrder::Take(slots.clone(), 2, None));
    next.tell(SemaphoreOrder::Take(slots.clone(), 3, None));
    until_waiting(&manager, "slots", 1);
    does_meanwhile(&program, &mut holder, [SemaphoreOrder::Drop, SemaphoreOrder::Drop]);
    let held = next.has_taken();
    assert_eq!((held.depth, held.abandoned), (3, None));
    next.does(SemaphoreOrder::Release);
    assert_eq!(slots.available(), Ok(3));
}

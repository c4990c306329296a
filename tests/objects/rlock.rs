//! Reentrant locks across processes: which thread may acquire one again, deaths, removal and force.

use std::thread;
use std::time::{Duration, Instant};

use client::{Manager, RLock};
use rustix::process::Signal;

use crate::objects::abandoned_lock::assert_abandoned;
use crate::objects::lock::{self, AT_ONCE};
use crate::support::observation::{holder, inspect, until_waiting};
use crate::support::remote_client::{ClientReport, LockOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, kill, test};

/// The time within which everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

/// A lock of this name that the first client has acquired twice, and for which the others wait in order.
fn start<const N: usize>(program: &ManagerProgram, name: &str) -> (Manager, RLock, [RemoteClient; N]) {
    let manager = program.connect();
    let lock = manager.rlock(name).unwrap();
    let mut clients = [(); N].map(|()| RemoteClient::start(program));
    for _ in 0..2 {
        clients[0].takes(LockOrder::AcquireAgain(lock.clone(), None));
    }
    for (client, count) in clients[1..].iter_mut().zip(1..) {
        client.tell(LockOrder::AcquireAgain(lock.clone(), None));
        until_waiting(&manager, name, count);
    }
    (manager, lock, clients)
}

#[apply(test)]
fn a_killed_waiter_leaves_the_wait_queue() {
    let program = ManagerProgram::start();
    let (manager, _lock, [mut first, second, mut third]) = start(&program, "line");
    second.kill();
    until_waiting(&manager, "line", 1);
    first.does(LockOrder::Drop);
    assert_eq!(inspect(&manager, "line").waiting, 1, "its holder still holds it once");
    first.does(LockOrder::Drop);
    let held = third.has_taken();
    assert_eq!((held.depth, held.abandoned), (1, None));
}

#[apply(test)]
fn everybody_learns_that_the_manager_was_killed() {
    let program = ManagerProgram::start();
    let (_manager, lock, [mut holder, mut waiter, mut sleeper]) = start(&program, "gone");
    sleeper.stop();
    let started = Instant::now();
    program.running.signal(Signal::KILL);
    assert!(waiter.report().unwrap_err().is_manager_gone());
    assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    // There is nothing to release, and nothing hangs or panics.
    holder.does(LockOrder::Drop);
    assert!(holder.ask(LockOrder::Release).unwrap_err().is_manager_gone());
    holder.end();
    kill(sleeper.process(), Signal::CONT);
    assert!(sleeper.report().unwrap_err().is_manager_gone());
    for error in [lock.acquire().unwrap_err(), lock.release().unwrap_err(), lock.remove().unwrap_err()] {
        assert!(error.is_manager_gone(), "{error:?}");
    }
}

#[apply(test)]
fn a_waiter_learns_that_it_was_removed() {
    let program = ManagerProgram::start();
    let (manager, lock, [mut holder, mut waiter, mut last]) = start(&program, "short");
    lock.remove().unwrap();
    for client in [&mut waiter, &mut last] {
        let error = client.report().unwrap_err();
        assert!(error.is_removed() && error.to_string().contains("short"), "{error:?}");
    }
    assert!(holder.ask(LockOrder::Release).unwrap_err().is_no_such_object());
    assert!(lock.acquire().unwrap_err().is_no_such_object());
    // Its name is free, and the guard of the removed lock does not release the new one.
    let next = manager.rlock("short").unwrap();
    let guard = next.acquire().unwrap();
    holder.does(LockOrder::Drop);
    assert_eq!(self::holder(&manager, "short").unwrap().process, std::process::id());
    assert_eq!(guard.depth(), 1);
}

#[apply(test)]
fn can_be_taken_from_its_holder_by_force_however_deep() {
    let program = ManagerProgram::start();
    let (manager, lock, [mut stuck, mut next]) = start(&program, "stuck");
    let mut operator = RemoteClient::start(&program);
    operator.does(LockOrder::ForceReleaseAgain(lock.clone()));
    let held = next.has_taken();
    let (process, text) = held.abandoned.expect("its grant says so");
    assert!(process == stuck.process() && text.contains("was made to release it"), "{text}");
    assert_eq!((held.depth, holder(&manager, "stuck").unwrap().process), (1, next.process()));

    // The guards of the former holder release nothing, whether they wait for the answer or not.
    let error = stuck.ask(LockOrder::Release).unwrap_err();
    assert!(error.is_not_owner() && error.to_string().contains(&next.process().to_string()), "{error:?}");
    stuck.does(LockOrder::Drop);
    assert_eq!(
        stuck.ask(LockOrder::AcquireAgain(lock.clone(), Some(Duration::ZERO))),
        Ok(ClientReport::Held(None))
    );
    assert_eq!(holder(&manager, "stuck").unwrap().process, next.process());
    next.does(LockOrder::Release);
    operator.takes(LockOrder::AcquireAgain(lock.clone(), Some(Duration::ZERO)));
    operator.does(LockOrder::Release);
    let error = operator.ask(LockOrder::ForceReleaseAgain(lock)).unwrap_err();
    assert!(error.is_not_owner(), "nobody holds it: {error:?}");
}

#[apply(test)]
fn a_grant_on_its_way_to_a_killed_process_goes_to_the_next() {
    let program = ManagerProgram::start();
    let (manager, _lock, [mut first, second, mut third]) = start(&program, "way");
    second.stop();
    first.does(LockOrder::Release);
    first.does(LockOrder::Release);
    assert_eq!(holder(&manager, "way").unwrap().process, second.process());
    let victim = second.kill();
    let held = third.has_taken();
    assert_eq!((held.depth, held.abandoned.expect("its grant says so").0), (1, victim));
}

#[apply(test)]
fn is_acquired_again_by_its_thread_only() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut other]) = lock::start(&program);
    let lock = manager.rlock("again").unwrap();
    let first = holder.takes(LockOrder::AcquireAgain(lock.clone(), None));
    let second = holder.takes(LockOrder::AcquireAgain(lock.clone(), AT_ONCE));
    assert_eq!((first.depth, second.depth, second.token), (1, 2, first.token));
    assert_eq!(other.ask(LockOrder::AcquireAgain(lock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    other.tell(LockOrder::AcquireAgain(lock.clone(), None));
    until_waiting(&manager, "again", 1);
    // The holder does not join the wait queue.
    assert_eq!(holder.takes(LockOrder::AcquireAgain(lock.clone(), None)).depth, 3);
    holder.does(LockOrder::Drop);
    holder.does(LockOrder::Release);
    assert_eq!(inspect(&manager, "again").waiting, 1);
    holder.does(LockOrder::Drop);
    other.has_taken();
    other.does(LockOrder::Drop);

    let guard = lock.acquire().unwrap();
    let theirs = lock.clone();
    assert!(thread::spawn(move || theirs.try_acquire()).join().unwrap().unwrap().is_none());
    drop(guard);
}

#[apply(test)]
fn of_a_killed_holder_is_free_at_once() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut other]) = lock::start(&program);
    let lock = manager.rlock("deep").unwrap();
    for _ in 0..3 {
        holder.takes(LockOrder::AcquireAgain(lock.clone(), None));
    }
    other.tell(LockOrder::AcquireAgain(lock.clone(), None));
    until_waiting(&manager, "deep", 1);
    let victim = holder.kill();
    let held = other.has_taken();
    assert_abandoned(&held, victim);
    assert_eq!(held.depth, 1);
}

#[apply(test)]
fn a_guard_can_be_released_by_another_thread() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = lock::start(&program);
    let lock = manager.rlock("far").unwrap();
    let event = manager.anonymous_event().unwrap();
    event.set().unwrap();
    let [first, second, third] = [(); 3].map(|()| lock.acquire().unwrap());
    thread::spawn(move || drop(first)).join().unwrap();
    thread::spawn(move || second.release()).join().unwrap().unwrap();
    assert_eq!(other.ask(LockOrder::AcquireAgain(lock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    thread::spawn(move || third.release_and_wait(&event, None)).join().unwrap().unwrap().unwrap();
    other.takes(LockOrder::AcquireAgain(lock, AT_ONCE));
}

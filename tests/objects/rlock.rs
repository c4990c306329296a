//! Reentrant locks across processes: who may acquire one again, deaths, removal and force.

use std::thread;
use std::time::{Duration, Instant};

use client::{Manager, RLock};
use rustix::process::Signal;

use crate::objects::lock::{self, AT_ONCE, assert_told};
use crate::support::actor::{Actor, Order, Report, holder, inspect, until_waiting};
use crate::support::{ManagerProgram, apply, kill, test};

/// In what time everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

/// A lock of this name that the first of some actors has acquired twice, and for which the others wait in order.
fn start<const N: usize>(program: &ManagerProgram, name: &str) -> (Manager, RLock, [Actor; N]) {
    let manager = program.connect();
    let lock = manager.rlock(name).unwrap();
    let mut actors = [(); N].map(|()| Actor::start(program));
    for _ in 0..2 {
        actors[0].takes(Order::AcquireAgain(lock.clone(), None));
    }
    for (actor, count) in actors[1..].iter_mut().zip(1..) {
        actor.tell(Order::AcquireAgain(lock.clone(), None));
        until_waiting(&manager, name, count);
    }
    (manager, lock, actors)
}

#[apply(test)]
fn a_killed_waiter_leaves_the_line() {
    let program = ManagerProgram::start();
    let (manager, _lock, [mut first, second, mut third]) = start(&program, "line");
    second.kill();
    until_waiting(&manager, "line", 1);
    first.does(Order::Drop);
    assert_eq!(inspect(&manager, "line").waiting, 1, "it is held once more");
    first.does(Order::Drop);
    let held = third.has_taken();
    assert_eq!((held.depth, held.abandoned), (1, None));
}

#[apply(test)]
fn a_killed_manager_is_told_to_all() {
    let program = ManagerProgram::start();
    let (_manager, lock, [mut holder, mut waiter, mut sleeper]) = start(&program, "gone");
    sleeper.stop();
    let begun = Instant::now();
    program.running.signal(Signal::KILL);
    assert!(waiter.report().unwrap_err().is_manager_gone());
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
    // There is nothing to give back, and nothing hangs or panics.
    holder.does(Order::Drop);
    assert!(holder.ask(Order::Release).unwrap_err().is_manager_gone());
    holder.end();
    kill(sleeper.process(), Signal::CONT);
    assert!(sleeper.report().unwrap_err().is_manager_gone());
    for error in [lock.acquire().unwrap_err(), lock.release().unwrap_err(), lock.remove().unwrap_err()] {
        assert!(error.is_manager_gone(), "{error:?}");
    }
}

#[apply(test)]
fn a_removed_one_is_told_to_who_waits() {
    let program = ManagerProgram::start();
    let (manager, lock, [mut holder, mut waiter, mut last]) = start(&program, "short");
    lock.remove().unwrap();
    for actor in [&mut waiter, &mut last] {
        let error = actor.report().unwrap_err();
        assert!(error.is_removed() && error.to_string().contains("short"), "{error:?}");
    }
    assert!(holder.ask(Order::Release).unwrap_err().is_no_such_object());
    assert!(lock.acquire().unwrap_err().is_no_such_object());
    // Its name is free, and the guard of the old one gives back nothing of the new one.
    let next = manager.rlock("short").unwrap();
    let guard = next.acquire().unwrap();
    holder.does(Order::Drop);
    assert_eq!(self::holder(&manager, "short").unwrap().process, std::process::id());
    assert_eq!(guard.depth(), 1);
}

#[apply(test)]
fn can_be_taken_from_its_holder_by_force_however_deep() {
    let program = ManagerProgram::start();
    let (manager, lock, [mut stuck, mut next]) = start(&program, "stuck");
    let mut operator = Actor::start(&program);
    operator.does(Order::ForceReleaseAgain(lock.clone()));
    let held = next.has_taken();
    let (process, text) = held.abandoned.expect("it is told");
    assert!(process == stuck.process() && text.contains("was made to release it"), "{text}");
    assert_eq!((held.depth, holder(&manager, "stuck").unwrap().process), (1, next.process()));

    // None of what the holder had gives anything back, whether it waits for the answer or not.
    let error = stuck.ask(Order::Release).unwrap_err();
    assert!(error.is_not_owner() && error.to_string().contains(&next.process().to_string()), "{error:?}");
    stuck.does(Order::Drop);
    assert_eq!(stuck.ask(Order::AcquireAgain(lock.clone(), Some(Duration::ZERO))), Ok(Report::Held(None)));
    assert_eq!(holder(&manager, "stuck").unwrap().process, next.process());
    next.does(Order::Release);
    operator.takes(Order::AcquireAgain(lock.clone(), Some(Duration::ZERO)));
    operator.does(Order::Release);
    let error = operator.ask(Order::ForceReleaseAgain(lock)).unwrap_err();
    assert!(error.is_not_owner(), "nobody holds it: {error:?}");
}

#[apply(test)]
fn a_grant_on_its_way_to_who_is_killed_goes_to_the_next() {
    let program = ManagerProgram::start();
    let (manager, _lock, [mut first, second, mut third]) = start(&program, "way");
    second.stop();
    first.does(Order::Release);
    first.does(Order::Release);
    assert_eq!(holder(&manager, "way").unwrap().process, second.process());
    let victim = second.kill();
    let held = third.has_taken();
    assert_eq!((held.depth, held.abandoned.expect("it is told").0), (1, victim));
}

#[apply(test)]
fn is_acquired_again_by_its_thread_only() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut other]) = lock::start(&program);
    let lock = manager.rlock("again").unwrap();
    let first = holder.takes(Order::AcquireAgain(lock.clone(), None));
    let second = holder.takes(Order::AcquireAgain(lock.clone(), AT_ONCE));
    assert_eq!((first.depth, second.depth, second.token), (1, 2, first.token));
    assert_eq!(other.ask(Order::AcquireAgain(lock.clone(), AT_ONCE)), Ok(Report::Held(None)));
    other.tell(Order::AcquireAgain(lock.clone(), None));
    until_waiting(&manager, "again", 1);
    // The holder does not stand in the line.
    assert_eq!(holder.takes(Order::AcquireAgain(lock.clone(), None)).depth, 3);
    holder.does(Order::Drop);
    holder.does(Order::Release);
    assert_eq!(inspect(&manager, "again").waiting, 1);
    holder.does(Order::Drop);
    other.has_taken();
    other.does(Order::Drop);

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
        holder.takes(Order::AcquireAgain(lock.clone(), None));
    }
    other.tell(Order::AcquireAgain(lock.clone(), None));
    until_waiting(&manager, "deep", 1);
    let victim = holder.kill();
    let held = other.has_taken();
    assert_told(&held, victim);
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
    assert_eq!(other.ask(Order::AcquireAgain(lock.clone(), AT_ONCE)), Ok(Report::Held(None)));
    thread::spawn(move || third.release_and_wait(&event, None)).join().unwrap().unwrap().unwrap();
    other.takes(Order::AcquireAgain(lock, AT_ONCE));
}

//! Locks across processes: one holds, and the others wait in order.

use std::thread;
use std::time::{Duration, Instant};

use client::Manager;
use rustix::process::Signal;

use crate::support::observation::{holder, inspect, until_waiting};
use crate::support::remote_client::{ClientReport, LockOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, eventually, kill, test};

/// The timeout of a caller that does not wait.
pub(crate) const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

/// The time within which everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

pub(crate) fn start<const N: usize>(program: &ManagerProgram) -> (Manager, [RemoteClient; N]) {
    (program.connect(), [(); N].map(|()| RemoteClient::start(program)))
}

#[apply(test)]
fn is_held_by_one_process_and_given_to_the_others_in_order() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second, mut third]) = start(&program);
    let lock = manager.lock("turn").unwrap();
    first.takes(LockOrder::Acquire(lock.clone(), None));
    second.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "turn", 1);
    third.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "turn", 2);
    assert_eq!(holder(&manager, "turn").unwrap().process, first.process());

    first.does(LockOrder::Drop);
    assert_eq!(second.has_taken().abandoned, None);
    assert_eq!(holder(&manager, "turn").unwrap().process, second.process());
    assert_eq!(inspect(&manager, "turn").waiting, 1);
    second.does(LockOrder::Release);
    third.has_taken();
    third.does(LockOrder::Drop);
    assert!(lock.acquire().is_ok());
}

#[apply(test)]
fn guards_what_many_processes_change() {
    const ROUNDS: u32 = 500;
    let program = ManagerProgram::start();
    let (manager, mut clients) = start::<4>(&program);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("number").to_str().unwrap().to_owned();
    std::fs::write(&file, "0").unwrap();
    let lock = manager.anonymous_lock().unwrap();
    for client in &mut clients {
        client.tell(LockOrder::Count { lock: lock.clone(), file: file.clone(), rounds: ROUNDS });
    }
    for client in &mut clients {
        assert_eq!(client.report(), Ok(ClientReport::Done));
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), (4 * ROUNDS).to_string());
}

#[apply(test)]
fn is_not_granted_while_others_hold_it() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut other]) = start(&program);
    let lock = manager.lock("held").unwrap();
    holder.takes(LockOrder::Acquire(lock.clone(), AT_ONCE));
    assert_eq!(other.ask(LockOrder::Acquire(lock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    // The holder does not get the lock again either. With a timeout, that is no deadlock.
    let timeout = Duration::from_millis(50);
    for client in [&mut holder, &mut other] {
        let started = Instant::now();
        assert_eq!(client.ask(LockOrder::Acquire(lock.clone(), Some(timeout))), Ok(ClientReport::Held(None)));
        assert!(started.elapsed() >= timeout);
    }
    assert!(lock.try_acquire().unwrap().is_none());
    holder.does(LockOrder::Drop);
    assert!(lock.acquire_timeout(Duration::MAX).unwrap().is_some(), "centuries are fine");
}

#[apply(test)]
fn a_dropped_guard_gives_back_before_what_comes_next() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let lock = manager.lock("mine").unwrap();
    for _ in 0..200 {
        drop(lock.acquire().unwrap());
        assert!(lock.try_acquire().unwrap().is_some(), "the drop was carried out first");
    }
    let guard = lock.acquire().unwrap();
    guard.release().unwrap();
    other.takes(LockOrder::Acquire(lock.clone(), AT_ONCE));
    other.does(LockOrder::Release);
    assert!(lock.try_acquire().unwrap().is_some());
}

#[apply(test)]
fn a_guard_can_be_dropped_by_another_thread() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let lock = manager.lock("mine").unwrap();
    let guard = lock.acquire().unwrap();
    other.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "mine", 1);
    thread::spawn(move || drop(guard)).join().unwrap();
    other.has_taken();
    other.does(LockOrder::Drop);
    let guard = lock.acquire().unwrap();
    thread::spawn(move || guard.release()).join().unwrap().unwrap();
}

#[apply(test)]
fn a_guard_keeps_an_anonymous_lock() {
    let program = ManagerProgram::start();
    let (manager, [mut other]) = start(&program);
    let lock = manager.anonymous_lock().unwrap();
    let proxy = postcard::to_allocvec(&lock).unwrap();
    let guard = lock.acquire().unwrap();
    drop(lock);
    let lock = postcard::from_bytes::<client::Lock>(&proxy).unwrap();
    assert_eq!(other.ask(LockOrder::Acquire(lock.clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
    drop((lock, guard));
    assert!(postcard::from_bytes::<client::Lock>(&proxy).is_err(), "nobody is left");
}

#[apply(test)]
fn is_given_back_by_its_holder_only() {
    let program = ManagerProgram::start();
    let (manager, [mut holder]) = start(&program);
    let lock = manager.lock("theirs").unwrap();
    let error = lock.release().unwrap_err();
    assert!(error.is_not_owner() && error.to_string().contains("not held"), "{error}");
    holder.takes(LockOrder::Acquire(lock.clone(), None));
    let error = lock.release().unwrap_err();
    assert!(error.is_not_owner(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("theirs") && text.contains(&holder.process().to_string()), "{text}");
    assert!(lock.try_acquire().unwrap().is_none());
}

#[apply(test)]
fn everybody_learns_that_the_manager_was_killed() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut waiter, mut sleeper]) = start(&program);
    let lock = manager.lock("gone").unwrap();
    holder.takes(LockOrder::Acquire(lock.clone(), None));
    for (client, count) in [(&mut waiter, 1), (&mut sleeper, 2)] {
        client.tell(LockOrder::Acquire(lock.clone(), None));
        until_waiting(&manager, "gone", count);
    }
    sleeper.stop();
    let started = Instant::now();
    program.running.signal(Signal::KILL);
    assert!(waiter.report().unwrap_err().is_manager_gone());
    assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    // There is nothing to release, and nothing hangs or panics.
    holder.does(LockOrder::Drop);
    holder.end();
    kill(sleeper.process(), Signal::CONT);
    assert!(sleeper.report().unwrap_err().is_manager_gone());
    for error in [lock.acquire().unwrap_err(), lock.release().unwrap_err(), lock.remove().unwrap_err()] {
        assert!(error.is_manager_gone(), "{error:?}");
    }
}

#[apply(test)]
fn a_deadlock_of_two_processes_is_reported_with_its_cycle() {
    let program = ManagerProgram::start();
    let (manager, [mut one, mut other]) = start(&program);
    let [left, right] = ["left", "right"].map(|name| manager.lock(name).unwrap());
    one.takes(LockOrder::Acquire(left.clone(), None));
    other.takes(LockOrder::Acquire(right.clone(), None));
    one.tell(LockOrder::Acquire(right.clone(), None));
    until_waiting(&manager, "right", 1);
    let error = other.ask(LockOrder::Acquire(left.clone(), None)).unwrap_err();
    assert!(error.is_deadlock(), "{error:?}");
    let text = error.to_string();
    let [one_id, other_id] = [&one, &other].map(|client| format!("process {} ", client.process()));
    let cycle = ["never end", &other_id, "\"left\", held by", &one_id, "\"right\", held by", &other_id];
    let mut rest = text.as_str();
    for part in cycle {
        let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("no {part} in its place: {text}"));
        rest = after;
    }
    // With a timeout it may try. When it drops its lock, the other client goes on.
    assert_eq!(other.ask(LockOrder::Acquire(left, AT_ONCE)), Ok(ClientReport::Held(None)));
    other.does(LockOrder::Drop);
    one.has_taken();
}

#[apply(test)]
fn a_deadlock_with_oneself_is_reported() {
    let program = ManagerProgram::start();
    let lock = program.connect().lock("again").unwrap();
    let guard = lock.acquire().unwrap();
    let error = lock.acquire().unwrap_err();
    assert!(error.is_deadlock(), "{error:?}");
    let text = error.to_string();
    assert!(text.matches(&std::process::id().to_string()).count() == 2 && text.contains("again"), "{text}");
    // Another thread may wait, and gets the lock.
    let other = lock.clone();
    let waiting = thread::spawn(move || other.acquire().map(drop));
    drop(guard);
    waiting.join().unwrap().unwrap();
}

#[apply(test)]
fn can_be_acquired_unless_an_event_is_set() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut waiter]) = start(&program);
    let (lock, stop) = (manager.lock("work").unwrap(), manager.event("stop").unwrap());
    holder.takes(LockOrder::Acquire(lock.clone(), None));
    waiter.tell(LockOrder::AcquireUnless(lock.clone(), stop.clone()));
    until_waiting(&manager, "work", 1);
    stop.set().unwrap();
    assert_eq!(waiter.report(), Ok(ClientReport::Set));
    assert_eq!(inspect(&manager, "work").waiting, 0);

    stop.clear().unwrap();
    waiter.tell(LockOrder::AcquireUnless(lock.clone(), stop.clone()));
    until_waiting(&manager, "work", 1);
    holder.does(LockOrder::Drop);
    waiter.has_taken();
    waiter.does(LockOrder::Drop);
    // Both are ready, so the wait takes the first in the list.
    stop.set().unwrap();
    assert_eq!(waiter.ask(LockOrder::AcquireUnless(lock.clone(), stop)), Ok(ClientReport::Set));
    assert!(lock.try_acquire().unwrap().is_some());
}

#[apply(test)]
fn two_are_acquired_in_one_step() {
    let program = ManagerProgram::start();
    let (manager, [mut one, mut other, mut both]) = start(&program);
    let [left, right] = ["left", "right"].map(|name| manager.lock(name).unwrap());
    one.takes(LockOrder::Acquire(left.clone(), None));
    other.takes(LockOrder::Acquire(right.clone(), None));
    both.tell(LockOrder::AcquireAll(vec![left.clone(), right.clone()]));
    until_waiting(&manager, "left", 1);
    let victim = one.kill();
    // The wait for both has not taken the free lock yet, and holds up nobody.
    eventually("its death is known", || holder(&manager, "left").is_none());
    let guard = left.acquire().unwrap();
    assert_eq!(guard.abandoned().unwrap().process, victim);
    drop(guard);
    other.does(LockOrder::Drop);
    let Ok(ClientReport::All(held)) = both.report() else { panic!("it was to get both") };
    assert!(held.len() == 2 && held[0].token < held[1].token);
    assert!(left.try_acquire().unwrap().is_none() && right.try_acquire().unwrap().is_none());
    both.kill();
    assert!(left.acquire().unwrap().abandoned().is_some() && right.acquire().unwrap().abandoned().is_some());
}

#[apply(test)]
fn can_be_released_in_one_step_with_a_wait() {
    let program = ManagerProgram::start();
    let (manager, [mut first, mut second]) = start(&program);
    let (lock, done) = (manager.lock("step").unwrap(), manager.event("done").unwrap());
    first.takes(LockOrder::Acquire(lock.clone(), None));
    second.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "step", 1);
    first.tell(LockOrder::ReleaseAndWait(done.clone()));
    second.has_taken();
    until_waiting(&manager, "done", 1);
    done.set().unwrap();
    assert_eq!(first.report(), Ok(ClientReport::Set));

    // If the guard no longer holds the lock, it does not wait, either.
    lock.force_release().unwrap();
    let error = second.ask(LockOrder::ReleaseAndWait(done)).unwrap_err();
    assert!(error.is_not_owner(), "{error:?}");
    // The client refuses an object of another manager before it sends anything, and the guard then releases its lock.
    let other_manager = ManagerProgram::start();
    let foreign = other_manager.connect().anonymous_event().unwrap();
    let error = lock.acquire().unwrap().release_and_wait(&foreign, None).unwrap_err();
    assert!(error.is_bad_target(), "{error:?}");
    assert!(lock.try_acquire().unwrap().is_some());
}

#[apply(test)]
fn tokens_grow_from_holder_to_holder_and_life_to_life() {
    let mut program = ManagerProgram::start();
    let mut last = 0;
    for _ in 0..3 {
        let (manager, mut clients) = start::<2>(&program);
        for name in ["one", "other"] {
            let lock = manager.lock(name).unwrap();
            for client in &mut clients {
                let token = client.takes(LockOrder::Acquire(lock.clone(), None)).token;
                assert!(token > last, "{token} after {last}");
                last = token;
                client.does(LockOrder::Drop);
            }
        }
        program.restart();
    }
}

#[apply(test)]
fn can_be_taken_from_its_holder_by_force() {
    let program = ManagerProgram::start();
    let (manager, [mut stuck, mut next]) = start(&program);
    let lock = manager.lock("stuck").unwrap();
    assert!(lock.force_release().unwrap_err().is_not_owner());
    let token = stuck.takes(LockOrder::Acquire(lock.clone(), None)).token;
    next.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "stuck", 1);
    lock.force_release().unwrap();
    let held = next.has_taken();
    assert!(held.token > token);
    let (process, text) = held.abandoned.unwrap();
    assert!(process == stuck.process() && text.contains("was made to release it"), "{text}");
    let error = stuck.ask(LockOrder::Release).unwrap_err();
    assert!(error.is_not_owner() && error.to_string().contains(&next.process().to_string()), "{error:?}");

    // A guard that has lost its lock releases nothing, and clears no mark.
    next.tell(LockOrder::ForceRelease(lock.clone()));
    assert_eq!(next.report(), Ok(ClientReport::Done));
    next.does(LockOrder::Drop);
    assert_eq!(lock.acquire().unwrap().abandoned().unwrap().process, next.process());
}

#[apply(test)]
fn a_waiter_learns_that_it_was_removed() {
    let program = ManagerProgram::start();
    let (manager, [mut holder, mut waiter]) = start(&program);
    let lock = manager.lock("short").unwrap();
    holder.takes(LockOrder::Acquire(lock.clone(), None));
    waiter.tell(LockOrder::Acquire(lock.clone(), None));
    until_waiting(&manager, "short", 1);
    lock.remove().unwrap();
    assert!(waiter.report().unwrap_err().is_removed());
    assert!(holder.ask(LockOrder::Release).unwrap_err().is_no_such_object());
    assert!(lock.acquire().unwrap_err().is_no_such_object());
    assert!(manager.rlock("short").is_ok(), "its name is free");
    let error = manager.lock("short").unwrap_err();
    assert!(error.is_wrong_kind(), "{error:?}");
}

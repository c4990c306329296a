//! Locks that a dropped guard has released: the next taker gets each at once, and finds none abandoned.
//!
//! A client that has no more work sends nothing, so only its deferred releases show what it dropped last.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use client::{Event, Lock, Pool, Taken};

use crate::support::observation::holder;
use crate::support::remote_client::{ClientReport, LockOrder, RemoteClient};
use crate::support::{ManagerProgram, PATIENCE, apply, eventually, task_function, test};

/// The timeout of a caller that does not wait.
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

/// Has a client take a lock and drop it, and then do nothing more.
fn dropped(client: &mut RemoteClient, lock: &Lock) {
    client.takes(LockOrder::Acquire(lock.clone(), None));
    client.does(LockOrder::Drop);
}

#[apply(test)]
fn a_caller_that_only_looks_gets_a_dropped_lock_at_once() {
    let program = ManagerProgram::start();
    let (manager, mut client) = (program.connect(), RemoteClient::start(&program));
    let lock = manager.lock("lock").unwrap();
    for round in 0..200 {
        dropped(&mut client, &lock);
        let guard = lock.try_acquire().unwrap();
        assert!(guard.is_some_and(|guard| guard.abandoned().is_none()), "round {round}");
    }
}

#[apply(test)]
fn a_caller_that_waits_gets_a_dropped_lock_at_once() {
    let program = ManagerProgram::start();
    let mut clients = [(); 2].map(|()| RemoteClient::start(&program));
    let lock = program.connect().lock("lock").unwrap();
    let mut token = 0;
    for round in 0..200 {
        let client = &mut clients[round % 2];
        let held = client.takes(LockOrder::Acquire(lock.clone(), None));
        assert!(held.token > token && held.abandoned.is_none());
        token = held.token;
        client.does(LockOrder::Drop);
    }
}

#[apply(test)]
fn a_dropped_lock_is_shown_free() {
    let program = ManagerProgram::start();
    let (manager, mut client) = (program.connect(), RemoteClient::start(&program));
    let lock = manager.lock("lock").unwrap();
    client.takes(LockOrder::Acquire(lock.clone(), None));
    assert_eq!(holder(&manager, "lock").unwrap().process, client.process());
    client.does(LockOrder::Drop);
    assert_eq!(holder(&manager, "lock"), None);
}

#[apply(test)]
fn a_dropped_lock_is_not_abandoned_when_its_process_is_killed() {
    let program = ManagerProgram::start();
    let (manager, mut client) = (program.connect(), RemoteClient::start(&program));
    let [given_back, held] = ["given back", "held"].map(|name| manager.lock(name).unwrap());
    client.takes(LockOrder::Acquire(held.clone(), None));
    dropped(&mut client, &given_back);
    let process = client.kill();
    assert_eq!(given_back.acquire().unwrap().abandoned(), None);
    let guard = held.acquire().unwrap();
    assert_eq!(guard.abandoned().map(|left| left.process), Some(process));
}

#[apply(test)]
fn a_dropped_lock_cannot_be_taken_by_force() {
    let program = ManagerProgram::start();
    let (manager, mut client) = (program.connect(), RemoteClient::start(&program));
    let lock = manager.lock("lock").unwrap();
    dropped(&mut client, &lock);
    assert!(lock.force_release().unwrap_err().is_not_owner());
    dropped(&mut client, &lock);
    assert!(lock.release().unwrap_err().is_not_owner());
    assert_eq!(lock.acquire().unwrap().abandoned(), None);
}

#[apply(test)]
fn a_reentrant_lock_is_given_back_as_often_as_it_was_dropped() {
    let program = ManagerProgram::start();
    let (manager, mut client) = (program.connect(), RemoteClient::start(&program));
    let lock = manager.rlock("lock").unwrap();
    for _ in 0..50 {
        for depth in 1..=3 {
            assert_eq!(client.takes(LockOrder::AcquireAgain(lock.clone(), None)).depth, depth);
        }
        client.does(LockOrder::Drop);
        client.does(LockOrder::Drop);
        assert_eq!(holder(&manager, "lock").unwrap().depth, 1);
        assert!(lock.try_acquire().unwrap().is_none());
        client.does(LockOrder::Drop);
        assert!(lock.try_acquire().unwrap().is_some());
    }
}

#[apply(test)]
fn more_locks_than_there_are_entries_are_all_given_back() {
    const LOCKS: usize = 600;
    let program = ManagerProgram::start();
    let (manager, mut client) = (program.connect(), RemoteClient::start(&program));
    let locks: Vec<Lock> = (0..LOCKS).map(|_| manager.anonymous_lock().unwrap()).collect();
    for _ in 0..3 {
        let guards: Vec<_> = locks.iter().map(|lock| lock.acquire().unwrap()).collect();
        drop(guards);
        for lock in &locks {
            client.takes(LockOrder::Acquire(lock.clone(), AT_ONCE));
        }
        assert_eq!(client.ask(LockOrder::Acquire(locks[0].clone(), AT_ONCE)), Ok(ClientReport::Held(None)));
        (0..LOCKS).for_each(|_| client.does(LockOrder::Drop));
    }
}

#[apply(test)]
fn the_first_of_two_that_are_ready_is_taken() {
    let program = ManagerProgram::start();
    let (manager, mut client) = (program.connect(), RemoteClient::start(&program));
    let (lock, stop) = (manager.lock("lock").unwrap(), manager.event("stop").unwrap());
    stop.set().unwrap();
    dropped(&mut client, &lock);
    let taken = client::wait_any(&[&lock, &stop], None).unwrap().unwrap();
    assert_eq!(taken.0, 0, "{taken:?}");
}

/// Takes a lock and drops it again and again: by waiting for it, by only looking, or by waiting for one of two objects.
/// Returns how often it got the lock, and how often the lock was abandoned.
#[apply(task_function)]
fn hammer(lock: Lock, never: Event, rounds: u32, how: u32) -> client::Result<(u32, u32)> {
    let (mut had, mut abandoned) = (0, 0);
    for _ in 0..rounds {
        let guard = match how {
            0 => Some(lock.acquire()?),
            1 => lock.try_acquire()?,
            _ => match client::wait_any(&[&never, &lock], None)? {
                Some((1, Taken::Lock(guard))) => Some(guard),
                other => panic!("{other:?} is not the lock"),
            },
        };
        had += u32::from(guard.is_some());
        abandoned += u32::from(guard.is_some_and(|guard| guard.abandoned().is_some()));
    }
    Ok((had, abandoned))
}

#[apply(test)]
fn processes_that_hammer_a_lock_all_get_on_and_find_nothing_abandoned() {
    const ROUNDS: u32 = 2000;
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::new(&manager, 4).unwrap();
    let (lock, never) = (manager.anonymous_lock().unwrap(), manager.anonymous_event().unwrap());
    let ways = [0, 0, 1, 2].map(|how| (lock.clone(), never.clone(), ROUNDS, how));
    let result = pool.batch(hammer).starmap_async(ways).unwrap();
    let counts: Vec<(u32, u32)> =
        result.get(None).unwrap().into_iter().collect::<client::Result<_>>().unwrap();
    assert!(counts.iter().all(|(_, abandoned)| *abandoned == 0), "{counts:?}");
    for waited in [0, 1, 3] {
        assert_eq!(counts[waited].0, ROUNDS);
    }
    assert!(lock.try_acquire().unwrap().is_some());
}

/// Takes a lock, drops it, and sends the manager nothing more until a file exists.
#[apply(task_function)]
fn hold_and_go_on(lock: Lock, dropped: String, ends: String) -> client::Result<()> {
    drop(lock.acquire()?);
    drop(lock);
    File::create(dropped).unwrap();
    eventually("it may end", || Path::new(&ends).exists());
    Ok(())
}

#[apply(test)]
fn a_task_that_goes_on_after_it_dropped_a_lock_keeps_it_from_nobody() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::new(&manager, 1).unwrap();
    let lock = manager.lock("lock").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (dropped, ends) = (path("dropped"), path("ends"));
    let result = pool.apply_async(hold_and_go_on, (lock.clone(), dropped.clone(), ends.clone())).unwrap();
    eventually("the task has dropped the lock", || Path::new(&dropped).exists());
    let guard = lock.acquire_timeout(PATIENCE / 2).unwrap().expect("nobody holds it");
    assert_eq!(guard.abandoned(), None);
    File::create(ends).unwrap();
    result.get(None).unwrap().unwrap();
}

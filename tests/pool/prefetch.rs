//! Prefetched tasks: a death still costs only one task, nothing begins twice, and no task waits long behind another.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{Event, Manager, Pool};
use rustix::process::{Signal, getpid, kill_process};

use crate::pool::task::add;
use crate::pool::worker_options::{kill_one, seed};
use crate::support::{PATIENCE, apply, eventually, task_function, test};

/// Leaves a mark if its batch was stopped before it began.
#[apply(task_function)]
fn note_stop(folder: String, number: u32) {
    if client::task::stop_requested() {
        mark(folder, number);
    }
}

#[apply(test)]
fn of_a_stopped_batch_nothing_begins_any_more() {
    const WORKERS: usize = 2;
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, WORKERS).unwrap();
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let calls = (0..50_000).map(|number| (path.to_owned(), number));
        let result = pool.batch(note_stop).chunk_size(1).starmap_async(calls).unwrap();
        eventually("tasks are prefetched", || result.progress().unwrap().done > 1000);
        result.stop(PATIENCE).unwrap();
        // Each worker may have looked just before the stop, and then begun one task, but no more.
        assert!(begun(folder.path()) <= WORKERS, "{} have begun", begun(folder.path()));
    }
}

/// Leaves a mark that this task has begun; fails if there is one.
#[apply(task_function)]
fn mark(folder: String, number: u32) -> u32 {
    File::create_new(Path::new(&folder).join(number.to_string())).expect("it begins for the first time");
    std::process::id()
}

/// Leaves a mark, and kills its process at the last of every `every` numbers.
#[apply(task_function)]
fn trip(folder: String, number: u32, every: u32) {
    mark(folder, number);
    if number % every == every - 1 {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
}

/// At the number `at`, waits until the task of the next number runs. Returns whether it did.
#[apply(task_function)]
fn pass_on(number: u32, at: u32, reached: Event) -> bool {
    match number.checked_sub(at) {
        Some(0) => reached.wait(PATIENCE).unwrap().is_some(),
        Some(1) => reached.set().is_ok(),
        _ => true,
    }
}

fn begun(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[apply(test)]
fn each_death_costs_one_task_and_nothing_begins_twice() {
    let (folder, manager) = (tempfile::tempdir().unwrap(), Manager::start().unwrap());
    let pool = Pool::new(&manager, 2).unwrap();
    let (tasks, every) = (2000, 100);
    let path = folder.path().to_str().unwrap().to_owned();
    let calls = (0..tasks).map(|number| (path.clone(), number, every));
    let outcomes = pool.batch(trip).chunk_size(1).starmap_async(calls).unwrap().outcomes().unwrap();
    for (number, outcome) in (0..).zip(&outcomes) {
        match outcome {
            Ok(()) => assert_ne!(number % every, every - 1),
            Err(error) => assert!(error.is_worker_died() && number % every == every - 1, "{number}: {error}"),
        }
    }
    assert_eq!((outcomes.len(), begun(folder.path())), (tasks as usize, tasks as usize));
}

#[apply(test)]
fn every_task_is_accounted_for_while_workers_are_killed_at_random() {
    const KILLS: usize = 100;
    let seed = seed();
    let (folder, manager) = (tempfile::tempdir().unwrap(), Manager::start().unwrap());
    let pool = Pool::new(&manager, 4).unwrap();
    eventually("all are ready", || pool.process_ids().len() == 4);
    let path = folder.path().to_str().unwrap().to_owned();
    // The input goes on until all workers that are to die have been killed.
    let all_killed = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&all_killed);
    let calls =
        (0..).take_while(move |_| !is_over.load(Ordering::Relaxed)).map(move |number| (path.clone(), number));
    let outcomes = pool.batch(mark).chunk_size(1).window(2000).istarmap(calls).unwrap();

    let over = AtomicBool::new(false);
    let (mut total, mut failed) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut random, begun) = (seed, Instant::now());
            for _ in 0..KILLS {
                kill_one(&pool, &mut random, &over);
                assert!(begun.elapsed() < 3 * PATIENCE, "it takes too long, seed {seed}");
                thread::sleep(Duration::from_micros(random % 8_000));
            }
            all_killed.store(true, Ordering::Relaxed);
        });
        for outcome in outcomes {
            match outcome {
                Ok(_) => assert!(folder.path().join(total.to_string()).exists(), "{total} has not begun"),
                // A task that begins twice would panic.
                Err(error) => {
                    assert!(error.is_worker_died() && error.to_string().contains("SIGKILL"), "{error:?}");
                    failed += 1;
                }
            }
            total += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(all_killed.load(Ordering::Relaxed), "the batch ended before the kills did");
    assert!(failed > 0 && failed <= KILLS, "{failed} failed, seed {seed}");
    // A task whose worker was killed may have left no mark.
    let begun = begun(folder.path());
    assert!(
        begun <= total && begun >= total - failed,
        "{begun} of {total} begun, {failed} failed, seed {seed}"
    );
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn what_waits_behind_a_long_task_goes_to_another_worker() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    eventually("both are ready", || pool.process_ids().len() == 2);
    for at in 500..508 {
        let reached = manager.anonymous_event().unwrap();
        let calls = (0..1000).map(|number| (number, at, reached.clone()));
        let passed = pool.batch(pass_on).chunk_size(1).starmap(calls).unwrap();
        assert!(passed.into_iter().all(|passed| passed), "{at} waited in vain");
    }
}

#[apply(test)]
fn a_small_batch_is_not_stuck_behind_short_tasks_that_turned_long() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    eventually("both are ready", || pool.process_ids().len() == 2);
    let reached = manager.anonymous_event().unwrap();
    let calls = (0..1000).map(|number| (number, 500, reached.clone()));
    let without_the_setter = calls.filter(|(number, ..)| *number != 501);
    let large = pool.batch(pass_on).chunk_size(1).starmap_async(without_the_setter).unwrap();
    let began = Instant::now();
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
    assert!(began.elapsed() < PATIENCE / 2);
    reached.set().unwrap();
    assert!(large.get(None).unwrap().into_iter().all(|passed| passed));
}

#[apply(test)]
fn what_was_cancelled_has_not_begun() {
    let (folder, manager) = (tempfile::tempdir().unwrap(), Manager::start().unwrap());
    let pool = Pool::new(&manager, 2).unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let calls = (0..20_000).map(|number| (path.clone(), number));
    let result = pool.batch(mark).chunk_size(1).starmap_async(calls).unwrap();
    eventually("some have begun", || begun(folder.path()) > 100);
    result.cancel().unwrap();
    let outcomes = result.outcomes().unwrap();
    let returned = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(outcomes.into_iter().filter_map(Result::err).all(|error| error.is_cancelled()));
    assert_eq!(begun(folder.path()), returned);
    assert!((100..20_000).contains(&returned), "{returned} returned");
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn workers_that_retire_begin_as_many_as_they_are_to() {
    let (folder, manager) = (tempfile::tempdir().unwrap(), Manager::start().unwrap());
    let pool = Pool::builder(&manager).processes(2).max_tasks_per_child(30).start().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let calls = (0..1000).map(|number| (path.clone(), number));
    let mut processes = pool.batch(mark).chunk_size(1).starmap(calls).unwrap();
    processes.sort_unstable();
    let counts: Vec<usize> = processes.chunk_by(|one, other| one == other).map(<[u32]>::len).collect();
    assert!(counts.len() >= 1000 / 30 && counts.iter().all(|count| *count <= 30), "{counts:?}");
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

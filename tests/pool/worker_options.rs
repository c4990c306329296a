//! The options for a pool's workers, and workers that cannot start or do not last.

use std::collections::BTreeMap;
use std::env;
use std::process::{Stdio, exit};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use client::{Event, Manager, Pool, PoolBuilder, Result, task};
use rustix::process::{Pid, Signal, kill_process};

use crate::pool::broken_programs::{BREAK, BROKEN, BROKEN_WORDS, start_broken};
use crate::pool::task::{add, process};
use crate::support::helper;
use crate::support::{PATIENCE, apply, eventually, is_alive, kill, task_function, test};

/// The argument of this process's initializer.
static GREETING: OnceLock<String> = OnceLock::new();

/// How often the initializer was called.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// The event that the initializer was given.
static EVENT: Mutex<Option<Event>> = Mutex::new(None);

#[apply(task_function)]
fn greet(text: String) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    GREETING.set(text).unwrap();
}

/// The process, how often its initializer was called, and with what.
#[apply(task_function)]
fn greeting() -> (u32, u32, String) {
    (process(), CALLS.load(Ordering::Relaxed), GREETING.get().cloned().unwrap_or_default())
}

#[apply(task_function)]
fn keep_event(event: Event) -> Result<()> {
    assert!(!task::stop_requested(), "an initializer is not a task");
    event.set()?;
    *EVENT.lock().unwrap() = Some(event);
    Ok(())
}

#[apply(task_function)]
fn kept_event_is_set() -> Result<bool> {
    EVENT.lock().unwrap().as_ref().expect("the initializer has run").is_set()
}

#[apply(task_function)]
fn measure(bytes: Vec<u8>) -> std::result::Result<(), String> {
    GREETING.set(bytes.len().to_string()).map_err(|_| "it was called twice".to_owned())
}

#[apply(task_function)]
fn fail_with_text(text: String) -> std::result::Result<(), String> {
    Err(text)
}

#[apply(task_function)]
fn fail_with_error() -> Result<()> {
    Manager::connect_to("/no/such/manager").map(drop)
}

#[apply(task_function)]
fn fail_with_panic() {
    panic!("the disk is full");
}

#[apply(task_function)]
fn fail_loudly() {
    for number in 0..2000 {
        eprintln!("line {number} of many");
    }
    eprintln!("and that was all");
    exit(3);
}

/// Allocates this many bytes, and uses them.
#[apply(task_function)]
fn allocate(bytes: usize) -> usize {
    let memory = vec![1_u8; bytes];
    memory.iter().step_by(4096).map(|&byte| usize::from(byte)).sum()
}

/// Takes some milliseconds, and at least until the event is set, if there is one.
#[apply(task_function)]
fn dawdle(number: u32, end: Option<Event>) -> u32 {
    thread::sleep(Duration::from_millis(5));
    if let Some(end) = end {
        end.wait(None).unwrap();
    }
    number
}

#[apply(test)]
fn an_initializer_runs_once_in_each_worker() {
    let manager = Manager::start().unwrap();
    let pool =
        Pool::builder(&manager).processes(2).initializer(greet, ("hello".to_owned(),)).start().unwrap();
    let mut processes = BTreeMap::new();
    let ask = |processes: &mut BTreeMap<u32, u32>| {
        // A killed worker may still be granted a task.
        for (process, calls, text) in pool.batch(greeting).retries(9).starmap(vec![(); 20]).unwrap() {
            assert_eq!((calls, text.as_str()), (1, "hello"));
            *processes.entry(process).or_default() += 1;
        }
    };
    ask(&mut processes);
    for &process in processes.keys() {
        kill(process, Signal::KILL);
    }
    let before = processes.len();
    ask(&mut processes);
    assert!(processes.len() > before, "a replacement calls it, too");
}

#[apply(test)]
fn an_initializer_keeps_what_it_was_given() {
    let manager = Manager::start().unwrap();
    let event = manager.anonymous_event().unwrap();
    // From here on, the pool has the only proxy.
    let pool = Pool::builder(&manager).processes(1).initializer(keep_event, (event,)).start().unwrap();
    for _ in 0..3 {
        assert!(pool.batch(kept_event_is_set).retries(9).apply(()).unwrap().unwrap());
        eventually("the worker is known", || pool.process_ids().len() == 1);
        let worker = pool.process_ids()[0];
        kill(worker, Signal::KILL);
        eventually("it is gone", || !pool.process_ids().contains(&worker));
    }
    assert!(pool.batch(kept_event_is_set).retries(9).apply(()).unwrap().unwrap());
}

#[apply(test)]
fn an_initializer_takes_large_arguments() {
    let manager = Manager::start().unwrap();
    let bytes = vec![7_u8; 20 << 20];
    let pool = Pool::builder(&manager).processes(2).initializer(measure, (bytes,)).start().unwrap();
    assert_eq!(pool.apply(greeting, ()).unwrap().2, (20 << 20).to_string());
}

/// The errors of a pool that cannot start: its task's, and that of the join.
fn fate(builder: PoolBuilder<'_>) -> (String, String) {
    let pool = builder.start().unwrap();
    let result = pool.apply_async(add, (2, 3));
    // The pool may have failed before the task was submitted.
    let task = match result.and_then(|result| result.get(PATIENCE)) {
        Err(error) if error.is_terminated() || error.is_closed() => error.to_string(),
        other => panic!("{other:?}"),
    };
    pool.close().unwrap();
    let error = pool.join().unwrap_err();
    assert!(error.is_terminated(), "{error:?}");
    (task, error.to_string())
}

#[apply(test)]
fn an_initializer_that_fails_is_reported() {
    let manager = Manager::start().unwrap();
    let builder = || Pool::builder(&manager).processes(2);
    for (builder, expected) in [
        (
            builder().initializer(fail_with_text, ("no licence".to_owned(),)),
            "fail_with_text` failed: no licence",
        ),
        (
            builder().initializer(fail_with_error, ()),
            "fail_with_error` failed: no manager is running at unix:/no/such",
        ),
        (
            builder().initializer(fail_with_panic, ()),
            "fail_with_panic` panicked: the disk is full (at tests/",
        ),
    ] {
        let (_, text) = fate(builder);
        assert!(text.contains("5 workers in a row") && text.contains(expected), "{text}");
    }
}

#[apply(test)]
fn an_initializer_that_prints_much_is_reported_with_its_last_lines() {
    let manager = Manager::start().unwrap();
    let (task, text) = fate(Pool::builder(&manager).processes(1).initializer(fail_loudly, ()));
    assert!(text.contains("exited with status 3") && text.contains("wrote: line 1"), "{text}");
    assert!(text.ends_with("line 1999 of many\nand that was all") && text.len() < 5000, "{text}");
    assert!(task.ends_with("line 1999 of many and that was all"), "{task}");
}

#[apply(test)]
fn workers_that_cannot_start_are_reported_with_their_output() {
    let mut owner = helper::command(start_broken);
    let output = owner.env(BREAK, "1").stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(&format!("exited with status {BROKEN}")), "{told}");
    assert!(told.contains(BROKEN_WORDS), "{told}");
    // Each worker's standard error has also reached the program's own.
    let passed_on = String::from_utf8(output.stderr).unwrap();
    assert!(passed_on.matches(BROKEN_WORDS).count() >= 5, "{passed_on}");
}

#[apply(test)]
fn a_worker_retires_after_its_tasks() {
    let manager = Manager::start().unwrap();
    let pool = Pool::builder(&manager).processes(1).max_tasks_per_child(3).start().unwrap();
    let processes = pool.batch(process).chunk_size(1).starmap(vec![(); 10]).unwrap();
    let mut counts = BTreeMap::<u32, u32>::new();
    for process in &processes {
        *counts.entry(*process).or_default() += 1;
    }
    let mut sizes: Vec<u32> = counts.into_values().collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 3, 3, 3], "{processes:?}");

    // Each call counts, also in a chunk. The last worker of before has two left.
    let processes = pool.batch(process).chunk_size(10).starmap(vec![(); 10]).unwrap();
    let runs: Vec<usize> = processes.chunk_by(|one, other| one == other).map(<[u32]>::len).collect();
    assert_eq!(runs, [2, 3, 3, 2], "{processes:?}");
}

#[apply(test)]
fn a_worker_can_retire_in_a_closed_pool() {
    let manager = Manager::start().unwrap();
    let pool = Pool::builder(&manager).processes(2).max_tasks_per_child(1).start().unwrap();
    let result = pool.batch(process).chunk_size(1).starmap_async(vec![(); 8]).unwrap();
    pool.close().unwrap();
    let mut processes = result.get(PATIENCE).unwrap();
    pool.join().unwrap();
    assert!(processes.iter().all(|&process| !is_alive(process)));
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 8);
}

#[apply(test)]
fn a_task_over_the_memory_limit_fails() {
    let manager = Manager::start().unwrap();
    let pool = Pool::builder(&manager).processes(1).memory_limit(1 << 30).start().unwrap();
    assert_eq!(pool.apply(allocate, (64 << 20,)).unwrap(), (64 << 20) / 4096);
    for _ in 0..2 {
        let error = pool.apply(allocate, (2 << 30,)).unwrap_err();
        assert!(error.is_worker_died() && error.to_string().contains("SIGABRT"), "{error:?}");
    }
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn too_little_memory_to_start_is_reported() {
    let manager = Manager::start().unwrap();
    let pool = Pool::builder(&manager).processes(1).memory_limit(1 << 20);
    let (_, text) = fate(pool.initializer(measure, (vec![1; 4 << 20],)));
    assert!(text.contains("memory allocation of"), "{text}");
}

#[apply(test)]
fn options_without_sense_are_refused() {
    let manager = Manager::start().unwrap();
    let builder = || Pool::builder(&manager).processes(1);
    for (builder, expected) in [
        (builder().processes(0), "at least one process"),
        (builder().max_tasks_per_child(0), "at least one task"),
        (builder().memory_limit(0), "some memory"),
    ] {
        let error = builder.start().unwrap_err();
        assert!(error.is_bad_argument() && error.to_string().contains(expected), "{error:?}");
    }
    fn unregistered() {}
    let error = builder().initializer(unregistered, ()).start().unwrap_err();
    assert!(error.is_unknown_function(), "{error:?}");
    let error = builder().initializer(|| (), ()).start().unwrap_err();
    assert!(error.is_unknown_function() && error.to_string().contains("closure"), "{error:?}");
}

/// How many tasks there are, and how many workers are killed.
const TASKS: u32 = 2_000;
const KILLS: usize = 200;

#[apply(test)]
fn every_task_is_accounted_for_while_workers_are_killed() {
    let seed = seed();
    let started = Instant::now();
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 4).unwrap();
    let all_killed = manager.anonymous_event().unwrap();
    // The last tasks wait, so that all kills happen while the batch runs.
    let end = all_killed.clone();
    let calls = (0..TASKS).map(move |number| (number, (number >= TASKS - 300).then(|| end.clone())));
    let result = pool.batch(dawdle).chunk_size(1).window(TASKS as usize).istarmap_unordered(calls).unwrap();

    let over = AtomicBool::new(false);
    let (returned, failed) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = seed;
            for _ in 0..KILLS {
                kill_one(&pool, &mut random, &over);
            }
            all_killed.set().unwrap();
        });
        let (mut returned, mut failed) = (Vec::new(), 0);
        for outcome in result {
            match outcome {
                Ok(number) => returned.push(number),
                Err(error) => {
                    assert!(error.is_worker_died() && error.to_string().contains("SIGKILL"), "{error:?}");
                    failed += 1;
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        (returned, failed)
    });
    assert!(all_killed.is_set().unwrap(), "the batch ended before the kills did");
    assert_eq!(returned.len() + failed, TASKS as usize, "seed {seed}");
    assert!(failed <= KILLS && failed > 0, "{failed} failed, seed {seed}");
    let mut numbers = returned;
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "a task ended twice, seed {seed}");
    assert!(started.elapsed() < Duration::from_secs(120), "it took {:?}", started.elapsed());
    eventually("there are four workers again", || pool.process_ids().len() == 4);
}

/// A seed that differs from run to run, or the one that `RALLYPOINT_SEED` names. It is printed.
///
/// It chooses the victims and the pauses between them. What else happens meanwhile is up to the processes.
pub(crate) fn seed() -> u64 {
    let seed = match env::var("RALLYPOINT_SEED") {
        Ok(text) => text.parse().expect("RALLYPOINT_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("RALLYPOINT_SEED={seed}");
    // The sequence below never leaves zero.
    seed | 1
}

/// Kills one of the workers, and waits until the pool knows that.
pub(crate) fn kill_one(pool: &Pool, random: &mut u64, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let processes = pool.process_ids();
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let Some(&victim) = processes.get(*random as usize % processes.len().max(1)) else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        if kill_process(Pid::from_raw(victim.cast_signed()).unwrap(), Signal::KILL).is_ok() {
            return eventually("its place is free", || !pool.process_ids().contains(&victim));
        }
    }
}

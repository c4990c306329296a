//! What a task learns while it runs: whether it is to stop, and how it waits for that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{Event, Manager, Pool, Result, Taken, task, wait_any};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::SIGTERM;

use crate::pool::task::process;
use crate::support::{PATIENCE, apply, eventually, kill, task_function, test};

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(1000);

/// Sets the event, and sleeps until it is stopped. Returns whether it slept to the end, and whether it was to stop.
#[apply(task_function)]
fn doze(running: Event) -> Result<(bool, bool)> {
    running.set()?;
    Ok((task::sleep(LONG), task::stop_requested()))
}

/// Sleeps for this many milliseconds. Returns whether it slept to the end, and how many it slept.
#[apply(task_function)]
fn nap(milliseconds: u64) -> (bool, u64) {
    let before = Instant::now();
    let is_whole = task::sleep(Duration::from_millis(milliseconds));
    (is_whole, before.elapsed().as_millis() as u64)
}

/// Asks all the time whether it is to stop. Returns the reason.
#[apply(task_function)]
fn spin(running: Event) -> Result<Option<String>> {
    assert_eq!(task::stop_cause()?, None);
    running.set()?;
    while !task::stop_requested() {}
    Ok(task::stop_cause()?.and_then(|cause| cause.reason).map(|reason| reason.to_string()))
}

/// Returns which event was set first: 0 for the stop event, 1 for the other.
#[apply(task_function)]
fn wait_for_either(running: Event, other: Event) -> Result<usize> {
    let stop = task::stop_event().expect("this is a task");
    running.set()?;
    let taken = wait_any(&[&stop, &other], None)?;
    let Some((position, Taken::Event(_))) = taken else { panic!("{taken:?}") };
    Ok(position)
}

#[apply(task_function)]
fn stop_oneself() -> Result<bool> {
    task::stop_event().expect("this is a task").set_because("I have had enough")?;
    Ok(task::sleep(LONG))
}

/// Sleeps in several threads. Returns how many of them slept to the end.
#[apply(task_function)]
fn spread(running: Event) -> Result<usize> {
    running.set()?;
    let threads: Vec<_> = (0..4).map(|_| thread::spawn(|| task::sleep(LONG))).collect();
    Ok(threads.into_iter().map(|thread| thread.join().unwrap()).filter(|is_whole| *is_whole).count())
}

/// Submits a task that sleeps to the same pool, and waits for it.
#[apply(task_function)]
fn start_another(socket: String, pool: String, running: Event) -> Result<(bool, bool)> {
    let manager = Manager::connect_to(socket)?;
    Pool::open(&manager, &pool)?.apply(doze, (running,))?
}

/// Goes on until it gets SIGTERM, and returns in spite of it.
#[apply(task_function)]
fn shrug_off_signal(running: Event) -> Result<u32> {
    let terminated = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, terminated.clone()).unwrap();
    running.set()?;
    while !terminated.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(process())
}

#[apply(test)]
fn a_sleep_ends_when_the_batch_is_stopped() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let running = [(); 2].map(|()| manager.anonymous_event().unwrap());
    let result = pool.batch(doze).chunk_size(1).map_async(running.clone()).unwrap();
    for event in running {
        event.wait(PATIENCE).unwrap().expect("it runs");
    }
    let before = Instant::now();
    result.handle().stop_event().set().unwrap();
    let outcomes = result.get(PATIENCE).unwrap();
    assert!(before.elapsed() < Duration::from_secs(1), "it took {:?}", before.elapsed());
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap() == (false, true)));
}

#[apply(test)]
fn an_undisturbed_sleep_lasts_its_time() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    assert!(pool.apply(nap, (0,)).unwrap().0);
    let (is_whole, milliseconds) = pool.apply(nap, (30,)).unwrap();
    assert!(is_whole && milliseconds >= 30, "{milliseconds}");
}

#[apply(test)]
fn a_loop_sees_that_it_is_to_stop_and_why() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let running = manager.anonymous_event().unwrap();
    let result = pool.apply_async(spin, (running.clone(),)).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");
    result.handle().stop_event().set_because("it is late").unwrap();
    assert_eq!(result.get(PATIENCE).unwrap().unwrap().as_deref(), Some("it is late"));
}

#[apply(test)]
fn the_stop_event_is_waited_for_with_others() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    for (position, is_stopped) in [(0, true), (1, false)] {
        let [running, other] = [(); 2].map(|()| manager.anonymous_event().unwrap());
        let result = pool.apply_async(wait_for_either, (running.clone(), other.clone())).unwrap();
        running.wait(PATIENCE).unwrap().expect("it runs");
        if is_stopped {
            result.handle().stop_event().set().unwrap();
        } else {
            other.set().unwrap();
        }
        assert_eq!(result.get(PATIENCE).unwrap().unwrap(), position);
    }
}

#[apply(test)]
fn a_task_can_stop_its_own_batch() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let results = pool.batch(stop_oneself).chunk_size(1).starmap_async([(), (), ()]).unwrap();
    let cause = results.handle().stop_event().wait(PATIENCE).unwrap().expect("it is stopped");
    assert_eq!(cause.reason.as_deref(), Some("I have had enough"));
    assert!(results.get(PATIENCE).unwrap_err().is_cancelled(), "the calls behind it have not started");
    assert_eq!(results.handle().progress().unwrap().done, 1);
}

#[apply(test)]
fn threads_of_a_task_see_the_same() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let running = manager.anonymous_event().unwrap();
    let result = pool.apply_async(spread, (running.clone(),)).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");
    result.handle().stop_event().set().unwrap();
    assert_eq!(result.get(PATIENCE).unwrap().unwrap(), 0);
}

#[apply(test)]
fn one_batch_is_stopped_and_another_is_not() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let [one, other] = [(); 2].map(|()| manager.anonymous_event().unwrap());
    let stopped = pool.apply_async(doze, (one.clone(),)).unwrap();
    let spared = pool.apply_async(doze, (other.clone(),)).unwrap();
    one.wait(PATIENCE).unwrap().expect("it runs");
    other.wait(PATIENCE).unwrap().expect("it runs");
    stopped.handle().stop_event().set().unwrap();
    stopped.get(PATIENCE).unwrap().unwrap();
    assert!(!spared.wait(Duration::from_millis(50)).unwrap());
    // The worker that was stopped is as good as new.
    assert!(pool.apply(nap, (1,)).unwrap().0);
    spared.handle().stop_event().set().unwrap();
    spared.get(PATIENCE).unwrap().unwrap();
}

#[apply(test)]
fn what_a_task_starts_is_stopped_with_it() {
    let manager = Manager::start().unwrap();
    let pool = Pool::builder(&manager).processes(2).name("family").start().unwrap();
    let running = manager.anonymous_event().unwrap();
    let arguments = (manager.address().to_string(), "family".to_owned(), running.clone());
    let result = pool.apply_async(start_another, arguments).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");
    result.handle().stop_event().set().unwrap();
    assert_eq!(result.get(PATIENCE).unwrap().unwrap(), (false, true));
}

#[apply(test)]
fn outside_of_a_task_nothing_stops() {
    assert!(!task::stop_requested());
    assert!(task::stop_event().is_none());
    assert!(task::stop_cause().unwrap().is_none());
    assert!(task::sleep(Duration::from_millis(1)));
}

#[apply(test)]
fn a_worker_that_survives_its_signal_is_replaced() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let running = manager.anonymous_event().unwrap();
    let result = pool.apply_async(shrug_off_signal, (running.clone(),)).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");
    result.handle().stop(Duration::from_millis(300)).unwrap();
    let before = result.get(PATIENCE).unwrap().unwrap();
    assert_ne!(pool.apply(process, ()).unwrap(), before);
    eventually("there is one worker, and another", || {
        !pool.process_ids().is_empty() && !pool.process_ids().contains(&before)
    });
    pool.close().unwrap();
    pool.join().unwrap();
}

/// Which call it is, which attempt, the index of its worker, and its process.
#[apply(task_function)]
fn who_runs_this() -> (u64, u32, usize, u32) {
    let call = task::current_call().expect("this is a task");
    let seen_by_another = thread::spawn(task::current_call).join().unwrap();
    assert_eq!(seen_by_another, Some(call));
    (call.number(), call.attempt(), call.worker(), std::process::id())
}

/// Kills its process at the first attempt, and returns the number of the next.
#[apply(task_function)]
fn die_at_first() -> (u64, u32) {
    let call = task::current_call().expect("this is a task");
    if call.attempt() == 1 {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
    (call.number(), call.attempt())
}

#[apply(test)]
fn a_task_knows_which_call_it_is_and_which_worker_runs_it() {
    const WORKERS: usize = 3;
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, WORKERS).unwrap();
    assert_eq!(task::current_call(), None);
    for round in 0..2 {
        let mut processes = BTreeMap::new();
        for chunk_size in [1, 7, 100] {
            let calls =
                pool.batch(who_runs_this).chunk_size(chunk_size).starmap((0..100).map(|_| ())).unwrap();
            for (position, (number, attempt, worker, process)) in (0..).zip(calls) {
                assert_eq!((number, attempt), (position, 1));
                assert!(worker < WORKERS, "round {round}: worker {worker}");
                assert_eq!(*processes.entry(worker).or_insert(process), process);
            }
        }
        // The next worker has the index of the one that is gone.
        eventually("all are ready", || pool.process_ids().len() == WORKERS);
        let killed = pool.process_ids()[0];
        kill(killed, Signal::KILL);
        eventually("another takes its place", || {
            let ready = pool.process_ids();
            ready.len() == WORKERS && !ready.contains(&killed)
        });
    }
    let attempts = pool.batch(die_at_first).retries(1).starmap((0..2).map(|_| ())).unwrap();
    assert_eq!(attempts, [(0, 2), (1, 2)]);
}

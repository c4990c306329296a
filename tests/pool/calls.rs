//! A call is the unit of results, of failure, of stopping and of limits, however large the chunk in which it travels.

use std::fs::{self, File};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use client::task::named;
use client::{Ending, Error, Event, Manager, Pool};
use rustix::process::{Signal, getpid, kill_process};
use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::pool::large_payloads::fill;
use crate::pool::stopping_tasks::block;
use crate::pool::task::{add, fail_at, process, repeat};
use crate::support::tasks::MarkedTask;
use crate::support::{PATIENCE, apply, eventually, kill, task_function, test};

inventory::submit! { MarkedTask(|registry| registry.named("negate", |flag: bool| !flag)) }

/// Leaves a mark that this call has begun, and sleeps for a moment.
#[apply(task_function)]
fn mark_and_nap(folder: String, number: u32) {
    mark(&folder, number);
    sleep(Duration::from_millis(10));
}

fn mark(folder: &str, number: u32) {
    File::create_new(Path::new(folder).join(number.to_string())).expect("it begins for the first time");
}

fn begun(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[apply(task_function)]
fn nap(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds));
}

/// Returns the number, and kills its process if it is a multiple of this one.
#[apply(task_function)]
fn die_at(folder: String, number: u32, every: u32) -> u32 {
    mark(&folder, number);
    die_if(number % every == every - 1);
    number
}

/// Like `die_at`, but not when it runs again.
#[apply(task_function)]
fn die_once(folder: String, number: u32, every: u32) -> u32 {
    let dies = number % every == every - 1;
    if !dies || !Path::new(&folder).join(number.to_string()).exists() {
        mark(&folder, number);
        die_if(dies);
    }
    number
}

fn die_if(dies: bool) {
    if dies {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
}

/// Returns the number; at the number `at`, only once the event is set.
#[apply(task_function)]
fn wait_at(number: u32, at: u32, event: Event) -> u32 {
    if number == at {
        event.wait(PATIENCE).unwrap().expect("the event is set");
    }
    number
}

/// Returns the number; at the number `at`, does not return before a signal ends it.
#[apply(task_function)]
fn block_at(number: u32, at: u32, running: Event) -> u32 {
    if number == at { block(running) } else { number }
}

/// A number that does not encode if it is 7.
#[derive(Debug, PartialEq)]
struct NotSeven(u32);

impl Serialize for NotSeven {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 7 { Err(S::Error::custom("it is seven")) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for NotSeven {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NotSeven, D::Error> {
        u32::deserialize(deserializer).map(NotSeven)
    }
}

#[apply(task_function)]
fn keep_secret_at(number: u32) -> NotSeven {
    NotSeven(number)
}

/// Asserts that all calls returned their number, but for those for which the closure has another expectation.
fn assert_returned(outcomes: &[client::Result<u32>], fails: impl Fn(u32, &Error) -> bool) {
    for (number, outcome) in (0..).zip(outcomes) {
        match outcome {
            Ok(returned) => assert_eq!(*returned, number),
            Err(error) => assert!(fails(number, error), "{number}: {error:?}"),
        }
    }
}

#[apply(test)]
fn a_stop_keeps_what_has_returned_and_lets_nothing_begin() {
    const WORKERS: usize = 2;
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, WORKERS).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let result = pool.starmap_async(mark_and_nap, (0..400).map(|number| (path.to_owned(), number))).unwrap();
    eventually("many have begun", || begun(folder.path()) >= 70);
    let asked = Instant::now();
    result.stop_event().set().unwrap();
    let seen = begun(folder.path());
    let report = result.stop(PATIENCE).unwrap();
    assert!(asked.elapsed() < PATIENCE / 4, "{:?}", asked.elapsed());
    // Each worker may have looked just before the stop, and then begun one call, but no more.
    let last = begun(folder.path());
    assert!(last <= seen + WORKERS, "{} have begun since", last - seen);
    // What has begun has returned, and nothing of it is lost.
    assert_eq!((report.returned(), report.cancelled()), (last, 400 - last), "{report}");
    let outcomes = result.outcomes().unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), last);
    assert!(outcomes.into_iter().filter_map(Result::err).all(|error| error.is_cancelled()));
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn a_signal_stops_the_call_that_runs_and_no_other() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let running = manager.anonymous_event().unwrap();
    let calls = (0..20).map(|number| (number, 12, running.clone()));
    let result = pool.batch(block_at).chunk_size(20).starmap_async(calls).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");
    let report = result.stop(Duration::from_secs(1)).unwrap();
    let endings = report.endings();
    assert!(endings[..12].iter().all(|ending| *ending == Ending::Returned), "{report}");
    assert_eq!(endings[12], Ending::Terminated, "{report}");
    assert!(endings[13..].iter().all(|ending| *ending == Ending::Cancelled), "{report}");
    let outcomes = result.outcomes().unwrap();
    assert_returned(&outcomes, |number, error| match number {
        12 => error.is_stopped() && error.to_string().contains("in call 13 of 20"),
        13.. => error.is_cancelled(),
        _ => false,
    });
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn a_death_costs_the_call_that_ran_and_no_other() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    for (calls, every) in [(1000, 1000), (1000, 100), (1000, 37), (20, 3)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let arguments = (0..calls).map(|number| (path.to_owned(), number, every));
        let outcomes = pool.starmap_async(die_at, arguments).unwrap().outcomes().unwrap();
        assert_returned(&outcomes, |number, error| {
            let place = format!("in call {} of {calls}: ", number + 1);
            number % every == every - 1 && error.is_worker_died() && error.to_string().contains(&place)
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count() as u32, calls / every);
        assert_eq!((outcomes.len(), begun(folder.path())), (calls as usize, calls as usize));
    }
}

#[apply(test)]
fn a_retry_runs_one_call_again_and_no_other() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    for chunk_size in [1, 20, 500] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let calls = (0..500).map(|number| (path.to_owned(), number, 50));
        // A call that runs again although it did not die would panic.
        let numbers = pool.batch(die_once).retries(1).chunk_size(chunk_size).starmap(calls).unwrap();
        assert!(numbers.into_iter().eq(0..500));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let calls = (0..100).map(|number| (path.to_owned(), number, 50));
    let outcomes = pool.batch(die_at).retries(1).starmap_async(calls).unwrap().outcomes().unwrap();
    // The second attempt panics, as the mark is there.
    assert_returned(&outcomes, |number, error| number % 50 == 49 && error.is_panicked());
}

#[apply(test)]
fn a_death_before_a_call_begins_costs_nothing() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    for _ in 0..20 {
        eventually("both are ready", || pool.process_ids().len() == 2);
        kill(pool.process_ids()[0], Signal::KILL);
        // The manager may not know yet, and grant the first calls to the dead worker.
        let sums = pool.starmap(add, (0..20).map(|number| (number, 1))).unwrap();
        assert!(sums.into_iter().eq(1..21));
    }
}

#[apply(test)]
fn results_of_a_chunk_may_be_larger_together_than_anything_that_travels() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let texts = pool.starmap(repeat, (0..500).map(|_| ("x".to_owned(), 300 << 10))).unwrap();
    assert!(texts.len() == 500 && texts.iter().all(|text| text.len() == 300 << 10));
}

#[apply(test)]
fn progress_moves_while_a_chunk_runs() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let event = manager.anonymous_event().unwrap();
    for (chunk_size, at) in [(100, 1), (100, 55), (7, 10)] {
        event.clear().unwrap();
        let calls = (0..100).map(|number| (number, at, event.clone()));
        let result = pool.batch(wait_at).chunk_size(chunk_size).starmap_async(calls).unwrap();
        eventually("those before it have returned", || result.progress().unwrap().done == u64::from(at));
        let progress = result.progress().unwrap();
        assert_eq!((progress.running, progress.waiting), (1, 99 - u64::from(at)));
        event.set().unwrap();
        assert!(result.get(PATIENCE).unwrap().into_iter().eq(0..100));
    }
}

#[apply(test)]
fn an_iterator_gives_each_result_while_the_rest_of_the_chunk_runs() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let event = manager.anonymous_event().unwrap();
    let inputs = event.clone();
    let calls = (0..100).map(move |number| (number, 33, inputs.clone()));
    let mut numbers = pool.batch(wait_at).chunk_size(100).istarmap(calls).unwrap();
    for number in 0..33 {
        assert_eq!(numbers.next_timeout(PATIENCE / 2).unwrap().unwrap(), number);
    }
    event.set().unwrap();
    assert!(numbers.map(Result::unwrap).eq(33..100));
}

#[apply(test)]
fn a_time_limit_is_for_each_call() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let limit = Duration::from_secs(3);
    // All of them together take longer than the limit.
    let naps = (0..70).map(|_| 60);
    pool.batch(nap).chunk_size(70).time_limit(limit).map(naps).unwrap();
    let naps = [1, 1, 1_000_000, 1, 1];
    let outcomes =
        pool.batch(nap).chunk_size(5).time_limit(limit).map_async(naps).unwrap().outcomes().unwrap();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(()) => assert_ne!(number, 2),
            Err(error) => assert!(number == 2 && error.is_time_limit(), "{error:?}"),
        }
    }
}

#[apply(test)]
fn a_call_that_cannot_be_understood_fails_alone() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let before = pool.apply(process, ()).unwrap();
    let negate = named::<(u8,), bool>("negate");
    let result = pool.batch(negate).chunk_size(10).map_async([0, 1, 2, 1, 0]).unwrap();
    let outcomes = result.outcomes().unwrap();
    let error = outcomes[2].as_ref().unwrap_err();
    assert!(
        error.is_bad_encoding() && error.to_string().contains("in call 3 of 5: its arguments"),
        "{error}"
    );
    let negated: Vec<bool> = outcomes.into_iter().filter_map(Result::ok).collect();
    assert_eq!(negated, [true, false, false, true]);
    assert!(result.get(None).unwrap_err().is_bad_encoding());

    // What a call cannot return concerns that call alone, too.
    let outcomes = pool.batch(keep_secret_at).chunk_size(20).map_async(0..20).unwrap().outcomes().unwrap();
    for (number, outcome) in (0..).zip(outcomes) {
        match outcome {
            Ok(returned) => assert_eq!(returned, NotSeven(number)),
            Err(error) => assert!(number == 7 && error.to_string().contains("its result"), "{error}"),
        }
    }
    let sizes = (0..20).map(|number| if number == 7 { 5 << 30 } else { 3 });
    let outcomes = pool.batch(fill).chunk_size(20).map_async(sizes).unwrap().outcomes().unwrap();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(bytes) => assert_eq!(bytes, [0; 3]),
            Err(error) => assert!(number == 7 && error.is_limit(), "{error:?}"),
        }
    }
    assert_eq!(pool.apply(process, ()).unwrap(), before);
}

#[apply(test)]
fn a_panic_ends_one_call_of_a_chunk() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    for verb in ["map", "imap", "imap_unordered"] {
        let calls = (0..30).map(|number| (number, 14));
        let batch = pool.batch(fail_at).chunk_size(30);
        let outcomes: Vec<client::Result<u32>> = match verb {
            "map" => batch.starmap_async(calls).unwrap().outcomes().unwrap(),
            "imap" => batch.istarmap(calls).unwrap().collect(),
            _ => batch.istarmap_unordered(calls).unwrap().collect(),
        };
        assert_eq!(outcomes.len(), 30);
        assert_returned(&outcomes, |number, error| {
            number == 14 && error.is_panicked() && error.to_string().contains("panicked in call 15")
        });
    }
}

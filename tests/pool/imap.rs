//! Iterators over results: they draw their input lazily, and yield results in order or as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use client::{Bytes, Event, Manager, Pool, Result, ResultIterator};

use crate::pool::large_payloads;
use crate::pool::task::{add, hold, repeat, set};
use crate::support::helper;
use crate::support::{ManagerProgram, PATIENCE, RunningProgram, apply, eventually, task_function, test};

/// Long enough to see that something does not happen.
const MOMENT: Duration = Duration::from_millis(50);

#[apply(task_function)]
pub(crate) fn double(number: u64) -> u64 {
    2 * number
}

#[apply(task_function)]
fn double_unless(number: u64, bad: u64) -> u64 {
    assert!(number != bad, "{number} is bad");
    2 * number
}

/// Numbers without end, and how many of them were drawn.
fn counted() -> (impl Iterator<Item = u64> + Send, Arc<AtomicUsize>) {
    let drawn = Arc::new(AtomicUsize::new(0));
    let counter = drawn.clone();
    let draw = move |number| {
        counter.fetch_add(1, Ordering::SeqCst);
        number
    };
    ((0..).map(draw), drawn)
}

#[apply(test)]
fn endless_input_is_drawn_as_far_as_the_window_and_no_further() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    for is_ordered in [true, false] {
        let (input, drawn) = counted();
        let drawn = || drawn.load(Ordering::SeqCst);
        let batch = pool.batch(double).window(20);
        let mut results = if is_ordered { batch.imap(input) } else { batch.imap_unordered(input) }.unwrap();
        assert_eq!(results.total(), None);
        eventually("the window is full", || drawn() == 20);
        let mut first: Vec<u64> = results.by_ref().take(10).map(Result::unwrap).collect();
        first.sort_unstable();
        assert!(first.iter().all(|number| number % 2 == 0 && *number < 60));
        eventually("the window has moved", || drawn() == 30);
        assert_eq!(results.handle().progress().unwrap().total, 30);
        std::thread::sleep(MOMENT);
        drop(results);
        assert_eq!(drawn(), 30);
    }
    let (input, drawn) = counted();
    let first: Vec<u64> = pool.imap(double, input).unwrap().take(10).map(Result::unwrap).collect();
    assert_eq!(first, (0..10).map(|number| 2 * number).collect::<Vec<_>>());
    assert!(drawn.load(Ordering::SeqCst) <= 10 + 2 * 32, "as is documented for two workers");
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

/// The most memory that a process ever had, in bytes.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[apply(test)]
fn long_input_takes_little_memory_however_large() {
    let program = ManagerProgram::start();
    let mut owner = RunningProgram::start(helper::command(draw_long_input).arg(&program.socket));
    let line = owner.line();
    assert_eq!(owner.wait(), Some(0), "{line}");
    let (calls, owner) = line.split_once(' ').unwrap();
    assert_eq!(calls, "500");
    // The calls and their results take 48 MiB together, and the input has no end.
    for (who, bytes) in
        [("owner", owner.parse().unwrap()), ("manager", peak_memory(program.running.process()))]
    {
        assert!(bytes < 24 << 20, "the {who} had {bytes} bytes");
    }
}

/// Draws large calls from an endless input and takes some results. Prints how many, and how much memory it took.
#[apply(helper)]
pub(crate) fn draw_long_input() -> Result<()> {
    let manager = Manager::connect_to(std::env::args().nth(2).unwrap())?;
    let pool = Pool::new(&manager, 2)?;
    let input = std::iter::repeat_with(|| ("x".repeat(32 << 10), 2));
    let results = pool.batch(repeat).istarmap_unordered(input)?;
    let mut calls = 0;
    for text in results.take(500) {
        assert_eq!(text?.len(), 64 << 10);
        calls += 1;
    }
    println!("{calls} {}", peak_memory(std::process::id()));
    Ok(())
}

#[apply(test)]
fn a_slow_input_delays_no_result_that_is_there() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let (sender, receiver) = channel();
    let mut results = pool.imap(double, receiver).unwrap();
    assert!(results.next_timeout(Duration::ZERO).unwrap().unwrap_err().is_timeout());
    for number in 0..3 {
        sender.send(number).unwrap();
        assert_eq!(results.next_timeout(PATIENCE).unwrap().unwrap(), 2 * number);
    }
    drop(sender);
    assert!(results.next().is_none() && results.next().is_none());
}

#[apply(test)]
fn results_come_in_order_or_as_they_come() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let [first, second, end, ended] = [0; 4].map(|_| manager.anonymous_event().unwrap());
    ended.set().unwrap();
    let calls = || vec![(first.clone(), end.clone()), (second.clone(), ended.clone())];

    let mut results = pool.batch(hold).istarmap_unordered(calls()).unwrap();
    assert_eq!(results.total(), Some(2));
    let quick = results.next().unwrap().unwrap().unwrap();
    assert!(results.next_timeout(MOMENT).unwrap().unwrap_err().is_timeout());
    end.set().unwrap();
    assert_ne!(results.next().unwrap().unwrap().unwrap(), quick);
    assert!(results.next().is_none());

    end.clear().unwrap();
    second.clear().unwrap();
    let mut results = pool.batch(hold).istarmap(calls()).unwrap();
    second.wait(None).unwrap();
    assert!(results.next_timeout(MOMENT).unwrap().unwrap_err().is_timeout());
    end.set().unwrap();
    assert_eq!(results.map(Result::unwrap).map(Result::unwrap).count(), 2);
}

#[apply(test)]
fn chunks_and_long_inputs_come_whole() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let expected: Vec<u64> = (0..2_005).map(|number| 2 * number).collect();
    for (chunk_size, window) in [(1, 1), (1, 64), (10, 64), (10, 3), (5_000, 10_000)] {
        let batch = pool.batch(double).chunk_size(chunk_size).window(window);
        let results: Vec<u64> = batch.imap(0..2_005).unwrap().map(Result::unwrap).collect();
        assert_eq!(results, expected, "chunks of {chunk_size}, window of {window}");
        let batch = pool.batch(double).chunk_size(chunk_size).window(window);
        let mut results: Vec<u64> = batch.imap_unordered(0..2_005).unwrap().map(Result::unwrap).collect();
        results.sort_unstable();
        assert_eq!(results, expected, "chunks of {chunk_size}, window of {window}, unordered");
    }
    assert_eq!(pool.imap(double, []).unwrap().count(), 0);
}

#[apply(test)]
fn one_long_call_holds_up_nobody_else() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let [first, running, end, ended] = [0; 4].map(|_| manager.anonymous_event().unwrap());
    ended.set().unwrap();
    let calls = (0..1_000).map({
        let end = end.clone();
        move |number| {
            if number == 0 { (first.clone(), end.clone()) } else { (running.clone(), ended.clone()) }
        }
    });
    let mut results = pool.batch(hold).window(10).istarmap_unordered(calls).unwrap();
    assert_eq!(results.by_ref().take(999).map(Result::unwrap).map(Result::unwrap).count(), 999);
    let progress = results.handle().progress().unwrap();
    assert_eq!((progress.done, progress.running, progress.total), (999, 1, 1_000));
    end.set().unwrap();
    assert_eq!(results.map(Result::unwrap).map(Result::unwrap).count(), 1);
}

#[apply(test)]
fn a_failed_call_does_not_end_the_iteration() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let results = pool.batch(double_unless).istarmap((0..10).map(|number| (number, 3))).unwrap();
    for (number, result) in results.enumerate() {
        match number {
            3 => assert!(result.unwrap_err().is_panicked()),
            _ => assert_eq!(result.unwrap(), 2 * number as u64),
        }
    }
}

#[apply(test)]
fn an_input_that_panics_is_reported_after_the_results_so_far() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    for chunk_size in [1, 4] {
        let input = (0..).map(|number| if number < 5 { number } else { panic!("no disk in drive {number}") });
        let mut results = pool.batch(double).chunk_size(chunk_size).imap(input).unwrap();
        let first: Vec<u64> = results.by_ref().take(5).map(Result::unwrap).collect();
        assert_eq!(first, [0, 2, 4, 6, 8]);
        let error = results.next().unwrap().unwrap_err();
        assert!(error.is_input_panicked(), "{error:?}");
        assert_eq!(error.to_string(), "the input iterator panicked: no disk in drive 5");
        assert!(results.next().is_none());
    }
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn arguments_that_cannot_travel_fail_in_their_place() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    for chunk_size in [1, 3] {
        let all = [1, 2, 5 << 30, 3].into_iter().map(|size| Bytes::from(vec![0; size]));
        let mut results = pool.batch(large_payloads::length).chunk_size(chunk_size).imap(all).unwrap();
        assert_eq!(results.by_ref().take(2).map(Result::unwrap).collect::<Vec<_>>(), [1, 2]);
        let error = results.next().unwrap().unwrap_err();
        assert!(error.is_limit() && error.to_string().contains("the arguments of a task"), "{error:?}");
        assert!(results.next().is_none());
    }
}

#[apply(test)]
fn a_dropped_iterator_cancels_what_has_not_started() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let [running, end, never] = [0; 3].map(|_| manager.anonymous_event().unwrap());
    let holder = pool.apply_async(hold, (running.clone(), end.clone())).unwrap();
    running.wait(None).unwrap();
    let events: Vec<Event> = std::iter::repeat_n(never.clone(), 1_000).collect();
    let results = pool.imap(set, events).unwrap();
    eventually("the window is full", || results.handle().progress().unwrap().total == 32);
    drop(results);
    end.set().unwrap();
    holder.get(None).unwrap().unwrap();
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
    assert!(!never.is_set().unwrap());
}

#[apply(test)]
fn a_closed_pool_goes_on_with_what_was_begun() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let results = pool.batch(double).window(4).imap(0..100).unwrap();
    pool.close().unwrap();
    assert!(pool.imap(double, 0..100).unwrap_err().is_closed());
    assert_eq!(results.map(Result::unwrap).sum::<u64>(), 9_900);
    pool.join().unwrap();
}

#[apply(test)]
fn a_pool_can_be_joined_before_the_results_are_taken() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let results = pool.batch(double).window(4).imap(0..1_000).unwrap();
    pool.close().unwrap();
    pool.join().unwrap();
    assert_eq!(results.map(Result::unwrap).sum::<u64>(), 999_000);
}

/// An iterator whose first call has returned, and the sender of its further input.
fn with_one_returned(pool: &Pool) -> (Sender<u64>, ResultIterator<u64>) {
    let (sender, receiver) = channel();
    let mut results = pool.imap(double, receiver).unwrap();
    sender.send(1).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 2);
    (sender, results)
}

#[apply(test)]
fn a_stopped_iterator_says_that_its_input_was_cut() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let mut results = pool.imap(double, 0..).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    results.handle().stop(PATIENCE).unwrap();
    let last = results.by_ref().last().unwrap().unwrap_err();
    assert!(last.is_cancelled(), "{last:?}");

    // The stop event stops the batch, and the drawing of input too.
    let mut results = pool.imap(double, 0..).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    results.handle().stop_event().set().unwrap();
    assert!(results.by_ref().last().unwrap().unwrap_err().is_cancelled());

    // It does so even while all drawn calls have returned and the input has no more for now.
    let (sender, mut results) = with_one_returned(&pool);
    let stop = results.handle().stop_event();
    std::thread::scope(|scope| {
        scope.spawn(|| stop.set().unwrap());
        assert!(results.next_timeout(PATIENCE).unwrap().unwrap_err().is_cancelled());
    });
    assert!(results.next().is_none());
    drop(sender);

    // If the event is removed, nobody can stop the batch, and it goes on.
    let (sender, mut results) = with_one_returned(&pool);
    let stop = results.handle().stop_event();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stop.remove().unwrap();
            sender.send(2).unwrap();
        });
        assert_eq!(results.next_timeout(PATIENCE).unwrap().unwrap(), 4);
    });
    drop(sender);
    assert!(results.next().is_none());

    let mut results = pool.imap(double, 0..).unwrap();
    results.handle().cancel().unwrap();
    assert!(results.by_ref().last().unwrap().unwrap_err().is_cancelled());
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn a_terminated_pool_ends_the_iteration_with_an_error() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let mut results = pool.imap(double, 0..).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    pool.terminate();
    let last = results.by_ref().last().unwrap().unwrap_err();
    assert!(last.is_terminated() || last.is_closed(), "{last:?}");
    pool.join().unwrap();
}

#[apply(test)]
fn impossible_numbers_are_refused() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    assert!(pool.batch(double).chunk_size(0).map(0..3).unwrap_err().is_bad_argument());
    assert!(pool.batch(double).chunk_size(0).imap(0..3).unwrap_err().is_bad_argument());
    assert!(pool.batch(double).window(0).imap(0..3).unwrap_err().is_bad_argument());
    assert!(pool.batch(double).time_limit(Duration::ZERO).map(0..3).unwrap_err().is_bad_argument());
    assert!(pool.imap(|number: u64| number, 0..3).unwrap_err().is_unknown_function());
}

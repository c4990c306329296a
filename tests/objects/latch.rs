//! Latches across processes: the last who counts lets everyone through, and nobody owns a part of the count.

use std::time::{Duration, Instant};

use client::{Latch, Manager, Taken, wait_all, wait_any};
use rustix::process::Signal;

use crate::support::hand::{Hand, Order, Report, until_waiting};
use crate::support::{ManagerProgram, apply, eventually, test};

/// A time that is sure to be over before a test is.
const SHORT: Duration = Duration::from_millis(50);

/// In what time everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

fn hands<const COUNT: usize>(latch: &Latch) -> [Hand; COUNT] {
    [(); COUNT].map(|()| Hand::with(&Order::Latch(latch.clone())))
}

fn waiting(manager: &Manager, latch: &Latch, count: u32) {
    until_waiting(manager, latch.reference().id(), count);
}

#[apply(test)]
fn the_last_who_counts_lets_everyone_through() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.latch("ready", 5).unwrap();
    let [mut counter, mut first, mut second] = hands(&latch);
    first.tell(&Order::Open(None));
    second.tell(&Order::Open(None));
    waiting(&manager, &latch, 2);
    assert_eq!(counter.ask(&Order::CountDown(2)), Ok(Report::Left(3)));
    assert_eq!((latch.count_down(), latch.count()), (Ok(2), Ok(2)));
    assert_eq!(latch.count_down_by(0), Ok(2));
    assert_eq!(counter.ask(&Order::CountDown(100)), Ok(Report::Left(0)), "below zero there is nothing");
    assert_eq!((first.report(), second.report()), (Ok(Report::Flag(true)), Ok(Report::Flag(true))));
    assert_eq!((latch.count_down(), latch.wait(Duration::ZERO)), (Ok(0), Ok(true)), "it stays open");
    assert_eq!(manager.anonymous_latch(0).unwrap().wait(None), Ok(true));
}

#[apply(test)]
fn who_counts_and_waits_goes_on_with_all_others() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.anonymous_latch(4).unwrap();
    let mut all = hands::<3>(&latch);
    for (hand, left) in all.iter_mut().zip([3, 2, 1]) {
        hand.tell(&Order::CountDownAndOpen);
        eventually("it is counted", || latch.count() == Ok(left));
    }
    waiting(&manager, &latch, 3);
    assert_eq!(latch.count_down_and_wait(None), Ok(true));
    for hand in &mut all {
        assert_eq!(hand.report(), Ok(Report::Flag(true)));
    }
    let other = manager.anonymous_latch(2).unwrap();
    assert_eq!((other.count_down_and_wait(SHORT), other.count()), (Ok(false), Ok(1)));
}

#[apply(test)]
fn a_wait_ends_at_its_timeout() {
    let program = ManagerProgram::start();
    let latch = program.connect().anonymous_latch(1).unwrap();
    let [mut hand] = hands(&latch);
    let begun = Instant::now();
    assert_eq!(hand.ask(&Order::Open(Some(SHORT))), Ok(Report::Flag(false)));
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(latch.wait(Duration::ZERO), Ok(false));
}

#[apply(test)]
fn what_the_dead_have_counted_stays_counted() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.anonymous_latch(3).unwrap();
    let [mut one, mut other] = hands(&latch);
    assert_eq!(one.ask(&Order::CountDown(1)), Ok(Report::Left(2)));
    one.tell(&Order::CountDownAndOpen);
    other.tell(&Order::Open(None));
    waiting(&manager, &latch, 2);
    one.kill();
    waiting(&manager, &latch, 1);
    assert_eq!(latch.count(), Ok(1));
    assert_eq!(latch.count_down(), Ok(0));
    assert_eq!(other.report(), Ok(Report::Flag(true)));
}

#[apply(test)]
fn a_killed_manager_is_told_to_all_who_wait() {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.anonymous_latch(3).unwrap();
    let mut hands = hands::<2>(&latch);
    hands[0].tell(&Order::Open(None));
    hands[1].tell(&Order::CountDownAndOpen);
    waiting(&manager, &latch, 2);
    program.running.signal(Signal::KILL);
    let killed = Instant::now();
    for hand in &mut hands {
        assert!(hand.report().unwrap_err().is_manager_gone());
        assert!(killed.elapsed() < SOON, "it took {:?}", killed.elapsed());
    }
    program.running.wait();
    assert!(latch.count_down().unwrap_err().is_manager_gone());
}

#[apply(test)]
fn a_removed_latch_is_told_to_all_who_wait() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.latch("short", 1).unwrap();
    let [mut hand] = hands(&latch);
    hand.tell(&Order::Open(None));
    waiting(&manager, &latch, 1);
    latch.remove().unwrap();
    assert!(hand.report().unwrap_err().is_removed());
    assert!(latch.count().unwrap_err().is_no_such_object());
}

#[apply(test)]
fn a_name_has_one_count() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.latch("three", 3).unwrap();
    latch.count_down().unwrap();
    // It is the count at first that is compared, and not what is left of it.
    assert_eq!(manager.latch("three", 3).unwrap().count(), Ok(2));
    let error = manager.latch("three", 2).unwrap_err();
    assert!(error.is_wrong_parameters() && error.to_string().contains("a latch of 3"), "{error:?}");
}

#[apply(test)]
fn one_is_waited_for_with_other_objects() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.anonymous_latch(1).unwrap();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    let stop = manager.anonymous_event().unwrap();
    assert!(wait_any(&[&stop, &latch], SHORT).unwrap().is_none());
    queue.put(&1).unwrap();
    assert!(wait_all(&[&latch, &queue], SHORT).unwrap().is_none());
    assert_eq!(queue.len(), Ok(1));
    let [mut hand] = hands(&latch);
    std::thread::scope(|scope| {
        let both = scope.spawn(|| wait_all(&[&queue, &latch], None));
        waiting(&manager, &latch, 1);
        assert_eq!(hand.ask(&Order::CountDown(1)), Ok(Report::Left(0)));
        let taken = both.join().unwrap().unwrap().unwrap();
        assert!(matches!(*taken, [Taken::Item(_), Taken::Latch]), "{taken:?}");
    });
    // Setting one thing and waiting for another is one step.
    let taken = stop.set_and_wait(&latch, None).unwrap();
    assert!(matches!(taken, Some(Taken::Latch)) && stop.is_set().unwrap());
}

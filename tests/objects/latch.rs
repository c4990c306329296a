//! Latches across processes: the last count lets everyone through, and nobody owns a part of the count.

use std::time::{Duration, Instant};

use client::{Latch, Manager, Taken, wait_all, wait_any};
use rustix::process::Signal;

use crate::support::observation::until_waiting_by_id;
use crate::support::remote_client::{ClientReport, LatchOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, eventually, test};

/// A timeout that ends well before its test does.
const SHORT: Duration = Duration::from_millis(50);

/// The time within which everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

fn clients<const COUNT: usize>(latch: &Latch) -> [RemoteClient; COUNT] {
    [(); COUNT].map(|()| RemoteClient::with(LatchOrder::Use(latch.clone())))
}

fn waiting(manager: &Manager, latch: &Latch, count: u32) {
    until_waiting_by_id(manager, latch.reference().id(), count);
}

#[apply(test)]
fn the_last_count_lets_everyone_through() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.latch("ready", 5).unwrap();
    let [mut counter, mut first, mut second] = clients(&latch);
    first.tell(LatchOrder::Open(None));
    second.tell(LatchOrder::Open(None));
    waiting(&manager, &latch, 2);
    assert_eq!(counter.ask(LatchOrder::CountDown(2)), Ok(ClientReport::Left(3)));
    assert_eq!((latch.count_down(), latch.count()), (Ok(2), Ok(2)));
    assert_eq!(latch.count_down_by(0), Ok(2));
    assert_eq!(
        counter.ask(LatchOrder::CountDown(100)),
        Ok(ClientReport::Left(0)),
        "it does not go below zero"
    );
    assert_eq!(
        (first.report(), second.report()),
        (Ok(ClientReport::Flag(true)), Ok(ClientReport::Flag(true)))
    );
    assert_eq!((latch.count_down(), latch.wait(Duration::ZERO)), (Ok(0), Ok(true)), "it stays open");
    assert_eq!(manager.anonymous_latch(0).unwrap().wait(None), Ok(true));
}

#[apply(test)]
fn a_client_that_counts_and_waits_goes_on_with_all_others() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.anonymous_latch(4).unwrap();
    let mut all = clients::<3>(&latch);
    for (client, left) in all.iter_mut().zip([3, 2, 1]) {
        client.tell(LatchOrder::CountDownAndOpen);
        eventually("it is counted", || latch.count() == Ok(left));
    }
    waiting(&manager, &latch, 3);
    assert_eq!(latch.count_down_and_wait(None), Ok(true));
    for client in &mut all {
        assert_eq!(client.report(), Ok(ClientReport::Flag(true)));
    }
    let other = manager.anonymous_latch(2).unwrap();
    assert_eq!((other.count_down_and_wait(SHORT), other.count()), (Ok(false), Ok(1)));
}

#[apply(test)]
fn a_wait_ends_at_its_timeout() {
    let program = ManagerProgram::start();
    let latch = program.connect().anonymous_latch(1).unwrap();
    let [mut client] = clients(&latch);
    let started = Instant::now();
    assert_eq!(client.ask(LatchOrder::Open(Some(SHORT))), Ok(ClientReport::Flag(false)));
    assert!(started.elapsed() >= SHORT);
    assert_eq!(latch.wait(Duration::ZERO), Ok(false));
}

#[apply(test)]
fn what_the_dead_have_counted_stays_counted() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.anonymous_latch(3).unwrap();
    let [mut one, mut other] = clients(&latch);
    assert_eq!(one.ask(LatchOrder::CountDown(1)), Ok(ClientReport::Left(2)));
    one.tell(LatchOrder::CountDownAndOpen);
    other.tell(LatchOrder::Open(None));
    waiting(&manager, &latch, 2);
    one.kill();
    waiting(&manager, &latch, 1);
    assert_eq!(latch.count(), Ok(1));
    assert_eq!(latch.count_down(), Ok(0));
    assert_eq!(other.report(), Ok(ClientReport::Flag(true)));
}

#[apply(test)]
fn all_waiters_learn_that_the_manager_was_killed() {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.anonymous_latch(3).unwrap();
    let mut clients = clients::<2>(&latch);
    clients[0].tell(LatchOrder::Open(None));
    clients[1].tell(LatchOrder::CountDownAndOpen);
    waiting(&manager, &latch, 2);
    program.running.signal(Signal::KILL);
    let killed = Instant::now();
    for client in &mut clients {
        assert!(client.report().unwrap_err().is_manager_gone());
        assert!(killed.elapsed() < SOON, "it took {:?}", killed.elapsed());
    }
    program.running.wait();
    assert!(latch.count_down().unwrap_err().is_manager_gone());
}

#[apply(test)]
fn all_waiters_learn_that_the_latch_was_removed() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.latch("short", 1).unwrap();
    let [mut client] = clients(&latch);
    client.tell(LatchOrder::Open(None));
    waiting(&manager, &latch, 1);
    latch.remove().unwrap();
    assert!(client.report().unwrap_err().is_removed());
    assert!(latch.count().unwrap_err().is_no_such_object());
}

#[apply(test)]
fn a_name_has_one_count() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let latch = manager.latch("three", 3).unwrap();
    latch.count_down().unwrap();
    // The first count is compared, and not what is left of it.
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
    let [mut client] = clients(&latch);
    std::thread::scope(|scope| {
        let both = scope.spawn(|| wait_all(&[&queue, &latch], None));
        waiting(&manager, &latch, 1);
        assert_eq!(client.ask(LatchOrder::CountDown(1)), Ok(ClientReport::Left(0)));
        let taken = both.join().unwrap().unwrap().unwrap();
        assert!(matches!(*taken, [Taken::Item(_), Taken::Latch]), "{taken:?}");
    });
    // A client can set an event and wait for a latch in one step.
    let taken = stop.set_and_wait(&latch, None).unwrap();
    assert!(matches!(taken, Some(Taken::Latch)) && stop.is_set().unwrap());
}

//! Barriers across processes: all parties go on together, or all learn which one did not come.

use std::time::{Duration, Instant};

use client::{Barrier, Event, Manager, Taken, wait_all, wait_any};
use rustix::process::Signal;

use crate::support::observation::until_waiting_by_id;
use crate::support::remote_client::{BarrierAction, BarrierOrder, ClientReport, LatchOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, test};

/// A timeout that ends well before its test does.
const SHORT: Duration = Duration::from_millis(50);

/// The time within which everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

/// The error of an action that cannot fail.
type Never = std::convert::Infallible;

fn parties<const COUNT: usize>(barrier: &Barrier) -> [RemoteClient; COUNT] {
    [(); COUNT].map(|()| RemoteClient::with(BarrierOrder::Use(barrier.clone())))
}

fn waiting(manager: &Manager, barrier: &Barrier, count: u32) {
    until_waiting_by_id(manager, barrier.reference().id(), count);
}

#[apply(test)]
fn parties_go_on_together_in_each_turn_and_one_leads() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(3).unwrap();
    let mut clients = parties::<2>(&barrier);
    for _ in 0..20 {
        for (client, count) in clients.iter_mut().zip(1..) {
            client.tell(BarrierOrder::Pass(None));
            waiting(&manager, &barrier, count);
        }
        assert_eq!((barrier.parties(), barrier.waiting(), barrier.is_broken()), (Ok(3), Ok(2), Ok(false)));
        let passed = barrier.wait(None).unwrap();
        assert_eq!((passed.index, passed.leads), (2, true));
        for (client, index) in clients.iter_mut().zip(0..) {
            assert_eq!(client.report(), Ok(ClientReport::Passed { index, leads: false }));
        }
    }
    assert_eq!(barrier.waiting(), Ok(0));
}

#[apply(test)]
fn a_timeout_breaks_it_for_everyone_until_a_reset() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(3).unwrap();
    let [mut patient, mut hasty] = parties(&barrier);
    patient.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    let started = Instant::now();
    assert!(hasty.ask(BarrierOrder::Pass(Some(SHORT))).unwrap_err().is_timeout());
    assert!(started.elapsed() >= SHORT);
    let error = patient.report().unwrap_err();
    let who = hasty.process().to_string();
    assert!(error.is_broken() && !error.is_timeout() && error.to_string().contains(&who), "{error:?}");
    assert!(barrier.broken().unwrap().unwrap().contains(&who));
    assert!(barrier.wait(None).unwrap_err().is_broken(), "it stays broken for those who come later");

    barrier.reset().unwrap();
    assert_eq!(barrier.broken(), Ok(None));
    patient.tell(BarrierOrder::Pass(None));
    hasty.tell(BarrierOrder::Pass(None));
    barrier.wait(None).unwrap();
    assert!(patient.report().is_ok() && hasty.report().is_ok());

    // A party with a timeout of zero gives up at once, which breaks the barrier as well.
    assert!(barrier.wait(Duration::ZERO).unwrap_err().is_timeout());
    assert_eq!(barrier.is_broken(), Ok(true));
}

#[apply(test)]
fn an_abort_tells_everyone_its_reason() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(3).unwrap();
    let [mut one, mut other] = parties(&barrier);
    one.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    assert_eq!(other.ask(BarrierOrder::Abort("disk full".to_owned())), Ok(ClientReport::Done));
    let error = one.report().unwrap_err();
    assert!(error.is_broken(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("disk full") && text.contains(&other.process().to_string()), "{text}");
    // The first cause stands.
    barrier.abort("too late").unwrap();
    assert!(barrier.broken().unwrap().unwrap().contains("disk full"));
    assert!(barrier.abort(&"x".repeat(1025)).unwrap_err().is_limit());
}

#[apply(test)]
fn an_action_runs_once_before_anyone_goes_on() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(3).unwrap();
    let turns = manager.anonymous_latch(5).unwrap();
    let mut clients = parties::<2>(&barrier);
    for client in &mut clients {
        assert_eq!(client.ask(LatchOrder::Use(turns.clone())), Ok(ClientReport::Done));
    }
    for left in (0..5).rev() {
        clients.iter_mut().for_each(|client| client.tell(BarrierOrder::PassWith(BarrierAction::CountDown)));
        waiting(&manager, &barrier, 2);
        // This party is the last one and has no action. So another party runs its own, while this one waits as well.
        assert!(!barrier.wait(None).unwrap().leads);
        assert_eq!(turns.count(), Ok(left), "it has run, and once");
        let led = clients.each_mut().map(|client| match client.report() {
            Ok(ClientReport::Passed { leads, .. }) => leads,
            report => panic!("{report:?}"),
        });
        assert_eq!(led.into_iter().filter(|leads| *leads).count(), 1);
    }
    // The only party of a barrier runs its own action.
    let alone = manager.anonymous_barrier(1).unwrap();
    let mut ran = false;
    let passed = alone.wait_with(None, || {
        ran = true;
        Ok::<(), Never>(())
    });
    assert!(passed.unwrap().leads && ran);
}

#[apply(test)]
fn a_failed_action_breaks_it_with_its_error() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(2).unwrap();
    let [mut plain, mut client] = parties(&barrier);
    plain.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    let error = client.ask(BarrierOrder::PassWith(BarrierAction::Fail("disk full".to_owned()))).unwrap_err();
    assert!(error.is_broken() && error.to_string().contains("disk full"), "{error:?}");
    let error = plain.report().unwrap_err();
    assert!(error.is_broken() && error.to_string().contains("failed: disk full"), "{error:?}");

    // An error that is longer than the longest reason is cut to that length.
    barrier.reset().unwrap();
    plain.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    assert!(barrier.wait_with(None, || Err("x".repeat(2000))).unwrap_err().to_string().len() > 2000);
    assert!(plain.report().unwrap_err().to_string().contains(&"x".repeat(900)));
}

#[apply(test)]
fn a_panic_in_an_action_breaks_it_and_goes_on() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(2).unwrap();
    let [mut plain, mut client] = parties(&barrier);
    plain.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    let order = BarrierOrder::PassWith(BarrierAction::Panic("on purpose".to_owned()));
    assert_eq!(client.ask(order), Ok(ClientReport::Panicked("on purpose".to_owned())));
    let error = plain.report().unwrap_err();
    assert!(error.is_broken() && error.to_string().contains("panicked: on purpose"), "{error:?}");
}

#[apply(test)]
fn a_killed_party_breaks_it_by_name() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(3).unwrap();
    let [mut one, mut other] = parties(&barrier);
    for (client, count) in [(&mut one, 1), (&mut other, 2)] {
        client.tell(BarrierOrder::Pass(None));
        waiting(&manager, &barrier, count);
    }
    let who = one.process().to_string();
    one.kill();
    let error = other.report().unwrap_err();
    let text = error.to_string();
    assert!(error.is_broken() && text.contains(&who) && text.contains("SIGKILL"), "{error:?}");
    assert!(barrier.wait(None).unwrap_err().is_broken());

    // The dead are not counted among those who come later.
    barrier.reset().unwrap();
    other.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    assert_eq!(barrier.waiting(), Ok(1));
}

#[apply(test)]
fn a_killed_acting_party_breaks_it_by_name() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(2).unwrap();
    let [runs, never] = [(); 2].map(|()| manager.anonymous_event().unwrap());
    let [mut plain, mut client] = parties(&barrier);
    plain.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    client.tell(BarrierOrder::PassWith(BarrierAction::Hold(runs.clone(), never.clone())));
    runs.wait(None).unwrap();
    assert_eq!((barrier.waiting(), barrier.is_broken()), (Ok(1), Ok(false)), "the other waits on");
    let who = client.process().to_string();
    client.kill();
    let error = plain.report().unwrap_err();
    let text = error.to_string();
    assert!(error.is_broken() && text.contains(&who) && text.contains("SIGKILL"), "{error:?}");
}

#[apply(test)]
fn a_reset_ends_every_wait_and_an_action_in_vain() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(2).unwrap();
    let [runs, end] = [(); 2].map(|()| manager.anonymous_event().unwrap());
    let [mut plain, mut client] = parties(&barrier);
    plain.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    client.tell(BarrierOrder::PassWith(BarrierAction::Hold(runs.clone(), end.clone())));
    runs.wait(None).unwrap();
    barrier.reset().unwrap();
    let error = plain.report().unwrap_err();
    assert!(error.is_broken() && error.to_string().contains("reset"), "{error:?}");
    end.set().unwrap();
    assert!(client.report().unwrap_err().is_broken());
    assert_eq!((barrier.waiting(), barrier.is_broken()), (Ok(0), Ok(false)));
}

#[apply(test)]
fn an_action_that_ends_late_does_nothing_to_the_next_turn() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(2).unwrap();
    // Threads of one process run the actions of both turns.
    for fails in [false, true] {
        let [runs, end, runs_again, end_again] = [(); 4].map(|()| manager.anonymous_event().unwrap());
        std::thread::scope(|scope| {
            let act = |runs: Event, end: Event, fails: bool| {
                let barrier = barrier.clone();
                scope.spawn(move || {
                    barrier.wait_with(None, || {
                        runs.set().unwrap();
                        end.wait(None).unwrap();
                        if fails { Err("too late") } else { Ok(()) }
                    })
                })
            };
            let first = scope.spawn(|| barrier.wait(None));
            waiting(&manager, &barrier, 1);
            let late = act(runs.clone(), end.clone(), fails);
            runs.wait(None).unwrap();
            barrier.reset().unwrap();
            assert!(first.join().unwrap().unwrap_err().is_broken());

            let second = scope.spawn(|| barrier.wait(None));
            waiting(&manager, &barrier, 1);
            let acting = act(runs_again.clone(), end_again.clone(), false);
            runs_again.wait(None).unwrap();
            end.set().unwrap();
            assert!(late.join().unwrap().unwrap_err().is_broken());
            assert_eq!((barrier.waiting(), barrier.is_broken()), (Ok(1), Ok(false)));
            end_again.set().unwrap();
            assert!(acting.join().unwrap().unwrap().leads);
            assert!(!second.join().unwrap().unwrap().leads);
        });
    }
}

#[apply(test)]
fn a_party_takes_nothing_else_while_the_action_runs() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(2).unwrap();
    let stop = manager.anonymous_event().unwrap();
    std::thread::scope(|scope| {
        let party = scope.spawn(|| wait_any(&[&stop, &barrier], None));
        waiting(&manager, &barrier, 1);
        let passed = barrier.wait_with(None, || stop.set()).unwrap();
        assert_eq!((passed.index, passed.leads), (1, true));
        let taken = party.join().unwrap();
        assert!(matches!(taken, Ok(Some((1, Taken::Barrier(_))))), "{taken:?}");
    });
}

#[apply(test)]
fn all_waiters_learn_that_the_manager_was_killed() {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(3).unwrap();
    let mut clients = parties::<2>(&barrier);
    clients[0].tell(BarrierOrder::Pass(None));
    clients[1].tell(BarrierOrder::PassWith(BarrierAction::CountDown));
    waiting(&manager, &barrier, 2);
    program.running.signal(Signal::KILL);
    let killed = Instant::now();
    for client in &mut clients {
        assert!(client.report().unwrap_err().is_manager_gone());
        assert!(killed.elapsed() < SOON, "it took {:?}", killed.elapsed());
    }
    program.running.wait();
    assert!(barrier.wait(None).unwrap_err().is_manager_gone());
}

#[apply(test)]
fn all_waiters_learn_that_the_barrier_was_removed() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.barrier("short", 2).unwrap();
    let [mut client] = parties(&barrier);
    client.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    barrier.remove().unwrap();
    assert!(client.report().unwrap_err().is_removed());
    assert!(barrier.parties().unwrap_err().is_no_such_object());
}

#[apply(test)]
fn impossible_parameters_are_refused() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    assert!(manager.barrier("none", 0).unwrap_err().is_bad_argument());
    assert!(manager.anonymous_barrier(0).unwrap_err().is_bad_argument());
    manager.barrier("three", 3).unwrap();
    let error = manager.barrier("three", 4).unwrap_err();
    assert!(error.is_wrong_parameters() && error.to_string().contains("3 parties"), "{error:?}");
}

#[apply(test)]
fn a_waiter_that_takes_something_else_has_not_come() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let barrier = manager.anonymous_barrier(2).unwrap();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    std::thread::scope(|scope| {
        let both = scope.spawn(|| wait_any(&[&barrier, &queue], None));
        waiting(&manager, &barrier, 1);
        queue.put(&1).unwrap();
        assert!(matches!(both.join().unwrap(), Ok(Some((1, Taken::Item(_))))));
    });
    assert_eq!((barrier.waiting(), barrier.is_broken()), (Ok(0), Ok(false)));

    let [mut client] = parties(&barrier);
    client.tell(BarrierOrder::Pass(None));
    waiting(&manager, &barrier, 1);
    let taken = wait_any(&[&queue, &barrier], None).unwrap();
    let Some((1, Taken::Barrier(passed))) = taken else { panic!("{taken:?}") };
    assert_eq!((passed.index, passed.leads), (1, true));
    assert_eq!(client.report(), Ok(ClientReport::Passed { index: 0, leads: false }));

    assert!(wait_all(&[&barrier, &queue], SHORT).unwrap_err().is_bad_target());
    assert!(wait_any(&[&barrier, &queue], SHORT).unwrap().is_none());
    assert_eq!(barrier.is_broken(), Ok(true), "a party has given up");
}

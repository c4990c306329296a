//! A manager that ends, and processes that are suspended: all clients learn of the first, and do not notice the second.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::remote_client::{ClientReport, EventOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, eventually, kill, state, test};

/// How many threads of a process wait at the same time.
const THREADS: usize = 20;

/// The time within which everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

#[apply(test)]
fn all_waiters_learn_that_the_manager_was_killed() {
    all_learn_that_it_ends(Signal::KILL);
}

#[apply(test)]
fn all_waiters_learn_that_the_manager_has_ended_in_order() {
    all_learn_that_it_ends(Signal::TERM);
}

/// Has three processes wait, each in many threads, and a fourth one, which is suspended, until the manager ends.
fn all_learn_that_it_ends(signal: Signal) {
    let mut program = ManagerProgram::start();
    let mut crowds = [(); 3].map(|()| RemoteClient::with_event(&program, "never", false));
    for crowd in &mut crowds {
        crowd.tell(EventOrder::Crowd { threads: THREADS });
    }
    for crowd in &crowds {
        eventually("all of its threads wait", || sleepers(crowd.process()) == THREADS + 1);
    }
    let mut sleeper = RemoteClient::with_event(&program, "never", false);
    sleeper.begin_wait();
    sleeper.stop();

    let started = Instant::now();
    program.running.signal(signal);
    for crowd in &mut crowds {
        let Ok(ClientReport::Crowd(outcomes)) = crowd.report() else { panic!("no outcomes") };
        assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
        assert_eq!(outcomes.len(), THREADS);
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(client::Error::is_manager_gone)));
    }
    program.running.wait();

    kill(sleeper.process(), Signal::CONT);
    assert!(sleeper.report().unwrap_err().is_manager_gone());
    // Later calls fail too, even when another manager serves the socket by then.
    program.restart();
    for client in crowds.iter_mut().chain([&mut sleeper]) {
        assert!(client.ask(EventOrder::IsSet).unwrap_err().is_manager_gone());
        assert!(client.ask(EventOrder::Set { reason: None }).unwrap_err().is_manager_gone());
    }
}

/// How many threads of a process sleep.
fn sleepers(process: u32) -> usize {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.filter(|thread| state(&thread.as_ref().unwrap().path()) == Some('S')).count()
}

#[apply(test)]
fn a_stopped_client_delays_nobody() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let (first, second) = (manager.event("first").unwrap(), manager.event("second").unwrap());
    let mut sleeper = RemoteClient::with_event(&program, "first", false);
    let mut awake = RemoteClient::with_event(&program, "first", false);
    sleeper.begin_wait();
    awake.begin_wait();
    sleeper.stop();

    let started = Instant::now();
    first.set().unwrap();
    assert!(matches!(awake.report(), Ok(ClientReport::Waited(Some(_)))));
    for _ in 0..1_000 {
        second.set().unwrap();
        second.clear().unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());

    // It missed nothing, either.
    first.clear().unwrap();
    kill(sleeper.process(), Signal::CONT);
    assert!(matches!(sleeper.report(), Ok(ClientReport::Waited(Some(_)))));
}

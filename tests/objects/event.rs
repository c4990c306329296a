//! Events across processes: the others see and wait for what one does, and get each wake-up exactly once.

use std::time::{Duration, Instant};

use client::{Event, Manager, Pool, Taken, Waitable, wait_all, wait_any};
use rustix::process::Signal;

use crate::pool::task::set;
use crate::support::remote_client::{ClientReport, EventOrder, RemoteClient, Setter};
use crate::support::{ManagerProgram, apply, eventually, test};

/// How often two processes take turns.
const ROUNDS: u32 = 5_000;

/// How many threads of each process wait in a crowd.
const CROWD: usize = 500;

fn set_because(reason: &str) -> EventOrder {
    EventOrder::Set { reason: Some(reason.to_owned()) }
}

fn proxy_of(event: &Event) -> EventOrder {
    EventOrder::Take(postcard::to_allocvec(event).unwrap())
}

#[apply(test)]
fn set_in_one_process_is_seen_in_another() {
    let program = ManagerProgram::start();
    let [mut one, mut other] = [(); 2].map(|()| RemoteClient::with_event(&program, "flag", false));
    for _ in 0..20 {
        assert_eq!(other.ask(EventOrder::IsSet), Ok(ClientReport::Flag(false)));
        assert_eq!(one.ask(EventOrder::Set { reason: None }), Ok(ClientReport::Done));
        assert_eq!(other.ask(EventOrder::IsSet), Ok(ClientReport::Flag(true)));
        assert_eq!(other.ask(EventOrder::Clear), Ok(ClientReport::Done));
        assert_eq!(one.ask(EventOrder::IsSet), Ok(ClientReport::Flag(false)));
    }
}

#[apply(test)]
fn set_in_one_process_wakes_all_who_wait_and_tells_the_cause() {
    let program = ManagerProgram::start();
    let mut clients = [(); 4].map(|()| RemoteClient::with_event(&program, "flag", false));
    let (setter, waiters) = clients.split_last_mut().unwrap();
    for waiter in &mut *waiters {
        waiter.begin_wait();
    }
    assert_eq!(setter.ask(set_because("disk full")), Ok(ClientReport::Done));
    let cause = Setter {
        process: setter.process(),
        program: std::env::current_exe().unwrap().file_name().unwrap().to_str().unwrap().to_owned(),
        reason: Some("disk full".to_owned()),
    };
    for waiter in waiters {
        assert_eq!(waiter.report(), Ok(ClientReport::Waited(Some(cause.clone()))));
    }
    // The first process that sets the event is the cause, and a caller that comes later learns it too.
    let manager = program.connect();
    let event = manager.event("flag").unwrap();
    event.set_because("I was late").unwrap();
    let known = event.cause().unwrap().unwrap();
    assert_eq!((known.process, &*known.program), (cause.process, cause.program.as_str()));
    assert_eq!(known.reason.as_deref(), Some("disk full"));
}

#[apply(test)]
fn a_wait_ends_at_its_timeout() {
    let program = ManagerProgram::start();
    let mut client = RemoteClient::with_event(&program, "never", false);
    let timeout = Duration::from_millis(60);
    let started = Instant::now();
    assert_eq!(client.ask(EventOrder::Wait { timeout: Some(timeout) }), Ok(ClientReport::Waited(None)));
    assert!(started.elapsed() >= timeout);
    assert_eq!(
        client.ask(EventOrder::Wait { timeout: Some(Duration::ZERO) }),
        Ok(ClientReport::Waited(None))
    );
}

#[apply(test)]
fn with_auto_reset_lets_one_of_four_processes_through_for_each_set() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let turn = manager.event_options().auto_reset(true).create_new("turn").unwrap();
    let mut clients = [(); 4].map(|()| RemoteClient::with_event(&program, "turn", true));
    for round in 0..5 {
        for client in &mut clients {
            client.begin_wait();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let reason = format!("round {round}, number {number}");
            turn.set_because(&reason).unwrap();
            // The cause says which of the sets it was: each has its own, in the order in which they came.
            let Ok(ClientReport::Waited(Some(setter))) = client.report() else { panic!("{reason}") };
            assert_eq!(setter.reason, Some(reason));
            assert!(!turn.is_set().unwrap());
        }
    }
    turn.set().unwrap();
    assert!(turn.is_set().unwrap(), "nobody waits any more");
}

#[apply(test)]
fn a_set_on_its_way_to_a_killed_process_goes_to_the_next() {
    let program = ManagerProgram::start();
    let turn = program.connect().event_options().auto_reset(true).create_new("turn").unwrap();
    let [mut first, mut second] = [(); 2].map(|()| RemoteClient::with_event(&program, "turn", true));
    first.begin_wait();
    second.begin_wait();
    first.stop();
    turn.set_because("for the living").unwrap();
    assert!(!turn.is_set().unwrap(), "it was granted to the first waiter");
    first.kill();
    let Ok(ClientReport::Waited(Some(setter))) = second.report() else { panic!("the second was not woken") };
    assert_eq!(setter.reason.as_deref(), Some("for the living"));
    assert!(!turn.is_set().unwrap());

    // If nobody else waits, the event stays set for the next caller.
    let mut last = RemoteClient::with_event(&program, "turn", true);
    last.begin_wait();
    last.stop();
    turn.set().unwrap();
    last.kill();
    eventually("it is set again", || turn.is_set().unwrap());
}

#[apply(test)]
fn a_set_that_a_killed_process_did_not_confirm_goes_to_the_next() {
    let program = ManagerProgram::start();
    let turn = program.connect().event_options().auto_reset(true).create_new("turn").unwrap();
    let [mut first, mut second] = [(); 2].map(|()| RemoteClient::with_event(&program, "turn", true));
    first.begin_wait();
    second.begin_wait();
    turn.set().unwrap();
    // The first client has read its grant, and has not acknowledged it in a later message.
    assert!(matches!(first.report(), Ok(ClientReport::Waited(Some(_)))));
    first.kill();
    assert!(matches!(second.report(), Ok(ClientReport::Waited(Some(_)))));
}

#[apply(test)]
fn of_a_killed_setter_stays_set() {
    let program = ManagerProgram::start();
    let mut setter = RemoteClient::with_event(&program, "flag", false);
    assert_eq!(setter.ask(set_because("last words")), Ok(ClientReport::Done));
    let process = setter.process();
    setter.kill();
    let cause = program.connect().event("flag").unwrap().wait(None).unwrap().unwrap();
    assert_eq!((cause.process, cause.reason.as_deref()), (process, Some("last words")));
}

#[apply(test)]
fn a_proxy_works_in_the_process_that_receives_it() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let event = manager.anonymous_event().unwrap();
    let mut client = RemoteClient::start(&program);
    assert_eq!(client.ask(proxy_of(&event)), Ok(ClientReport::Done));
    assert_eq!(client.ask(EventOrder::IsSet), Ok(ClientReport::Flag(false)));
    event.set_because("from its maker").unwrap();
    let Ok(ClientReport::Waited(Some(setter))) = client.ask(EventOrder::Wait { timeout: None }) else {
        panic!()
    };
    assert_eq!((setter.process, setter.reason.as_deref()), (std::process::id(), Some("from its maker")));

    // The receiver keeps the event when its maker has dropped it.
    let order = proxy_of(&event);
    drop(event);
    assert_eq!(client.ask(EventOrder::IsSet), Ok(ClientReport::Flag(true)));
    let mut other = RemoteClient::start(&program);
    assert_eq!(other.ask(order.clone()), Ok(ClientReport::Done));
    drop((client, other));
    eventually("the event is freed with its last process", || {
        RemoteClient::start(&program).ask(order.clone()).is_err_and(|error| error.is_no_such_object())
    });
}

#[apply(test)]
fn a_proxy_from_an_earlier_life_of_the_manager_is_refused() {
    let mut program = ManagerProgram::start();
    let old = program.connect();
    let event = old.event("same name").unwrap();
    let order = proxy_of(&event);
    program.restart();

    let mut client = RemoteClient::with_event(&program, "same name", false);
    assert!(client.ask(order).unwrap_err().is_stale());
    assert!(event.set().unwrap_err().is_manager_gone());
    assert_eq!(client.ask(EventOrder::IsSet), Ok(ClientReport::Flag(false)));

    // The client refuses a task with such a proxy before it sends anything.
    let pool = Pool::new(&Manager::connect_to(&program.socket).unwrap(), 1).unwrap();
    let error = pool.apply(set, (event,)).unwrap_err();
    assert!(error.is_bad_target(), "{error:?}");
    assert!(error.to_string().contains("of an earlier life of this one"), "{error}");
}

#[apply(test)]
fn bad_names_are_refused() {
    let program = ManagerProgram::start();
    let mut client = RemoteClient::start(&program);
    let long = "x".repeat(256);
    for (name, expected) in [("", "must not be empty"), ("a\nb", "at byte 1"), (&long, "has 256")] {
        let error = client.ask(EventOrder::Open { name: name.to_owned(), auto_reset: false }).unwrap_err();
        assert!(error.is_bad_name() && error.to_string().contains(expected), "{name:?}: {error:?}");
    }
    let longest = EventOrder::Open { name: "x".repeat(255), auto_reset: false };
    assert_eq!(client.ask(longest), Ok(ClientReport::Done));
}

#[apply(test)]
fn a_name_has_one_kind_and_one_set_of_parameters() {
    let program = ManagerProgram::start();
    let mut client = RemoteClient::with_event(&program, "mine", true);
    let error = client.ask(EventOrder::Open { name: "mine".to_owned(), auto_reset: false }).unwrap_err();
    assert!(error.is_wrong_parameters(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("mine") && text.contains("auto") && text.contains("manual"), "{text}");

    let manager = program.connect();
    let _pool = Pool::builder(&manager).processes(1).name("workers").start().unwrap();
    let error = client.ask(EventOrder::Open { name: "workers".to_owned(), auto_reset: false }).unwrap_err();
    assert!(error.is_wrong_kind(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("workers") && text.contains("pool") && text.contains("event"), "{text}");
}

#[apply(test)]
fn a_wait_for_too_many_is_refused_before_it_travels() {
    let program = ManagerProgram::start();
    let event = program.connect().event("a").unwrap();
    // The manager could not answer now.
    program.running.signal(Signal::STOP);
    let targets: Vec<&dyn Waitable> = vec![&event; 2_000_000];
    for error in [wait_any(&targets, None).unwrap_err(), wait_all(&targets, None).unwrap_err()] {
        assert!(error.is_limit(), "{error:?}");
        assert_eq!(error.to_string(), "a wait has at most 1024 targets, this one has 2000000");
    }
    program.running.signal(Signal::CONT);
    event.set().unwrap();
    assert!(wait_any(&targets[..1024], None).unwrap().is_some());
}

#[apply(test)]
fn no_wake_up_is_lost_in_thousands_of_turns() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let [ping, pong] = [(); 2].map(|()| manager.event_options().auto_reset(true).anonymous().unwrap());
    let [mut one, mut other] = [(); 2].map(|()| RemoteClient::start(&program));
    one.tell(EventOrder::Rally { mine: ping.clone(), theirs: pong.clone(), rounds: ROUNDS });
    other.tell(EventOrder::Rally { mine: pong.clone(), theirs: ping.clone(), rounds: ROUNDS });
    ping.set().unwrap();
    assert_eq!(one.report(), Ok(ClientReport::Done));
    assert_eq!(other.report(), Ok(ClientReport::Done));
    // One wake-up went back and forth all the time, and there is still one.
    assert!(ping.is_set().unwrap() && !pong.is_set().unwrap());
}

#[apply(test)]
fn one_set_wakes_a_crowd_of_threads_in_four_processes() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let gate = manager.event("gate").unwrap();
    let mut crowds = [(); 4].map(|()| RemoteClient::with_event(&program, "gate", false));
    for crowd in &mut crowds {
        crowd.tell(EventOrder::Crowd { threads: CROWD });
    }
    eventually("all of their threads wait", || {
        let waits = manager.sessions().unwrap().iter().map(|session| session.waits as usize).sum::<usize>();
        waits == crowds.len() * CROWD
    });
    gate.set_because("it is open").unwrap();
    // None of them misses the set, though a clear follows at once.
    gate.clear().unwrap();
    for crowd in &mut crowds {
        let Ok(ClientReport::Crowd(outcomes)) = crowd.report() else { panic!("no outcomes") };
        assert_eq!(outcomes.len(), CROWD);
        for outcome in outcomes {
            assert_eq!(outcome.unwrap().unwrap().reason.as_deref(), Some("it is open"));
        }
    }
}

#[apply(test)]
fn a_set_and_a_wait_in_one_step_lose_no_wake_up_in_thousands_of_turns() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let [ping, pong] = [(); 2].map(|()| manager.event_options().auto_reset(true).anonymous().unwrap());
    let [mut one, mut other] = [(); 2].map(|()| RemoteClient::start(&program));
    one.tell(EventOrder::Serve { mine: ping.clone(), theirs: pong.clone(), rounds: ROUNDS });
    other.tell(EventOrder::Serve { mine: pong.clone(), theirs: ping.clone(), rounds: ROUNDS });
    assert_eq!(one.report(), Ok(ClientReport::Done));
    assert_eq!(other.report(), Ok(ClientReport::Done));
    // Each has set as often as the other has waited. If two sets had become one, somebody would have waited in vain.
    assert!(!ping.is_set().unwrap() && !pong.is_set().unwrap());
    // A set remains if its wait times out.
    assert!(ping.set_and_wait(&pong, Duration::ZERO).unwrap().is_none());
    assert!(matches!(ping.set_and_wait(&ping, Duration::ZERO), Ok(Some(Taken::Event(_)))));
}

#[apply(test)]
fn a_waiter_learns_that_it_was_removed() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let mut waiter = RemoteClient::with_event(&program, "short", false);
    waiter.begin_wait();
    assert_eq!(manager.inspect("short").unwrap().waiting, 1);
    manager.event("short").unwrap().remove().unwrap();
    let error = waiter.report().unwrap_err();
    assert!(error.is_removed() && error.to_string().contains("short"), "{error:?}");
    assert!(waiter.ask(EventOrder::IsSet).unwrap_err().is_no_such_object());
    assert!(!manager.event_options().create_new("short").unwrap().is_set().unwrap(), "its name is free");
}

#[apply(test)]
fn ten_thousand_are_too_many_to_wait_for_at_once() {
    let program = ManagerProgram::start();
    let events: Vec<Event> = {
        let manager = program.connect();
        (0..10_000).map(|_| manager.anonymous_event().unwrap()).collect()
    };
    let targets: Vec<&dyn Waitable> = events.iter().map(|event| event as _).collect();
    events[0].set().unwrap();
    for error in [
        wait_any(&targets, None).map(drop).unwrap_err(),
        wait_all(&targets, Duration::ZERO).map(drop).unwrap_err(),
    ] {
        assert!(error.is_limit() && error.to_string().contains("10000"), "{error:?}");
    }
    // A wait for as many as are allowed takes the first that is ready.
    assert!(matches!(wait_any(&targets[..1024], None), Ok(Some((0, Taken::Event(_))))));
    assert!(wait_any(&targets[..1025], None).unwrap_err().is_limit());
}

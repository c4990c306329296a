//! Mirrors: what is read in shared memory is what a round trip would tell, and of a dead manager nothing is.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::puppet::{Order, Puppet, Report};
use crate::support::{ManagerProgram, PATIENCE, eventually, test};

/// In what time everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("mirror::shows_what_another_process_has_set_as_soon_as_that_returns", seen),
        test("mirror::wakes_who_waits_also_if_a_clear_follows_at_once", pulse),
        test("mirror::a_wait_ends_at_its_timeout", timeout),
        test("mirror::of_a_killed_manager_shows_nothing", killed),
        test("mirror::of_a_manager_that_ended_shows_nothing", ended),
        test("mirror::of_a_removed_event_shows_nothing_though_its_place_is_used_again", removed),
        test("mirror::keeps_an_event_without_a_name", anonymous),
        test("mirror::there_is_none_of_an_event_with_auto_reset", auto_reset),
        test("mirror::of_thousands_of_events_each_shows_its_own", many),
    ]
}

fn seen() {
    let program = ManagerProgram::start();
    let mut puppet = Puppet::with_event(&program, "flag", false);
    let mirror = program.connect().event("flag").unwrap().mirror().unwrap();
    assert!(mirror.is_mapped());
    for _ in 0..500 {
        assert_eq!(mirror.is_set(), Ok(false));
        assert_eq!(puppet.ask(&Order::Set { reason: None }), Ok(Report::Done));
        assert_eq!(mirror.is_set(), Ok(true));
        assert_eq!(mirror.wait(None), Ok(true));
        assert_eq!(puppet.ask(&Order::Clear), Ok(Report::Done));
    }
}

fn pulse() {
    const WAITERS: usize = 8;
    let program = ManagerProgram::start();
    let mut puppet = Puppet::with_event(&program, "flag", false);
    let mirror = program.connect().event("flag").unwrap().mirror().unwrap();
    let (tell, told) = mpsc::channel();
    for _ in 0..WAITERS {
        let (mirror, tell) = (mirror.clone(), tell.clone());
        thread::spawn(move || tell.send(mirror.wait(None)).unwrap());
    }
    let begun = Instant::now();
    let mut woken = 0;
    // A thread that has not begun to wait misses a set that is cleared, so there are more of them.
    while woken < WAITERS {
        assert!(begun.elapsed() < PATIENCE, "{woken} of {WAITERS} were woken");
        assert_eq!(puppet.ask(&Order::Set { reason: None }), Ok(Report::Done));
        assert_eq!(puppet.ask(&Order::Clear), Ok(Report::Done));
        while let Ok(outcome) = told.try_recv() {
            assert_eq!(outcome, Ok(true));
            woken += 1;
        }
    }
    assert_eq!(mirror.is_set(), Ok(false));
}

fn timeout() {
    let program = ManagerProgram::start();
    let mirror = program.connect().event("never").unwrap().mirror().unwrap();
    // Longer than a sleeper sleeps before it looks whether the manager lives.
    let timeout = Duration::from_millis(1200);
    let begun = Instant::now();
    assert_eq!(mirror.wait(timeout), Ok(false));
    assert!(begun.elapsed() >= timeout);
    assert_eq!(mirror.wait(Duration::ZERO), Ok(false));
    mirror.event().set().unwrap();
    assert_eq!(mirror.wait(Duration::ZERO), Ok(true));
    assert_eq!(mirror.wait(Duration::MAX), Ok(true), "centuries are fine");
}

fn killed() {
    shows_nothing_after(Signal::KILL);
}

fn ended() {
    shows_nothing_after(Signal::TERM);
}

fn shows_nothing_after(signal: Signal) {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let set = manager.event("set").unwrap();
    set.set().unwrap();
    let (set, never) = (set.mirror().unwrap(), manager.event("never").unwrap().mirror().unwrap());
    assert_eq!((set.is_set(), never.is_set()), (Ok(true), Ok(false)));
    let waiter = thread::spawn({
        let never = never.clone();
        move || never.wait(None)
    });
    program.running.signal(signal);
    program.running.wait();
    let ended = Instant::now();
    // Who has fetched the status of a process may be a little ahead of the kernel's last work for it.
    eventually("the mirror knows", || set.is_set().is_err());
    assert!(ended.elapsed() < SOON);
    for mirror in [&set, &never] {
        assert!(mirror.is_set().unwrap_err().is_manager_gone());
        assert!(mirror.wait(None).unwrap_err().is_manager_gone());
    }
    assert!(waiter.join().unwrap().unwrap_err().is_manager_gone());
    assert!(ended.elapsed() < SOON, "it took {:?}", ended.elapsed());

    // The next manager at the socket is another, whose memory is another.
    program.restart();
    let again = program.connect().event("set").unwrap().mirror().unwrap();
    assert_eq!(again.is_set(), Ok(false));
    assert!(set.is_set().unwrap_err().is_manager_gone());
}

fn removed() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let mirror = manager.event("gone").unwrap().mirror().unwrap();
    let waiter = thread::spawn({
        let mirror = mirror.clone();
        move || mirror.wait(None)
    });
    manager.event("gone").unwrap().remove().unwrap();
    let error = waiter.join().unwrap().unwrap_err();
    assert!(error.is_removed() || error.is_no_such_object(), "{error:?}");
    let next = manager.event("next").unwrap();
    next.set().unwrap();
    assert_eq!(next.mirror().unwrap().is_set(), Ok(true));
    assert!(mirror.is_set().unwrap_err().is_no_such_object());
    assert!(mirror.wait(None).unwrap_err().is_no_such_object());
    assert!(mirror.event().mirror().unwrap_err().is_no_such_object());
}

fn anonymous() {
    let program = ManagerProgram::start();
    let event = program.connect().anonymous_event().unwrap();
    let mirror = event.mirror().unwrap();
    event.set().unwrap();
    drop(event);
    assert_eq!(mirror.is_set(), Ok(true));
    assert_eq!(mirror.event().clear(), Ok(()));
    assert_eq!(mirror.is_set(), Ok(false));
}

fn auto_reset() {
    let program = ManagerProgram::start();
    let turn = program.connect().event_options().auto_reset(true).create_new("turn").unwrap();
    let error = turn.mirror().unwrap_err();
    assert!(error.is_wrong_parameters(), "{error:?}");
    assert!(error.to_string().contains("\"turn\""), "{error}");
}

fn many() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let mirrors: Vec<_> = (0..3000).map(|_| manager.anonymous_event().unwrap().mirror().unwrap()).collect();
    for (number, mirror) in mirrors.iter().enumerate() {
        if number % 3 == 0 {
            mirror.event().set().unwrap();
        }
    }
    for (number, mirror) in mirrors.iter().enumerate() {
        assert_eq!(mirror.is_set(), Ok(number % 3 == 0), "event {number}");
    }
}

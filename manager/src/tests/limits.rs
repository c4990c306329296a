//! The limits of a manager, and what happens beyond them.

use std::io::ErrorKind;
use std::time::Duration;

use protocol::limits::REASON_BYTES_MAX;
use protocol::{Code, Greeting, Hello, Limits, Reply, Request};

use super::raw_client::{object, open_event};
use super::running_manager::RunningManager;
use super::timeouts::eventually;
use crate::server::Timeouts;

#[test]
fn one_session_too_many_is_refused_until_there_is_room() {
    let limits = Limits { sessions_max: 2, ..Limits::default() };
    let manager = RunningManager::start_with(limits, Timeouts::default());
    let mut first = manager.session();
    let second = manager.session();
    let mut third = manager.connect();
    let refusal = third.refused_greeting();
    assert_eq!(refusal.code, Code::LimitReached);
    assert!(refusal.text.contains("2 clients"), "{refusal}");
    third.expect_end();
    drop(second);
    eventually("room", || {
        let mut peer = manager.connect();
        // A refusal may come, and the connection end, before all of the hello is written.
        let mut hello = Vec::new();
        Hello::new(1, "test").append(&mut hello).unwrap();
        let _ = std::io::Write::write_all(&mut peer.stream, &hello);
        matches!(peer.greeting(), Some(Greeting::Welcome { .. })).then_some(())
    });
    assert_eq!(first.call(Request::Goodbye), Reply::Done);
}

#[test]
fn connections_that_have_not_said_hello_count() {
    let limits = Limits { sessions_max: 1, ..Limits::default() };
    let manager = RunningManager::start_with(limits, Timeouts::default());
    let mut silent = manager.connect();
    assert_eq!(manager.connect().refused_greeting().code, Code::LimitReached);
    silent.begin_session();
}

#[test]
fn a_peer_that_does_not_read_is_cut_off_and_told_why() {
    let limits = Limits { output_bytes_max: 64 << 10, ..Limits::default() };
    let manager = RunningManager::start_with(limits, Timeouts::default());
    let mut witness = manager.session();
    let mut deaf = manager.session();
    witness.call(open_event(1, "loud"));
    let reason = "x".repeat(REASON_BYTES_MAX);
    witness.call(Request::EventSet { id: object(1), reason: Some(&reason) });

    deaf.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let cut_off = loop {
        let bytes = deaf.frame(Request::EventCause { id: object(1) });
        if let Err(error) = std::io::Write::write_all(&mut deaf.stream, &bytes) {
            break error.kind();
        }
    };
    // A manager that has stopped listening shows as a pipe that fills up, and one that has closed as a broken one.
    let expected = [ErrorKind::WouldBlock, ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
    assert!(expected.contains(&cut_off), "{cut_off}");
    assert_eq!(witness.call(Request::EventIsSet { id: object(1) }), Reply::Flag(true));
    let refusal = deaf.last_refusal();
    assert_eq!(refusal.code, Code::LimitReached);
    assert!(refusal.text.contains("65536 bytes"), "{refusal}");
    deaf.expect_end();
}

#[test]
fn a_peer_that_never_reads_its_refusal_is_closed_all_the_same() {
    let limits = Limits { sessions_max: 1, output_bytes_max: 1 << 10, ..Limits::default() };
    let timeouts = Timeouts { final_refusal: Duration::from_millis(50), ..Timeouts::default() };
    let manager = RunningManager::start_with(limits, timeouts);
    let mut deaf = manager.session();
    deaf.call(open_event(1, "loud"));
    deaf.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    loop {
        let bytes = deaf.frame(Request::EventIsSet { id: object(1) });
        if std::io::Write::write_all(&mut deaf.stream, &bytes).is_err() {
            break;
        }
    }
    eventually("room for another", || {
        let mut peer = manager.connect();
        let mut hello = Vec::new();
        Hello::new(1, "test").append(&mut hello).unwrap();
        let _ = std::io::Write::write_all(&mut peer.stream, &hello);
        matches!(peer.greeting(), Some(Greeting::Welcome { .. })).then_some(())
    });
}

#[test]
fn a_peer_that_reads_slowly_within_the_limit_gets_everything() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    peer.call(open_event(1, "loud"));
    let reason = "x".repeat(REASON_BYTES_MAX);
    peer.call(Request::EventSet { id: object(1), reason: Some(&reason) });
    const REQUESTS: usize = 5_000;
    for _ in 0..REQUESTS {
        peer.send(Request::EventCause { id: object(1) });
    }
    for _ in 0..REQUESTS {
        assert!(matches!(peer.answer().unwrap().body, Reply::SetBy(Some(_))));
    }
    assert_eq!(peer.call(Request::EventIsSet { id: object(1) }), Reply::Flag(true));
}

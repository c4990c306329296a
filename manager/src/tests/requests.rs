//! Requests and answers: whole, in pieces, in crowds.

use std::io::Write;
use std::time::{Duration, Instant};

use protocol::{
    Answer, Code, Grant, Greeting, Hello, Outcome, Reply, Request, RequestId, Selector, SessionId, Target,
    append_frame,
};

use super::raw_client::{end_call, object, open_event, wait_for};
use super::running_manager::RunningManager;

#[test]
fn sessions_are_counted_from_one_and_told_the_epoch() {
    let manager = RunningManager::start();
    for number in 1..=3 {
        let mut peer = manager.connect();
        peer.send_hello(&Hello::new(1, "test"));
        let expected = Greeting::Welcome {
            version: protocol::VERSION_NEWEST,
            session: SessionId(number),
            epoch: manager.epoch,
        };
        assert_eq!(peer.greeting(), Some(expected));
    }
}

#[test]
fn requests_are_understood_however_they_are_cut() {
    let manager = RunningManager::start();
    let mut peer = manager.connect();
    let mut bytes = Vec::new();
    Hello::new(1, "test").append(&mut bytes).unwrap();
    bytes.extend(peer.frame(open_event(1, "cut")));
    bytes.extend(peer.frame(Request::EventSet { id: object(1), reason: Some("because") }));
    bytes.extend(peer.frame(Request::EventIsSet { id: object(1) }));
    for byte in bytes {
        peer.send_bytes(&[byte]);
    }
    assert!(matches!(peer.greeting(), Some(Greeting::Welcome { .. })));
    let mut replies = (0..3).map(|_| peer.answer().unwrap().body);
    assert_eq!(replies.next(), Some(Reply::Opened { id: object(1), created: true }));
    assert_eq!(replies.next(), Some(Reply::Done));
    assert_eq!(replies.next(), Some(Reply::Flag(true)));
}

#[test]
fn everything_that_is_pipelined_behind_a_hello_is_answered_in_order() {
    const REQUESTS: u64 = 50_000;
    let manager = RunningManager::start();
    let mut peer = manager.connect();
    let mut bytes = Vec::new();
    Hello::new(1, "test").append(&mut bytes).unwrap();
    bytes.extend(peer.frame(open_event(1, "many")));
    for _ in 1..REQUESTS {
        bytes.extend(peer.frame(Request::EventIsSet { id: object(1) }));
    }
    let mut stream = peer.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || stream.write_all(&bytes).unwrap());
    assert!(matches!(peer.greeting(), Some(Greeting::Welcome { .. })));
    for number in 1..=REQUESTS {
        assert_eq!(peer.answer().unwrap().request, RequestId(number));
    }
    writer.join().unwrap();
}

#[test]
fn a_peer_that_asks_without_pause_does_not_starve_another() {
    let manager = RunningManager::start();
    let mut busy = manager.session();
    busy.call(open_event(1, "busy"));
    let mut flood = Vec::new();
    for _ in 0..10_000 {
        append_one_way(&mut flood);
    }
    let mut stream = busy.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || while stream.write_all(&flood).is_ok() {});
    let mut other = manager.session();
    // A manager that read everything of the busy one would never get to these.
    for _ in 0..20 {
        assert_eq!(other.call(Request::EventIsSet { id: object(1) }), Reply::Flag(false));
    }
    busy.stream.shutdown(std::net::Shutdown::Both).unwrap();
    writer.join().unwrap();
}

fn append_one_way(output: &mut Vec<u8>) {
    let body = Request::EventIsSet { id: object(1) };
    let envelope = protocol::Envelope { request: RequestId::ONE_WAY, received: 0, body };
    append_frame(output, &envelope).unwrap();
}

#[test]
fn a_large_request_arrives_and_leaves_room_for_small_ones() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    let large = vec![7; 10 << 20];
    for _ in 0..3 {
        let reply = peer.call(end_call(9, 0, Outcome::Returned(large.as_slice()), &[]));
        assert!(matches!(reply, Reply::Refused(refusal) if refusal.code != Code::Protocol));
        assert!(matches!(peer.call(open_event(1, "small")), Reply::Opened { .. }));
    }
}

#[test]
fn a_set_wakes_a_waiter_in_another_session() {
    let manager = RunningManager::start();
    let mut waiting = manager.session();
    let mut setting = manager.session();
    waiting.call(open_event(1, "stop"));
    setting.call(open_event(2, "stop"));
    waiting.send(wait_for(Target::Event { id: object(1) }, None));
    setting.call(Request::EventSet { id: object(1), reason: Some("disk full") });
    let Some(Answer { body: Reply::Taken(taken), .. }) = waiting.answer() else { panic!("not taken") };
    let Grant::Event(cause) = &taken.grants[0] else { panic!("not an event") };
    assert_eq!(cause.process, std::process::id(), "the kernel's word counts");
    assert_eq!(cause.reason.as_deref(), Some("disk full"));
}

#[test]
fn a_wait_times_out_with_nobody_else_to_wake_the_loop() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    peer.call(open_event(1, "never"));
    for milliseconds in [0, 1, 30] {
        let timeout = Duration::from_millis(milliseconds);
        let began = Instant::now();
        let reply = peer
            .call(wait_for(Target::Event { id: object(1) }, Some(timeout.as_nanos().try_into().unwrap())));
        assert_eq!(reply, Reply::TimedOut { reacquired: None });
        assert!(began.elapsed() >= timeout);
    }
}

#[test]
fn large_answers_that_one_client_asks_for_by_the_hundred_keep_nobody_waiting() {
    const WAITS: u64 = 1000;
    const INSPECTIONS: u64 = 300;
    let manager = RunningManager::start();
    let (mut greedy, mut innocent) = (manager.session(), manager.session());
    greedy.call(open_event(1, "awaited"));
    innocent.call(open_event(2, "other"));
    let mut bytes = Vec::new();
    for _ in 0..WAITS {
        bytes.extend(greedy.frame(wait_for(Target::Event { id: object(1) }, None)));
    }
    for _ in 0..INSPECTIONS {
        bytes.extend(greedy.frame(Request::Inspect { object: Selector::Id(object(1)) }));
    }
    let mut stream = greedy.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || stream.write_all(&bytes).unwrap());
    let reader = std::thread::spawn(move || {
        for _ in 0..INSPECTIONS {
            assert!(matches!(greedy.answer().unwrap().body, Reply::Object(_)));
        }
    });
    let mut longest = Duration::ZERO;
    while !reader.is_finished() {
        let began = Instant::now();
        assert_eq!(innocent.call(Request::EventIsSet { id: object(2) }), Reply::Flag(false));
        longest = longest.max(began.elapsed());
    }
    reader.join().unwrap();
    writer.join().unwrap();
    println!("the innocent client waited {longest:?} at most");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

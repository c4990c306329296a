//! Peers that break the protocol. The manager refuses each with a reason, and no other peer notices.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use protocol::limits::FRAME_BYTES_MAX;
use protocol::{Code, HELLO_BYTES_MAX, Hello, Reply, Request};
use sys::descriptors::{self, Waiting};

use super::raw_client::{RawClient, object, open_event};
use super::running_manager::RunningManager;
use crate::server::Timeouts;

/// Runs something with a manager, and has another session see that it did no harm.
fn unnoticed(happens: impl FnOnce(&RunningManager)) {
    let manager = RunningManager::start();
    let mut witness = manager.session();
    witness.call(open_event(1, "witnessed"));
    happens(&manager);
    assert_eq!(witness.call(Request::EventIsSet { id: object(1) }), Reply::Flag(false));
    assert_eq!(manager.session().call(Request::EventIsSet { id: object(1) }), Reply::Flag(false));
}

fn refused_at_hello(bytes: &[u8]) {
    unnoticed(|manager| {
        let mut peer = manager.connect();
        peer.send_bytes(bytes);
        let refusal = peer.refused_greeting();
        assert_eq!(refusal.code, Code::Protocol, "{refusal}");
        peer.expect_end();
    });
}

fn refused_in_session(bytes: &[u8]) {
    unnoticed(|manager| {
        let mut peer = manager.session();
        peer.send_bytes(bytes);
        let refusal = peer.last_refusal();
        assert_eq!(refusal.code, Code::Protocol, "{refusal}");
        peer.expect_end();
    });
}

#[test]
fn another_protocol_is_refused() {
    refused_at_hello(b"GET / HTTP/1.1\r\n\r\n");
    refused_at_hello(b"\x0e\0\0\0GET / HTTP/1.1");
    refused_at_hello(&[0xff; 100_000]);
    refused_at_hello(&[0; 4]);
}

#[test]
fn a_hello_that_is_too_long_is_refused_before_it_is_read() {
    refused_at_hello(&(HELLO_BYTES_MAX as u32 + 1).to_le_bytes());
}

#[test]
fn a_hello_of_another_version_is_refused_in_words() {
    unnoticed(|manager| {
        let mut peer = manager.connect();
        peer.send_hello(&Hello { version_oldest: 40, version_newest: 50, ..Hello::new(1, "future") });
        let refusal = peer.refused_greeting();
        assert_eq!(refusal.code, Code::VersionMismatch);
        assert!(refusal.text.contains("40 to 50"), "{refusal}");
        peer.expect_end();
    });
}

#[test]
fn garbage_in_a_session_ends_it() {
    refused_in_session(b"\x05\0\0\0\xff\xff\xff\xff\xff");
    refused_in_session(&[0; 4]);
}

#[test]
fn bytes_after_a_request_in_its_frame_end_the_session() {
    let mut bytes =
        RawClient::connect(RunningManager::start().socket()).frame(Request::EventIsSet { id: object(1) });
    bytes.push(0);
    bytes[0] += 1;
    refused_in_session(&bytes);
}

#[test]
fn an_oversized_frame_ends_the_session_before_it_is_read() {
    refused_in_session(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes());
    refused_in_session(&[0xff; 4]);
}

#[test]
fn a_request_after_the_goodbye_ends_the_session() {
    unnoticed(|manager| {
        let mut peer = manager.session();
        assert_eq!(peer.call(Request::Goodbye), Reply::Done);
        peer.send(Request::EventIsSet { id: object(1) });
        assert_eq!(peer.last_refusal().code, Code::Protocol);
        peer.expect_end();
    });
}

#[test]
fn a_session_that_confirms_what_it_was_not_sent_is_dropped() {
    unnoticed(|manager| {
        let mut peer = manager.session();
        let mut other = manager.session();
        for _ in 0..100 {
            other.call(Request::EventIsSet { id: object(1) });
        }
        // A frame of the other session claims its hundred answers.
        let bytes = other.frame(Request::EventIsSet { id: object(1) });
        peer.send_bytes(&bytes);
        assert_eq!(peer.last_refusal().code, Code::Protocol);
        peer.expect_end();
    });
}

#[test]
fn half_a_frame_and_a_close_are_just_an_end() {
    unnoticed(|manager| {
        let mut hello = Vec::new();
        Hello::new(1, "test").append(&mut hello).unwrap();
        for length in 0..hello.len() {
            manager.connect().send_bytes(&hello[..length]);
        }
        let frame = manager.connect().frame(open_event(1, "witnessed"));
        for length in 0..frame.len() {
            manager.session().send_bytes(&frame[..length]);
        }
    });
}

#[test]
fn a_peer_that_says_nothing_is_closed() {
    let timeouts = Timeouts { hello: Duration::from_millis(50), ..Timeouts::default() };
    let manager = RunningManager::start_with(Default::default(), timeouts);
    let mut witness = manager.session();
    let mut silent = manager.connect();
    let mut slow = manager.connect();
    slow.send_bytes(&[30, 0, 0]);
    for peer in [&mut silent, &mut slow] {
        let refusal = peer.refused_greeting();
        assert_eq!(refusal.code, Code::Protocol);
        assert!(refusal.text.contains("no hello came within 50ms"), "{refusal}");
        peer.expect_end();
    }
    // A session may be silent for as long as it likes.
    assert_eq!(witness.call(Request::Goodbye), Reply::Done);
}

#[test]
fn descriptors_between_the_bytes_keep_no_request_from_its_answer() {
    unnoticed(|manager| {
        let mut peer = manager.session();
        peer.call(open_event(2, "between"));
        let null = File::open("/dev/null").unwrap();
        for _ in 0..20 {
            let frames: Vec<u8> =
                (0..10).flat_map(|_| peer.frame(Request::EventIsSet { id: object(2) })).collect();
            for byte in frames.chunks(1) {
                let sent = descriptors::send(&peer.stream, byte, &[null.as_fd()], Waiting::AsSocket);
                assert_eq!(sent.unwrap(), 1);
            }
            for _ in 0..10 {
                assert_eq!(peer.answer().unwrap().body, Reply::Flag(false));
            }
        }
    });
}

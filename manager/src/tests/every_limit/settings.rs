//! Limits that each manager may set for itself, here to a few.

use std::io::Write;
use std::time::Duration;

use protocol::limits::{BLOB_BYTES_MAX, REASON_BYTES_MAX, WAIT_TARGETS_MAX};
use protocol::{Limits, LockChoice, Outcome, Reply, Request, Spec, Target, ThreadId, WaitMode};

use super::calls::{BATCH, fails, outcome, put, worker_and_owner};
use super::consequence::Consequence::{self, Ended, Refused};
use crate::server::Timeouts;
use crate::tests::raw_client::{
    EMPTY_CALL, RawClient, add_calls, call_of, done, object, open_anonymous, open_batch, refused_alike,
    wait_for,
};
use crate::tests::running_manager::RunningManager;

const EVENT: Spec = Spec::Event { auto_reset: false };

/// A session with a manager of these limits.
fn session(limits: Limits) -> (RunningManager, RawClient) {
    let manager = RunningManager::start_with(limits, Timeouts::default());
    let peer = manager.session();
    (manager, peer)
}

pub(super) fn sessions() -> Vec<Consequence> {
    let (manager, _first) = session(Limits { sessions_max: 2, ..Limits::default() });
    let mut second = manager.connect();
    let mut third = manager.connect();
    let refusal = third.refused_greeting();
    third.expect_end();
    second.begin_session();
    assert!(refusal.text.contains("2 clients"), "{refusal}");
    vec![Ended(refusal.code)]
}

pub(super) fn objects() -> Vec<Consequence> {
    let (_manager, mut peer) = session(Limits { objects_max: 3, ..Limits::default() });
    let peer = &mut peer;
    done(peer, open_anonymous(1, Spec::Pool));
    done(peer, open_anonymous(2, EVENT));
    // These make two objects each.
    let over = LockChoice::Own { id: object(9), is_reentrant: false };
    let two = [open_anonymous(8, Spec::Condition { over }), open_batch(8, 1, 9, "f")];
    let code = refused_alike(peer, 3, two);
    done(peer, open_anonymous(3, EVENT));
    assert_eq!(refused_alike(peer, 3, [open_anonymous(4, EVENT)]), code);
    vec![Refused(code)]
}

pub(super) fn mirrored_events() -> Vec<Consequence> {
    let (_manager, mut peer) = session(Limits { mirrored_events_max: 2, ..Limits::default() });
    for number in 1..=3 {
        done(&mut peer, open_anonymous(number, EVENT));
    }
    let mirror = |number| Request::EventMirror { id: object(number) };
    // To ask for the same again takes no place.
    for number in [1, 2, 2] {
        done(&mut peer, mirror(number));
    }
    vec![Refused(refused_alike(&mut peer, 2, [mirror(3)]))]
}

pub(super) fn wait_targets() -> Vec<Consequence> {
    let (_manager, mut peer) = session(Limits { wait_targets_max: 3, ..Limits::default() });
    for number in 1..=4 {
        done(&mut peer, open_anonymous(number, EVENT));
    }
    let wait = |mode, count| {
        let targets = (1..=count).map(|number| Target::Event { id: object(number) }).collect();
        Request::Wait { mode, targets, timeout_ns: Some(0), thread: ThreadId(1) }
    };
    let modes = [WaitMode::Any, WaitMode::All];
    modes.iter().for_each(|&mode| done(&mut peer, wait(mode, 3)));
    vec![Refused(refused_alike(&mut peer, 3, modes.map(|mode| wait(mode, 4))))]
}

pub(super) fn wait_targets_of_any_manager() -> Vec<Consequence> {
    let (_manager, mut peer) = session(Limits { wait_targets_max: usize::MAX, ..Limits::default() });
    done(&mut peer, open_anonymous(1, EVENT));
    let wait = |count| {
        let targets = std::iter::repeat_n(Target::Event { id: object(1) }, count).collect();
        Request::Wait { mode: WaitMode::Any, targets, timeout_ns: Some(0), thread: ThreadId(1) }
    };
    done(&mut peer, wait(WAIT_TARGETS_MAX));
    let too_many = [wait(WAIT_TARGETS_MAX + 1), wait(3 * WAIT_TARGETS_MAX)];
    vec![Refused(refused_alike(&mut peer, WAIT_TARGETS_MAX, too_many))]
}

pub(super) fn session_waits() -> Vec<Consequence> {
    let (_manager, mut peer) = session(Limits { session_waits_max: 2, ..Limits::default() });
    done(&mut peer, open_anonymous(1, EVENT));
    let wait = || wait_for(Target::Event { id: object(1) }, None);
    peer.send(wait());
    peer.send(wait());
    // What does not block is carried out all the same.
    assert_eq!(
        peer.call(wait_for(Target::Event { id: object(1) }, Some(0))),
        Reply::TimedOut { reacquired: None }
    );
    vec![Refused(refused_alike(&mut peer, 2, [wait()]))]
}

pub(super) fn calls() -> Vec<Consequence> {
    let (_manager, peer) = session(Limits { calls_and_items_max: 3, ..Limits::default() });
    let peer = &mut worker_and_owner(peer);
    done(peer, add_calls(BATCH, EMPTY_CALL, 1));
    done(peer, put(b"", Vec::new()));
    let code = refused_alike(peer, 3, [add_calls(BATCH, EMPTY_CALL, 2)]);
    done(peer, add_calls(BATCH, EMPTY_CALL, 1));
    assert_eq!(refused_alike(peer, 3, [add_calls(BATCH, EMPTY_CALL, 1), put(b"", Vec::new())]), code);
    vec![Refused(code)]
}

pub(super) fn blob_bytes_max() -> Vec<Consequence> {
    let room = usize::MAX;
    let limits = Limits { stored_bytes_max: room, memory_bytes_max: room, ..Limits::default() };
    let (_manager, mut peer) = session(limits);
    let open = |bytes| Request::BlobOpen { bytes };
    assert!(matches!(peer.call(open(BLOB_BYTES_MAX)), Reply::BlobOpened { .. }));
    vec![Refused(refused_alike(&mut peer, BLOB_BYTES_MAX as usize, [open(BLOB_BYTES_MAX + 1)]))]
}

pub(super) fn stored_bytes() -> Vec<Consequence> {
    let limits = Limits { stored_bytes_max: 100, ..Limits::default() };
    let (_manager, peer) = session(limits.clone());
    let peer = &mut worker_and_owner(peer);
    done(peer, put(&[0; 40], Vec::new()));
    let code = refused_alike(peer, 100, [add_calls(BATCH, &call_of(61), 1), put(&[0; 61], Vec::new())]);
    done(peer, add_calls(BATCH, &call_of(60), 1));

    let (_manager, peer) = session(limits);
    let peer = &mut worker_and_owner(peer);
    // A result counts with 16 bytes more than it has, and the arguments are one byte.
    let most = call_of(83);
    assert!(matches!(outcome(peer, Outcome::Returned(&most), &[]), Outcome::Returned(_)));
    let failed = outcome(peer, Outcome::Returned(&call_of(84)), &[]);
    vec![Refused(code), fails(&failed)]
}

pub(super) fn output_bytes() -> Vec<Consequence> {
    let (manager, mut deaf) = session(Limits { output_bytes_max: 64 << 10, ..Limits::default() });
    let mut witness = manager.session();
    done(&mut witness, open_anonymous(1, EVENT));
    let reason = "x".repeat(REASON_BYTES_MAX);
    done(&mut witness, Request::EventSet { id: object(1), reason: Some(&reason) });
    deaf.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Until the manager has stopped listening: the pipe fills up, or is broken.
    loop {
        let bytes = deaf.frame(Request::EventCause { id: object(1) });
        if deaf.stream.write_all(&bytes).is_err() {
            break;
        }
    }
    let refusal = deaf.last_refusal();
    deaf.expect_end();
    assert!(refusal.text.contains("65536 bytes"), "{refusal}");
    done(&mut witness, Request::Goodbye);
    vec![Ended(refusal.code)]
}

pub(super) fn memory_bytes() -> Vec<Consequence> {
    // Three quarters are for what is stored, and one for what is on its way.
    let limits = Limits { memory_bytes_max: 4 * (64 << 10), ..Limits::default() };
    let (_manager, peer) = session(limits.clone());
    let peer = &mut worker_and_owner(peer);
    (0..3).for_each(|_| done(peer, put(&[0; 50_000], Vec::new())));
    let call = call_of(50_000);
    let too_much = [add_calls(BATCH, &call, 1), put(&[0; 50_000], Vec::new())];
    let code = refused_alike(peer, 3 * (64 << 10), too_much);
    let failed = outcome(peer, Outcome::Returned(&call), &[]);
    done(peer, add_calls(BATCH, &call_of(20_000), 1));

    let (manager, mut witness) = session(limits);
    let mut halting = manager.session();
    halting.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    halting.send_bytes(&(1_u32 << 20).to_le_bytes());
    halting.send_bytes(&[0; 32 << 10]);
    done(&mut witness, open_anonymous(1, EVENT));
    // Until the manager has stopped listening: the pipe fills up, or is broken.
    while halting.stream.write_all(&[0; 1 << 10]).is_ok() {}
    let refusal = halting.last_refusal();
    halting.expect_end();
    assert!(refusal.text.contains("65536 bytes"), "{refusal}");
    done(&mut witness, Request::Goodbye);
    vec![Refused(code), fails(&failed), Ended(refusal.code)]
}

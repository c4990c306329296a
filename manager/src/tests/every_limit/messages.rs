//! Limits of what one message or one session may have.

use std::time::Duration;

use protocol::limits::{
    BLOB_BYTES_MIN, CONDITIONS_PER_LOCK_MAX, FRAME_BYTES_MAX, HELLO_BYTES_MAX, HELLO_TIME_MAX,
    NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, PIECE_BYTES_MAX, PROGRAM_BYTES_MAX, REASON_BYTES_MAX, UNCONFIRMED_MAX,
};
use protocol::{
    Code, Hello, Limits, LockChoice, OpenMode, Outcome, Reply, Request, Selector, Signal, Spec, Target,
    ThreadId, WaitMode,
};

use super::consequence::Consequence::{self, Cut, Ended, Refused};
use crate::server::Timeouts;
use crate::tests::manager_process::ManagerProcess;
use crate::tests::raw_client::{
    RawClient, done, end_call, object, open, open_anonymous, open_batch, open_event, refused, refused_alike,
    wait_for,
};
use crate::tests::running_manager::RunningManager;

pub(super) fn hello_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let hello = |bytes: usize| {
        let mut frame = Vec::new();
        let program = "p".repeat(bytes);
        Hello::new(1, &program).append(&mut frame).unwrap();
        frame
    };
    let rest = HELLO_BYTES_MAX - (hello(HELLO_BYTES_MAX / 2).len() - 4 - HELLO_BYTES_MAX / 2);
    let largest = hello(rest);
    assert_eq!(largest.len(), 4 + HELLO_BYTES_MAX);
    let mut peer = manager.connect();
    peer.send_bytes(&largest);
    peer.welcomed();
    let refusal = manager.greeting_after(&length(HELLO_BYTES_MAX + 1));
    assert!(refusal.text.contains(&HELLO_BYTES_MAX.to_string()), "{refusal}");
    vec![Ended(refusal.code)]
}

pub(super) fn hello_time() -> Vec<Consequence> {
    assert_eq!(Timeouts::default().hello, HELLO_TIME_MAX);
    let timeouts = Timeouts { hello: Duration::from_millis(50), ..Timeouts::default() };
    let manager = RunningManager::start_with(Limits::default(), timeouts);
    let mut late = manager.connect();
    let refusal = late.refused_greeting();
    late.expect_end();
    assert!(refusal.text.contains("50ms"), "{refusal}");
    vec![Ended(refusal.code)]
}

pub(super) fn conditions_per_lock() -> Vec<Consequence> {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    done(&mut peer, open_anonymous(0, Spec::Lock));
    let over = LockChoice::Given { id: object(0) };
    let most = CONDITIONS_PER_LOCK_MAX as u128;
    (1..=most).for_each(|number| done(&mut peer, open_anonymous(number, Spec::Condition { over })));
    let one_more = [open_anonymous(most + 1, Spec::Condition { over })];
    let code = refused_alike(&mut peer, CONDITIONS_PER_LOCK_MAX, one_more);
    done(&mut peer, Request::Detach { id: object(1) });
    done(&mut peer, open_anonymous(most + 1, Spec::Condition { over }));
    vec![Refused(code)]
}

pub(super) fn program_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut shown = Vec::new();
    for bytes in [PROGRAM_BYTES_MAX, PROGRAM_BYTES_MAX + 1] {
        let mut peer = manager.connect();
        let program = "p".repeat(bytes);
        peer.send_hello(&Hello::new(1, &program));
        let session = peer.welcomed();
        let reply = peer.call(Request::ListSessions { after: None });
        let Reply::Sessions { sessions, .. } = reply else { panic!("no sessions: {reply:?}") };
        let own = sessions.iter().find(|info| info.session == session).unwrap();
        shown.push(own.program.len());
    }
    assert_eq!(shown, [PROGRAM_BYTES_MAX; 2]);
    vec![Cut]
}

pub(super) fn frame_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut peer = manager.session();
    let bytes = vec![0; FRAME_BYTES_MAX];
    let mut frame_with = |bytes| peer.frame(end_call(9, 0, Outcome::Returned(bytes), &[]));
    let some = FRAME_BYTES_MAX - 100;
    let around = frame_with(&bytes[..some]).len() - 4 - some;
    let largest = frame_with(&bytes[around..]);
    assert_eq!(largest.len(), 4 + FRAME_BYTES_MAX);
    peer.send_bytes(&largest);
    let answer = peer.answer().expect("the connection goes on").body;
    assert!(matches!(answer, Reply::Refused(refusal) if refusal.code == Code::NoSuchObject));
    peer.send_bytes(&length(FRAME_BYTES_MAX + 1));
    let too_long = peer.last_refusal();
    peer.expect_end();

    let mut peer = manager.session();
    let peer = &mut peer;
    done(peer, open_anonymous(1, Spec::Queue { capacity: None, is_joinable: false }));
    let set: Vec<Target<'_>> = (2..4).map(|number| Target::Event { id: object(number) }).collect();
    for number in 2..4 {
        done(peer, open_anonymous(number, Spec::Event { auto_reset: false }));
        done(peer, Request::EventSet { id: object(number), reason: None });
    }
    let item = &bytes[..PAYLOAD_BYTES_MAX];
    done(peer, wait_for(Target::Put { queue: object(1), item, carries: Vec::new() }, None));
    let get_and = |events: &[Target<'static>]| Request::Wait {
        mode: WaitMode::All,
        targets: [Target::Get { queue: object(1) }].into_iter().chain(events.iter().cloned()).collect(),
        timeout_ns: None,
        thread: ThreadId(1),
    };
    let refusal = refused(peer, get_and(&set));
    // The item is still there, and with one target less the answer fits.
    assert!(matches!(peer.call(get_and(&set[..1])), Reply::Taken(_)));
    for refusal in [&too_long, &refusal] {
        assert!(refusal.text.contains(&FRAME_BYTES_MAX.to_string()), "{refusal}");
    }
    vec![Ended(too_long.code), Consequence::Refused(refusal.code)]
}

pub(super) fn blob_bytes_min() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut peer = manager.session();
    let open = |bytes| Request::BlobOpen { bytes };
    assert!(matches!(peer.call(open(BLOB_BYTES_MIN)), Reply::BlobOpened { .. }));
    let refusal = refused(&mut peer, open(BLOB_BYTES_MIN - 1));
    assert!(refusal.text.contains(&BLOB_BYTES_MIN.to_string()), "{refusal}");
    vec![Consequence::Refused(refusal.code)]
}

pub(super) fn piece_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut peer = manager.session();
    let opened = peer.call(Request::BlobOpen { bytes: PIECE_BYTES_MAX as u64 });
    let Reply::BlobOpened { blob, .. } = opened else { panic!("no blob: {opened:?}") };
    let bytes = vec![7; PIECE_BYTES_MAX + 1];
    let write = |bytes| Request::BlobWrite { blob, offset: 0, bytes, last: true };
    let refusal = refused(&mut peer, write(&bytes));
    assert!(refusal.text.contains(&PIECE_BYTES_MAX.to_string()), "{refusal}");
    done(&mut peer, write(&bytes[1..]));
    let read = |most| Request::BlobRead { blob, offset: 0, most };
    for most in [PIECE_BYTES_MAX as u32, u32::MAX] {
        assert_eq!(peer.call(read(most)), Reply::Piece(bytes[1..].into()));
    }
    vec![Consequence::Refused(refusal.code)]
}

pub(super) fn name_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut peer = manager.session();
    let peer = &mut peer;
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let longest = &long[1..];
    done(peer, open_event(1, longest));
    done(peer, Request::Inspect { object: Selector::Name(longest) });
    done(peer, open_anonymous(2, Spec::Pool));
    done(peer, open_batch(3, 2, 4, longest));
    let requests = [
        open_event(9, &long),
        open(9, Some(&long), Spec::Lock, OpenMode::Open),
        Request::Inspect { object: Selector::Name(&long) },
        open_batch(9, 2, 8, &long),
    ];
    vec![Consequence::Refused(refused_alike(peer, NAME_BYTES_MAX, requests))]
}

pub(super) fn reason_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut peer = manager.session();
    let peer = &mut peer;
    done(peer, open_anonymous(1, Spec::Event { auto_reset: false }));
    done(peer, open_anonymous(2, Spec::Pool));
    done(peer, open_anonymous(3, Spec::Barrier { parties: 2 }));
    let long = "r".repeat(REASON_BYTES_MAX + 1);
    fn requests(reason: &str) -> [Request<'_>; 4] {
        let signal = Signal::EventSet { id: object(1), reason: Some(reason) };
        let targets = [Target::Event { id: object(1) }].into();
        let (mode, thread) = (WaitMode::Any, ThreadId(1));
        [
            Request::EventSet { id: object(1), reason: Some(reason) },
            Request::SignalAndWait { signal, mode, targets, timeout_ns: None, thread },
            Request::PoolTerminate { id: object(2), reason },
            Request::BarrierAbort { id: object(3), turn: None, reason },
        ]
    }
    let code = refused_alike(peer, REASON_BYTES_MAX, requests(&long));
    requests(&long[1..]).into_iter().for_each(|request| done(peer, request));
    vec![Consequence::Refused(code)]
}

pub(super) fn unconfirmed_grants() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut peer = manager.session();
    done(&mut peer, open_anonymous(1, Spec::Event { auto_reset: true }));
    // Nothing is read meanwhile, so all of these confirm the one answer before.
    let grants = |peer: &mut RawClient, count: usize| {
        let id = object(1);
        let signal = Signal::EventSet { id, reason: None };
        let targets = [Target::Event { id }].into();
        let (mode, thread) = (WaitMode::Any, ThreadId(1));
        let grant = Request::SignalAndWait { signal, mode, targets, timeout_ns: None, thread };
        let mut bytes = Vec::new();
        (0..count).for_each(|_| bytes.extend_from_slice(&peer.frame(grant.clone())));
        peer.send_bytes(&bytes);
    };
    grants(&mut peer, UNCONFIRMED_MAX);
    peer.send(Request::EventIsSet { id: object(1) });
    grants(&mut peer, 1);
    peer.send(Request::EventIsSet { id: object(1) });
    for _ in 0..UNCONFIRMED_MAX {
        assert!(matches!(peer.answer().unwrap().body, Reply::Taken(_)));
    }
    assert_eq!(peer.answer().unwrap().body, Reply::Flag(false), "at the limit it goes on");
    assert!(matches!(peer.answer().unwrap().body, Reply::Taken(_)));
    let refusal = peer.last_refusal();
    peer.expect_end();
    assert!(refusal.text.contains(&UNCONFIRMED_MAX.to_string()), "{refusal}");
    vec![Ended(refusal.code)]
}

/// The first bytes of a frame of this length.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap().to_le_bytes()
}

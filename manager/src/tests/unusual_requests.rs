//! What PROTOCOL.md says of requests that few clients send: ids out of order, waits without an answer, empty texts.

use std::time::Instant;

use protocol::{
    Answer, Code, Grant, Kind, OpenMode, Reply, Request, RequestId, Signal, Spec, Target, ThreadId, WaitMode,
};

use super::raw_client::{
    RawClient, done, object, open, open_anonymous, open_batch, open_event, refused, wait_for,
};
use super::running_manager::RunningManager;
use super::timeouts::LONG;

#[test]
fn a_client_need_not_number_its_requests_in_order() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    peer.call(open_event(1, "numbers"));
    for number in [9, 4, 4, u64::MAX, 1] {
        peer.send_as(RequestId(number), Request::EventIsSet { id: object(1) });
        let answer = peer.answer().unwrap();
        assert_eq!((answer.request, answer.body), (RequestId(number), Reply::Flag(false)));
    }
    let blocked = RequestId(20);
    peer.send_as(blocked, wait_for(Target::Event { id: object(1) }, None));
    peer.send_as(blocked, wait_for(Target::Event { id: object(1) }, None));
    let Some(Answer { request, body: Reply::Refused(refusal) }) = peer.answer() else {
        panic!("not refused")
    };
    assert_eq!((request, refusal.code), (blocked, Code::BadArgument));
    peer.send_as(RequestId(3), Request::EventSet { id: object(1), reason: None });
    let answers = [peer.answer().unwrap(), peer.answer().unwrap()];
    assert!(answers.iter().any(|answer| answer.request == RequestId(3) && answer.body == Reply::Done));
    assert!(answers.iter().any(|answer| answer.request == blocked && matches!(answer.body, Reply::Taken(_))));
}

#[test]
fn requests_that_wait_do_nothing_if_they_are_one_way() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    peer.call(open_event(1, "signal"));
    let pool = open(2, Some("pool"), Spec::Pool, OpenMode::OpenOrCreate);
    assert!(matches!(peer.call(pool), Reply::Opened { .. }));
    peer.call(open_event(3, "stop"));
    peer.send_as(RequestId::ONE_WAY, wait_for(Target::Event { id: object(1) }, None));
    let targets = [Target::Event { id: object(1) }];
    peer.send_as(
        RequestId::ONE_WAY,
        Request::SignalAndWait {
            signal: Signal::EventSet { id: object(1), reason: None },
            mode: WaitMode::Any,
            targets: targets.into(),
            timeout_ns: None,
            thread: ThreadId(0),
        },
    );
    let Request::BatchOpen { id, pool, function, options } = open_batch(4, 2, 3, "count") else {
        panic!("it opens a batch")
    };
    let chunks = Vec::new();
    let run =
        Request::BatchRun { id, pool, function, options, chunks, timeout_ns: None, thread: ThreadId(0) };
    peer.send_as(RequestId::ONE_WAY, run);
    assert_eq!(peer.call(Request::EventIsSet { id: object(1) }), Reply::Flag(false));
    assert_eq!(refused(&mut peer, Request::BatchProgress { id: object(4) }).code, Code::NoSuchObject);
}

#[test]
fn a_thread_may_be_number_zero_and_a_reason_empty() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    peer.call(open_event(1, "reasons"));
    done(&mut peer, Request::EventSet { id: object(1), reason: Some("") });
    let Reply::SetBy(Some(cause)) = peer.call(Request::EventCause { id: object(1) }) else {
        panic!("the event has a cause")
    };
    assert_eq!(cause.reason.as_deref(), Some(""));
    peer.call(open_anonymous(2, Spec::Lock));
    let targets = [Target::Lock { id: object(2) }];
    let acquire =
        Request::Wait { mode: WaitMode::Any, targets: targets.into(), timeout_ns: None, thread: ThreadId(0) };
    assert!(matches!(peer.call(acquire), Reply::Taken(_)));
    done(&mut peer, Request::Release { id: object(2), holding: None, thread: ThreadId(0) });
}

#[test]
fn an_item_may_carry_what_does_not_exist() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    peer.call(open_anonymous(1, Spec::Queue { capacity: None, is_joinable: false }));
    let put = Target::Put { queue: object(1), item: b"!", carries: vec![object(77)] };
    assert!(matches!(peer.call(wait_for(put, None)), Reply::Taken(_)));
    let Reply::Taken(taken) = peer.call(wait_for(Target::Get { queue: object(1) }, None)) else {
        panic!("nothing came")
    };
    assert!(matches!(&taken.grants[0], Grant::Item(item) if !item.carries));
    let epoch = manager.epoch;
    let attach = Request::Attach { id: object(77), kind: Kind::Event, epoch };
    assert_eq!(refused(&mut peer, attach).code, Code::NoSuchObject);
}

#[test]
fn a_one_way_cancel_of_nothing_acknowledges_what_was_received() {
    let manager = RunningManager::start();
    let mut peer = manager.session();
    peer.call(open(
        1,
        Some("items"),
        Spec::Queue { capacity: None, is_joinable: false },
        OpenMode::OpenOrCreate,
    ));
    let put = Target::Put { queue: object(1), item: b"!", carries: Vec::new() };
    assert!(matches!(peer.call(wait_for(put, None)), Reply::Taken(_)));
    let get = || wait_for(Target::Get { queue: object(1) }, None);
    for is_acknowledged in [false, true] {
        let mut receiver = manager.session();
        assert!(matches!(receiver.call(get()), Reply::Taken(_)));
        if is_acknowledged {
            receiver.send_as(RequestId::ONE_WAY, Request::Cancel { request: RequestId::ONE_WAY });
        }
        drop(receiver);
        wait_until_alone(&mut peer);
        let left = peer.call(Request::QueueLength { id: object(1) });
        assert_eq!(left, Reply::Count(u64::from(!is_acknowledged)));
    }
}

/// Waits until all sessions but this one have ended.
fn wait_until_alone(peer: &mut RawClient) {
    let began = Instant::now();
    loop {
        match peer.call(Request::ListSessions { after: None }) {
            Reply::Sessions { sessions, .. } if sessions.len() == 1 => return,
            _ => assert!(began.elapsed() < LONG, "the other session does not end"),
        }
    }
}

//! Traces in which the core did something else in slices than in one go.

use protocol::{
    Limits, LockChoice, OpenMode, Request, RequestId, SessionId, Signal, Spec, Target, ThreadId, WaitMode,
};

use crate::simulator::step::{CURRENT, Step, id};
use crate::traces::{agree, targets};

/// A thread waits three times for locks of one cycle, and the search goes on in slices.
#[test]
fn a_thread_that_loses_one_of_its_waits_to_a_deadlock_is_looked_at_again() {
    let limits = Limits {
        objects_max: 1000,
        mirrored_events_max: 2,
        wait_targets_max: 1000,
        session_waits_max: 4,
        tasks_max: 100,
        stored_bytes_max: 4000000,
        memory_bytes_max: 8589934592,
        ..Limits::default()
    };
    agree(
        &limits,
        &[
            Step::Slices { steps: 41 },
            Step::Begin { session: SessionId(7) },
            Step::Request {
                session: SessionId(7),
                request: RequestId(21),
                unread: 0,
                body: Request::Open {
                    id: id(10),
                    name: Some("c"),
                    spec: Spec::Lock,
                    mode: OpenMode::OpenOrCreate,
                },
            },
            Step::Begin { session: SessionId(9) },
            Step::Request {
                session: SessionId(9),
                request: RequestId(2),
                unread: 0,
                body: Request::Open {
                    id: id(9),
                    name: None,
                    spec: Spec::Condition { over: LockChoice::Own { id: id(8), is_reentrant: false } },
                    mode: OpenMode::OpenOrCreate,
                },
            },
            Step::Begin { session: SessionId(12) },
            Step::Begin { session: SessionId(14) },
            Step::Request {
                session: SessionId(12),
                request: RequestId(109),
                unread: 0,
                body: Request::Open {
                    id: id(6),
                    name: Some("d"),
                    spec: Spec::Lock,
                    mode: OpenMode::OpenOrCreate,
                },
            },
            Step::Request {
                session: SessionId(14),
                request: RequestId(10),
                unread: 0,
                body: Request::Wait {
                    mode: WaitMode::All,
                    targets: targets([Target::Lock { id: id(8) }]),
                    timeout_ns: Some(140),
                    thread: ThreadId(1),
                },
            },
            Step::Request {
                session: SessionId(14),
                request: RequestId(53),
                unread: 0,
                body: Request::Wait {
                    mode: WaitMode::All,
                    targets: targets([Target::Lock { id: id(8) }]),
                    timeout_ns: Some(23),
                    thread: ThreadId(1),
                },
            },
            Step::Begin { session: SessionId(15) },
            Step::Request {
                session: SessionId(14),
                request: RequestId(68),
                unread: 0,
                body: Request::Wait {
                    mode: WaitMode::Any,
                    targets: targets([Target::Lock { id: id(10) }]),
                    timeout_ns: None,
                    thread: ThreadId(1),
                },
            },
            Step::Request {
                session: SessionId(15),
                request: RequestId(7),
                unread: 3,
                body: Request::Wait {
                    mode: WaitMode::All,
                    targets: targets([Target::Lock { id: id(6) }, Target::Lock { id: id(8) }]),
                    timeout_ns: None,
                    thread: ThreadId(1),
                },
            },
            Step::Request {
                session: SessionId(15),
                request: RequestId(10),
                unread: 0,
                body: Request::Wait {
                    mode: WaitMode::All,
                    targets: targets([Target::Lock { id: id(8) }]),
                    timeout_ns: None,
                    thread: ThreadId(1),
                },
            },
            Step::Request {
                session: SessionId(14),
                request: RequestId(77),
                unread: 0,
                body: Request::Wait {
                    mode: WaitMode::All,
                    targets: targets([Target::Lock { id: id(8) }]),
                    timeout_ns: None,
                    thread: ThreadId(1),
                },
            },
            Step::Request {
                session: SessionId(14),
                request: RequestId(84),
                unread: 0,
                body: Request::Release { id: id(8), hold: Some(CURRENT), thread: ThreadId(1) },
            },
            Step::Request {
                session: SessionId(15),
                request: RequestId(25),
                unread: 0,
                body: Request::Open {
                    id: id(18),
                    name: None,
                    spec: Spec::Latch { count: 2 },
                    mode: OpenMode::OpenOrCreate,
                },
            },
            Step::Request {
                session: SessionId(14),
                request: RequestId(92),
                unread: 0,
                body: Request::Wait {
                    mode: WaitMode::All,
                    targets: targets([Target::Lock { id: id(10) }]),
                    timeout_ns: Some(761),
                    thread: ThreadId(1),
                },
            },
            Step::Request {
                session: SessionId(15),
                request: RequestId(34),
                unread: 0,
                body: Request::Wait {
                    mode: WaitMode::All,
                    targets: targets([Target::Lock { id: id(10) }]),
                    timeout_ns: None,
                    thread: ThreadId(1),
                },
            },
            Step::Request {
                session: SessionId(15),
                request: RequestId(56),
                unread: 0,
                body: Request::Open {
                    id: id(14),
                    name: None,
                    spec: Spec::Condition { over: LockChoice::Given { id: id(10) } },
                    mode: OpenMode::CreateNew,
                },
            },
            Step::Request {
                session: SessionId(14),
                request: RequestId(113),
                unread: 0,
                body: Request::SignalAndWait {
                    signal: Signal::LatchCountDown { id: id(18), count: 0 },
                    mode: WaitMode::All,
                    targets: targets([Target::Condition { id: id(14), hold: Some(CURRENT) }]),
                    timeout_ns: None,
                    thread: ThreadId(1),
                },
            },
            Step::Request {
                session: SessionId(14),
                request: RequestId(117),
                unread: 0,
                body: Request::Release { id: id(10), hold: Some(CURRENT), thread: ThreadId(1) },
            },
            Step::Request {
                session: SessionId(15),
                request: RequestId(57),
                unread: 0,
                body: Request::Notify {
                    id: id(14),
                    count: Some(2),
                    hold: Some(CURRENT),
                    thread: ThreadId(1),
                },
            },
        ],
    );
}

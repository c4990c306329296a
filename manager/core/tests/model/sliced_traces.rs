//! Traces in which the core once did something else in slices than in one go.

use protocol::{Limits, LockChoice, OpenMode, Request, SessionId, Signal, Spec, Target, ThreadId, WaitMode};

use crate::simulator::step::{CURRENT, SimulatedStep, id};
use crate::traces::{agree, open, request, targets};

/// A wait for all of these locks by the first thread of its session.
fn wait_for<const COUNT: usize>(locks: [u128; COUNT], timeout_ns: Option<u64>) -> Request<'static> {
    let targets = targets(locks.map(|lock| Target::Lock { id: id(lock) }));
    Request::Wait { mode: WaitMode::All, targets, timeout_ns, thread: ThreadId(1) }
}

fn release(lock: u128) -> Request<'static> {
    Request::Release { id: id(lock), holding: Some(CURRENT), thread: ThreadId(1) }
}

/// A thread waits twice for locks of one cycle, and the search goes on in slices.
#[test]
fn a_thread_that_loses_one_of_its_waits_to_a_deadlock_is_looked_at_again() {
    let limits = Limits { session_waits_max: 4, ..Limits::default() };
    let begin = |session| SimulatedStep::Begin { session: SessionId(session) };
    let condition = Spec::Condition { over: LockChoice::Given { id: id(10) } };
    let wait_in_condition = Request::SignalAndWait {
        signal: Signal::LatchCountDown { id: id(18), count: 0 },
        mode: WaitMode::All,
        targets: targets([Target::Condition { id: id(14), holding: Some(CURRENT) }]),
        timeout_ns: None,
        thread: ThreadId(1),
    };
    let notify = Request::Notify { id: id(14), count: Some(2), holding: Some(CURRENT), thread: ThreadId(1) };
    let named = |lock, name| Request::Open {
        id: id(lock),
        name: Some(name),
        spec: Spec::Lock,
        mode: OpenMode::OpenOrCreate,
    };
    agree(
        &limits,
        &[
            SimulatedStep::Slices { steps: 41 },
            begin(14),
            begin(15),
            request(14, 1, named(6, "a")),
            request(14, 2, named(8, "b")),
            request(14, 3, named(10, "c")),
            request(14, 10, wait_for([8], Some(140))),
            request(14, 53, wait_for([8], Some(23))),
            request(14, 68, wait_for([10], None)),
            request(15, 7, wait_for([6, 8], None)),
            request(15, 10, wait_for([8], None)),
            request(14, 77, wait_for([8], None)),
            request(14, 84, release(8)),
            request(15, 25, open(id(18), Spec::Latch { count: 2 })),
            request(14, 92, wait_for([10], Some(761))),
            request(15, 34, wait_for([10], None)),
            request(15, 56, open(id(14), condition)),
            request(14, 113, wait_in_condition),
            request(14, 117, release(10)),
            request(15, 57, notify),
        ],
    );
}

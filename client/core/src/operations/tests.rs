//! Each operation makes its request, and accepts the answer that the protocol promises and no other.

use alloc::string::ToString;
use core::fmt::Debug;
use std::format;

use protocol::{
    BlobCallGrant, BlobId, CallsGrant, Cause, Grant, Kind, ObjectId, Reply, Request, Results, Signal, Target,
    ThreadId, WaitResult,
};
use uuid::Uuid;

use super::*;
use crate::{Operation, SignalOperation, Unexpected, WaitTarget};

fn id() -> ObjectId {
    ObjectId(Uuid::from_u128(7))
}

fn cause() -> Cause {
    Cause { process: 1, program: "p".into(), age_ns: 0, reason: None }
}

fn taken_one(grant: Grant) -> Reply {
    Reply::Taken(WaitResult { index: 0, grants: [grant].into_iter().collect(), reacquired: None })
}

/// Makes an operation's request, and returns what the operation makes of an answer.
fn run<'a, O: Operation<'a>>(operation: O, reply: Reply) -> Result<O::Output, Unexpected> {
    let request = format!("{:?}", operation.into_request());
    assert!(request.contains("07"), "{request} is about the object");
    O::output(reply)
}

fn expect_refused<'a, O: Operation<'a, Output: Debug>>(operation: O) {
    let error = run(operation, Reply::Opened { id: id(), created: true }).unwrap_err();
    assert!(error.to_string().contains("an answer of the wrong kind: Opened"), "{error}");
}

#[test]
fn an_answer_means_what_its_operation_says() {
    assert_eq!(run(EventSet { id: id(), reason: None }, Reply::Done), Ok(()));
    assert_eq!(run(EventIsSet { id: id() }, Reply::Flag(true)), Ok(true));
    assert_eq!(run(GetEventCause { id: id() }, Reply::SetBy(Some(cause()))), Ok(Some(cause())));
    assert_eq!(run(LatchCountDown { id: id(), count: 1 }, Reply::Count(2)), Ok(2));
    let notify = ConditionNotify { id: id(), count: None, thread: ThreadId(1) };
    assert_eq!(run(notify, Reply::Count(3)), Ok(3));
    let lock = run(ConditionLock { id: id() }, Reply::Lock { id: id(), is_reentrant: true });
    assert_eq!(lock, Ok(LockOfCondition { id: id(), is_reentrant: true }));
}

#[test]
fn a_wait_for_one_target_brings_what_the_target_grants() {
    let wait = || WaitFor { target: EventTarget { id: id() }, timeout_ns: None, thread: ThreadId(1) };
    assert_eq!(run(wait(), taken_one(Grant::Event(cause()))), Ok(Some(cause())));
    assert_eq!(run(wait(), Reply::TimedOut { reacquired: None }), Ok(None));
    let error = run(wait(), taken_one(Grant::Latch)).unwrap_err();
    assert_eq!(error.to_string(), "the manager sent a grant of the wrong kind: Latch");
    let nothing = WaitResult { index: 0, grants: [].into_iter().collect(), reacquired: None };
    assert!(matches!(run(wait(), Reply::Taken(nothing)), Err(Unexpected::Reply(_))));
}

fn wait_for_calls(leave: Option<EventTarget>) -> WaitForEither<EventTarget, CallsTarget> {
    let second = Some(CallsTarget { pool: id(), most: 2 });
    WaitForEither { first: leave, second, timeout_ns: None, thread: ThreadId(1) }
}

fn calls() -> CallsGrant {
    CallsGrant {
        batch: id(),
        function: "f".into(),
        stop: id(),
        first: 1,
        calls: 1,
        retry: 0,
        report_each: false,
        arguments: b""[..].into(),
    }
}

#[test]
fn a_wait_for_either_target_says_which_it_took() {
    let targets = |leave| match wait_for_calls(leave).into_request() {
        Request::Wait { targets, .. } => targets.into_vec(),
        request => panic!("{request:?}"),
    };
    let calls_target = || Target::Calls { pool: id(), most: 2 };
    assert_eq!(targets(None), [calls_target()]);
    assert_eq!(targets(Some(EventTarget { id: id() })), [Target::Event { id: id() }, calls_target()]);

    let wait = || wait_for_calls(None);
    assert_eq!(run(wait(), taken_one(Grant::Event(cause()))), Ok(Some(Either::First(cause()))));
    let taken = TakenCalls { calls: calls(), large: None };
    assert_eq!(run(wait(), taken_one(Grant::Calls(calls()))), Ok(Some(Either::Second(taken))));
    let granted = BlobCallGrant { call: calls(), blob: BlobId(3), bytes: 4 };
    let large = Some(LargeArguments { blob: BlobId(3), bytes: 4 });
    let taken = TakenCalls { calls: calls(), large };
    assert_eq!(run(wait(), taken_one(Grant::BlobCall(granted.into()))), Ok(Some(Either::Second(taken))));
    assert_eq!(run(wait(), Reply::TimedOut { reacquired: None }), Ok(None));
    assert_eq!(run(wait(), taken_one(Grant::Latch)), Err(Unexpected::grant(Grant::Latch)));
}

#[test]
fn results_are_waited_for_one_by_one_or_together() {
    let target = |least| ResultsTarget { batch: id(), least }.into_target();
    assert_eq!(target(1), Target::Results { batch: id() });
    assert_eq!(target(2), Target::ManyResults { batch: id(), least: 2 });
    let results = Results { results: [].into(), complete: true };
    assert_eq!(ResultsTarget::granted(Grant::Results(results.clone())), Ok(results));
}

#[test]
fn an_operation_does_the_same_as_a_signal() {
    let (id, thread) = (id(), ThreadId(1));
    let set = EventSet { id, reason: Some("why") };
    assert_eq!(set.into_signal(), Signal::EventSet { id, reason: Some("why") });
    let release = LockRelease { id, holding: Some(2), thread };
    assert_eq!(release.into_signal(), Signal::Release { id, holding: Some(2) });
    let release = SemaphoreRelease { id, permits: 3 };
    assert_eq!(release.into_signal(), Signal::SemaphoreRelease { id, permits: 3 });
    let count_down = LatchCountDown { id, count: 4 };
    assert_eq!(count_down.into_signal(), Signal::LatchCountDown { id, count: 4 });
}

#[test]
fn only_a_wait_to_get_brings_an_item() {
    assert!(brings_item(&GetTarget { queue: id() }.into_target()));
    assert!(!brings_item(&JoinTarget { queue: id() }.into_target()));
}

#[test]
fn a_lock_is_waited_for_as_the_kind_that_it_is() {
    let target = |is_reentrant| WaitTarget::into_target(LockTarget { id: id(), is_reentrant }).object();
    assert_eq!([target(false), target(true)], [(id(), Kind::Lock), (id(), Kind::RLock)]);
}

#[test]
fn an_answer_of_another_kind_is_refused() {
    expect_refused(EventSet { id: id(), reason: Some("why") });
    expect_refused(EventIsSet { id: id() });
    expect_refused(LatchCount { id: id() });
    expect_refused(GetBarrierStatus { id: id() });
    expect_refused(GetBatchProgress { id: id() });
    expect_refused(CallsGiveBack { batch: id(), first: 1 });
    expect_refused(QueueClose { id: id() });
    expect_refused(WaitFor { target: GetTarget { queue: id() }, timeout_ns: Some(0), thread: ThreadId(1) });
}

#[test]
fn an_operation_on_bound_processes_is_done_or_refused() {
    assert_eq!(BindProcesses { leader: 1 }.into_request(), Request::BindProcesses { leader: 1 });
    assert_eq!(UnbindProcesses { leader: 1 }.into_request(), Request::UnbindProcesses { leader: 1 });
    assert_eq!(BindProcesses::output(Reply::Done), Ok(()));
    assert!(
        BindProcesses::output(Reply::Count(1)).is_err()
            && UnbindProcesses::output(Reply::Flag(true)).is_err()
    );
}

//! The values in the samples.

use protocol::{
    Abandonment, BarrierStatus, BatchOptions, CallCounts, CallsGrant, CallsResult, Cause, Epoch, Failure,
    FailureKind, Grant, HolderInfo, ItemGrant, Kind, LockGrant, ObjectId, ObjectInfo, ObjectState,
    ObjectSummary, Outcome, Payload, PermitsInfo, Results, RunningCallInfo, SessionId, SessionInfo, ThreadId,
    WaitResult, WaiterInfo, Wanted,
};
use smallvec::smallvec;
use uuid::Uuid;

/// A u64 that is not a u32.
pub(super) const LARGE: u64 = u64::MAX - 7;

/// An i32 whose bytes are those of a larger u32 than any of the samples.
pub(super) const FAR_BELOW: i32 = i32::MIN + 7;

/// The id that the samples and examples use for an object.
pub(crate) const OBJECT: ObjectId = ObjectId(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff));

/// The id that the examples use for a second object.
pub(crate) const OTHER: ObjectId = ObjectId(Uuid::from_u128(0xffee_ddcc_bbaa_9988_7766_5544_3322_1100));

/// The id that the examples use for a stop event.
pub(crate) const STOP: ObjectId = ObjectId(Uuid::from_u128(0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0));

/// The epoch that the samples and examples use.
pub(crate) const EPOCH: Epoch = Epoch(Uuid::from_u128(0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_feff));

pub(super) fn cause() -> Cause {
    Cause { process: 4711, program: "program".into(), age_ns: LARGE, reason: Some("why".into()) }
}

pub(super) fn batch_options() -> BatchOptions {
    BatchOptions {
        stop: OBJECT,
        parent: Some(OBJECT),
        priority: FAR_BELOW,
        retries: 300,
        time_limit_ns: Some(LARGE),
    }
}

pub(super) fn calls_grant() -> CallsGrant {
    CallsGrant {
        batch: OBJECT,
        function: "count".into(),
        stop: OBJECT,
        first: LARGE,
        calls: 300,
        retry: 200,
        report_each: true,
        arguments: payload(),
    }
}

pub(super) fn failure() -> Failure {
    Failure { kind: FailureKind::WorkerDied, text: "why".into() }
}

pub(super) fn payload() -> Payload {
    Payload::from(&[0xff, 1, 2][..])
}

pub(super) fn progress() -> CallCounts {
    CallCounts { waiting: LARGE, running: LARGE - 1, returned: LARGE - 2, failed: LARGE - 3 }
}

pub(super) fn results() -> Results {
    Results {
        results: vec![CallsResult { first: LARGE, calls: 300, outcome: Outcome::Failed(failure()) }],
        complete: true,
    }
}

pub(super) fn taken() -> WaitResult {
    WaitResult { index: 300, grants: smallvec![Grant::Event(cause())], reacquired: Some(lock_grant()) }
}

pub(super) fn item_grant() -> ItemGrant {
    ItemGrant { number: LARGE, carries: true, payload: payload() }
}

pub(super) fn lock_grant() -> LockGrant {
    LockGrant { holding: LARGE, token: LARGE, depth: 300, abandoned: Some(abandonment()) }
}

pub(super) fn abandonment() -> Abandonment {
    Abandonment { process: 4711, program: "program".into(), how: "left".into(), held_ns: LARGE }
}

pub(super) fn barrier_status() -> BarrierStatus {
    BarrierStatus { parties: 300, waiting: 200, broken: Some("why".into()) }
}

pub(super) fn session_info() -> SessionInfo {
    SessionInfo {
        session: SessionId(LARGE),
        process: 4711,
        program: "program".into(),
        age_ns: LARGE,
        objects: 300,
        waits: 200,
        calls: 100,
        ending: None,
    }
}

pub(super) fn running_call_info() -> RunningCallInfo {
    RunningCallInfo {
        session: session_info(),
        function: "count".into(),
        batch: OBJECT,
        number: LARGE,
        retry: 300,
        running_ns: LARGE,
    }
}

pub(super) fn permits_info() -> PermitsInfo {
    PermitsInfo { session: session_info(), permits: LARGE, held_ns: LARGE }
}

pub(super) fn object_summary() -> ObjectSummary {
    ObjectSummary { id: OBJECT, name: Some("stop".into()), kind: Kind::Queue, is_awaited: true }
}

pub(super) fn object_info() -> ObjectInfo {
    let state = ObjectState::Latch { count: LARGE };
    let waiters = vec![waiter_info()];
    ObjectInfo { id: OBJECT, name: Some("stop".into()), references: 300, state, waiters, waiting: 200 }
}

pub(super) fn holder_info() -> HolderInfo {
    let thread = ThreadId(LARGE);
    let (held_ns, token) = (LARGE, LARGE);
    HolderInfo { process: 4711, program: "program".into(), thread, held_ns, depth: 300, token, ending: None }
}

pub(super) fn waiter_info() -> WaiterInfo {
    WaiterInfo {
        process: 4711,
        program: "program".into(),
        thread: ThreadId(LARGE),
        wants: Wanted::Lock,
        waited_ns: LARGE,
        remaining_ns: Some(LARGE),
    }
}

//! One value of every message, variant and struct that travels, with the bytes that the crate makes of it.
//!
//! The numbers and bytes are chosen so that `Page::skip` can tell the types apart.

use protocol::{
    Abandonment, Answer, BarrierStatus, BatchOptions, BlobCallGrant, BlobId, BlobItemGrant, CallCounts,
    CallsGrant, CallsOutcome, CallsResult, Cause, Chunk, Code, Envelope, Failure, FailureKind, Grant,
    Introduction, ItemGrant, Kind, LockChoice, LockGrant, OpenMode, Outcome, Refusal, Reply, Request,
    RequestId, Results, Selector, SessionId, SharedMemory, Signal, Spec, StopSignal, Target, ThreadId,
    WaitMode, WaitResult,
};
use smallvec::smallvec;

pub(crate) use sample::Sample;
pub(crate) use values::{EPOCH, OBJECT, OTHER, STOP};

use sample::{encode, structs, variants};
use values::*;

mod inspections;
mod sample;
mod values;

/// Every sample. A new enum or struct gets a paragraph in one of the functions below.
pub(crate) fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    requests(&mut samples);
    parts_of_requests(&mut samples);
    replies(&mut samples);
    parts_of_replies(&mut samples);
    inspections::inspections(&mut samples);
    samples
}

fn requests(samples: &mut Vec<Sample>) {
    variants!(samples, Request {
        Open { id: OBJECT, name: Some("stop"), spec: Spec::Pool, mode: OpenMode::OpenOrCreate },
        Attach { id: OBJECT, kind: Kind::Event, epoch: EPOCH },
        Detach { id: OBJECT },
        Remove { id: OBJECT },
        Wait {
            mode: WaitMode::All,
            targets: smallvec![Target::Event { id: OBJECT }, Target::Event { id: OBJECT }],
            timeout_ns: Some(LARGE),
            thread: ThreadId(LARGE),
        },
        Cancel { request: RequestId(LARGE) },
        EventSet { id: OBJECT, reason: Some("why") },
        EventClear { id: OBJECT },
        EventIsSet { id: OBJECT },
        EventCause { id: OBJECT },
        BatchOpen { id: OBJECT, pool: OBJECT, function: "count", options: batch_options() },
        BatchAdd { id: OBJECT, chunks: vec![Chunk { arguments: &[0xff], carries: vec![], calls: 300 }], last: true },
        BatchCancel { id: OBJECT },
        BatchSignal { id: OBJECT, signal: StopSignal::Kill },
        BatchProgress { id: OBJECT },
        CallsEnd {
            batch: OBJECT,
            first: LARGE,
            ends: [CallsOutcome { calls: 300, outcome: Outcome::Returned(&[0xff][..]) }].into(),
            carries: vec![OBJECT],
        },
        PoolClose { id: OBJECT },
        PoolTerminate { id: OBJECT, reason: "why" },
        Goodbye,
        SignalAndWait {
            signal: Signal::LatchCountDown { id: OBJECT, count: LARGE },
            mode: WaitMode::All,
            targets: smallvec![Target::Latch { id: OBJECT }, Target::Get { queue: OBJECT }],
            timeout_ns: Some(LARGE),
            thread: ThreadId(LARGE),
        },
        Release { id: OBJECT, holding: Some(LARGE), thread: ThreadId(LARGE) },
        ForceRelease { id: OBJECT },
        ConditionLock { id: OBJECT },
        Notify { id: OBJECT, count: Some(300), holding: Some(LARGE), thread: ThreadId(LARGE) },
        SemaphoreRelease { id: OBJECT, permits: LARGE },
        SemaphoreForget { id: OBJECT, permits: LARGE },
        SemaphoreAvailable { id: OBJECT },
        BarrierPass { id: OBJECT, turn: LARGE },
        BarrierAbort { id: OBJECT, turn: Some(LARGE), reason: "why" },
        BarrierReset { id: OBJECT },
        BarrierStatus { id: OBJECT },
        LatchCountDown { id: OBJECT, count: LARGE },
        LatchCount { id: OBJECT },
        QueueLength { id: OBJECT },
        QueueItemDone { id: OBJECT, item: Some(LARGE), thread: ThreadId(LARGE) },
        QueueClose { id: OBJECT },
        ListSessions { after: Some(SessionId(LARGE)) },
        ListObjects { after: Some(OBJECT) },
        Inspect { object: Selector::Name("stop") },
        Share { memory: SharedMemory::DeferredReleases },
        EventMirror { id: OBJECT },
        CallsGiveBack { batch: OBJECT, first: LARGE },
        BatchRun {
            id: OBJECT,
            pool: OBJECT,
            function: "count",
            options: batch_options(),
            chunks: vec![Chunk { arguments: &[0xff], carries: vec![OBJECT], calls: 300 }],
            timeout_ns: Some(LARGE),
            thread: ThreadId(LARGE),
        },
        BindProcesses { leader: 4711 },
        UnbindProcesses { leader: 4711 },
        BlobOpen { bytes: LARGE },
        BlobSend { blob: BlobId(LARGE), bytes: LARGE },
        BlobWrite { blob: BlobId(LARGE), offset: LARGE, bytes: &[0xff], last: true },
        BlobFetch { blob: BlobId(LARGE) },
        BlobRead { blob: BlobId(LARGE), offset: LARGE, most: 300 },
        BatchAddBlob { id: OBJECT, blob: BlobId(LARGE), carries: vec![OBJECT] },
        BlobClose { blob: BlobId(LARGE) },
    });
}

fn parts_of_requests(samples: &mut Vec<Sample>) {
    structs!(samples,
        Introduction { process: 4711, program: "program".into() }
        Envelope { request: RequestId(LARGE), received: LARGE, body: Request::Goodbye }
        BatchOptions {
            stop: OBJECT,
            parent: Some(OBJECT),
            priority: FAR_BELOW,
            retries: 300,
            time_limit_ns: Some(LARGE),
        }
        Chunk { arguments: &[0xff, 2], carries: vec![OBJECT, OBJECT], calls: 300 }
        CallsOutcome { calls: 300, outcome: Outcome::Returned(payload()) }
        Failure { kind: FailureKind::Panicked, text: "why".into() }
    );
    variants!(samples, Kind { Event, Pool, Batch, Lock, RLock, Condition, Semaphore, Barrier, Latch, Queue });
    variants!(samples, Spec {
        Event { auto_reset: true },
        Pool,
        Lock,
        RLock,
        Condition { over: LockChoice::Given { id: OBJECT } },
        Semaphore { permits: LARGE, is_bounded: true },
        Barrier { parties: 300 },
        Latch { count: LARGE },
        Queue { capacity: Some(LARGE), is_joinable: true },
    });
    variants!(samples, LockChoice { Own { id: OBJECT, is_reentrant: true }, Given { id: OBJECT } });
    variants!(samples, OpenMode { OpenOrCreate, CreateNew, Open });
    variants!(samples, WaitMode { Any, All });
    variants!(samples, Target {
        Event { id: OBJECT },
        Calls { pool: OBJECT, most: 300 },
        Results { batch: OBJECT },
        Lock { id: OBJECT },
        RLock { id: OBJECT },
        Condition { id: OBJECT, holding: Some(LARGE) },
        Semaphore { id: OBJECT, permits: LARGE },
        Barrier { id: OBJECT, has_action: true },
        Latch { id: OBJECT },
        Get { queue: OBJECT },
        Put { queue: OBJECT, item: &[0xff], carries: vec![OBJECT] },
        Join { queue: OBJECT },
        ManyResults { batch: OBJECT, least: 300 },
        PutBlob { queue: OBJECT, blob: BlobId(LARGE), carries: vec![OBJECT] },
    });
    variants!(samples, Signal {
        EventSet { id: OBJECT, reason: Some("why") },
        Release { id: OBJECT, holding: Some(LARGE) },
        SemaphoreRelease { id: OBJECT, permits: LARGE },
        LatchCountDown { id: OBJECT, count: LARGE },
    });
    variants!(samples, StopSignal { Terminate, Kill });
    variants!(samples, SharedMemory { Mirror, DeferredReleases, CallRecord });
    variants!(samples, Selector { Id(OBJECT), Name("stop") });
    variants!(samples, Outcome {
        Returned(payload()),
        Failed(failure()),
        ReturnedBlob { blob: BlobId(LARGE), bytes: LARGE },
    });
    variants!(
        samples,
        FailureKind {
            Panicked,
            UnknownFunction,
            BadEncoding,
            WorkerDied,
            Terminated,
            TooLarge,
            Cancelled,
            Stopped,
            TimeLimit,
            StaleEpoch,
            NoSuchObject,
            WrongKind,
        }
    );
}

fn replies(samples: &mut Vec<Sample>) {
    variants!(samples, Reply {
        Done,
        Refused(Refusal::new(Code::BadName, "why")),
        Flag(true),
        Opened { id: OBJECT, created: true },
        Taken(taken()),
        TimedOut { reacquired: Some(lock_grant()) },
        SetBy(Some(cause())),
        Progress(progress()),
        Count(LARGE),
        Lock { id: OBJECT, is_reentrant: true },
        Barrier(barrier_status()),
        Sessions { sessions: vec![session_info(), session_info()], more: true },
        Objects { objects: vec![object_summary(), object_summary()], more: true },
        Object(Box::new(object_info())),
        Shared { bytes: LARGE },
        Mirrored { number: 300, serial: 200 },
        BlobOpened { blob: BlobId(LARGE), takes_descriptor: true },
        Piece(payload()),
    });
    variants!(samples, Grant {
        Event(cause()),
        Calls(calls_grant()),
        Results(results()),
        Lock(lock_grant()),
        Notified,
        Permits { abandoned: Some(abandonment()) },
        Barrier { index: 300, leads: true, turn: LARGE },
        Latch,
        Item(item_grant()),
        Put,
        Joined,
        BlobItem(BlobItemGrant { number: LARGE, carries: true, blob: BlobId(LARGE), bytes: LARGE }),
        BlobCall(Box::new(BlobCallGrant { call: calls_grant(), blob: BlobId(LARGE), bytes: LARGE })),
    });
    variants!(
        samples,
        Code {
            Protocol,
            VersionMismatch,
            BadName,
            NoSuchObject,
            AlreadyExists,
            WrongKind,
            WrongParameters,
            StaleEpoch,
            Removed,
            LimitReached,
            BadTarget,
            BadArgument,
            Closed,
            Cancelled,
            NotOwner,
            OverRelease,
            Deadlock,
            Broken,
            Forbidden,
        }
    );
}

fn parts_of_replies(samples: &mut Vec<Sample>) {
    structs!(samples,
        Answer { request: RequestId(LARGE), body: Reply::Done }
        Refusal { code: Code::Closed, text: "why".into() }
        WaitResult {
            index: 300,
            grants: smallvec![Grant::Event(cause()), Grant::Results(results())],
            reacquired: Some(lock_grant()),
        }
        ItemGrant { number: LARGE, carries: true, payload: payload() }
        BlobItemGrant { number: LARGE, carries: true, blob: BlobId(LARGE), bytes: LARGE }
        BlobCallGrant { call: calls_grant(), blob: BlobId(LARGE), bytes: LARGE }
        LockGrant { holding: LARGE, token: LARGE, depth: 300, abandoned: Some(abandonment()) }
        Abandonment { process: 4711, program: "program".into(), how: "left".into(), held_ns: LARGE }
        Cause { process: 4711, program: "program".into(), age_ns: LARGE, reason: Some("why".into()) }
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
        Results {
            results: vec![CallsResult { first: LARGE, calls: 300, outcome: Outcome::Failed(failure()) }],
            complete: true,
        }
        CallsResult { first: LARGE, calls: 300, outcome: Outcome::Returned(payload()) }
        CallCounts { waiting: LARGE, running: LARGE - 1, returned: LARGE - 2, failed: LARGE - 3 }
        BarrierStatus { parties: 300, waiting: 200, broken: Some("why".into()) }
    );
}

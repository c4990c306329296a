//! One value of every message, variant and struct that travels, with the bytes that the crate makes of it.
//!
//! The numbers and bytes are chosen so that `Page::skip` can tell the types apart.

use protocol::{
    Answer, Cause, Code, Envelope, Epoch, Failure, FailureKind, Grant, Introduction, Kind, ObjectId,
    OpenMode, Outcome, Payload, Progress, Refusal, Reply, Request, RequestId, Results, Spec, Taken, Target,
    TaskGrant, TaskInput, TaskResult, ThreadId, WaitMode,
};
use smallvec::smallvec;
use uuid::Uuid;

/// A variant of an enum, or a struct, and an example of it.
pub(crate) struct Sample {
    /// The name of the enum or struct.
    pub(crate) owner: &'static str,
    /// The name of the variant, if it is one.
    pub(crate) variant: Option<&'static str>,
    /// The names of its fields in order; none if they have no names.
    pub(crate) fields: Vec<&'static str>,
    /// An encoded value.
    pub(crate) bytes: Vec<u8>,
}

/// Appends a sample of each variant of an enum. The `match` makes the compiler ask for a variant that is missing.
macro_rules! variants {
    ($samples:ident, $owner:ident {
        $($variant:ident $({ $($field:ident: $value:expr),+ $(,)? })? $(($inner:expr))?),+ $(,)?
    }) => {
        let _every = |value: &$owner| match value { $($owner::$variant { .. } => {})+ };
        $($samples.push(Sample {
            owner: stringify!($owner),
            variant: Some(stringify!($variant)),
            fields: vec![$($(stringify!($field)),+)?],
            bytes: encode::<$owner>($owner::$variant $({ $($field: $value),+ })? $(($inner))?),
        });)+
    };
}

/// Appends a sample of a struct. Naming every field is what makes the compiler ask for one that is missing.
macro_rules! structs {
    ($samples:ident, $($owner:ident { $($field:ident: $value:expr),+ $(,)? })+) => {
        $($samples.push(Sample {
            owner: stringify!($owner),
            variant: None,
            fields: vec![$(stringify!($field)),+],
            bytes: encode::<$owner>($owner { $($field: $value),+ }),
        });)+
    };
}

fn encode<T: serde::Serialize>(value: T) -> Vec<u8> {
    postcard::to_allocvec(&value).unwrap()
}

/// Every sample. A new enum or struct gets a paragraph in one of the functions below.
pub(crate) fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    requests(&mut samples);
    parts_of_requests(&mut samples);
    replies(&mut samples);
    parts_of_replies(&mut samples);
    samples
}

/// A u64 that is not a u32.
const LARGE: u64 = u64::MAX - 7;

/// The id that the samples and examples use for an object.
pub(crate) const OBJECT: ObjectId = ObjectId(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff));

/// The epoch that the samples and examples use.
pub(crate) const EPOCH: Epoch = Epoch(Uuid::from_u128(0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_feff));

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
        BatchOpen { id: OBJECT, pool: OBJECT, function: "count" },
        BatchAdd { id: OBJECT, tasks: vec![TaskInput { arguments: &[0xff], carries: vec![] }], last: true },
        BatchProgress { id: OBJECT },
        TaskEnd { batch: OBJECT, task: 7, outcome: Outcome::Returned(&[0xff]), carries: vec![OBJECT] },
        PoolClose { id: OBJECT },
        PoolTerminate { id: OBJECT, reason: "why" },
        Goodbye,
    });
}

fn parts_of_requests(samples: &mut Vec<Sample>) {
    structs!(samples,
        Introduction { process: 4711, program: "program".into() }
        Envelope { request: RequestId(LARGE), received: LARGE, body: Request::Goodbye }
        TaskInput { arguments: &[0xff, 2], carries: vec![OBJECT, OBJECT] }
        Failure { kind: FailureKind::Panicked, text: "why".into() }
    );
    variants!(samples, Kind { Event, Pool, Batch });
    variants!(samples, Spec { Event { auto_reset: true }, Pool });
    variants!(samples, OpenMode { OpenOrCreate, CreateNew, Open });
    variants!(samples, WaitMode { Any, All });
    variants!(samples, Target {
        Event { id: OBJECT },
        Task { pool: OBJECT },
        Results { batch: OBJECT },
    });
    variants!(samples, Outcome {
        Returned(payload()),
        Failed(failure()),
    });
    variants!(
        samples,
        FailureKind { Panicked, UnknownFunction, BadEncoding, WorkerDied, Terminated, TooLarge }
    );
}

fn replies(samples: &mut Vec<Sample>) {
    variants!(samples, Reply {
        Done,
        Refused(Refusal::new(Code::BadName, "why")),
        Flag(true),
        Opened { id: OBJECT, created: true },
        Taken(Taken { index: 300, grants: smallvec![Grant::Event(cause())] }),
        TimedOut,
        SetBy(Some(cause())),
        Progress(progress()),
    });
    variants!(samples, Grant {
        Event(cause()),
        Task(TaskGrant { batch: OBJECT, task: 7, function: "count".into(), arguments: payload() }),
        Results(results()),
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
        }
    );
}

fn parts_of_replies(samples: &mut Vec<Sample>) {
    structs!(samples,
        Answer { request: RequestId(LARGE), body: Reply::Done }
        Refusal { code: Code::Closed, text: "why".into() }
        Taken { index: 300, grants: smallvec![Grant::Event(cause()), Grant::Results(results())] }
        Cause { process: 4711, program: "program".into(), age_ns: LARGE, reason: Some("why".into()) }
        TaskGrant { batch: OBJECT, task: 7, function: "count".into(), arguments: payload() }
        Results { results: vec![TaskResult { task: 7, outcome: Outcome::Failed(failure()) }], complete: true }
        TaskResult { task: 7, outcome: Outcome::Returned(payload()) }
        Progress { waiting: 100, running: 200, returned: 300, failed: 4 }
    );
}

fn cause() -> Cause {
    Cause { process: 4711, program: "program".into(), age_ns: LARGE, reason: Some("why".into()) }
}

fn failure() -> Failure {
    Failure { kind: FailureKind::WorkerDied, text: "why".into() }
}

fn payload() -> Payload {
    Payload::from(&[0xff, 1, 2][..])
}

fn progress() -> Progress {
    Progress { waiting: 100, running: 200, returned: 300, failed: 4 }
}

fn results() -> Results {
    Results { results: vec![TaskResult { task: 7, outcome: Outcome::Failed(failure()) }], complete: true }
}

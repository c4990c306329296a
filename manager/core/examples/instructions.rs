//! Every kind of request, for `scripts/count-instructions`, which runs this under a tool that counts instructions.
//!
//! `instructions` lists the scenarios; `instructions NAME TIMES` runs NAME that many times. The tool counts the inside
//! of two functions: `codec_counted`, in which both sides encode and decode all that travels, and `apply_counted`, in
//! which the core takes inputs.

use std::hint::black_box;
use std::process::ExitCode;

use manager_core::{Effect, Input, Peer, State, Time};
use protocol::{
    Answer, BatchOptions, CallsOutcome, Chunk, Envelope, Epoch, Grant, Kind, Limits, ObjectId, OpenMode,
    Outcome, Reply, Request, RequestId, Selector, SessionId, SharedMemory, Signal, Spec, StopSignal, Target,
    ThreadId, WaitMode, append_frame, decode,
};
use uuid::Uuid;

/// How often to run a scenario before counting, so that all memory is there.
const WARM_UP: u64 = 100;

/// The requests of one run of a scenario.
type Scenario = fn(&mut CountedCore);

/// Everything that is counted, by the name that the script shows.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("is_set", |world| world.send(0, Request::EventIsSet { id: EVENT })),
    ("set and clear", |world| {
        world.send(0, Request::EventSet { id: EVENT, reason: None });
        world.send(0, Request::EventClear { id: EVENT });
    }),
    ("wait, and be woken", |world| {
        world.send(1, wait(Target::Event { id: EVENT }));
        world.send(0, Request::EventSet { id: EVENT, reason: None });
        world.send(0, Request::EventClear { id: EVENT });
    }),
    ("wait with a timeout, and be woken", |world| {
        world.send(1, wait_within(Target::Event { id: EVENT }, Some(1_000_000_000)));
        world.send(0, Request::EventSet { id: EVENT, reason: None });
        world.send(0, Request::EventClear { id: EVENT });
    }),
    ("set one, wait for another", |world| {
        for (session, mine, theirs) in [(0, TURN, OTHER_TURN), (1, OTHER_TURN, TURN)] {
            let signal = Signal::EventSet { id: mine, reason: None };
            let targets = [Target::Event { id: theirs }].into_iter().collect();
            let thread = ThreadId(1);
            world.send(
                session,
                Request::SignalAndWait { signal, mode: WaitMode::Any, targets, timeout_ns: None, thread },
            );
        }
    }),
    ("acquire and release a lock", |world| {
        world.send(0, wait(Target::Lock { id: LOCK }));
        world.send(0, release());
    }),
    ("hand a lock over", |world| {
        world.send(0, wait(Target::Lock { id: LOCK }));
        world.send(1, wait(Target::Lock { id: LOCK }));
        world.send(0, release());
        world.send(1, release());
    }),
    ("wait for a condition, and be notified", |world| {
        world.send(1, wait(Target::Lock { id: LOCK }));
        world.send(1, wait(Target::Condition { id: CONDITION, holding: None }));
        world.send(0, wait(Target::Lock { id: LOCK }));
        world.send(0, Request::Notify { id: CONDITION, count: Some(1), holding: None, thread: ThreadId(1) });
        world.send(0, release());
        world.send(1, release());
    }),
    ("acquire and release a permit", |world| {
        world.send(0, wait(Target::Semaphore { id: SEMAPHORE, permits: 1 }));
        world.send(0, Request::SemaphoreRelease { id: SEMAPHORE, permits: 1 });
    }),
    ("meet at a barrier", |world| {
        for session in [0, 1] {
            world.send(session, wait(Target::Barrier { id: BARRIER, has_action: false }));
        }
    }),
    ("count a latch down", |world| world.send(0, Request::LatchCountDown { id: LATCH, count: 1 })),
    ("put and get an item", |world| {
        world.send(0, wait(Target::Put { queue: QUEUE, item: &[7; 16], carries: Vec::new() }));
        world.send(1, wait(Target::Get { queue: QUEUE }));
    }),
    ("open and let go of an event", |world| {
        let (id, spec) = (ObjectId(Uuid::from_u128(99)), Spec::Event { auto_reset: false });
        world.send(0, Request::Open { id, name: None, spec, mode: OpenMode::CreateNew });
        world.send(0, Request::Detach { id });
    }),
    ("run a batch of one task", |world| {
        let options = BatchOptions { stop: STOP, parent: None, priority: 0, retries: 0, time_limit_ns: None };
        world.send(0, Request::BatchOpen { id: BATCH, pool: POOL, function: "count", options });
        let chunks = vec![Chunk { arguments: &ONE_CALL, carries: Vec::new(), calls: 1 }];
        world.send(0, Request::BatchAdd { id: BATCH, chunks, last: true });
        world.send(1, wait(Target::Calls { pool: POOL, most: 1 }));
        world.send(1, end_call(0));
        world.close_batch();
    }),
    ("run one task in one request", |world| {
        let options = BatchOptions { stop: STOP, parent: None, priority: 0, retries: 0, time_limit_ns: None };
        let run = Request::BatchRun {
            id: BATCH,
            pool: POOL,
            function: "count",
            options,
            chunks: vec![Chunk { arguments: &ONE_CALL, carries: Vec::new(), calls: 1 }],
            timeout_ns: None,
            thread: ThreadId(1),
        };
        world.send(0, run);
        world.send(1, wait(Target::Calls { pool: POOL, most: 1 }));
        world.send(1, end_call(0));
        world.calls.clear();
        [BATCH, STOP].into_iter().for_each(|id| world.send(0, Request::Detach { id }));
    }),
    ("run a batch of forty in grants", |world| {
        let options = BatchOptions { stop: STOP, parent: None, priority: 0, retries: 0, time_limit_ns: None };
        world.send(0, Request::BatchOpen { id: BATCH, pool: POOL, function: "count", options });
        let one = || Chunk { arguments: &ONE_CALL, carries: Vec::new(), calls: 1 };
        // The first grants bring one call each, until the core knows that they are short.
        world.send(0, Request::BatchAdd { id: BATCH, chunks: (0..40).map(|_| one()).collect(), last: true });
        let mut ended = 0;
        while ended < 40 {
            world.send(1, wait(Target::Calls { pool: POOL, most: 4 }));
            let granted = std::mem::take(&mut world.calls);
            for call in granted.iter().copied() {
                world.send(1, end_call(call));
            }
            ended += granted.len();
        }
        world.send(0, wait(Target::ManyResults { batch: BATCH, least: 40 }));
        [BATCH, STOP].into_iter().for_each(|id| world.send(0, Request::Detach { id }));
    }),
    ("cancel a wait", |world| {
        world.send(1, wait(Target::Lock { id: FREE_LOCK }));
        let request = RequestId(world.request + 1);
        world.send(0, wait(Target::Lock { id: FREE_LOCK }));
        world.send_to_refuse(0, Request::Cancel { request });
        world.send(1, Request::Release { id: FREE_LOCK, holding: None, thread: ThreadId(1) });
    }),
    ("set and clear a mirrored event", |world| {
        world.send(0, Request::EventMirror { id: MIRRORED });
        world.send(0, Request::EventSet { id: MIRRORED, reason: None });
        world.send(0, Request::EventClear { id: MIRRORED });
    }),
    ("ask for a cause, a count, a length", |world| {
        world.send(0, Request::EventCause { id: EVENT });
        world.send(0, Request::LatchCount { id: LATCH });
        world.send(0, Request::SemaphoreAvailable { id: SEMAPHORE });
        world.send(0, Request::BarrierStatus { id: BARRIER });
        world.send(0, Request::QueueLength { id: QUEUE });
    }),
    ("attach and detach", |world| {
        world.send(0, Request::Attach { id: EVENT, kind: Kind::Event, epoch: EPOCH });
        world.send(0, Request::Detach { id: EVENT });
    }),
    ("make and remove a name", |world| {
        let spec = Spec::Latch { count: 1 };
        world.send(0, Request::Open { id: FRESH, name: Some("name"), spec, mode: OpenMode::CreateNew });
        world.send(0, Request::Remove { id: FRESH });
    }),
    ("cancel and signal a batch", |world| {
        world.open_batch();
        world.send(0, Request::BatchProgress { id: BATCH });
        world.send(0, Request::BatchCancel { id: BATCH });
        world.send(0, Request::BatchSignal { id: BATCH, signal: StopSignal::Terminate });
        world.close_batch();
    }),
    ("give a task back", |world| {
        world.open_batch();
        world.send(1, wait(Target::Calls { pool: POOL, most: 1 }));
        world.send(1, Request::CallsGiveBack { batch: BATCH, first: 0 });
        world.send(0, Request::BatchCancel { id: BATCH });
        world.calls.clear();
        world.close_batch();
    }),
    ("close and terminate a pool", |world| {
        world.send(0, Request::Open { id: FRESH, name: None, spec: Spec::Pool, mode: OpenMode::CreateNew });
        world.send(0, Request::PoolClose { id: FRESH });
        world.send(0, Request::PoolTerminate { id: FRESH, reason: "enough" });
        world.send(0, Request::Detach { id: FRESH });
    }),
    ("take a lock by force", |world| {
        world.send(0, wait(Target::Lock { id: FREE_LOCK }));
        world.send(1, Request::ForceRelease { id: FREE_LOCK });
        world.send(1, Request::Release { id: FREE_LOCK, holding: None, thread: ThreadId(1) });
        world.send(1, Request::ConditionLock { id: CONDITION });
    }),
    ("forget a permit", |world| {
        let spec = Spec::Semaphore { permits: 1, is_bounded: false };
        world.send(0, Request::Open { id: FRESH, name: None, spec, mode: OpenMode::CreateNew });
        world.send(0, wait(Target::Semaphore { id: FRESH, permits: 1 }));
        world.send(0, Request::SemaphoreForget { id: FRESH, permits: 1 });
        world.send(0, Request::Detach { id: FRESH });
    }),
    ("run the action of a barrier", |world| {
        for session in [0, 1] {
            world.send(session, wait(Target::Barrier { id: BARRIER, has_action: true }));
        }
        world.send(1, Request::BarrierPass { id: BARRIER, turn: world.turn });
    }),
    ("abort and reset a barrier", |world| {
        world.send(0, Request::BarrierAbort { id: BARRIER, turn: None, reason: "why" });
        world.send(0, Request::BarrierReset { id: BARRIER });
    }),
    ("finish an item, and close", |world| {
        let spec = Spec::Queue { capacity: None, is_joinable: true };
        world.send(0, Request::Open { id: FRESH, name: None, spec, mode: OpenMode::CreateNew });
        world.send(0, wait(Target::Put { queue: FRESH, item: &[7; 16], carries: Vec::new() }));
        world.send(0, wait(Target::Get { queue: FRESH }));
        world.send(0, Request::QueueItemDone { id: FRESH, item: None, thread: ThreadId(1) });
        world.send(0, wait(Target::Join { queue: FRESH }));
        world.send(0, Request::QueueClose { id: FRESH });
        world.send(0, Request::Detach { id: FRESH });
    }),
    ("list sessions and an object", |world| {
        world.send(0, Request::ListSessions { after: None });
        world.send(0, Request::ListObjects { after: Some(object(1998)) });
    }),
    ("ask for the mirror", |world| world.send(0, Request::Share { memory: SharedMemory::Mirror })),
    ("inspect a lock", |world| world.send(0, Request::Inspect { object: Selector::Name("lock") })),
];

const EVENT: ObjectId = object(1);
const TURN: ObjectId = object(2);
const OTHER_TURN: ObjectId = object(3);
const LOCK: ObjectId = object(4);
const CONDITION: ObjectId = object(5);
const SEMAPHORE: ObjectId = object(6);
const BARRIER: ObjectId = object(7);
const LATCH: ObjectId = object(8);
const QUEUE: ObjectId = object(9);
const POOL: ObjectId = object(10);
const BATCH: ObjectId = object(11);
const STOP: ObjectId = object(12);
const FREE_LOCK: ObjectId = object(13);
const MIRRORED: ObjectId = object(14);
const FRESH: ObjectId = object(15);

/// The life of the manager.
const EPOCH: Epoch = Epoch(Uuid::from_u128(1));

/// The sessions that send requests.
const SESSIONS: [SessionId; 2] = [SessionId(1), SessionId(2)];

const fn object(number: u128) -> ObjectId {
    ObjectId(Uuid::from_u128(number))
}

fn wait(target: Target<'_>) -> Request<'_> {
    wait_within(target, None)
}

fn wait_within(target: Target<'_>, timeout_ns: Option<u64>) -> Request<'_> {
    let targets = [target].into_iter().collect();
    Request::Wait { mode: WaitMode::Any, targets, timeout_ns, thread: ThreadId(1) }
}

fn release() -> Request<'static> {
    Request::Release { id: LOCK, holding: None, thread: ThreadId(1) }
}

/// A manager's core, and both ends of its connections without the sockets.
struct CountedCore {
    state: State,
    now: u64,
    request: u64,
    /// How many answers each session has read.
    received: [u64; 2],
    effects: Vec<Effect>,
    /// A frame on its way to the manager.
    sent: Vec<u8>,
    /// Frames on their way to the clients.
    answered: Vec<u8>,
    /// How many waits were granted.
    granted: u64,
    /// The calls that were granted and not looked at.
    calls: Vec<u64>,
    /// The turn of the last barrier whose parties all came.
    turn: u64,
    /// Whether the request is meant to be refused.
    may_refuse: bool,
}

impl CountedCore {
    /// A world with one object of each kind, among a thousand others.
    fn new() -> CountedCore {
        let state = State::new(EPOCH, Limits::default(), 1);
        let mut world = CountedCore {
            state,
            now: 0,
            request: 0,
            received: [0; 2],
            effects: Vec::new(),
            sent: Vec::new(),
            answered: Vec::new(),
            granted: 0,
            calls: Vec::new(),
            turn: 0,
            may_refuse: false,
        };
        for session in SESSIONS {
            let peer = Peer { process: session.0 as u32, program: "program".into() };
            world.state.apply(Time::ZERO, Input::SessionBegan { session, peer }, &mut world.effects);
        }
        let auto = Spec::Event { auto_reset: true };
        let over = protocol::LockChoice::Given { id: LOCK };
        for (id, spec) in [
            (EVENT, Spec::Event { auto_reset: false }),
            (TURN, auto),
            (OTHER_TURN, auto),
            (LOCK, Spec::Lock),
            (CONDITION, Spec::Condition { over }),
            (SEMAPHORE, Spec::Semaphore { permits: 2, is_bounded: true }),
            (BARRIER, Spec::Barrier { parties: 2 }),
            (LATCH, Spec::Latch { count: u64::MAX }),
            (QUEUE, Spec::Queue { capacity: None, is_joinable: false }),
            (POOL, Spec::Pool),
            (FREE_LOCK, Spec::Lock),
            (MIRRORED, Spec::Event { auto_reset: false }),
        ] {
            let name = (id == LOCK).then_some("lock");
            world.send(0, Request::Open { id, name, spec, mode: OpenMode::CreateNew });
        }
        for number in 1000..2000 {
            let spec = Spec::Event { auto_reset: false };
            world.send(0, Request::Open { id: object(number), name: None, spec, mode: OpenMode::CreateNew });
        }
        world
    }

    /// One request, from its client to the manager and to all answers that it causes.
    fn send(&mut self, sender: usize, body: Request<'_>) {
        self.request += 1;
        self.now += 1000;
        let envelope = Envelope { request: RequestId(self.request), received: self.received[sender], body };
        encode_request(&mut self.sent, &envelope);
        let envelope = decode_request(&self.sent);
        apply_counted(&mut self.state, self.now, SESSIONS[sender], envelope, &mut self.effects);
        for effect in self.effects.drain(..) {
            if let Effect::Reply { session, request, reply } = effect {
                let answer = answer_counted(&mut self.answered, Answer { request, body: reply });
                let receiver = SESSIONS.iter().position(|other| *other == session);
                self.received[receiver.expect("answers go to those that asked")] += 1;
                self.granted += u64::from(is_granted(&answer));
                assert!(self.may_refuse || !matches!(answer.body, Reply::Refused(_)), "{answer:?}");
                self.calls.extend(calls_of(&answer));
                if let Reply::Taken(taken) = &answer.body
                    && let Some(Grant::Barrier { turn, .. }) = taken.grants.first()
                {
                    self.turn = *turn;
                }
            }
        }
    }
}

impl CountedCore {
    /// Makes a batch with one call.
    fn open_batch(&mut self) {
        let options = BatchOptions { stop: STOP, parent: None, priority: 0, retries: 0, time_limit_ns: None };
        self.send(0, Request::BatchOpen { id: BATCH, pool: POOL, function: "count", options });
        let chunks = vec![Chunk { arguments: &ONE_CALL, carries: Vec::new(), calls: 1 }];
        self.send(0, Request::BatchAdd { id: BATCH, chunks, last: true });
    }

    /// Takes what came of a batch, and lets it go.
    fn close_batch(&mut self) {
        self.send(0, wait(Target::Results { batch: BATCH }));
        [BATCH, STOP].into_iter().for_each(|id| self.send(0, Request::Detach { id }));
    }

    /// A request that must be refused.
    fn send_to_refuse(&mut self, sender: usize, body: Request<'_>) {
        self.may_refuse = true;
        self.send(sender, body);
        self.may_refuse = false;
    }
}

/// The calls that an answer brings.
fn calls_of(answer: &Answer) -> Vec<u64> {
    match &answer.body {
        Reply::Taken(taken) => match taken.grants.first() {
            Some(Grant::Calls(granted)) => {
                (granted.first..granted.first + u64::from(granted.calls)).collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The arguments or the result of one call.
const ONE_CALL: [u8; 17] = {
    let mut bytes = [7; 17];
    bytes[0] = 16;
    bytes
};

/// The report that one call has returned.
fn end_call(call: u64) -> Request<'static> {
    let ends = [CallsOutcome { calls: 1, outcome: Outcome::Returned(&ONE_CALL[..]) }].into();
    Request::CallsEnd { batch: BATCH, first: call, ends, carries: Vec::new() }
}

fn is_granted(answer: &Answer) -> bool {
    matches!(&answer.body, Reply::Taken(taken) if !matches!(taken.grants[0], Grant::Joined))
}

/// What `codec_counted` stands for: a request in the client.
fn encode_request(sent: &mut Vec<u8>, envelope: &Envelope<'_>) {
    sent.clear();
    codec_counted(|| append_frame(sent, envelope).expect("it fits into a frame"));
}

/// A request in the manager.
fn decode_request(sent: &[u8]) -> Envelope<'_> {
    codec_counted(|| decode(black_box(&sent[4..])).expect("it is what was sent"))
}

/// An answer, in the manager and in the client.
fn answer_counted(answered: &mut Vec<u8>, answer: Answer) -> Answer {
    answered.clear();
    codec_counted(|| {
        append_frame(answered, &answer).expect("it fits into a frame");
        drop(answer);
        decode(black_box(&answered[4..])).expect("it is what was sent")
    })
}

/// All counted encoding and decoding happens in here.
#[inline(never)]
fn codec_counted<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}

/// All counted work of the core happens in here.
#[inline(never)]
fn apply_counted(
    state: &mut State,
    now: u64,
    session: SessionId,
    envelope: Envelope<'_>,
    effects: &mut Vec<Effect>,
) {
    state.apply(Time::from_nanoseconds(now), Input::Request { session, envelope }, effects);
    black_box(());
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let known = match &arguments[..] {
        [] => {
            SCENARIOS.iter().for_each(|(name, _)| println!("{name}"));
            return ExitCode::SUCCESS;
        }
        [name, times] => SCENARIOS.iter().find(|(known, _)| known == name).zip(times.parse::<u64>().ok()),
        _ => None,
    };
    let Some(((_, scenario), times)) = known else {
        eprintln!("usage: instructions [NAME TIMES]");
        return ExitCode::from(2);
    };
    let mut world = CountedCore::new();
    (0..WARM_UP + times).for_each(|_| scenario(&mut world));
    println!("{} waits were granted", world.granted);
    ExitCode::SUCCESS
}

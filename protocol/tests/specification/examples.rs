//! The page's worked examples against what the crate makes of the same messages.

use std::collections::BTreeMap;

use protocol::{
    Abandonment, Answer, BatchOptions, CallsGrant, CallsOutcome, CallsResult, Cause, Chunk, Code, Envelope,
    FrameError, Grant, Greeting, Hello, ItemGrant, LockGrant, OpenMode, Outcome, Payload, Refusal, Reply,
    Request, RequestId, Results, SessionId, SharedMemory, Signal, Spec, StopSignal, Target, ThreadId,
    WaitMode, WaitResult, append_frame, decode,
};
use smallvec::smallvec;

use crate::page::SpecificationPage;
use crate::samples::{EPOCH, OBJECT, OTHER, STOP};

/// Anything that travels as one frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// The client's first frame.
    Hello(Hello),
    /// The manager's first frame.
    Greeting(Greeting),
    /// Any later frame of a client.
    Envelope(Envelope<'static>),
    /// Any later frame of the manager.
    Answer(Answer),
}

impl Message {
    /// The whole frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        match self {
            Message::Hello(hello) => hello.append(&mut frame),
            Message::Greeting(greeting) => greeting.append(&mut frame),
            Message::Envelope(envelope) => append_frame(&mut frame, envelope),
            Message::Answer(answer) => append_frame(&mut frame, answer),
        }
        .unwrap();
        frame
    }

    /// Whether the body of a frame decodes as the same message. Only requests that borrow for equally long compare.
    fn is_in(&self, body: &'static [u8]) -> Result<bool, FrameError> {
        Ok(match self {
            Message::Hello(hello) => Hello::decode(body)? == *hello,
            Message::Greeting(greeting) => Greeting::decode(body)? == *greeting,
            Message::Envelope(envelope) => decode::<Envelope<'_>>(body)? == *envelope,
            Message::Answer(answer) => decode::<Answer>(body)? == *answer,
        })
    }
}

fn request(request: u64, received: u64, body: Request<'static>) -> Message {
    Message::Envelope(Envelope { request: RequestId(request), received, body })
}

fn answer(request: u64, body: Reply) -> Message {
    Message::Answer(Answer { request: RequestId(request), body })
}

/// A wait for any of some targets by thread 1.
fn wait_for_any(targets: &[Target<'static>], timeout_ns: Option<u64>) -> Request<'static> {
    Request::Wait { mode: WaitMode::Any, targets: targets.into(), timeout_ns, thread: ThreadId(1) }
}

/// The answer that one target was taken, and no lock was given up meanwhile.
fn taken(request: u64, index: u32, grant: Grant) -> Message {
    answer(request, Reply::Taken(WaitResult { index, grants: smallvec![grant], reacquired: None }))
}

/// The messages of the page's worked examples, by the names that they have there.
pub(crate) fn messages() -> BTreeMap<&'static str, Message> {
    let mut messages = BTreeMap::new();
    messages.extend(handshakes());
    messages.extend(events());
    messages.extend(locks());
    messages.extend(conditions());
    messages.extend(queues());
    messages.extend(combinations());
    messages.extend(calls());
    messages.extend(shared_memory());
    messages.extend(many_calls());
    messages
}

fn handshakes() -> [(&'static str, Message); 3] {
    let welcome = Greeting::Welcome { version: 2, session: SessionId(3), epoch: EPOCH };
    let refusal = Refusal::new(Code::VersionMismatch, "too new");
    [
        ("hello", Message::Hello(Hello::new(4711, "prog"))),
        ("welcome", Message::Greeting(welcome)),
        ("refused greeting", Message::Greeting(Greeting::Refused(refusal))),
    ]
}

fn events() -> [(&'static str, Message); 11] {
    let spec = Spec::Event { auto_reset: false };
    let open = Request::Open { id: OBJECT, name: Some("stop"), spec, mode: OpenMode::OpenOrCreate };
    let wait = wait_for_any(&[Target::Event { id: OBJECT }], Some(1_500_000_000));
    let cause =
        Cause { process: 4711, program: "prog".into(), age_ns: 300, reason: Some("disk full".into()) };
    let refusal = Refusal::new(Code::NoSuchObject, "no such event");
    [
        ("open an event", request(1, 0, open)),
        ("opened", answer(1, Reply::Opened { id: OBJECT, created: true })),
        ("is it set", request(2, 1, Request::EventIsSet { id: OBJECT })),
        ("no", answer(2, Reply::Flag(false))),
        ("wait", request(3, 2, wait)),
        ("set it, one way", request(0, 2, Request::EventSet { id: OBJECT, reason: Some("disk full") })),
        ("taken", taken(3, 0, Grant::Event(cause))),
        ("cancel", request(300, 2, Request::Cancel { request: RequestId(3) })),
        ("refused", answer(300, Reply::Refused(refusal))),
        ("goodbye", request(0, 3, Request::Goodbye)),
        ("timed out", answer(3, Reply::TimedOut { reacquired: None })),
    ]
}

fn locks() -> [(&'static str, Message); 4] {
    let wait = wait_for_any(&[Target::Lock { id: OBJECT }], None);
    let grant = LockGrant { holding: 7, token: 300, depth: 1, abandoned: None };
    let how = "exited with status 1".into();
    let abandoned = Abandonment { process: 4711, program: "prog".into(), how, held_ns: 1_000_000_000 };
    let told = LockGrant { abandoned: Some(abandoned), ..grant };
    let release = Request::Release { id: OBJECT, holding: Some(7), thread: ThreadId(1) };
    [
        ("acquire a lock", request(4, 3, wait)),
        ("it holds the lock", taken(4, 0, Grant::Lock(grant))),
        ("it holds an abandoned lock", taken(4, 0, Grant::Lock(told))),
        ("give the lock back, one way", request(0, 4, release)),
    ]
}

fn conditions() -> [(&'static str, Message); 4] {
    let wait = wait_for_any(&[Target::Condition { id: OTHER, holding: Some(8) }], None);
    let notify = Request::Notify { id: OTHER, count: Some(1), holding: None, thread: ThreadId(2) };
    let reacquired = Some(LockGrant { holding: 8, token: 302, depth: 1, abandoned: None });
    let notified = WaitResult { index: 0, grants: smallvec![Grant::Notified], reacquired };
    [
        ("wait for a condition", request(5, 4, wait)),
        ("notify one", request(4, 3, notify)),
        ("one was woken", answer(4, Reply::Count(1))),
        ("notified, and the lock is held again", answer(5, Reply::Taken(notified))),
    ]
}

fn queues() -> [(&'static str, Message); 4] {
    let put = wait_for_any(&[Target::Put { queue: OBJECT, item: &[7], carries: vec![] }], None);
    let item = ItemGrant { number: 1, carries: false, payload: Payload::from(&[7][..]) };
    let get = wait_for_any(&[Target::Get { queue: OBJECT }], Some(0));
    [
        ("put an item", request(6, 5, put)),
        ("it is in the queue", taken(6, 0, Grant::Put)),
        ("get an item, if there is one", request(7, 6, get)),
        ("an item", taken(7, 0, Grant::Item(item))),
    ]
}

fn combinations() -> [(&'static str, Message); 4] {
    let either = wait_for_any(&[Target::Event { id: OTHER }, Target::Lock { id: OBJECT }], None);
    let grant = LockGrant { holding: 9, token: 303, depth: 1, abandoned: None };
    let set_and_wait = Request::SignalAndWait {
        signal: Signal::EventSet { id: OBJECT, reason: None },
        mode: WaitMode::Any,
        targets: smallvec![Target::Event { id: OTHER }],
        timeout_ns: Some(1_500_000_000),
        thread: ThreadId(1),
    };
    [
        ("the lock, unless the event is set", request(8, 7, either)),
        ("the lock, not the event", taken(8, 1, Grant::Lock(grant))),
        ("set one event and wait for another", request(9, 8, set_and_wait)),
        ("the action has ended", request(10, 9, Request::BarrierPass { id: OBJECT, turn: 1 })),
    ]
}

fn shared_memory() -> [(&'static str, Message); 4] {
    [
        ("share the mirror", request(11, 10, Request::Share { memory: SharedMemory::Mirror })),
        ("it is shared", answer(11, Reply::Shared { bytes: 8_388_672 })),
        ("publish the event there", request(12, 11, Request::EventMirror { id: OBJECT })),
        ("it is published", answer(12, Reply::Mirrored { number: 0, serial: 1 })),
    ]
}

fn calls() -> [(&'static str, Message); 7] {
    let options = BatchOptions {
        stop: STOP,
        parent: None,
        priority: -1,
        retries: 2,
        time_limit_ns: Some(1_500_000_000),
    };
    let open = Request::BatchOpen { id: OBJECT, pool: OTHER, function: "count", options };
    let chunks = vec![Chunk { arguments: &[1, 7], carries: vec![], calls: 1 }];
    let granted = Grant::Calls(CallsGrant {
        batch: OBJECT,
        function: "count".into(),
        stop: STOP,
        first: 0,
        calls: 1,
        retry: 0,
        report_each: true,
        arguments: Payload::from(&[1, 7][..]),
    });
    let outcome = Outcome::Returned(Payload::from(&[1, 8][..]));
    let results = vec![CallsResult { first: 0, calls: 1, outcome }];
    let results = Grant::Results(Results { results, complete: true });
    let ends = [CallsOutcome { calls: 1, outcome: Outcome::Returned(&[1, 8][..]) }].into();
    let end = Request::CallsEnd { batch: OBJECT, first: 0, ends, carries: vec![] };
    let kill = Request::BatchSignal { id: OBJECT, signal: StopSignal::Kill };
    [
        ("open a batch", request(4, 3, open)),
        ("add a call", request(5, 4, Request::BatchAdd { id: OBJECT, chunks, last: true })),
        ("a call to run", taken(2, 0, granted)),
        ("the call has ended", request(3, 2, end)),
        ("its result", taken(6, 0, results)),
        ("start nothing more", request(7, 5, Request::BatchCancel { id: OBJECT })),
        ("kill what runs", request(8, 6, kill)),
    ]
}

fn many_calls() -> [(&'static str, Message); 4] {
    let grant = CallsGrant {
        batch: OBJECT,
        function: "count".into(),
        stop: STOP,
        first: 1,
        calls: 2,
        retry: 0,
        report_each: false,
        arguments: Payload::from(&[1, 7, 1, 8][..]),
    };
    let calls = wait_for_any(&[Target::Calls { pool: OTHER, most: 64 }], None);
    let results = wait_for_any(&[Target::ManyResults { batch: OBJECT, least: 100 }], None);
    [
        ("ask for several calls", request(4, 3, calls)),
        ("several calls to run", taken(4, 0, Grant::Calls(grant))),
        ("give one back", request(5, 4, Request::CallsGiveBack { batch: OBJECT, first: 2 })),
        ("wait for many results", request(9, 7, results)),
    ]
}

#[test]
fn each_example_is_what_the_crate_writes_and_reads() {
    let page = SpecificationPage::read();
    let messages = messages();
    let in_page: Vec<_> = page.examples.keys().map(String::as_str).collect();
    let in_test: Vec<_> = messages.keys().copied().collect();
    assert_eq!(in_page, in_test, "the examples of the page, and those known here");
    for (name, message) in messages {
        let bytes = &page.examples[name];
        assert_eq!(printed(bytes), printed(&message.frame()), "{name}");
        assert_eq!(message.is_in(bytes[4..].to_vec().leak()), Ok(true), "{name}");
    }
}

/// Bytes as the page writes them, so that a failure shows what to write.
fn printed(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

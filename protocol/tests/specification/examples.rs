//! The page's worked examples against what the crate makes of the same messages.

use std::collections::BTreeMap;

use protocol::{
    Answer, Cause, Code, Envelope, FrameError, Grant, Greeting, Hello, OpenMode, Outcome, Payload, Refusal,
    Reply, Request, RequestId, Results, SessionId, Spec, Taken, Target, TaskGrant, TaskInput, TaskResult,
    ThreadId, WaitMode, append_frame, decode,
};
use smallvec::smallvec;

use crate::page::Page;
use crate::samples::{EPOCH, OBJECT};

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

    /// Whether the body of a frame decodes as the same message.
    fn is_in(&self, body: &[u8]) -> Result<bool, FrameError> {
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

/// The messages of the page's worked examples, by the names that they have there.
pub(crate) fn messages() -> BTreeMap<&'static str, Message> {
    let mut messages = BTreeMap::new();
    messages.extend(handshakes());
    messages.extend(events());
    messages.extend(tasks());
    messages
}

fn handshakes() -> [(&'static str, Message); 3] {
    let welcome = Greeting::Welcome { version: 1, session: SessionId(3), epoch: EPOCH };
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
    let wait = Request::Wait {
        mode: WaitMode::Any,
        targets: smallvec![Target::Event { id: OBJECT }],
        timeout_ns: Some(1_500_000_000),
        thread: ThreadId(1),
    };
    let cause =
        Cause { process: 4711, program: "prog".into(), age_ns: 300, reason: Some("disk full".into()) };
    let taken = Taken { index: 0, grants: smallvec![Grant::Event(cause)] };
    let refusal = Refusal::new(Code::NoSuchObject, "no such event");
    [
        ("open an event", request(1, 0, open)),
        ("opened", answer(1, Reply::Opened { id: OBJECT, created: true })),
        ("is it set", request(2, 1, Request::EventIsSet { id: OBJECT })),
        ("no", answer(2, Reply::Flag(false))),
        ("wait", request(3, 2, wait)),
        ("set it, one way", request(0, 2, Request::EventSet { id: OBJECT, reason: Some("disk full") })),
        ("taken", answer(3, Reply::Taken(taken))),
        ("cancel", request(300, 2, Request::Cancel { request: RequestId(3) })),
        ("refused", answer(300, Reply::Refused(refusal))),
        ("goodbye", request(0, 3, Request::Goodbye)),
        ("timed out", answer(3, Reply::TimedOut)),
    ]
}

fn tasks() -> [(&'static str, Message); 4] {
    let tasks = vec![TaskInput { arguments: &[7], carries: vec![] }];
    let granted = Grant::Task(TaskGrant {
        batch: OBJECT,
        task: 0,
        function: "count".into(),
        arguments: Payload::from(&[7][..]),
    });
    let outcome = Outcome::Returned(Payload::from(&[8][..]));
    let results = Grant::Results(Results { results: vec![TaskResult { task: 0, outcome }], complete: true });
    let end = Request::TaskEnd { batch: OBJECT, task: 0, outcome: Outcome::Returned(&[8]), carries: vec![] };
    [
        ("add a task", request(5, 4, Request::BatchAdd { id: OBJECT, tasks, last: true })),
        ("a task to run", answer(2, Reply::Taken(Taken { index: 0, grants: smallvec![granted] }))),
        ("the task has ended", request(3, 2, end)),
        ("its result", answer(6, Reply::Taken(Taken { index: 0, grants: smallvec![results] }))),
    ]
}

#[test]
fn each_example_is_what_the_crate_writes_and_reads() {
    let page = Page::read();
    let messages = messages();
    let in_page: Vec<_> = page.examples.keys().map(String::as_str).collect();
    let in_test: Vec<_> = messages.keys().copied().collect();
    assert_eq!(in_page, in_test, "the examples of the page, and those known here");
    for (name, message) in messages {
        let bytes = &page.examples[name];
        assert_eq!(printed(bytes), printed(&message.frame()), "{name}");
        assert_eq!(message.is_in(&bytes[4..]), Ok(true), "{name}");
    }
}

/// Bytes as the page writes them, so that a failure shows what to write.
fn printed(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

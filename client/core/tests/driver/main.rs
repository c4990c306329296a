//! Traces of one session: what the client asks, what leaves, what the manager answers, what the client learns.

mod memory_driver;

use client_core::{DeferredRelease, DisconnectReason, ReleaseMemory, Unclaimed};
use protocol::limits::FRAME_BYTES_MAX;
use protocol::{
    Answer, Code, Envelope, FrameBuffer, FrameError, Grant, ItemGrant, ObjectId, Payload, Refusal, Reply,
    Request, RequestId, ThreadId, WaitResult, append_frame, decode,
};
use uuid::Uuid;

use self::memory_driver::{DriverEvent, MemoryDriver, RequestError};

/// Memory for releases that a test can look into.
#[derive(Debug, Default)]
struct TestMemory {
    entered: Vec<DeferredRelease>,
    /// Whether somebody wants a lock, so that nothing is entered.
    is_wanted: bool,
}

impl ReleaseMemory for TestMemory {
    fn enter(&mut self, release: DeferredRelease) -> bool {
        if !self.is_wanted {
            self.entered.push(release);
        }
        !self.is_wanted
    }

    fn is_empty(&self) -> bool {
        self.entered.is_empty()
    }

    fn drain(&mut self, take: impl FnMut(DeferredRelease)) {
        self.entered.drain(..).for_each(take);
    }
}

/// A session, and a manager's side of its connection.
struct Trace {
    driver: MemoryDriver<TestMemory>,
}

impl Trace {
    fn new() -> Trace {
        Trace { driver: MemoryDriver::new(FrameBuffer::new(64)) }
    }

    fn with_memory(memory: TestMemory) -> Trace {
        let mut trace = Trace::new();
        trace.driver.set_release_memory(memory);
        trace
    }

    /// What has left since the last look: `id:acknowledged Name` of each request.
    fn left(&mut self) -> Vec<String> {
        let mut frames = FrameBuffer::new(FRAME_BYTES_MAX);
        loop {
            // As a socket does that takes little at a time.
            let piece = &self.driver.poll_output()[..self.driver.poll_output().len().min(7)];
            if piece.is_empty() {
                break;
            }
            let bytes = piece.len();
            frames.space()[..bytes].copy_from_slice(piece);
            frames.filled(bytes);
            self.driver.handle_written(bytes);
        }
        let mut left = Vec::new();
        while let Some(body) = frames.next_body().unwrap() {
            let Envelope { request, received, body } = decode(body).unwrap();
            let text = format!("{body:?}");
            let name = text.split([' ', '(']).next().unwrap();
            left.push(format!("{}:{received} {name}", request.0));
        }
        left
    }

    fn bring(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(5) {
            self.driver.space()[..piece.len()].copy_from_slice(piece);
            self.driver.handle_input(piece.len());
        }
    }

    fn answer(&mut self, request: u64, body: Reply) {
        let mut bytes = Vec::new();
        append_frame(&mut bytes, &Answer { request: RequestId(request), body }).unwrap();
        self.bring(&bytes);
    }

    /// All that has happened, as text.
    fn events(&mut self) -> Vec<String> {
        let events = std::iter::from_fn(|| self.driver.poll_event());
        let show = |event| match event {
            DriverEvent::Answered { request, reply, .. } => format!("{} {reply:?}", request.0),
            DriverEvent::Ended { request } => format!("{} ended", request.0),
        };
        events.map(show).collect()
    }
}

fn id() -> ObjectId {
    ObjectId(Uuid::nil())
}

fn is_set() -> Request<'static> {
    Request::EventIsSet { id: id() }
}

fn release(holding: u64) -> DeferredRelease {
    DeferredRelease { lock: id(), holding, thread: ThreadId(1) }
}

/// An item that is held, since it carries proxies.
fn item() -> Reply {
    let item = ItemGrant { number: 1, carries: true, payload: Payload::from([].as_slice()) };
    Reply::Taken(WaitResult { index: 0, grants: [Grant::Item(item)].into_iter().collect(), reacquired: None })
}

#[test]
fn ids_grow_and_answers_in_any_order_find_their_requests() {
    let mut trace = Trace::new();
    let requests = [(); 3].map(|()| trace.driver.request(is_set()).unwrap().0);
    assert_eq!(requests, [1, 2, 3]);
    assert_eq!(trace.left(), ["1:0 EventIsSet", "2:0 EventIsSet", "3:0 EventIsSet"]);
    trace.answer(3, Reply::Flag(true));
    trace.answer(1, Reply::Flag(false));
    assert_eq!(trace.events(), ["3 Flag(true)", "1 Flag(false)"]);
    trace.answer(2, Reply::Flag(false));
    assert_eq!(trace.events(), ["2 Flag(false)"]);
    assert_eq!(trace.driver.request(is_set()), Ok(RequestId(4)));
    assert_eq!(trace.left(), ["4:3 EventIsSet"]);
    assert_eq!(trace.driver.unclaimed(), Unclaimed::default());
}

#[test]
fn a_late_answer_to_an_abandoned_request_is_dropped_and_counted() {
    let mut trace = Trace::new();
    let request = trace.driver.request(is_set()).unwrap();
    trace.driver.abandon(request);
    trace.driver.abandon(request);
    assert_eq!(trace.left(), ["1:0 EventIsSet", "0:0 Cancel"]);
    trace.answer(1, item());
    assert_eq!(trace.events(), [""; 0]);
    assert_eq!(trace.driver.unclaimed(), Unclaimed { late: 1, unasked: 0 });
    trace.driver.request(is_set()).unwrap();
    assert_eq!(trace.left(), ["2:1 EventIsSet"], "it is acknowledged, as nobody can lose it any more");
}

#[test]
fn an_answered_request_is_not_cancelled() {
    let mut trace = Trace::new();
    let request = trace.driver.request(is_set()).unwrap();
    trace.answer(1, Reply::Done);
    assert_eq!(trace.events(), ["1 Done"]);
    trace.driver.abandon(request);
    assert_eq!(trace.left(), ["1:0 EventIsSet"]);
}

#[test]
fn an_answer_that_nobody_asked_for_is_dropped_and_counted() {
    let mut trace = Trace::new();
    trace.driver.request(is_set()).unwrap();
    trace.answer(7, Reply::Done);
    trace.answer(1, Reply::Done);
    trace.answer(1, Reply::Done);
    assert_eq!(trace.events(), ["1 Done"]);
    assert_eq!(trace.driver.unclaimed(), Unclaimed { late: 1, unasked: 1 });
    assert_eq!(trace.driver.end(), None);
}

#[test]
fn the_end_is_told_to_every_request_after_the_answers_that_came_before_it() {
    let mut trace = Trace::new();
    for _ in 0..4 {
        trace.driver.request(is_set()).unwrap();
    }
    trace.answer(2, Reply::Done);
    trace.answer(0, Reply::Refused(Refusal::new(Code::LimitReached, "it reads too little")));
    trace.driver.handle_input_over();
    assert_eq!(trace.driver.end(), None, "nothing is over before what came is taken");
    assert_eq!(trace.events(), ["2 Done", "1 ended", "3 ended", "4 ended"]);
    let end = DisconnectReason::FinalRefusal("it reads too little".into());
    assert_eq!(trace.driver.end(), Some(&end));
    assert_eq!(end.to_string(), "the manager is gone: it reads too little");
    assert_eq!(trace.driver.request(is_set()), Err(RequestError::Ended(end.clone())));
    assert_eq!(trace.driver.send(Request::Goodbye), Err(RequestError::Ended(end)));
    trace.driver.release(release(1));
    assert_eq!(trace.left(), [""; 0]);
    assert_eq!(trace.events(), [""; 0]);
}

#[test]
fn a_connection_that_closes_without_a_word_says_so() {
    let mut trace = Trace::new();
    trace.driver.handle_input_over();
    assert_eq!(trace.events(), [""; 0]);
    assert_eq!(trace.driver.end().unwrap().to_string(), "the manager is gone: it ended, or was ended");
}

#[test]
fn what_is_not_an_answer_ends_the_session() {
    let mut trace = Trace::new();
    trace.driver.request(is_set()).unwrap();
    trace.bring(b"\x03\0\0\0abc");
    trace.answer(1, Reply::Done);
    assert_eq!(trace.events(), ["1 ended"]);
    assert_eq!(trace.driver.end(), Some(&DisconnectReason::Malformed(FrameError::Malformed)));
}

#[test]
fn a_later_manager_may_tell_more_about_a_connection() {
    let mut trace = Trace::new();
    trace.answer(0, Reply::Done);
    assert_eq!(trace.events(), [""; 0]);
    assert_eq!((trace.driver.end(), trace.driver.unclaimed()), (None, Unclaimed::default()));
}

#[test]
fn what_came_with_the_greeting_is_not_lost() {
    let mut frames = FrameBuffer::new(64);
    let mut bytes = Vec::new();
    let text = "x".repeat(1000);
    let answer = Answer { request: RequestId(0), body: Reply::Refused(Refusal::new(Code::Closed, &*text)) };
    append_frame(&mut bytes, &answer).unwrap();
    frames.space()[..bytes.len()].copy_from_slice(&bytes);
    frames.filled(bytes.len());
    let mut driver: MemoryDriver = MemoryDriver::new(frames);
    driver.handle_input_over();
    assert_eq!(driver.poll_event(), None);
    assert_eq!(driver.end(), Some(&DisconnectReason::FinalRefusal(text)));
}

#[test]
fn nothing_is_acknowledged_from_a_held_answer_on() {
    let mut trace = Trace::new();
    for _ in 0..3 {
        trace.driver.request(is_set()).unwrap();
    }
    trace.left();
    trace.answer(1, Reply::Done);
    trace.answer(2, item());
    trace.answer(3, Reply::Done);
    let held: Vec<_> = std::iter::from_fn(|| trace.driver.poll_event()).collect();
    let [_, DriverEvent::Answered { held: Some(held), .. }, DriverEvent::Answered { held: None, .. }] =
        held[..]
    else {
        panic!("{held:?}");
    };
    trace.driver.send(is_set()).unwrap();
    trace.driver.release_answer(held);
    trace.driver.send(is_set()).unwrap();
    assert_eq!(trace.left(), ["0:1 EventIsSet", "0:3 EventIsSet"]);
}

#[test]
fn a_request_that_fits_into_no_frame_is_refused_and_leaves_no_trace() {
    let mut trace = Trace::new();
    let reason = "x".repeat(FRAME_BYTES_MAX);
    let large = || Request::PoolTerminate { id: id(), reason: &reason };
    assert!(matches!(trace.driver.request(large()), Err(RequestError::Frame(FrameError::TooLong { .. }))));
    assert!(matches!(trace.driver.send(large()), Err(RequestError::Frame(FrameError::TooLong { .. }))));
    assert_eq!(trace.left(), [""; 0]);
    trace.driver.handle_input_over();
    assert_eq!(trace.events(), [""; 0], "nothing waited for an answer");
}

#[test]
fn a_deferred_release_leaves_before_the_next_request() {
    let mut trace = Trace::with_memory(TestMemory::default());
    trace.driver.release(release(1));
    trace.driver.release(release(2));
    assert_eq!(trace.left(), [""; 0]);
    trace.driver.request(is_set()).unwrap();
    assert_eq!(trace.left(), ["0:0 Release", "0:0 Release", "1:0 EventIsSet"]);
}

#[test]
fn a_wanted_lock_is_released_at_once() {
    let mut trace = Trace::with_memory(TestMemory { is_wanted: true, ..TestMemory::default() });
    trace.driver.release(release(1));
    assert_eq!(trace.left(), ["0:0 Release"]);
}

#[test]
fn without_memory_every_release_leaves_at_once() {
    let mut trace = Trace::new();
    trace.driver.release(release(1));
    assert_eq!(trace.left(), ["0:0 Release"]);
}

#[test]
fn nothing_is_deferred_while_the_manager_may_not_have_read_what_was_sent_before() {
    let mut trace = Trace::with_memory(TestMemory::default());
    trace.driver.send(is_set()).unwrap();
    trace.driver.release(release(1));
    assert_eq!(trace.left(), ["0:0 EventIsSet", "0:0 Release"]);
    trace.driver.request(is_set()).unwrap();
    trace.driver.request(is_set()).unwrap();
    trace.answer(1, Reply::Done);
    trace.events();
    trace.driver.release(release(2));
    assert_eq!(trace.left(), ["1:0 EventIsSet", "2:0 EventIsSet", "0:1 Release"], "2 is under way");
    trace.answer(2, Reply::Done);
    trace.events();
    trace.driver.release(release(3));
    assert_eq!(trace.left(), ["0:2 Release"], "the manager may not have read the release before");
    trace.driver.request(is_set()).unwrap();
    trace.answer(3, Reply::Done);
    trace.events();
    trace.left();
    trace.driver.release(release(4));
    assert_eq!(trace.left(), [""; 0], "the answer says that all before it was read");
}

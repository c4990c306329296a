//! The edge of each limit of the protocol: what is just allowed, and what is one too many.

use protocol::limits::{
    CALLS_PER_CHUNK_MAX, CALLS_PER_REQUEST_MAX, CARRIES_MAX, CARRIES_PER_REQUEST_MAX, CHUNKS_PER_REQUEST_MAX,
    FAILURE_BYTES_MAX, GRANT_BYTES_MAX, PAYLOAD_BYTES_MAX, RESULTS_BYTES_MAX,
};
use protocol::{
    BatchOptions, CallsOutcome, Chunk, Failure, FailureKind, Limits, Outcome, Request, Spec, Target,
    ThreadId, WaitMode, calls,
};

use crate::simulator::step::{CURRENT, SimulatedStep, id};
use crate::traces::{agree, open, request, wait};

/// This many bytes.
fn bytes(count: usize) -> &'static [u8] {
    vec![0; count].leak()
}

/// A call whose arguments, or result, have this many bytes together with their length.
fn call_of(count: usize) -> &'static [u8] {
    let mut call = Vec::new();
    let mut length = Vec::new();
    calls::append_length(&mut length, count);
    calls::append(&mut call, bytes(count - length.len()));
    assert_eq!(call.len(), count, "the length of the length is the same for both");
    call.leak()
}

fn chunk(arguments: &'static [u8], calls: usize, carries: usize) -> Chunk<'static> {
    Chunk { arguments, carries: vec![id(99); carries], calls: calls as u32 }
}

/// Sends these requests, one after the other, as a session that has opened a queue, a set event, and a batch.
fn send(requests: Vec<Request<'static>>) {
    let options = BatchOptions { stop: id(5), parent: None, priority: 0, retries: 0, time_limit_ns: None };
    let scene = [
        open(id(1), Spec::Queue { capacity: None, is_joinable: false }),
        open(id(2), Spec::Event { auto_reset: false }),
        open(id(6), Spec::Latch { count: 0 }),
        Request::EventSet { id: id(2), reason: None },
        open(id(3), Spec::Pool),
        Request::BatchOpen { id: id(4), pool: id(3), function: "f", options },
    ];
    let sent = scene.into_iter().chain(requests).zip(1..);
    let begin = SimulatedStep::Begin { session: protocol::SessionId(1) };
    let steps: Vec<SimulatedStep> =
        std::iter::once(begin).chain(sent.map(|(body, number)| request(1, number, body))).collect();
    agree(&Limits::default(), &steps);
}

fn put(item: &'static [u8], carries: usize) -> Request<'static> {
    wait(1, WaitMode::Any, [Target::Put { queue: id(1), item, carries: vec![id(99); carries] }])
}

fn add(chunks: Vec<Chunk<'static>>) -> Request<'static> {
    Request::BatchAdd { id: id(4), chunks, last: false }
}

fn take_calls() -> Request<'static> {
    wait(1, WaitMode::Any, [Target::Calls { pool: id(3), most: u32::MAX }])
}

fn take_results() -> Request<'static> {
    wait(1, WaitMode::Any, [Target::Results { batch: id(4) }])
}

fn end(outcome: Outcome<&'static [u8], &'static str>, carries: usize) -> Request<'static> {
    let ends = vec![CallsOutcome { calls: 1, outcome }];
    Request::CallsEnd { batch: id(4), first: CURRENT, ends: ends.into(), carries: vec![id(99); carries] }
}

#[test]
fn items() {
    send(vec![
        put(bytes(PAYLOAD_BYTES_MAX), 0),
        put(bytes(PAYLOAD_BYTES_MAX + 1), 0),
        put(&[], CARRIES_MAX),
        put(&[], CARRIES_MAX + 1),
    ]);
}

/// With one target more than the largest item leaves room for, an answer could be larger than a frame.
#[test]
fn answers_to_waits_for_all() {
    let get = || Target::Get { queue: id(1) };
    let event = || Target::Event { id: id(2) };
    send(vec![
        put(bytes(PAYLOAD_BYTES_MAX), 0),
        wait(1, WaitMode::All, [get(), event(), Target::Latch { id: id(6) }]),
        wait(1, WaitMode::All, [get(), event()]),
    ]);
}

#[test]
fn chunks() {
    let single = |count: usize| add((0..count).map(|_| chunk(&[0], 1, 0)).collect());
    send(vec![
        single(CHUNKS_PER_REQUEST_MAX),
        single(CHUNKS_PER_REQUEST_MAX + 1),
        add(vec![chunk(bytes(CALLS_PER_CHUNK_MAX), CALLS_PER_CHUNK_MAX, 0)]),
        add(vec![chunk(bytes(CALLS_PER_CHUNK_MAX + 1), CALLS_PER_CHUNK_MAX + 1, 0)]),
        add(vec![chunk(&[0], 1, CARRIES_MAX)]),
        add(vec![chunk(&[0], 1, CARRIES_MAX + 1)]),
        add(vec![chunk(call_of(PAYLOAD_BYTES_MAX), 1, 0)]),
        add(vec![chunk(call_of(PAYLOAD_BYTES_MAX + 1), 1, 0)]),
    ]);
}

#[test]
fn calls_of_a_request() {
    let full = bytes(CALLS_PER_CHUNK_MAX);
    let count = CALLS_PER_REQUEST_MAX / CALLS_PER_CHUNK_MAX;
    let whole = || (0..count).map(|_| chunk(full, CALLS_PER_CHUNK_MAX, 0));
    send(vec![add(whole().chain([chunk(&[0], 1, 0)]).collect()), add(whole().collect())]);
}

/// What a request carries in all of its chunks, and a wait in all of its items.
#[test]
fn carries_of_a_request() {
    let full = CARRIES_PER_REQUEST_MAX / CARRIES_MAX;
    let parts = |more: bool| std::iter::repeat_n(CARRIES_MAX, full).chain(more.then_some(1));
    let put = |carries| Target::Put { queue: id(1), item: &[], carries: vec![id(99); carries] };
    for more in [true, false] {
        send(vec![
            add(parts(more).map(|carries| chunk(&[0], 1, carries)).collect()),
            Request::Wait {
                mode: WaitMode::Any,
                targets: parts(more).map(put).collect(),
                timeout_ns: None,
                thread: ThreadId(1),
            },
        ]);
    }
}

#[test]
fn outcomes() {
    let returned =
        |results, carries| [take_calls(), end(Outcome::Returned(results), carries), take_results()];
    let failed = |length: usize| {
        let text = String::from_utf8(vec![b'x'; length]).unwrap().leak();
        let failure = Failure { kind: FailureKind::Panicked, text: &*text };
        [take_calls(), end(Outcome::Failed(failure), 0), take_results()]
    };
    let mut requests = vec![add((0..6).map(|_| chunk(&[0], 1, 0)).collect())];
    requests.extend(returned(&[0], CARRIES_MAX));
    requests.extend(returned(&[0], CARRIES_MAX + 1));
    requests.extend(returned(call_of(PAYLOAD_BYTES_MAX), 0));
    requests.extend(returned(call_of(PAYLOAD_BYTES_MAX + 1), 0));
    requests.extend(failed(FAILURE_BYTES_MAX));
    requests.extend(failed(FAILURE_BYTES_MAX + 1));
    send(requests);
}

/// Each counts 16 bytes more than it has. Together they may be just as large as an answer, and a single one larger.
#[test]
fn results_of_an_answer() {
    let half = RESULTS_BYTES_MAX / 2 - 16;
    let mut requests = vec![add((0..8).map(|_| chunk(&[0], 1, 0)).collect())];
    for size in [half, half, half, half + 1, 2 * RESULTS_BYTES_MAX + 16, half, 16, 16] {
        requests.extend([take_calls(), end(Outcome::Returned(call_of(size)), 0)]);
    }
    requests.extend(std::iter::repeat_with(take_results).take(6));
    send(requests);
}

/// The first call takes no time, so a quarter of those that wait may be granted together.
#[test]
fn arguments_of_a_grant() {
    for more in [0, 1] {
        let argument = call_of(GRANT_BYTES_MAX / 2 + more);
        let mut requests = vec![add((0..16).map(|_| chunk(argument, 1, 0)).collect())];
        requests.extend([take_calls(), end(Outcome::Returned(&[0]), 0), take_calls(), take_calls()]);
        send(requests);
    }
}

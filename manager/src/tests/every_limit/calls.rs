//! Limits of calls, results and items.

use std::process::Command;

use protocol::limits::{
    BOUND_PROCESSES_MAX, CALLS_PER_CHUNK_MAX, CALLS_PER_GRANT_MAX, CALLS_PER_REQUEST_MAX, CARRIES_MAX,
    CARRIES_PER_REQUEST_MAX, CHUNKS_PER_REQUEST_MAX, FAILURE_BYTES_MAX, GRANT_BYTES_MAX, PAYLOAD_BYTES_MAX,
    PROCESSES_MAX, RESULTS_BYTES_MAX,
};
use protocol::{
    BatchOptions, CallsGrant, Chunk, Failure, FailureKind, Grant, ObjectId, Outcome, Reply, Request, Results,
    Spec, Target, ThreadId, WaitMode,
};
use sys::process_session;

use super::consequence::Consequence::{self, CallFails, ComesLater, Cut, NotCounted, Refused};
use crate::tests::manager_process::ManagerProcess;
use crate::tests::raw_client::{
    EMPTY_CALL, RawClient, add_calls, call_of, done, end_call, object, open_anonymous, open_batch, refused,
    refused_alike, wait_for,
};

const POOL: u128 = 1;
pub(super) const BATCH: u128 = 2;
const STOP: u128 = 3;
pub(super) const QUEUE: u128 = 4;

/// What one result counts with beside its bytes.
const AROUND_RESULT: usize = 16;

/// Makes a session the owner of a pool, a batch and a queue, and the pool's only worker.
pub(super) fn worker_and_owner(mut peer: RawClient) -> RawClient {
    done(&mut peer, open_anonymous(POOL, Spec::Pool));
    done(&mut peer, open_batch(BATCH, POOL, STOP, "f"));
    done(&mut peer, open_anonymous(QUEUE, Spec::Queue { capacity: None, is_joinable: false }));
    peer
}

/// The only grant of an answer.
fn grant(reply: Reply) -> Grant {
    match reply {
        Reply::Taken(mut taken) if taken.grants.len() == 1 => taken.grants.remove(0),
        other => panic!("not taken: {other:?}"),
    }
}

fn calls(most: u32) -> Target<'static> {
    Target::Calls { pool: object(POOL), most }
}

/// Ends the next call of the pool like this.
fn end_next_call(peer: &mut RawClient, outcome: Outcome<&[u8], &str>, carries: &[ObjectId]) {
    let Grant::Calls(granted) = grant(peer.call(wait_for(calls(1), Some(0)))) else {
        panic!("not a call");
    };
    assert_eq!(granted.batch, object(BATCH));
    done(peer, end_call(BATCH, granted.first, outcome, carries));
}

fn results(peer: &mut RawClient) -> Results {
    match grant(peer.call(wait_for(Target::Results { batch: object(BATCH) }, Some(0)))) {
        Grant::Results(results) => results,
        other => panic!("not results: {other:?}"),
    }
}

/// How a call ends whose worker reports this.
pub(super) fn outcome(peer: &mut RawClient, reported: Outcome<&[u8], &str>, carries: &[ObjectId]) -> Outcome {
    done(peer, add_calls(BATCH, EMPTY_CALL, 1));
    end_next_call(peer, reported, carries);
    results(peer).results.remove(0).outcome
}

pub(super) fn fails(outcome: &Outcome) -> Consequence {
    match outcome {
        Outcome::Failed(Failure { kind, .. }) => CallFails(*kind),
        Outcome::Returned(_) | Outcome::ReturnedBlob { .. } => panic!("it has not failed"),
    }
}

/// A batch and its calls in one request, which only asks for results.
fn run(number: u128, chunks: Vec<Chunk<'_>>) -> Request<'_> {
    let stop = object(number + 1);
    let options = BatchOptions { stop, parent: None, priority: 0, retries: 0, time_limit_ns: None };
    let (id, pool) = (object(number), object(POOL));
    Request::BatchRun { id, pool, function: "f", options, chunks, timeout_ns: Some(0), thread: ThreadId(1) }
}

pub(super) fn put(item: &[u8], carries: Vec<ObjectId>) -> Request<'_> {
    wait_for(Target::Put { queue: object(QUEUE), item, carries }, None)
}

/// What brings these arguments and this item.
fn bring(number: u128, bytes: &[u8], carries: Vec<ObjectId>) -> [Request<'_>; 3] {
    let chunks = vec![Chunk { arguments: bytes, carries: carries.clone(), calls: 1 }];
    let add = Request::BatchAdd { id: object(BATCH), chunks: chunks.clone(), last: false };
    [add, run(number, chunks), put(bytes, carries)]
}

pub(super) fn payload_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    let (large, largest) = (&call_of(PAYLOAD_BYTES_MAX + 1)[..], &call_of(PAYLOAD_BYTES_MAX)[..]);
    let code = refused_alike(peer, PAYLOAD_BYTES_MAX, bring(10, large, Vec::new()));
    let returned = outcome(peer, Outcome::Returned(largest), &[]);
    assert!(matches!(returned, Outcome::Returned(payload) if payload.as_bytes().len() == PAYLOAD_BYTES_MAX));
    let failed = outcome(peer, Outcome::Returned(large), &[]);
    bring(20, largest, Vec::new()).into_iter().for_each(|request| done(peer, request));
    vec![Refused(code), fails(&failed)]
}

pub(super) fn carries() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    let many = vec![object(QUEUE); CARRIES_MAX + 1];
    let most = &many[1..];
    let code = refused_alike(peer, CARRIES_MAX, bring(10, EMPTY_CALL, many.clone()));
    assert!(matches!(outcome(peer, Outcome::Returned(EMPTY_CALL), most), Outcome::Returned(_)));
    let failed = outcome(peer, Outcome::Returned(EMPTY_CALL), &many);
    bring(20, EMPTY_CALL, most.to_vec()).into_iter().for_each(|request| done(peer, request));
    vec![Refused(code), fails(&failed)]
}

pub(super) fn carries_per_request() -> Vec<Consequence> {
    // So many objects, as most chunks and items carry as many as one may.
    let parts = |carries: usize| {
        let rest = carries % CARRIES_MAX;
        let sizes = std::iter::repeat_n(CARRIES_MAX, carries / CARRIES_MAX).chain((rest > 0).then_some(rest));
        sizes.map(|size| vec![object(QUEUE); size])
    };
    let add = |number: u128, carries: usize| {
        let chunk = |carries| Chunk { arguments: EMPTY_CALL, carries, calls: 1 };
        let [add, run] = add_chunks(number, parts(carries).map(chunk).collect());
        let put = |carries| Target::Put { queue: object(QUEUE), item: EMPTY_CALL, carries };
        let put = Request::Wait {
            mode: WaitMode::Any,
            targets: parts(carries).map(put).collect(),
            timeout_ns: Some(0),
            thread: ThreadId(1),
        };
        [add, run, put]
    };
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    add(10, CARRIES_PER_REQUEST_MAX).into_iter().for_each(|request| done(peer, request));
    vec![Refused(refused_alike(peer, CARRIES_PER_REQUEST_MAX, add(20, CARRIES_PER_REQUEST_MAX + 1)))]
}

pub(super) fn failure_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    for bytes in [FAILURE_BYTES_MAX, FAILURE_BYTES_MAX + 1] {
        let text = "t".repeat(bytes);
        let reported = Outcome::Failed(Failure { kind: FailureKind::Panicked, text: text.as_str() });
        let Outcome::Failed(failure) = outcome(peer, reported, &[]) else { panic!("it has failed") };
        assert_eq!(failure.text.len(), FAILURE_BYTES_MAX);
    }
    vec![Cut]
}

pub(super) fn results_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    let half = call_of(RESULTS_BYTES_MAX / 2 - AROUND_RESULT);
    let mut counts = Vec::new();
    for second in [&half, &call_of(RESULTS_BYTES_MAX / 2 - AROUND_RESULT + 1)] {
        done(peer, add_calls(BATCH, EMPTY_CALL, 2));
        end_next_call(peer, Outcome::Returned(&half), &[]);
        end_next_call(peer, Outcome::Returned(second), &[]);
        counts.push(results(peer).results.len());
    }
    assert_eq!(counts, [2, 1]);
    assert_eq!(results(peer).results.len(), 1);
    // One that is larger comes alone.
    let Outcome::Returned(_) = outcome(peer, Outcome::Returned(&call_of(RESULTS_BYTES_MAX)), &[]) else {
        panic!("it has returned");
    };
    vec![ComesLater]
}

/// What adds these chunks.
fn add_chunks(number: u128, chunks: Vec<Chunk<'_>>) -> [Request<'_>; 2] {
    let add = Request::BatchAdd { id: object(BATCH), chunks: chunks.clone(), last: false };
    [add, run(number, chunks)]
}

/// This many chunks, each of `calls` calls.
fn chunks(arguments: &[u8], calls: usize, count: usize) -> Vec<Chunk<'_>> {
    vec![Chunk { arguments: &arguments[..calls], carries: Vec::new(), calls: calls as u32 }; count]
}

/// Has one manager add as many as there may be, and another one more, where each is asked in every way.
fn add_up_to(limit: usize, chunks: impl Fn(usize) -> Vec<Chunk<'static>>) -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    add_chunks(10, chunks(limit)).into_iter().for_each(|request| done(peer, request));
    vec![Refused(refused_alike(peer, limit, add_chunks(20, chunks(limit + 1))))]
}

/// Calls without arguments, more than a chunk may have.
const MANY_CALLS: &[u8] = &[0; CALLS_PER_CHUNK_MAX + 1];

pub(super) fn chunks_per_request() -> Vec<Consequence> {
    add_up_to(CHUNKS_PER_REQUEST_MAX, |count| chunks(MANY_CALLS, 1, count))
}

pub(super) fn calls_per_chunk() -> Vec<Consequence> {
    add_up_to(CALLS_PER_CHUNK_MAX, |calls| chunks(MANY_CALLS, calls, 1))
}

pub(super) fn calls_per_request() -> Vec<Consequence> {
    add_up_to(CALLS_PER_REQUEST_MAX, |calls| {
        let mut added = chunks(MANY_CALLS, CALLS_PER_CHUNK_MAX, calls / CALLS_PER_CHUNK_MAX);
        added.extend(chunks(MANY_CALLS, 1, calls % CALLS_PER_CHUNK_MAX));
        added
    })
}

/// Adds short calls with arguments of this size, and takes as many at once as the manager gives.
fn grant_of_short_calls(peer: &mut RawClient, count: usize, bytes: usize, most: u32) -> CallsGrant {
    done(peer, add_calls(BATCH, &call_of(bytes), count));
    // The first call begins and ends in one turn, as both requests come at once: it takes no time at all.
    let end = end_call(BATCH, 0, Outcome::Returned(EMPTY_CALL), &[]);
    let requests = [wait_for(calls(1), Some(0)), end, wait_for(calls(most), Some(0))];
    let frames: Vec<u8> = requests.into_iter().flat_map(|body| peer.frame(body)).collect();
    peer.send_bytes(&frames);
    assert!(matches!(grant(peer.answer().unwrap().body), Grant::Calls(first) if first.calls == 1));
    assert_eq!(peer.answer().unwrap().body, Reply::Done);
    match grant(peer.answer().unwrap().body) {
        Grant::Calls(grant) => grant,
        other => panic!("not calls: {other:?}"),
    }
}

pub(super) fn calls_per_grant() -> Vec<Consequence> {
    for most in [CALLS_PER_GRANT_MAX, CALLS_PER_GRANT_MAX + 1] {
        let manager = ManagerProcess::start();
        let peer = &mut worker_and_owner(manager.session());
        done(
            peer,
            Request::BatchAdd {
                id: object(BATCH),
                chunks: chunks(MANY_CALLS, CALLS_PER_CHUNK_MAX, 1),
                last: false,
            },
        );
        let grant = grant_of_short_calls(peer, 1, 1, most as u32);
        assert_eq!(grant.calls as usize, CALLS_PER_GRANT_MAX);
        done(peer, Request::CallsGiveBack { batch: object(BATCH), first: grant.first });
    }
    vec![ComesLater]
}

pub(super) fn bound_processes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut command = Command::new("sleep");
    command.arg("1000");
    let mut child = process_session::spawn(command, |_| Ok(())).unwrap();
    let leader = child.id();
    let mut peer = manager.session();
    for _ in 0..BOUND_PROCESSES_MAX {
        done(&mut peer, Request::BindProcesses { leader });
    }
    let refusal = refused(&mut peer, Request::BindProcesses { leader });
    assert!(refusal.text.contains(&BOUND_PROCESSES_MAX.to_string()), "{refusal}");
    done(&mut peer, Request::UnbindProcesses { leader });
    done(&mut peer, Request::BindProcesses { leader });
    // The end of the session ends what is bound to it.
    drop(peer);
    assert!(!child.wait().unwrap().success());
    vec![Refused(refusal.code)]
}

pub(super) fn grant_bytes() -> Vec<Consequence> {
    let mut counts = Vec::new();
    for bytes in [GRANT_BYTES_MAX / 4, GRANT_BYTES_MAX / 4 + 1, GRANT_BYTES_MAX + 1] {
        let manager = ManagerProcess::start();
        let peer = &mut worker_and_owner(manager.session());
        counts.push(grant_of_short_calls(peer, 40, bytes, 10).calls);
    }
    assert_eq!(counts, [4, 3, 1]);
    vec![ComesLater]
}

pub(super) fn processes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut owner = worker_and_owner(manager.session());
    // Each of these stands for the wait of a process: whose wait it is makes no difference to a pool.
    for _ in 0..=PROCESSES_MAX {
        owner.send(wait_for(calls(1), None));
    }
    let inspect = Request::Inspect { object: protocol::Selector::Id(object(POOL)) };
    let Reply::Object(pool) = owner.call(inspect) else { panic!("the pool is there") };
    assert_eq!(pool.waiting as usize, PROCESSES_MAX + 1);
    vec![NotCounted]
}

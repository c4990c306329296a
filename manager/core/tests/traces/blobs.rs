//! Large payloads: made before they are used, kept by whoever refers to them, and freed with the last.

use manager_core::{BlobArrival, BlobEffect, DeathCause, Input, SessionEnd};
use protocol::limits::{BLOB_BYTES_MAX, BLOB_BYTES_MIN, CARRIES_MAX, RESULTS_BYTES_MAX};
use protocol::{
    BatchOptions, BlobId, CallsOutcome, Code, FailureKind, Grant, Limits, ObjectId, Outcome, Refusal, Reply,
    Request, SessionId, Spec, Target, ThreadId,
};

use crate::call_messages::{endings, input};
use crate::requests::{JOINABLE, any, condition, get, lock, over, queue, wait_for};
use crate::world::World;

const SIZE: u64 = 1 << 20;

fn put_blob(queue: ObjectId, blob: BlobId) -> Target<'static> {
    Target::PutBlob { queue, blob, carries: Vec::new() }
}

impl World {
    /// Makes a blob, without its bytes.
    fn open_blob(&mut self, session: SessionId, bytes: u64) -> BlobId {
        self.send(session, Request::BlobOpen { bytes });
        match self.blobs.pop() {
            Some(BlobEffect::Opened { session: to, blob, .. }) if to == session => blob,
            other => panic!("no blob was made: {other:?}"),
        }
    }

    /// Has the memory of a blob arrive.
    fn arrive(
        &mut self,
        session: SessionId,
        blob: BlobId,
        bytes: u64,
        refusal: Option<Refusal>,
    ) -> Result<(), Code> {
        let request = self.fresh_request();
        let arrival = BlobArrival { request, received: 0, blob, bytes, refusal };
        self.apply(Input::BlobArrived { session, arrival });
        match self.answer(session, request) {
            Some(Reply::Done) => {
                assert_eq!(self.blobs.pop(), Some(BlobEffect::Sent { blob }));
                Ok(())
            }
            Some(Reply::Refused(refusal)) => Err(refusal.code),
            other => panic!("it is answered: {other:?}"),
        }
    }

    /// Makes a whole blob.
    fn blob(&mut self, session: SessionId) -> BlobId {
        let blob = self.open_blob(session, SIZE);
        self.arrive(session, blob, SIZE, None).unwrap();
        blob
    }

    fn close_blob(&mut self, session: SessionId, blob: BlobId) {
        self.done(session, Request::BlobClose { blob });
    }

    /// Takes an item that is a blob.
    fn get_blob(&mut self, session: SessionId, queue: ObjectId) -> BlobId {
        match self.take(session, get(queue)) {
            Grant::BlobItem(item) => {
                assert_eq!(item.bytes, SIZE);
                item.blob
            }
            other => panic!("not a blob: {other:?}"),
        }
    }

    /// Takes a call whose arguments are a blob.
    fn take_blob_call(&mut self, worker: SessionId, pool: ObjectId) -> (ObjectId, u64, BlobId) {
        match self.take(worker, Target::Calls { pool, most: 8 }) {
            Grant::BlobCall(grant) => {
                assert_eq!((grant.call.calls, grant.bytes), (1, SIZE));
                (grant.call.batch, grant.call.first, grant.blob)
            }
            other => panic!("not such a call: {other:?}"),
        }
    }

    /// The blobs that were freed since the last look.
    fn freed(&mut self) -> Vec<BlobId> {
        let freed = |effect| match effect {
            BlobEffect::Freed { blob } => blob,
            other => panic!("something else: {other:?}"),
        };
        std::mem::take(&mut self.blobs).into_iter().map(freed).collect()
    }

    /// Asserts that nothing is stored any more: there is room for all that there ever was.
    fn assert_room(&mut self, session: SessionId, bytes: u64) {
        let blob = self.open_blob(session, bytes);
        self.close_blob(session, blob);
        assert_eq!(self.freed(), [blob]);
    }
}

/// A manager that stores four blobs.
fn small_world() -> World {
    World::with_limits(Limits { stored_bytes_max: 4 * SIZE as usize, ..Limits::default() })
}

#[test]
fn a_blob_is_freed_with_its_last_reference() {
    let mut world = small_world();
    let [a, b] = ["a", "b"].map(|name| world.session(name));
    let q = world.open(a, Some("q"), queue(None));
    let blob = world.blob(a);
    assert_eq!(world.take(a, put_blob(q, blob)), Grant::Put);
    world.close_blob(a, blob);
    assert_eq!(world.freed(), []);
    assert_eq!(world.get_blob(b, q), blob);
    // The next request acknowledges the item, and the reference of its receiver is left.
    assert_eq!(world.length(b, q), 0);
    assert_eq!(world.freed(), []);
    world.close_blob(b, blob);
    assert_eq!(world.freed(), [blob]);
    assert_eq!(world.refused(b, Request::BlobClose { blob }).0, Code::BadArgument);
    world.assert_room(a, 4 * SIZE);
}

#[test]
fn room_is_taken_when_a_blob_is_opened_and_corrected_when_it_comes() {
    let mut world = small_world();
    let a = world.session("a");
    assert_eq!(world.refused(a, Request::BlobOpen { bytes: 4 * SIZE + 1 }).0, Code::LimitReached);
    let first = world.open_blob(a, 3 * SIZE);
    let (code, text) = world.refused(a, Request::BlobOpen { bytes: SIZE + 1 });
    assert_eq!(code, Code::LimitReached);
    assert!(text.contains("3145728 of at most 4194304"), "{text}");
    assert_eq!(world.arrive(a, first, 4 * SIZE + 1, None), Err(Code::LimitReached));
    world.arrive(a, first, 2 * SIZE, None).unwrap();
    let second = world.open_blob(a, 2 * SIZE);
    assert_eq!(
        world.arrive(a, second, 2 * SIZE + 1, None),
        Err(Code::LimitReached),
        "more than was reserved"
    );
    world.arrive(a, second, SIZE, None).unwrap();
    world.close_blob(a, first);
    world.close_blob(a, second);
    assert_eq!(world.freed(), [first, second]);
    world.assert_room(a, 4 * SIZE);
}

#[test]
fn no_blob_is_too_small_or_too_large() {
    let mut world = World::with_limits(Limits {
        stored_bytes_max: usize::MAX,
        memory_bytes_max: usize::MAX,
        ..Limits::default()
    });
    let a = world.session("a");
    assert_eq!(world.refused(a, Request::BlobOpen { bytes: BLOB_BYTES_MIN - 1 }).0, Code::BadArgument);
    assert_eq!(world.refused(a, Request::BlobOpen { bytes: BLOB_BYTES_MAX + 1 }).0, Code::LimitReached);
    assert_eq!(world.refused(a, Request::BlobOpen { bytes: u64::MAX }).0, Code::LimitReached);
    let blob = world.open_blob(a, BLOB_BYTES_MAX);
    assert_eq!(world.arrive(a, blob, BLOB_BYTES_MAX + 1, None), Err(Code::LimitReached));
    assert_eq!(world.arrive(a, blob, 0, None), Err(Code::BadArgument));
    world.arrive(a, blob, BLOB_BYTES_MAX, None).unwrap();
}

#[test]
fn memory_that_the_driver_refuses_leaves_the_blob_to_be_filled_otherwise() {
    let mut world = small_world();
    let a = world.session("a");
    let blob = world.open_blob(a, SIZE);
    let refusal = Refusal::new(Code::LimitReached, "no descriptor came");
    assert_eq!(world.arrive(a, blob, SIZE, Some(refusal)), Err(Code::LimitReached));
    let piece = vec![7; BLOB_BYTES_MIN as usize];
    let write = |offset, last| Request::BlobWrite { blob, offset, bytes: &piece, last };
    assert_eq!(world.refused(a, write(1, false)).0, Code::BadArgument, "a piece is missing");
    world.done(a, write(0, false));
    assert_eq!(world.refused(a, Request::BlobFetch { blob }).0, Code::BadArgument, "it is not whole");
    assert_eq!(world.refused(a, write(0, false)).0, Code::BadArgument, "it has come");
    world.done(a, write(BLOB_BYTES_MIN, true));
    assert_eq!(world.refused(a, write(2 * BLOB_BYTES_MIN, true)).0, Code::BadArgument, "it is whole");
    assert_eq!(world.arrive(a, blob, SIZE, None), Err(Code::BadArgument));
    let written = world.blobs.drain(..).filter(|effect| matches!(effect, BlobEffect::Written { .. }));
    assert_eq!(written.count(), 2);
    world.send(a, Request::BlobFetch { blob });
    assert!(
        matches!(world.blobs.pop(), Some(BlobEffect::Fetched { bytes, .. }) if bytes == 2 * BLOB_BYTES_MIN)
    );
    world.send(a, Request::BlobRead { blob, offset: 2 * BLOB_BYTES_MIN - 5, most: u32::MAX });
    assert!(matches!(world.blobs.pop(), Some(BlobEffect::Read { bytes: 5, .. })));
    world.close_blob(a, blob);
    assert_eq!(world.freed(), [blob]);
    world.assert_room(a, 4 * SIZE);
}

#[test]
fn only_a_session_that_refers_to_a_blob_uses_it() {
    let mut world = small_world();
    let [a, b] = ["a", "b"].map(|name| world.session(name));
    let q = world.open(a, Some("q"), queue(None));
    let blob = world.blob(a);
    let open = world.open_blob(a, SIZE);
    for request in [
        Request::BlobFetch { blob },
        Request::BlobRead { blob, offset: 0, most: 1 },
        Request::BlobClose { blob },
        Request::BlobWrite { blob: open, offset: 0, bytes: &[0; 1], last: false },
        Request::BlobSend { blob: open, bytes: SIZE },
        wait_for(put_blob(q, blob)),
    ] {
        assert_eq!(world.refused(b, request).0, Code::BadArgument);
    }
    assert_eq!(world.arrive(b, open, SIZE, None), Err(Code::BadArgument));
    assert_eq!(world.refused(a, wait_for(put_blob(q, open))).0, Code::BadArgument, "it is not whole");
    world.kill(a);
    assert_eq!(world.freed(), [blob, open]);
    world.assert_room(b, 4 * SIZE);
}

#[test]
fn an_item_whose_receiver_died_goes_to_the_next_with_its_blob() {
    for spec in [queue(None), JOINABLE] {
        let mut world = small_world();
        let [a, b, c] = ["a", "b", "c"].map(|name| world.session(name));
        let q = world.open(a, Some("q"), spec);
        let blob = world.blob(a);
        assert_eq!(world.take(a, put_blob(q, blob)), Grant::Put);
        world.kill(a);
        assert_eq!(world.freed(), [], "the item has it");
        // Nobody has read the answer.
        world.send(b, wait_for(get(q)));
        world.kill(b);
        assert_eq!(world.get_blob(c, q), blob);
        world.close_blob(c, blob);
        if spec == JOINABLE {
            assert_eq!(world.freed(), []);
            world.done(c, Request::QueueItemDone { id: q, item: None, thread: ThreadId(1) });
        }
        world.length(c, q);
        assert_eq!(world.freed(), [blob]);
        world.assert_room(c, 4 * SIZE);
    }
}

#[test]
fn a_put_that_finds_no_room_in_its_queue_keeps_the_blob_for_another_try() {
    let mut world = small_world();
    let a = world.session("a");
    let q = world.open(a, Some("q"), queue(Some(1)));
    let blob = world.blob(a);
    assert_eq!(world.take(a, put_blob(q, blob)), Grant::Put);
    let blocked = world.block(a, wait_for(put_blob(q, blob)));
    world.done(a, Request::Cancel { request: blocked });
    assert_eq!(world.refusal(a, blocked).0, Code::Cancelled);
    assert_eq!(world.get_blob(a, q), blob);
    world.close_blob(a, blob);
    assert_eq!(world.freed(), [], "its maker still has it");
    world.done(a, Request::Remove { id: q });
    world.close_blob(a, blob);
    assert_eq!(world.freed(), [blob]);
    world.assert_room(a, 4 * SIZE);
}

#[test]
fn a_calls_arguments_stay_until_it_has_ended_and_its_result_until_the_owner_has_it() {
    let mut world = small_world();
    let [owner, first, second] = ["owner", "first", "second"].map(|name| world.session(name));
    let pool = world.open(owner, Some("pool"), Spec::Pool);
    let (batch, options) = (world.fresh_id(), BatchOptions { retries: 1, ..world.batch_options() });
    world.done(owner, Request::BatchOpen { id: batch, pool, function: "f", options });
    let arguments = world.blob(owner);
    world.done(owner, Request::BatchAddBlob { id: batch, blob: arguments, carries: Vec::new() });
    world.done(owner, Request::BatchAdd { id: batch, chunks: vec![input(&[0], 1)], last: true });
    world.close_blob(owner, arguments);

    // A call with a blob comes alone, and begins again with it.
    assert_eq!(world.take_blob_call(first, pool), (batch, 0, arguments));
    world.kill(first);
    assert_eq!(world.take_blob_call(second, pool), (batch, 0, arguments));
    world.close_blob(second, arguments);
    assert_eq!(world.freed(), []);

    let result = world.blob(second);
    let outcome = Outcome::ReturnedBlob { blob: result, bytes: 1 };
    let ends = |calls, outcome| Request::CallsEnd {
        batch,
        first: 0,
        ends: [CallsOutcome { calls, outcome }].into(),
        carries: Vec::new(),
    };
    assert_eq!(world.refused(second, ends(2, outcome.clone())).0, Code::BadArgument);
    let strange = Outcome::ReturnedBlob { blob: BlobId(77), bytes: 1 };
    assert_eq!(world.refused(second, ends(1, strange)).0, Code::BadArgument);
    world.done(second, ends(1, outcome));
    world.close_blob(second, result);
    assert_eq!(world.freed(), [arguments], "the result waits for the owner");
    let results = world.results(owner, batch);
    let returned = Outcome::ReturnedBlob { blob: result, bytes: SIZE };
    assert_eq!(results.results[0].outcome, returned, "the manager knows its size");
    world.close_blob(owner, result);
    assert_eq!(world.freed(), [result]);
    // The other call waits, and has a byte.
    world.assert_room(owner, 4 * SIZE - 1);
}

#[test]
fn calls_that_never_run_let_go_of_their_arguments() {
    type BlobEnding = fn(&mut World, SessionId, SessionId, ObjectId, ObjectId);
    let endings: [(&str, BlobEnding); 5] = [
        ("the batch is cancelled", |world, owner, _, batch, _| {
            world.count(owner, Request::BatchCancel { id: batch });
        }),
        ("the pool is terminated", |world, owner, _, _, pool| {
            world.done(owner, Request::PoolTerminate { id: pool, reason: "test" });
        }),
        ("the owner dies", |world, owner, _, _, _| world.kill(owner)),
        ("the worker dies with the first", |world, _, worker, batch, pool| {
            world.take_blob_call(worker, pool);
            world.count(worker, Request::BatchCancel { id: batch });
            world.kill(worker);
        }),
        ("the pool is terminated while one runs", |world, owner, worker, _, pool| {
            world.take_blob_call(worker, pool);
            world.done(owner, Request::PoolTerminate { id: pool, reason: "test" });
            world.kill(worker);
        }),
    ];
    for (what, end) in endings {
        let mut world = small_world();
        let [owner, worker, witness] = ["owner", "worker", "witness"].map(|name| world.session(name));
        let pool = world.open(owner, Some("pool"), Spec::Pool);
        let batch = world.batch(owner, pool);
        let blobs = [(); 2].map(|()| world.blob(owner));
        for blob in blobs {
            world.done(owner, Request::BatchAddBlob { id: batch, blob, carries: Vec::new() });
            world.close_blob(owner, blob);
        }
        world.done(owner, Request::BatchAdd { id: batch, chunks: Vec::new(), last: true });
        end(&mut world, owner, worker, batch, pool);
        world.work();
        let mut freed = world.freed();
        freed.sort_unstable();
        assert_eq!(freed, blobs, "{what}");
        // Failures take a few bytes.
        world.assert_room(witness, 4 * SIZE - 1000);
    }
}

/// Each counts 256 bytes in an answer, as the core notes of each who has it.
#[test]
fn an_answer_brings_as_many_results_that_are_blobs_as_one_input_may_pass_on() {
    const FIT: usize = RESULTS_BYTES_MAX / 256;
    let mut world = World::new();
    let [owner, worker] = ["owner", "worker"].map(|name| world.session(name));
    let pool = world.open(owner, Some("pool"), Spec::Pool);
    let batch = world.batch(owner, pool);
    let arguments = [0; FIT + 2];
    let chunks = vec![input(&arguments, arguments.len() as u32)];
    world.done(owner, Request::BatchAdd { id: batch, chunks, last: false });
    let blob = world.blob(worker);
    for _ in 0..arguments.len() {
        let first = world.take_call(worker, pool).1;
        let ends = [CallsOutcome { calls: 1, outcome: Outcome::ReturnedBlob { blob, bytes: SIZE } }].into();
        world.done(worker, Request::CallsEnd { batch, first, ends, carries: Vec::new() });
    }
    assert_eq!(world.results(owner, batch).results.len(), FIT);
    assert_eq!(world.results(owner, batch).results.len(), 2);
}

#[test]
fn a_result_that_nobody_takes_is_freed_with_its_batch() {
    let mut world = small_world();
    let [owner, worker] = ["owner", "worker"].map(|name| world.session(name));
    let pool = world.open(owner, Some("pool"), Spec::Pool);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"small", b"small"]);
    let mut blobs = Vec::new();
    for call in 0..2 {
        assert_eq!(world.take_call(worker, pool).1, call);
        let blob = world.blob(worker);
        let outcome = Outcome::ReturnedBlob { blob, bytes: SIZE };
        let ends = [CallsOutcome { calls: 1, outcome }].into();
        world.done(worker, Request::CallsEnd { batch, first: call, ends, carries: Vec::new() });
        world.close_blob(worker, blob);
        blobs.push(blob);
        if call == 0 {
            // The second result comes when nobody refers to the batch any more.
            assert_eq!(world.freed(), []);
            world.done(owner, Request::Detach { id: batch });
        }
    }
    let mut freed = world.freed();
    freed.sort_unstable();
    assert_eq!(freed, blobs);
    world.assert_room(owner, 4 * SIZE);
}

#[test]
fn a_call_whose_worker_died_in_it_fails_and_lets_go_of_its_arguments() {
    let mut world = small_world();
    let [owner, worker] = ["owner", "worker"].map(|name| world.session(name));
    let pool = world.open(owner, Some("pool"), Spec::Pool);
    let batch = world.batch(owner, pool);
    let blob = world.blob(owner);
    world.done(owner, Request::BatchAddBlob { id: batch, blob, carries: Vec::new() });
    world.close_blob(owner, blob);
    world.take_blob_call(worker, pool);
    world.kill(worker);
    assert_eq!(world.freed(), [blob]);
    assert_eq!(endings(world.results(owner, batch).results), [(0, Some(FailureKind::WorkerDied))]);
    world.assert_room(owner, 4 * SIZE);
}

/// A wait takes an item, waits for its lock again, and then is refused, or its session is about to end: it never learns
/// of the blob.
#[test]
fn a_wait_that_is_refused_after_all_gives_back_its_reference() {
    for ends in [false, true] {
        let mut world = small_world();
        let [a, b] = ["a", "b"].map(|name| world.session(name));
        let q = world.open(a, Some("q"), queue(None));
        let l = world.open(a, Some("lock"), Spec::Lock);
        let c = world.open(a, Some("condition"), over(l));
        let blob = world.blob(b);
        world.acquire(a, lock(l));
        let wait = world.block(a, any(&[condition(c), get(q)]));
        world.acquire(b, lock(l));
        assert_eq!(world.take(b, put_blob(q, blob)), Grant::Put);
        world.close_blob(b, blob);
        assert_eq!(world.length(b, q), 0, "it was taken");
        if ends {
            let ending = SessionEnd::Died(DeathCause::Signal(9));
            world.apply(Input::SessionEnding { session: a, ending, bound: vec![4711] });
        } else {
            world.done(a, Request::Cancel { request: wait });
            assert_eq!(world.refusal(a, wait).0, Code::Cancelled);
            assert_eq!(world.refused(a, Request::BlobClose { blob }).0, Code::BadArgument);
        }
        assert_eq!(world.get_blob(b, q), blob);
        world.close_blob(b, blob);
        assert_eq!(world.length(b, q), 0);
        assert_eq!(world.freed(), [blob], "nobody else refers to it");
    }
}

#[test]
fn a_call_with_a_blob_takes_no_more_bytes_than_the_blob() {
    let mut world = small_world();
    let owner = world.session("owner");
    let pool = world.open(owner, Some("pool"), Spec::Pool);
    let batch = world.batch(owner, pool);
    let blob = world.open_blob(owner, 4 * SIZE);
    world.arrive(owner, blob, 4 * SIZE, None).unwrap();
    world.done(owner, Request::BatchAddBlob { id: batch, blob, carries: Vec::new() });
    let chunks = vec![input(&[0], 1)];
    assert_eq!(
        world.refused(owner, Request::BatchAdd { id: batch, chunks, last: true }).0,
        Code::LimitReached
    );
}

#[test]
fn a_result_that_is_a_blob_needs_memory_for_what_it_carries() {
    let mut ended = Vec::new();
    let mut charged = 0;
    for room in [usize::MAX, 1_000] {
        let memory_bytes_max = if room == usize::MAX { 8 << 30 } else { (charged + room).div_ceil(3) * 4 };
        let mut world = World::with_limits(Limits { memory_bytes_max, ..Limits::default() });
        let [owner, worker] = ["owner", "worker"].map(|name| world.session(name));
        let pool = world.open(owner, Some("pool"), Spec::Pool);
        let batch = world.batch(owner, pool);
        world.fill(owner, batch, &[b"small"]);
        world.take_call(worker, pool);
        let blob = world.blob(worker);
        charged = world.charged_bytes();
        let ends = [CallsOutcome { calls: 1, outcome: Outcome::ReturnedBlob { blob, bytes: SIZE } }].into();
        let carries = vec![pool; CARRIES_MAX];
        world.done(worker, Request::CallsEnd { batch, first: 0, ends, carries });
        world.close_blob(worker, blob);
        ended.extend(endings(world.results(owner, batch).results));
    }
    assert_eq!(ended, [(0, None), (0, Some(FailureKind::TooLarge))]);
}

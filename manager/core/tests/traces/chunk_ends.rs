//! Calls that came in one chunk and do not return: a death, a limit, a cancel or a signal costs those that it must.

use std::time::Duration;

use manager_core::{CallRecord, Input};
use protocol::{
    CallsResult, Chunk, Failure, FailureKind, Kind, Limits, ObjectId, Outcome, Reply, Request, Spec,
    StopSignal, Target,
};

use crate::call_messages::{calls_of, endings, input, returned_all};
use crate::chunks::{CANCELLED, ChunkFixture, DIED, failed, is_refused};
use crate::requests::wait_for;
use crate::world::{EPOCH, World};

#[test]
fn a_death_costs_one_call_of_a_chunk() {
    let mut fixture = ChunkFixture::with_short_calls(16, |_| {});
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    assert_eq!(fixture.numbers(worker), 1..5);
    fixture.end(1, &[b"A", b"B"]);
    fixture.world.kill(worker);
    assert_eq!(fixture.endings(), [(1, None), (2, None), (3, DIED)]);
    let grant = fixture.take_in(other, 64);
    assert_eq!((grant.first, grant.calls), (4, 3));
    assert_eq!(grant.arguments.as_bytes(), calls_of(&[&[4], &[5], &[6]]));
}

#[test]
fn the_time_limit_is_that_of_a_call() {
    let limit = Duration::from_millis(50);
    let mut fixture =
        ChunkFixture::with_short_calls(16, |options| options.time_limit_ns = Some(limit.as_nanos() as u64));
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    let grant = fixture.take(64);
    assert_eq!((grant.first, grant.calls, grant.report_each), (1, 4, true));
    for call in [1, 2] {
        fixture.world.pass(limit * 3 / 4);
        fixture.end(call, &[b""]);
    }
    assert!(fixture.world.signals.is_empty());
    fixture.world.pass(limit);
    assert_eq!(fixture.world.signals, [(worker, StopSignal::Kill)]);
    assert_eq!(fixture.progress(), [13, 0, 3, 1], "nobody knows of a call that has begun");
    fixture.world.kill(worker);
    assert_eq!(fixture.endings(), [(1, None), (2, None), (3, Some(FailureKind::TimeLimit))]);
    assert_eq!(fixture.numbers(other), 4..5, "its calls are not short");
}

#[test]
fn a_cancelled_batch_begins_no_more_calls_of_a_chunk() {
    for stops in [false, true] {
        let mut fixture = ChunkFixture::with_short_calls(16, |options| options.retries = 3);
        let (worker, other) = (fixture.worker, fixture.world.session("other"));
        assert_eq!(fixture.numbers(worker), 1..5);
        match stops {
            true => fixture.world.set(fixture.owner, fixture.stop),
            false => {
                let cancel = Request::BatchCancel { id: fixture.batch };
                assert_eq!(fixture.world.ask(fixture.owner, cancel), Reply::Count(12));
            }
        }
        let results = fixture.world.results(fixture.owner, fixture.batch).results;
        assert_eq!((results.len(), results[0].first, results[0].calls), (1, 5, 12), "in one run");
        assert_eq!(endings(results), (5..17).map(|call| (call, CANCELLED)).collect::<Vec<_>>());
        fixture.end(1, &[b"A"]);
        fixture.end(2, &[b"B"]);
        let give_back = Request::CallsGiveBack { batch: fixture.batch, first: 4 };
        assert_eq!(fixture.world.ask(worker, give_back), Reply::Done);
        fixture.world.kill(worker);
        assert_eq!(fixture.endings(), [(1, None), (2, None), (4, CANCELLED), (3, DIED)]);
        fixture.world.block(other, wait_for(Target::Calls { pool: fixture.pool, most: 1 }));
    }
}

#[test]
fn what_was_cancelled_in_a_cut_connection_is_lost_and_the_rest_starts_again() {
    let mut fixture = ChunkFixture::with_short_calls(16, |options| options.retries = 1);
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    assert_eq!(fixture.numbers(worker), 1..5);
    fixture.world.ask(fixture.owner, Request::BatchCancel { id: fixture.batch });
    fixture.endings();
    let cut_off = manager_core::DeathCause::Dropped("it never reads".to_owned());
    fixture.world.end(worker, manager_core::SessionEnd::Died(cut_off));
    assert_eq!(fixture.endings(), [(2, DIED), (3, DIED), (4, DIED)]);
    let grant = fixture.take_in(other, 64);
    assert_eq!(
        (grant.first, grant.calls, grant.retry),
        (1, 1, 1),
        "it had begun before the batch was cancelled"
    );
}

#[test]
fn a_signal_stops_the_call_that_runs_and_no_other_of_its_chunk() {
    let mut fixture = ChunkFixture::with_short_calls(16, |_| {});
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    assert_eq!(fixture.numbers(worker), 1..5);
    fixture.end(1, &[b"A"]);
    let signal = Request::BatchSignal { id: fixture.batch, signal: StopSignal::Kill };
    assert_eq!(fixture.world.ask(fixture.owner, signal), Reply::Count(1));
    fixture.world.kill(worker);
    assert_eq!(fixture.endings(), [(1, None), (2, Some(FailureKind::Stopped))]);
    assert_eq!(fixture.numbers(other), 3..6);
}

#[test]
fn a_terminated_pool_fails_the_calls_of_each_grant_in_runs() {
    let mut fixture = ChunkFixture::with_short_calls(16, |_| {});
    assert_eq!(fixture.numbers(fixture.worker), 1..5);
    fixture.world.done(fixture.owner, Request::PoolTerminate { id: fixture.pool, reason: "enough" });
    let results = fixture.world.results(fixture.owner, fixture.batch).results;
    let runs: Vec<(u64, u32)> = results.iter().map(|run| (run.first, run.calls)).collect();
    assert_eq!(runs, [(1, 4), (5, 12)]);
    assert!(is_refused(&fixture.report(1, vec![failed(1)])));
    fixture.world.kill(fixture.worker);
}

#[test]
fn each_result_that_has_room_by_itself_is_kept() {
    let limits = Limits { stored_bytes_max: 300, ..Limits::default() };
    let results: [&[u8]; 4] = [&[b'A'; 20], &[b'B'; 301], &[b'C'; 300], &[b'D'; 30]];
    let no_room = |first, calls| {
        let text = "the manager has no room for a result of 302 bytes until others are fetched";
        let failure = Failure { kind: FailureKind::TooLarge, text: text.into() };
        CallsResult { first, calls, outcome: Outcome::Failed(failure) }
    };
    let expected = || [returned_all(1, &results[..1]), no_room(2, 2), returned_all(4, &results[3..])];
    // Whether they are reported, or stand in the record of a worker that died.
    for is_reported in [true, false] {
        let mut fixture = ChunkFixture::with_short_calls_within(limits.clone(), 16, |_| {});
        assert_eq!(fixture.numbers(fixture.worker), 1..5);
        match is_reported {
            true => fixture.end(1, &results),
            false => {
                let results = calls_of(&results);
                let record =
                    CallRecord { batch: fixture.batch, first: 1, ended: 5, begun: 5, results: &results };
                fixture.world.apply(Input::CallsFound { session: fixture.worker, is_last: true, record });
                fixture.world.kill(fixture.worker);
            }
        }
        assert_eq!(fixture.progress(), [12, 0, 3, 2], "the very first has returned as well");
        assert_eq!(fixture.world.results(fixture.owner, fixture.batch).results, expected());
    }
}

#[test]
fn calls_that_end_together_let_go_in_slices_of_what_their_chunks_carried() {
    let mut world = World::new();
    let (owner, worker) = (world.session("owner"), world.session("worker"));
    let pool = world.open(owner, None, Spec::Pool);
    let batch = world.batch(owner, pool);
    let locks: Vec<ObjectId> = (0..=16).map(|_| world.open(owner, None, Spec::Lock)).collect();
    let chunk = |&lock| Chunk { carries: vec![lock], ..input(&[0], 1) };
    let chunks = locks.iter().map(chunk).collect();
    world.done(owner, Request::BatchAdd { id: batch, chunks, last: true });
    for &id in &locks {
        world.done(owner, Request::Detach { id });
    }
    // It shows that they are short, so four come together.
    world.take_call(worker, pool);
    world.end_call(worker, batch, 0, b"");
    let request = world.send(worker, wait_for(Target::Calls { pool, most: 64 }));
    assert_eq!(world.calls_of(worker, request).calls, 4);
    for &id in &locks {
        world.send(worker, Request::Detach { id });
    }
    world.set_steps_max(1);
    world.end_calls(worker, batch, 1, &[&b""[..]; 4]);
    world.work();
    for (number, &id) in locks.iter().enumerate() {
        let code = world.ask(owner, Request::Attach { id, kind: Kind::Lock, epoch: EPOCH });
        match number {
            0..=4 => assert!(matches!(code, Reply::Refused(_)), "the lock {number} is still there"),
            _ => assert_eq!(code, Reply::Done),
        }
    }
}

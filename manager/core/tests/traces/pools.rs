//! Pools and batches: which worker runs what, in which order, and how every call ends exactly once.

use protocol::{
    CallsResult, Chunk, Code, FailureKind, Grant, Kind, Limits, ObjectId, OpenMode, Outcome, Reply, Request,
    SessionId, Spec, Target, WaitMode,
};

use crate::call_messages::{calls_of, empty_calls, endings, input, returned};
use crate::requests::{wait, wait_for};
use crate::world::World;

/// An owner with a pool, and a worker.
fn pool(world: &mut World) -> (SessionId, SessionId, ObjectId) {
    let (owner, worker) = (world.session("owner"), world.session("worker"));
    let pool = world.open(owner, None, Spec::Pool);
    (owner, worker, pool)
}

/// The kind and text of a result that is a failure.
fn failure(result: &CallsResult) -> (FailureKind, &str) {
    match &result.outcome {
        Outcome::Failed(failure) => (failure.kind, &failure.text),
        Outcome::Returned(_) | Outcome::ReturnedBlob { .. } => panic!("it was to fail"),
    }
}

#[test]
fn calls_start_in_order_and_results_come_as_they_end() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a", b"b"]);
    assert_eq!(world.take_call(worker, pool), (batch, 0, b"a".to_vec()));
    assert_eq!(world.take_call(worker, pool), (batch, 1, b"b".to_vec()));
    assert_eq!(world.end_call(worker, batch, 1, b"B"), Reply::Done);
    let results = world.results(owner, batch);
    assert_eq!((results.results, results.complete), (vec![returned(1, b"B")], false));
    let wait = world.block(owner, wait_for(Target::Results { batch }));
    assert_eq!(world.end_call(worker, batch, 0, b"A"), Reply::Done);
    let Some(Reply::Taken(taken)) = world.answer(owner, wait) else { panic!("the last result") };
    let [Grant::Results(results)] = &taken.grants[..] else { panic!("results") };
    assert_eq!((&results.results[..], results.complete), (&[returned(0, b"A")][..], true));
    let results = world.results(owner, batch);
    assert!(results.results.is_empty() && results.complete, "asking again is harmless");
}

#[test]
fn workers_that_wait_are_served_first_come_first_served() {
    let mut world = World::new();
    let (owner, first, pool) = pool(&mut world);
    let second = world.session("worker");
    let waits = [world.block(first, call(pool)), world.block(second, call(pool))];
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a", b"b"]);
    assert_eq!(world.call_of(first, waits[0]).1, 0);
    assert_eq!(world.call_of(second, waits[1]).1, 1);
}

fn call(pool: ObjectId) -> Request<'static> {
    wait_for(Target::Calls { pool, most: 1 })
}

#[test]
fn a_small_batch_is_not_stuck_behind_a_huge_one() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let huge = world.batch(owner, pool);
    world.fill(owner, huge, &[b"h".as_slice(); 100]);
    world.take_call(worker, pool);
    let small = world.batch(owner, pool);
    world.fill(owner, small, &[b"s".as_slice(); 2]);
    let order: Vec<ObjectId> = (0..5).map(|_| world.take_call(worker, pool).0).collect();
    assert_eq!(order, [huge, small, huge, small, huge]);
}

#[test]
fn a_worker_that_dies_costs_the_call_it_ran_and_names_the_signal() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let other = world.session("other");
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a", b"b"]);
    world.take_call(worker, pool);
    world.kill(worker);
    let (_, call, _) = world.take_call(other, pool);
    assert_eq!(world.end_call(other, batch, call, b"B"), Reply::Done);
    let results = world.results(owner, batch);
    assert!(results.complete);
    let (kind, text) = failure(&results.results[0]);
    assert_eq!(kind, FailureKind::WorkerDied);
    assert_eq!(text, "the worker process 200 (worker) was ended by signal 9 (SIGKILL) while it ran the task");
    assert_eq!(results.results[1], returned(1, b"B"));
}

#[test]
fn a_call_is_ended_once_and_only_by_the_session_that_runs_it() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let outsider = world.session("outsider");
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a"]);
    let (_, call, _) = world.take_call(worker, pool);
    let refused =
        |reply: Reply| matches!(reply, Reply::Refused(refusal) if refusal.code == Code::BadArgument);
    assert!(refused(world.end_call(outsider, batch, call, b"x")));
    assert!(refused(world.end_call(worker, batch, 7, b"x")));
    assert_eq!(world.end_call(worker, batch, call, b"A"), Reply::Done);
    assert!(refused(world.end_call(worker, batch, call, b"x")));
    assert_eq!(world.results(owner, batch).results, [returned(0, b"A")]);
}

#[test]
fn a_failure_brings_its_text_and_the_worker_lives_on() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a", b"b"]);
    world.take_call(worker, pool);
    world.fail_call(worker, batch, 0, "index out of bounds");
    world.take_call(worker, pool);
    assert_eq!(failure(&world.results(owner, batch).results[0]).1, "index out of bounds");
}

#[test]
fn a_closed_pool_finishes_what_it_has_and_then_lets_its_workers_go() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let idle = world.session("idle");
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a"]);
    assert_eq!(world.ask(owner, Request::PoolClose { id: pool }), Reply::Done);
    let (id, options) = (world.fresh_id(), world.batch_options());
    assert_eq!(world.refused(owner, Request::BatchOpen { id, pool, function: "f", options }).0, Code::Closed);
    let (_, number, _) = world.take_call(worker, pool);
    let waiting = world.block(idle, call(pool));
    assert_eq!(world.end_call(worker, batch, number, b"A"), Reply::Done);
    assert!(
        matches!(world.answer(idle, waiting), Some(Reply::Refused(refusal)) if refusal.code == Code::Closed)
    );
    assert_eq!(world.refused(worker, call(pool)).0, Code::Closed);
    assert_eq!(world.results(owner, batch).results, [returned(0, b"A")]);
}

#[test]
fn a_terminated_pool_fails_everything_that_has_not_ended() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a", b"b"]);
    world.take_call(worker, pool);
    assert_eq!(world.ask(owner, Request::PoolTerminate { id: pool, reason: "enough" }), Reply::Done);
    let results = world.results(owner, batch);
    assert!(results.complete);
    assert_eq!(failure(&results.results[0]), (FailureKind::Terminated, "enough"));
    let terminated = Some(FailureKind::Terminated);
    assert_eq!(endings(results.results), [(0, terminated), (1, terminated)]);
    assert!(matches!(world.end_call(worker, batch, 0, b"late"), Reply::Refused(_)));
    assert_eq!(world.refused(worker, call(pool)).0, Code::Closed);
    world.kill(worker);
}

#[test]
fn removing_a_named_pool_ends_its_calls_and_its_workers() {
    let mut world = World::new();
    let (owner, worker) = (world.session("owner"), world.session("worker"));
    let pool = world.open(owner, Some("demo"), Spec::Pool);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a"]);
    world.take_call(worker, pool);
    let idle = world.block(worker, call(pool));
    assert_eq!(world.ask(owner, Request::Remove { id: pool }), Reply::Done);
    // The last call has ended, so the waiting worker learns that the pool is closed before the pool is gone.
    assert!(matches!(world.answer(worker, idle), Some(Reply::Refused(_))));
    assert_eq!(failure(&world.results(owner, batch).results[0]).0, FailureKind::Terminated);
}

#[test]
fn the_death_of_an_owner_drops_what_has_not_started() {
    let mut world = World::new();
    let (owner, worker) = (world.session("owner"), world.session("worker"));
    let pool = world.open(worker, Some("demo"), Spec::Pool);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a", b"b", b"c"]);
    let (_, number, _) = world.take_call(worker, pool);
    world.kill(owner);
    let waiting = world.block(worker, call(pool));
    assert_eq!(world.end_call(worker, batch, number, b"A"), Reply::Done);
    assert_eq!(world.answer(worker, waiting), None);
    assert_eq!(world.refused(worker, Request::BatchProgress { id: batch }).0, Code::NoSuchObject);
}

#[test]
fn a_process_may_own_the_batch_it_works_on_and_die() {
    let mut world = World::new();
    let both = world.session("both");
    let pool = world.open(both, Some("demo"), Spec::Pool);
    let batch = world.batch(both, pool);
    world.fill(both, batch, &[b"a", b"b"]);
    world.take_call(both, pool);
    world.ask(both, Request::Detach { id: batch });
    world.kill(both);
    let later = world.session("later");
    world.open(later, Some("demo"), Spec::Pool);
    world.block(later, call(pool));
}

#[test]
fn calls_whose_results_nobody_wants_run_all_the_same() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a", b"b"]);
    assert_eq!(world.ask(owner, Request::Detach { id: batch }), Reply::Done);
    for _ in 0..2 {
        let (_, number, _) = world.take_call(worker, pool);
        assert_eq!(world.end_call(worker, batch, number, b"x"), Reply::Done);
    }
    assert_eq!(world.refused(owner, Request::BatchProgress { id: batch }).0, Code::NoSuchObject);
}

#[test]
fn progress_counts_every_call_in_one_place() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a", b"b", b"c", b"d"]);
    for _ in 0..3 {
        world.take_call(worker, pool);
    }
    world.end_call(worker, batch, 0, b"A");
    world.fail_call(worker, batch, 1, "no");
    let Reply::Progress(progress) = world.ask(owner, Request::BatchProgress { id: batch }) else {
        panic!("progress");
    };
    assert_eq!((progress.waiting, progress.running, progress.returned, progress.failed), (1, 1, 1, 1));
}

#[test]
fn an_empty_batch_is_complete_at_once() {
    let mut world = World::new();
    let (owner, _, pool) = pool(&mut world);
    let batch = world.batch(owner, pool);
    let wait = world.block(owner, wait_for(Target::Results { batch }));
    world.fill(owner, batch, &[]);
    assert!(matches!(world.answer(owner, wait), Some(Reply::Taken(_))));
    let more = Request::BatchAdd { id: batch, chunks: vec![], last: true };
    assert_eq!(world.refused(owner, more).0, Code::Closed);
}

#[test]
fn limits_of_calls_and_bytes_are_errors_and_give_way_when_results_are_fetched() {
    let mut world =
        World::with_limits(Limits { calls_and_items_max: 2, stored_bytes_max: 100, ..Limits::default() });
    let (owner, worker, pool) = pool(&mut world);
    let batch = world.batch(owner, pool);
    let add = |chunks: Vec<Chunk<'static>>| Request::BatchAdd { id: batch, chunks, last: false };
    let large = calls_of(&[&[0; 100]]).leak();
    assert_eq!(world.refused(owner, add(empty_calls(3))).0, Code::LimitReached);
    assert_eq!(world.refused(owner, add(vec![input(&[0; 3], 3)])).0, Code::LimitReached);
    assert_eq!(world.refused(owner, add(vec![input(large, 1)])).0, Code::LimitReached);
    assert_eq!(world.ask(owner, add(vec![input(&[0; 2], 2)])), Reply::Done);
    assert_eq!(world.refused(owner, add(empty_calls(1))).0, Code::LimitReached);
    let (_, number, _) = world.take_call(worker, pool);
    assert_eq!(world.end_call(worker, batch, number, &[0; 99]), Reply::Done, "a task always ends");
    let results = world.results(owner, batch).results;
    assert_eq!(failure(&results[0]).0, FailureKind::TooLarge);
    assert_eq!(world.ask(owner, add(empty_calls(1))), Reply::Done);
}

#[test]
fn what_would_not_fit_into_an_answer_is_refused_before_anything_is_taken() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[b"a"]);
    for reason in ["x".repeat(1025), "red\x1b[31m".to_owned()] {
        let terminate = Request::PoolTerminate { id: pool, reason: &reason };
        assert_eq!(world.refused(owner, terminate).0, Code::BadArgument, "{reason:?}");
    }
    let other = world.open(owner, None, Spec::Pool);
    let both = [Target::Calls { pool, most: 1 }, Target::Calls { pool: other, most: 1 }];
    assert_eq!(world.refused(worker, wait(WaitMode::All, &both, None)).0, Code::BadTarget);
    assert_eq!(world.take_call(worker, pool).1, 0);
}

/// Makes a pool with `CreateNew`, which then belongs to this session.
fn own_pool(world: &mut World, owner: SessionId, name: Option<&str>) -> ObjectId {
    let id = world.fresh_id();
    let made = world.ask(owner, Request::Open { id, name, spec: Spec::Pool, mode: OpenMode::CreateNew });
    assert_eq!(made, Reply::Opened { id, created: true });
    id
}

#[test]
fn a_pool_that_was_made_anew_ends_with_its_owner_and_its_name_is_free() {
    let mut world = World::new();
    let [owner, friend, idle] = ["owner", "friend", "idle"].map(|program| world.session(program));
    let pool = own_pool(&mut world, owner, Some("x"));
    assert_eq!(world.open(friend, Some("x"), Spec::Pool), pool);
    let batch = world.batch(friend, pool);
    world.fill(friend, batch, &[b"a", b"b"]);
    let worker = world.session("worker");
    world.take_call(worker, pool);
    world.take_call(worker, pool);
    let waiting = world.block(idle, call(pool));
    world.kill(owner);
    let results = world.results(friend, batch);
    assert!(results.complete && endings(results.results.clone()).len() == 2);
    let (kind, text) = failure(&results.results[0]);
    assert_eq!(kind, FailureKind::Terminated);
    let how = "process 100 (owner) was ended by signal 9 (SIGKILL)";
    assert_eq!(text, format!("the pool \"x\" has ended with its owner: {how}"));
    let stop = world.stop_of(batch);
    let Reply::SetBy(Some(cause)) = world.ask(friend, Request::EventCause { id: stop }) else {
        panic!("a running task is to see it");
    };
    assert_eq!((cause.process, cause.reason.as_deref()), (100, Some(text)));
    let Some(Reply::Refused(refusal)) = world.answer(idle, waiting) else { panic!("it waits for nothing") };
    assert_eq!((refusal.code, refusal.text.as_str()), (Code::Removed, text));
    let again = world.session("owner again");
    own_pool(&mut world, again, Some("x"));
}

#[test]
fn a_pool_ends_with_its_owner_also_without_a_name_and_in_order_and_only_once() {
    let mut world = World::new();
    let (owner, friend) = (world.session("owner"), world.session("friend"));
    let (named, anonymous) = (own_pool(&mut world, owner, Some("x")), own_pool(&mut world, owner, None));
    world.attach(friend, anonymous, Kind::Pool);
    world.done(friend, Request::Remove { id: named });
    world.leave(owner);
    let (id, options) = (world.fresh_id(), world.batch_options());
    let open = Request::BatchOpen { id, pool: anonymous, function: "f", options };
    assert_eq!(world.refused(friend, open).0, Code::Closed);
    world.done(friend, Request::Detach { id: anonymous });
    assert_eq!(world.refused(friend, Request::Detach { id: anonymous }).0, Code::NoSuchObject);
}

#[test]
fn a_pool_that_was_opened_outlives_whoever_came_first() {
    let mut world = World::new();
    let (first, second) = (world.session("first"), world.session("second"));
    let pool = world.open(first, Some("x"), Spec::Pool);
    world.kill(first);
    assert_eq!(world.open(second, Some("x"), Spec::Pool), pool);
    world.batch(second, pool);
}

//! Stopping, cancelling, starting again, time limits and priorities: what an owner can do with a batch.

use std::time::Duration;

use manager_core::{DeathCause, SessionEnd};
use protocol::{
    BatchOptions, Code, FailureKind, Kind, ObjectId, Outcome, Reply, Request, SessionId, Spec, StopSignal,
    Target,
};

use crate::call_messages::{self};
use crate::requests::{event, wait_for};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// An owner with a pool, and a worker.
fn pool(world: &mut World) -> (SessionId, SessionId, ObjectId) {
    let (owner, worker) = (world.session("owner"), world.session("worker"));
    let pool = world.open(owner, Some("pool"), Spec::Pool);
    (owner, worker, pool)
}

/// Opens a batch of these calls. Returns it and its stop event.
fn batch(
    world: &mut World,
    owner: SessionId,
    pool: ObjectId,
    calls: &[&[u8]],
    change: impl FnOnce(&mut BatchOptions),
) -> (ObjectId, ObjectId) {
    let mut options = world.batch_options();
    change(&mut options);
    let id = world.fresh_id();
    assert_eq!(world.ask(owner, Request::BatchOpen { id, pool, function: "f", options }), Reply::Done);
    world.fill(owner, id, calls);
    (id, options.stop)
}

/// How the calls with results ended: number, and kind of failure.
fn endings(world: &mut World, owner: SessionId, batch: ObjectId) -> Vec<(u64, Option<FailureKind>)> {
    call_messages::endings(world.results(owner, batch).results)
}

fn call(pool: ObjectId) -> Request<'static> {
    wait_for(Target::Calls { pool, most: 1 })
}

#[test]
fn the_stop_event_reaches_calls_that_run_and_ends_those_that_have_not_started() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (batch, stop) = batch(&mut world, owner, pool, &[b"a", b"b", b"c"], |_| {});
    world.take_call(worker, pool);
    let asked = world.block(worker, wait_for(event(stop)));
    world.set(owner, stop);
    assert!(matches!(world.answer(worker, asked), Some(Reply::Taken(_))));
    world.end_call(worker, batch, 0, b"stopped");
    let cancelled = Some(FailureKind::Cancelled);
    assert_eq!(endings(&mut world, owner, batch), [(1, cancelled), (2, cancelled), (0, None)]);
    assert!(world.results(owner, batch).complete);
    world.block(worker, call(pool));
}

#[test]
fn calls_that_are_added_to_a_stopped_batch_do_not_start() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let id = world.batch(owner, pool);
    let stop = world.stop_of(id);
    world.set(owner, stop);
    world.fill(owner, id, &[b"a"]);
    world.block(worker, call(pool));
    assert_eq!(endings(&mut world, owner, id), [(0, Some(FailureKind::Cancelled))]);
}

#[test]
fn cancelling_ends_what_has_not_started_and_leaves_the_rest_alone() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (batch, stop) = batch(&mut world, owner, pool, &[b"a", b"b", b"c"], |_| {});
    world.take_call(worker, pool);
    assert_eq!(world.ask(owner, Request::BatchCancel { id: batch }), Reply::Count(2));
    assert!(!world.is_set(owner, stop));
    assert_eq!(world.ask(owner, Request::BatchCancel { id: batch }), Reply::Count(0));
    world.end_call(worker, batch, 0, b"A");
    let cancelled = Some(FailureKind::Cancelled);
    assert_eq!(endings(&mut world, owner, batch), [(1, cancelled), (2, cancelled), (0, None)]);
}

#[test]
fn stopping_a_batch_stops_what_its_calls_started() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (_, stop) = batch(&mut world, owner, pool, &[b"a"], |_| {});
    world.take_call(worker, pool);
    let (inner, inner_stop) = batch(&mut world, worker, pool, &[b"b"], |options| options.parent = Some(stop));
    let (deep, deep_stop) =
        batch(&mut world, worker, pool, &[b"c"], |options| options.parent = Some(inner_stop));
    world.ask(owner, Request::EventSet { id: stop, reason: Some("enough") });
    for (id, stop) in [(inner, inner_stop), (deep, deep_stop)] {
        let Reply::SetBy(Some(cause)) = world.ask(worker, Request::EventCause { id: stop }) else {
            panic!("the inner stop events are set");
        };
        assert_eq!((cause.process, cause.reason.as_deref()), (100, Some("enough")));
        assert_eq!(endings(&mut world, worker, id), [(0, Some(FailureKind::Cancelled))]);
    }
    let (late, late_stop) = batch(&mut world, worker, pool, &[b"d"], |options| options.parent = Some(stop));
    assert!(world.is_set(worker, late_stop), "one that is opened later is stopped at once");
    assert_eq!(endings(&mut world, worker, late), [(0, Some(FailureKind::Cancelled))]);
}

#[test]
fn a_terminated_pool_tells_its_calls_to_stop_and_what_they_started() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let elsewhere = world.open(owner, Some("elsewhere"), Spec::Pool);
    let (outer, stop) = batch(&mut world, owner, pool, &[b"a", b"b"], |_| {});
    world.take_call(worker, pool);
    let inner = [pool, elsewhere]
        .map(|pool| batch(&mut world, worker, pool, &[b"c"], |options| options.parent = Some(stop)));
    let asked = world.block(worker, wait_for(event(stop)));
    world.ask(owner, Request::PoolTerminate { id: pool, reason: "enough" });
    assert!(matches!(world.answer(worker, asked), Some(Reply::Taken(_))));
    let stops = [stop, inner[0].1, inner[1].1];
    for stop in stops {
        let Reply::SetBy(Some(cause)) = world.ask(worker, Request::EventCause { id: stop }) else {
            panic!("the stop event is set");
        };
        assert_eq!((cause.process, cause.reason.as_deref()), (100, Some("enough")));
    }
    let (terminated, cancelled) = (Some(FailureKind::Terminated), Some(FailureKind::Cancelled));
    assert_eq!(endings(&mut world, owner, outer), [(0, terminated), (1, terminated)]);
    assert_eq!(endings(&mut world, worker, inner[0].0), [(0, terminated)]);
    assert_eq!(endings(&mut world, worker, inner[1].0), [(0, cancelled)]);
}

#[test]
fn the_death_of_an_owner_tells_its_calls_to_stop() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (_, stop) = batch(&mut world, owner, pool, &[b"a"], |_| {});
    world.take_call(worker, pool);
    world.attach(worker, stop, Kind::Event);
    world.kill(owner);
    let Reply::SetBy(Some(cause)) = world.ask(worker, Request::EventCause { id: stop }) else {
        panic!("the stop event is set");
    };
    assert_eq!(cause.reason.as_deref(), Some("its owner was ended by signal 9 (SIGKILL)"));
}

#[test]
fn a_signal_goes_to_the_processes_that_run_the_batch_and_to_no_other() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (second, other, idle) = (world.session("second"), world.session("other"), world.session("idle"));
    let (ours, _) = batch(&mut world, owner, pool, &[b"a", b"b"], |options| options.priority = 1);
    batch(&mut world, owner, pool, &[b"c"], |_| {});
    world.take_call(worker, pool);
    world.take_call(second, pool);
    world.take_call(other, pool);
    let waiting = world.block(idle, call(pool));
    let signal = Request::BatchSignal { id: ours, signal: StopSignal::Kill };
    assert_eq!(world.ask(owner, signal), Reply::Count(2));
    assert_eq!(world.signals, [(worker, StopSignal::Kill), (second, StopSignal::Kill)]);
    batch(&mut world, owner, pool, &[b"d"], |_| {});
    assert_eq!(world.call_of(idle, waiting).2, b"d");
}

#[test]
fn a_process_that_was_signalled_gets_no_call_any_more_and_its_call_is_called_stopped() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (ours, _) = batch(&mut world, owner, pool, &[b"a"], |options| options.retries = 3);
    let (theirs, _) = batch(&mut world, owner, pool, &[b"b"], |_| {});
    world.take_call(worker, pool);
    let signal = Request::BatchSignal { id: ours, signal: StopSignal::Terminate };
    assert_eq!(world.ask(owner, signal.clone()), Reply::Count(1));
    assert_eq!(world.signals, [(worker, StopSignal::Terminate)]);
    assert_eq!(world.refused(worker, call(pool)).0, Code::Cancelled);
    world.end(worker, SessionEnd::Died(DeathCause::Signal(15)));
    let results = world.results(owner, ours).results;
    let Outcome::Failed(failure) = &results[0].outcome else { panic!("it was stopped") };
    assert_eq!(failure.kind, FailureKind::Stopped, "and it is not started again");
    assert_eq!(
        &*failure.text,
        "the worker process 200 (worker) was ended by signal 15 (SIGTERM) to stop the task it ran"
    );
    assert_eq!(world.ask(owner, signal), Reply::Count(0));
    let next = world.session("next");
    assert_eq!(world.take_call(next, pool).0, theirs);
}

#[test]
fn a_wait_for_a_call_that_is_on_ends_with_the_signal() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (ours, _) = batch(&mut world, owner, pool, &[b"a"], |_| {});
    world.take_call(worker, pool);
    let waiting = world.block(worker, call(pool));
    world.ask(owner, Request::BatchSignal { id: ours, signal: StopSignal::Kill });
    batch(&mut world, owner, pool, &[b"b"], |_| {});
    assert!(
        matches!(world.answer(worker, waiting), Some(Reply::Refused(refusal)) if refusal.code == Code::Cancelled)
    );
}

#[test]
fn a_signalled_call_may_still_return() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (ours, _) = batch(&mut world, owner, pool, &[b"a"], |_| {});
    world.take_call(worker, pool);
    world.ask(owner, Request::BatchSignal { id: ours, signal: StopSignal::Terminate });
    assert_eq!(world.end_call(worker, ours, 0, b"A"), Reply::Done);
    assert_eq!(endings(&mut world, owner, ours), [(0, None)]);
    assert_eq!(world.refused(worker, call(pool)).0, Code::Cancelled);
}

#[test]
fn a_call_whose_worker_dies_is_started_again_as_often_as_was_asked() {
    let mut world = World::new();
    let (owner, _, pool) = pool(&mut world);
    let (ours, _) = batch(&mut world, owner, pool, &[b"a", b"b"], |options| options.retries = 2);
    for _ in 0..3 {
        let worker = world.session("worker");
        assert_eq!(world.take_call(worker, pool), (ours, 0, b"a".to_vec()), "it goes first again");
        world.kill(worker);
    }
    assert_eq!(endings(&mut world, owner, ours), [(0, Some(FailureKind::WorkerDied))]);
    let worker = world.session("worker");
    assert_eq!(world.take_call(worker, pool).1, 1);
    world.kill(worker);
    let worker = world.session("worker");
    assert_eq!(world.take_call(worker, pool).1, 1);
    world.end_call(worker, ours, 1, b"B");
    assert_eq!(endings(&mut world, owner, ours), [(1, None)]);
}

#[test]
fn a_call_that_runs_too_long_fails_and_its_worker_is_killed() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (ours, _) = batch(&mut world, owner, pool, &[b"a", b"b"], |options| {
        options.time_limit_ns = Some(SECOND.as_nanos() as u64);
        options.retries = 3;
    });
    world.pass(3 * SECOND);
    world.take_call(worker, pool);
    world.pass(SECOND - Duration::from_nanos(1));
    assert!(world.signals.is_empty());
    world.pass(Duration::from_nanos(1));
    assert_eq!(world.signals, [(worker, StopSignal::Kill)]);
    let results = world.results(owner, ours).results;
    let Outcome::Failed(failure) = &results[0].outcome else { panic!("it was too slow") };
    assert_eq!(failure.kind, FailureKind::TimeLimit);
    assert_eq!(&*failure.text, "it ran longer than the 1s that its batch allows, and its worker was killed");
    world.kill(worker);
    let next = world.session("next");
    assert_eq!(world.take_call(next, pool).1, 1);
    world.end_call(next, ours, 1, b"in time");
    assert!(!world.has_deadline());
    assert_eq!(endings(&mut world, owner, ours), [(1, None)]);
}

#[test]
fn higher_priorities_start_first_and_equal_ones_take_turns() {
    let mut world = World::new();
    let (owner, worker, pool) = pool(&mut world);
    let (low, _) = batch(&mut world, owner, pool, &[b"l".as_slice(); 2], |options| {
        options.priority = -1;
    });
    let (one, _) = batch(&mut world, owner, pool, &[b"1".as_slice(); 2], |_| {});
    let (two, _) = batch(&mut world, owner, pool, &[b"2".as_slice(); 2], |_| {});
    let (high, _) = batch(&mut world, owner, pool, &[b"h"], |options| options.priority = 7);
    let order: Vec<ObjectId> = (0..7).map(|_| world.take_call(worker, pool).0).collect();
    assert_eq!(order, [high, one, two, one, two, low, low]);
}

#[test]
fn bad_options_are_refused_and_make_nothing() {
    let mut world = World::new();
    let (owner, _, pool) = pool(&mut world);
    let taken = world.event(owner, "taken");
    for (stop, parent, code) in [
        (taken, None, Code::AlreadyExists),
        (world.fresh_id(), Some(pool), Code::WrongKind),
        (world.fresh_id(), Some(world.fresh_id()), Code::NoSuchObject),
    ] {
        let id = world.fresh_id();
        let options = BatchOptions { stop, parent, ..world.batch_options() };
        let open = Request::BatchOpen { id, pool, function: "f", options };
        assert_eq!(world.refused(owner, open).0, code);
        assert_eq!(world.refused(owner, Request::BatchProgress { id }).0, Code::NoSuchObject);
    }
    let id = world.fresh_id();
    let options = BatchOptions { stop: id, ..world.batch_options() };
    let open = Request::BatchOpen { id, pool, function: "f", options };
    assert_eq!(world.refused(owner, open).0, Code::BadArgument);
}

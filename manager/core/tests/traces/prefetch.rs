//! Prefetched tasks: when and by which worker, and what becomes of those that were not begun.

use std::time::Duration;

use manager_core::{DeathCause, SessionEnd};
use protocol::{
    BatchOptions, Code, FailureKind, Grant, ObjectId, ObjectState, Reply, Request, SessionId, Spec,
    StopSignal, Target, TaskCounts,
};

use crate::call_words::{self, calls_of, empty_calls};
use crate::words::wait_for;
use crate::world::World;

/// Far below what makes a task long.
const SHORT: Duration = Duration::from_micros(10);

/// A worker and a batch of tasks, one of which has shown that they are short.
struct Scene {
    world: World,
    owner: SessionId,
    worker: SessionId,
    pool: ObjectId,
    batch: ObjectId,
    stop: ObjectId,
}

impl Scene {
    fn new(tasks: u32) -> Scene {
        Scene::with(tasks, SHORT, |_| {})
    }

    /// The first task takes this long.
    fn with(tasks: u32, first: Duration, change: impl FnOnce(&mut BatchOptions)) -> Scene {
        let mut world = World::new();
        let (owner, worker) = (world.session("owner"), world.session("worker"));
        let pool = world.open(owner, None, Spec::Pool);
        let mut options = world.batch_options();
        change(&mut options);
        let batch = world.fresh_id();
        world.done(owner, Request::BatchOpen { id: batch, pool, function: "f", options });
        let mut scene = Scene { world, owner, worker, pool, batch, stop: options.stop };
        let tasks: Vec<Vec<u8>> = (0..=tasks).map(|number| number.to_le_bytes().to_vec()).collect();
        let tasks: Vec<&[u8]> = tasks.iter().map(Vec::as_slice).collect();
        scene.world.fill(owner, batch, &tasks);
        assert_eq!(scene.take(worker, 64), [0], "the core does not know yet how long they are");
        scene.world.pass(first);
        scene.end(worker, 0);
        scene
    }

    /// Takes calls in a worker, at most that many.
    fn take(&mut self, worker: SessionId, most: u32) -> Vec<u64> {
        match self.world.take(worker, Target::Tasks { pool: self.pool, most }) {
            Grant::Tasks(grant) if grant.batch == self.batch => {
                assert_eq!((&*grant.function, grant.stop), ("f", self.stop));
                let calls: Vec<u64> = (grant.first..grant.first + u64::from(grant.calls)).collect();
                let arguments = calls.iter().flat_map(|&call| calls_of(&[&(call as u32).to_le_bytes()]));
                assert!(grant.arguments.as_bytes().iter().copied().eq(arguments), "{grant:?}");
                calls
            }
            other => panic!("not tasks of the batch: {other:?}"),
        }
    }

    fn end(&mut self, worker: SessionId, task: u64) {
        assert_eq!(self.world.end_call(worker, self.batch, task, b"done"), Reply::Done);
    }

    /// Has a worker give back this call and those behind it.
    fn give_back(&mut self, worker: SessionId, first: u64) -> Reply {
        self.world.ask(worker, Request::CallsGiveBack { batch: self.batch, first })
    }

    /// How calls ended whose results the owner has not taken: number, and kind of failure.
    fn endings(&mut self) -> Vec<(u64, Option<FailureKind>)> {
        call_words::endings(self.world.results(self.owner, self.batch).results)
    }

    fn progress(&mut self) -> (u64, u64) {
        match self.world.ask(self.owner, Request::BatchProgress { id: self.batch }) {
            Reply::Progress(TaskCounts { waiting, running, .. }) => (waiting, running),
            other => panic!("not progress: {other:?}"),
        }
    }

    /// Another batch of one task.
    fn other_batch(&mut self) -> ObjectId {
        let id = self.world.batch(self.owner, self.pool);
        self.world.fill(self.owner, id, &[b"other"]);
        id
    }
}

fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(refusal) if matches!(refusal.code, Code::BadArgument | Code::NoSuchObject))
}

#[test]
fn short_tasks_are_prefetched_as_long_as_there_are_many() {
    let mut scene = Scene::new(16);
    let worker = scene.worker;
    assert_eq!(scene.take(worker, 64), [1, 2, 3, 4]);
    assert_eq!(scene.progress(), (15, 1));
    for task in 1..=4 {
        scene.end(worker, task);
    }
    assert_eq!(scene.take(worker, 2), [5, 6], "no more than were asked for");
    scene.end(worker, 5);
    scene.end(worker, 6);
    let mut sizes = Vec::new();
    let mut last = 6;
    while last < 16 {
        let tasks = scene.take(worker, 64);
        sizes.push(tasks.len());
        last = *tasks.last().unwrap();
        tasks.into_iter().for_each(|task| scene.end(worker, task));
    }
    assert_eq!(sizes, [2, 2, 1, 1, 1, 1, 1, 1], "the last of them one by one");
    assert_eq!(scene.endings(), (0..=16).map(|task| (task, None)).collect::<Vec<_>>());
}

#[test]
fn long_tasks_are_granted_one_by_one_until_many_short_ones_have_followed() {
    let mut scene = Scene::with(400, Duration::from_millis(10), |_| {});
    let worker = scene.worker;
    let mut alone = 0;
    while let [task] = scene.take(worker, 64)[..] {
        scene.world.pass(SHORT);
        scene.end(worker, task);
        alone += 1;
    }
    assert!((5..50).contains(&alone), "{alone} tasks were granted alone");
}

#[test]
fn a_grant_is_expected_to_take_a_moment_at_most_and_has_not_too_many_bytes() {
    let mut scene = Scene::with(400, Duration::from_micros(100), |_| {});
    let worker = scene.worker;
    assert_eq!(scene.take(worker, 64).len(), 10);
    let mut scene = Scene::with(400, Duration::from_nanos(1), |_| {});
    let worker = scene.worker;
    assert_eq!(scene.take(worker, u32::MAX).len(), 100);

    let mut world = World::new();
    let (owner, worker) = (world.session("owner"), world.session("worker"));
    let pool = world.open(owner, None, Spec::Pool);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[[0; 30_000].as_slice(); 40]);
    for expected in [1, 2, 2] {
        let Grant::Tasks(grant) = world.take(worker, Target::Tasks { pool, most: 64 }) else {
            panic!("tasks")
        };
        assert_eq!(grant.calls, expected);
        (0..u64::from(expected))
            .for_each(|call| drop(world.end_call(worker, batch, grant.first + call, b"")));
    }
}

#[test]
fn nothing_is_prefetched_while_another_worker_waits_or_has_something_to_start() {
    let mut scene = Scene::new(100);
    let (worker, owner) = (scene.worker, scene.owner);
    let other = scene.other_batch();
    assert_eq!(scene.take(worker, 64), [1]);
    let Grant::Tasks(grant) = scene.world.take(worker, Target::Tasks { pool: scene.pool, most: 64 }) else {
        panic!("tasks")
    };
    assert_eq!((grant.batch, grant.calls), (other, 1));
    assert!(scene.take(worker, 64).len() > 1);

    let pool = scene.world.open(owner, None, Spec::Pool);
    let (first, second) = (scene.world.session("first"), scene.world.session("second"));
    let batch = scene.world.batch(owner, pool);
    let add = |calls: usize| Request::BatchAdd { id: batch, tasks: empty_calls(calls), last: false };
    scene.world.done(owner, add(1));
    let (_, task, _) = scene.world.take_call(first, pool);
    scene.world.end_call(first, batch, task, b"");
    let waits =
        [first, second].map(|worker| scene.world.block(worker, wait_for(Target::Tasks { pool, most: 64 })));
    scene.world.done(owner, add(100));
    let mut count = |worker, wait| match scene.world.grant(worker, wait) {
        Grant::Tasks(grant) => grant.calls,
        other => panic!("not tasks: {other:?}"),
    };
    assert_eq!((count(first, waits[0]), count(second, waits[1])), (1, 24));
}

#[test]
fn a_death_costs_the_task_that_had_begun_and_the_others_go_back_to_the_front() {
    let mut scene = Scene::new(16);
    let (worker, other) = (scene.worker, scene.world.session("other"));
    assert_eq!(scene.take(worker, 64), [1, 2, 3, 4]);
    scene.end(worker, 1);
    scene.world.kill(worker);
    assert_eq!(scene.endings(), [(0, None), (1, None), (2, Some(FailureKind::WorkerDied))]);
    assert_eq!(scene.progress(), (14, 0));
    assert_eq!(scene.take(other, 64), [3, 4, 5]);
}

#[test]
fn with_retries_the_task_that_had_begun_comes_before_those_that_had_not() {
    let mut scene = Scene::with(16, SHORT, |options| options.retries = 1);
    let (worker, other) = (scene.worker, scene.world.session("other"));
    assert_eq!(scene.take(worker, 64), [1, 2, 3, 4]);
    scene.world.kill(worker);
    let mut take = || match scene.world.take(other, Target::Tasks { pool: scene.pool, most: 64 }) {
        Grant::Tasks(grant) => (grant.first, grant.calls, grant.retry),
        other => panic!("not calls: {other:?}"),
    };
    assert_eq!([take(), take()], [(1, 1, 1), (2, 3, 0)], "only what had begun was begun before");
}

#[test]
fn a_goodbye_gives_back_what_had_not_begun_and_a_cut_connection_does_not() {
    let died = Some(FailureKind::WorkerDied);
    let cut_off = DeathCause::Dropped("it never reads".to_owned());
    for (ending, expected) in [
        (SessionEnd::Goodbye, vec![(0, None), (1, died)]),
        (SessionEnd::Died(DeathCause::Disconnected), vec![(0, None), (1, died)]),
        (SessionEnd::Died(cut_off), vec![(0, None), (1, died), (2, died), (3, died), (4, died)]),
    ] {
        let mut scene = Scene::new(16);
        let worker = scene.worker;
        assert_eq!(scene.take(worker, 64), [1, 2, 3, 4]);
        scene.world.end(worker, ending);
        assert_eq!(scene.endings(), expected);
    }
}

#[test]
fn what_is_given_back_goes_to_the_front_in_order() {
    let mut scene = Scene::new(16);
    let (worker, other) = (scene.worker, scene.world.session("other"));
    assert_eq!(scene.take(worker, 64), [1, 2, 3, 4]);
    assert_eq!(scene.give_back(worker, 3), Reply::Done);
    assert_eq!(scene.progress(), (15, 1));
    assert_eq!(scene.take(other, 64), [3, 4, 5]);
    scene.end(worker, 1);
    scene.world.kill(worker);
    scene.world.kill(other);
    assert_eq!(
        scene.endings(),
        [(0, None), (1, None), (2, Some(FailureKind::WorkerDied)), (3, Some(FailureKind::WorkerDied)),]
    );
}

#[test]
fn a_worker_that_waits_gets_what_another_gives_back() {
    let mut scene = Scene::new(5);
    let (worker, other, idle) = (scene.worker, scene.world.session("other"), scene.world.session("idle"));
    for (task, worker) in [(1, worker), (2, other)] {
        assert_eq!(scene.take(worker, 64), [task], "there are few");
        scene.end(worker, task);
    }
    for (task, worker) in [(3, worker), (4, other), (5, other)] {
        assert_eq!(scene.take(worker, 64), [task]);
    }
    let wait = scene.world.block(idle, wait_for(Target::Tasks { pool: scene.pool, most: 1 }));
    // Whether or not the manager took it as begun: its worker knows better.
    assert_eq!(scene.give_back(other, 5), Reply::Done);
    assert_eq!(scene.world.call_of(idle, wait).1, 5);
}

#[test]
fn a_call_that_seemed_to_have_begun_may_be_given_back_with_all_behind_it() {
    let mut scene = Scene::new(16);
    let (worker, other) = (scene.worker, scene.world.session("other"));
    assert_eq!(scene.take(worker, 64), [1, 2, 3, 4]);
    scene.end(worker, 1);
    assert_eq!(scene.give_back(worker, 2), Reply::Done);
    assert_eq!(scene.progress(), (15, 0));
    scene.world.kill(worker);
    assert_eq!(scene.endings(), [(0, None), (1, None)]);
    assert_eq!(scene.take(other, 64), [2, 3, 4]);
}

#[test]
fn nobody_gives_back_what_it_was_not_granted() {
    let mut scene = Scene::new(16);
    let (worker, other) = (scene.worker, scene.world.session("other"));
    assert_eq!(scene.take(worker, 64), [1, 2, 3, 4]);
    assert!(is_refused(&scene.give_back(other, 4)));
    for call in [0, 5, u64::MAX] {
        assert!(is_refused(&scene.give_back(worker, call)), "{call}");
    }
    assert_eq!(scene.progress(), (15, 1), "nothing has changed");
    let unknown = Request::CallsGiveBack { batch: scene.world.fresh_id(), first: 1 };
    assert_eq!(scene.world.refused(worker, unknown).0, Code::NoSuchObject);
    assert!(is_refused(&scene.world.end_call(worker, scene.batch, 3, b"")), "others come before it");
    scene.end(worker, 1);
    assert!(is_refused(&scene.give_back(worker, 1)), "it has ended");
}

#[test]
fn what_is_prefetched_of_a_cancelled_or_stopped_batch_never_starts_once_it_is_given_back() {
    let cancelled = Some(FailureKind::Cancelled);
    for stops in [false, true] {
        let mut scene = Scene::with(8, SHORT, |options| options.retries = 3);
        let (worker, owner, other) = (scene.worker, scene.owner, scene.world.session("other"));
        assert_eq!(scene.take(worker, 64), [1, 2]);
        match stops {
            true => scene.world.set(owner, scene.stop),
            false => {
                assert_eq!(scene.world.ask(owner, Request::BatchCancel { id: scene.batch }), Reply::Count(6));
            }
        }
        let ended: Vec<_> = (3..=8).map(|task| (task, cancelled)).collect();
        assert_eq!(scene.endings(), [&[(0, None)], &ended[..]].concat());
        scene.give_back(worker, 2);
        assert_eq!(scene.endings(), [(2, cancelled)]);
        scene.end(worker, 1);
        assert!(scene.world.results(owner, scene.batch).complete);
        scene.world.block(other, wait_for(Target::Tasks { pool: scene.pool, most: 1 }));
    }
}

#[test]
fn what_is_prefetched_of_a_cancelled_batch_may_begin_and_is_not_started_again() {
    let mut scene = Scene::with(8, SHORT, |options| options.retries = 3);
    let (worker, owner) = (scene.worker, scene.owner);
    assert_eq!(scene.take(worker, 64), [1, 2]);
    scene.world.ask(owner, Request::BatchCancel { id: scene.batch });
    scene.end(worker, 1);
    scene.world.kill(worker);
    let endings = scene.endings();
    assert_eq!(endings[endings.len() - 2..], [(1, None), (2, Some(FailureKind::WorkerDied))]);
}

#[test]
fn the_time_limit_counts_from_when_a_task_begins() {
    let limit = Duration::from_millis(50);
    let mut scene = Scene::with(8, SHORT, |options| options.time_limit_ns = Some(limit.as_nanos() as u64));
    let (worker, other) = (scene.worker, scene.world.session("other"));
    assert_eq!(scene.take(worker, 64), [1, 2]);
    scene.world.pass(limit * 3 / 4);
    scene.end(worker, 1);
    scene.world.pass(limit * 3 / 4);
    assert!(scene.world.signals.is_empty());
    scene.world.pass(limit / 4);
    assert_eq!(scene.world.signals, [(worker, StopSignal::Kill)]);
    scene.world.kill(worker);
    assert_eq!(scene.endings(), [(0, None), (1, None), (2, Some(FailureKind::TimeLimit))]);
    assert_eq!(scene.take(other, 64), [3]);
}

#[test]
fn an_end_that_is_told_too_late_still_shows_that_the_next_task_has_begun() {
    let limit = Duration::from_millis(50);
    let mut scene = Scene::with(12, SHORT, |options| options.time_limit_ns = Some(limit.as_nanos() as u64));
    let worker = scene.worker;
    assert_eq!(scene.take(worker, 64), [1, 2, 3]);
    scene.world.pass(limit);
    assert!(is_refused(&scene.world.end_call(worker, scene.batch, 1, b"")));
    scene.world.kill(worker);
    let (overdue, died) = (Some(FailureKind::TimeLimit), Some(FailureKind::WorkerDied));
    assert_eq!(scene.endings(), [(0, None), (1, overdue), (2, died)]);
    assert_eq!(scene.progress(), (10, 0));
}

#[test]
fn what_is_prefetched_by_a_process_that_was_signalled_starts_elsewhere() {
    let mut scene = Scene::new(8);
    let (worker, owner, other) = (scene.worker, scene.owner, scene.world.session("other"));
    assert_eq!(scene.take(worker, 64), [1, 2]);
    let signal = Request::BatchSignal { id: scene.batch, signal: StopSignal::Terminate };
    assert_eq!(scene.world.ask(owner, signal), Reply::Count(1));
    let wait = Request::Wait {
        mode: protocol::WaitMode::Any,
        targets: [Target::Tasks { pool: scene.pool, most: 9 }].into_iter().collect(),
        timeout_ns: None,
        thread: protocol::ThreadId(1),
    };
    assert_eq!(scene.world.refused(worker, wait).0, Code::Cancelled);
    scene.world.end(worker, SessionEnd::Died(DeathCause::Signal(15)));
    assert_eq!(scene.endings(), [(0, None), (1, Some(FailureKind::Stopped))]);
    assert_eq!(scene.take(other, 64), [2]);
}

#[test]
fn terminating_the_pool_ends_what_is_prefetched_too() {
    let mut scene = Scene::new(8);
    let (worker, owner) = (scene.worker, scene.owner);
    assert_eq!(scene.take(worker, 64), [1, 2]);
    scene.world.done(owner, Request::PoolTerminate { id: scene.pool, reason: "enough" });
    let ended: Vec<u64> = scene.endings().into_iter().map(|(task, _)| task).collect();
    assert_eq!(ended, (0..=8).collect::<Vec<_>>());
    assert!(is_refused(&scene.world.end_call(worker, scene.batch, 1, b"")));
    assert!(is_refused(&scene.give_back(worker, 2)));
    scene.world.kill(worker);
}

#[test]
fn a_worker_is_seen_to_run_one_task_and_asks_for_at_least_one() {
    let mut scene = Scene::new(16);
    let (worker, owner) = (scene.worker, scene.owner);
    scene.take(worker, 64);
    let Reply::Sessions { sessions, .. } = scene.world.ask(owner, Request::ListSessions { after: None })
    else {
        panic!("sessions")
    };
    let tasks: Vec<u32> = sessions.iter().map(|session| session.tasks).collect();
    assert_eq!(tasks, [0, 1]);
    let ObjectState::Batch { progress, .. } = scene.world.inspect(owner, scene.batch).state else {
        panic!("a batch")
    };
    assert_eq!((progress.waiting, progress.running), (15, 1));
    let none = wait_for(Target::Tasks { pool: scene.pool, most: 0 });
    assert_eq!(scene.world.refused(worker, none).0, Code::BadArgument);
}

#[test]
fn many_results_are_waited_for_together() {
    let mut scene = Scene::new(5);
    let (worker, owner, batch) = (scene.worker, scene.owner, scene.batch);
    assert_eq!(scene.endings(), [(0, None)]);
    for (least, expected) in [(3, vec![1, 2, 3]), (0, vec![4]), (9, vec![5])] {
        let wait = scene.world.block(owner, wait_for(Target::ManyResults { batch, least }));
        for &task in &expected {
            assert_eq!(scene.world.answer(owner, wait), None, "{least} are not there");
            assert_eq!(scene.take(worker, 1), [task]);
            scene.end(worker, task);
        }
        let Grant::Results(results) = scene.world.grant(owner, wait) else { panic!("results") };
        let tasks: Vec<u64> = results.results.iter().map(|result| result.first).collect();
        assert_eq!((tasks, results.complete), (expected.clone(), expected == [5]));
    }
}

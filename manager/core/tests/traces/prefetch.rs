//! Prefetched calls: when and by which worker, and what becomes of those that were not begun.

use std::time::Duration;

use manager_core::{DeathCause, SessionEnd};
use protocol::{
    BatchOptions, CallCounts, Code, FailureKind, Grant, ObjectId, ObjectState, Reply, Request, SessionId,
    Spec, StopSignal, Target,
};

use crate::call_messages::{self, calls_of, empty_calls};
use crate::requests::wait_for;
use crate::world::World;

/// Far below what makes a call long.
pub(crate) const SHORT: Duration = Duration::from_micros(10);

/// A worker and a batch of calls, one of which has shown that they are short.
pub(crate) struct PrefetchFixture {
    pub(crate) world: World,
    pub(crate) owner: SessionId,
    pub(crate) worker: SessionId,
    pub(crate) pool: ObjectId,
    pub(crate) batch: ObjectId,
    pub(crate) stop: ObjectId,
}

impl PrefetchFixture {
    pub(crate) fn new(calls: u32) -> PrefetchFixture {
        PrefetchFixture::with(calls, SHORT, |_| {})
    }

    /// The first call takes this long.
    pub(crate) fn with(
        calls: u32,
        first: Duration,
        change: impl FnOnce(&mut BatchOptions),
    ) -> PrefetchFixture {
        let mut world = World::new();
        let (owner, worker) = (world.session("owner"), world.session("worker"));
        let pool = world.open(owner, None, Spec::Pool);
        let mut options = world.batch_options();
        change(&mut options);
        let batch = world.fresh_id();
        world.done(owner, Request::BatchOpen { id: batch, pool, function: "f", options });
        let mut fixture = PrefetchFixture { world, owner, worker, pool, batch, stop: options.stop };
        let calls: Vec<Vec<u8>> = (0..=calls).map(|number| number.to_le_bytes().to_vec()).collect();
        let calls: Vec<&[u8]> = calls.iter().map(Vec::as_slice).collect();
        fixture.world.fill(owner, batch, &calls);
        assert_eq!(fixture.take(worker, 64), [0], "the core does not know yet how long they are");
        fixture.world.pass(first);
        fixture.end(worker, 0);
        fixture
    }

    /// Takes calls in a worker, at most that many.
    pub(crate) fn take(&mut self, worker: SessionId, most: u32) -> Vec<u64> {
        match self.world.take(worker, Target::Calls { pool: self.pool, most }) {
            Grant::Calls(grant) if grant.batch == self.batch => {
                assert_eq!((&*grant.function, grant.stop), ("f", self.stop));
                let calls: Vec<u64> = (grant.first..grant.first + u64::from(grant.calls)).collect();
                let arguments = calls.iter().flat_map(|&call| calls_of(&[&(call as u32).to_le_bytes()]));
                assert!(grant.arguments.as_bytes().iter().copied().eq(arguments), "{grant:?}");
                calls
            }
            other => panic!("not tasks of the batch: {other:?}"),
        }
    }

    pub(crate) fn end(&mut self, worker: SessionId, call: u64) {
        assert_eq!(self.world.end_call(worker, self.batch, call, b"done"), Reply::Done);
    }

    /// Has a worker give back this call and those behind it.
    pub(crate) fn give_back(&mut self, worker: SessionId, first: u64) -> Reply {
        self.world.ask(worker, Request::CallsGiveBack { batch: self.batch, first })
    }

    /// How calls ended whose results the owner has not taken: number, and kind of failure.
    pub(crate) fn endings(&mut self) -> Vec<(u64, Option<FailureKind>)> {
        call_messages::endings(self.world.results(self.owner, self.batch).results)
    }

    pub(crate) fn progress(&mut self) -> (u64, u64) {
        match self.world.ask(self.owner, Request::BatchProgress { id: self.batch }) {
            Reply::Progress(CallCounts { waiting, running, .. }) => (waiting, running),
            other => panic!("not progress: {other:?}"),
        }
    }

    /// Another batch of one call.
    pub(crate) fn other_batch(&mut self) -> ObjectId {
        let id = self.world.batch(self.owner, self.pool);
        self.world.fill(self.owner, id, &[b"other"]);
        id
    }
}

pub(crate) fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(refusal) if matches!(refusal.code, Code::BadArgument | Code::NoSuchObject))
}

#[test]
fn short_calls_are_prefetched_as_long_as_there_are_many() {
    let mut fixture = PrefetchFixture::new(16);
    let worker = fixture.worker;
    assert_eq!(fixture.take(worker, 64), [1, 2, 3, 4]);
    assert_eq!(fixture.progress(), (15, 1));
    for call in 1..=4 {
        fixture.end(worker, call);
    }
    assert_eq!(fixture.take(worker, 2), [5, 6], "no more than were asked for");
    fixture.end(worker, 5);
    fixture.end(worker, 6);
    let mut sizes = Vec::new();
    let mut last = 6;
    while last < 16 {
        let calls = fixture.take(worker, 64);
        sizes.push(calls.len());
        last = *calls.last().unwrap();
        calls.into_iter().for_each(|call| fixture.end(worker, call));
    }
    assert_eq!(sizes, [2, 2, 1, 1, 1, 1, 1, 1], "the last of them one by one");
    assert_eq!(fixture.endings(), (0..=16).map(|call| (call, None)).collect::<Vec<_>>());
}

#[test]
fn long_calls_are_granted_one_by_one_until_many_short_ones_have_followed() {
    let mut fixture = PrefetchFixture::with(400, Duration::from_millis(10), |_| {});
    let worker = fixture.worker;
    let mut alone = 0;
    while let [call] = fixture.take(worker, 64)[..] {
        fixture.world.pass(SHORT);
        fixture.end(worker, call);
        alone += 1;
    }
    assert!((5..50).contains(&alone), "{alone} tasks were granted alone");
}

#[test]
fn a_grant_is_expected_to_take_a_moment_at_most_and_has_not_too_many_bytes() {
    let mut fixture = PrefetchFixture::with(400, Duration::from_micros(100), |_| {});
    let worker = fixture.worker;
    assert_eq!(fixture.take(worker, 64).len(), 10);
    let mut fixture = PrefetchFixture::with(400, Duration::from_nanos(1), |_| {});
    let worker = fixture.worker;
    assert_eq!(fixture.take(worker, u32::MAX).len(), 100);

    let mut world = World::new();
    let (owner, worker) = (world.session("owner"), world.session("worker"));
    let pool = world.open(owner, None, Spec::Pool);
    let batch = world.batch(owner, pool);
    world.fill(owner, batch, &[[0; 30_000].as_slice(); 40]);
    for expected in [1, 2, 2] {
        let Grant::Calls(grant) = world.take(worker, Target::Calls { pool, most: 64 }) else {
            panic!("tasks")
        };
        assert_eq!(grant.calls, expected);
        (0..u64::from(expected))
            .for_each(|call| drop(world.end_call(worker, batch, grant.first + call, b"")));
    }
}

#[test]
fn nothing_is_prefetched_while_another_worker_waits_or_has_something_to_start() {
    let mut fixture = PrefetchFixture::new(100);
    let (worker, owner) = (fixture.worker, fixture.owner);
    let other = fixture.other_batch();
    assert_eq!(fixture.take(worker, 64), [1]);
    let Grant::Calls(grant) = fixture.world.take(worker, Target::Calls { pool: fixture.pool, most: 64 })
    else {
        panic!("tasks")
    };
    assert_eq!((grant.batch, grant.calls), (other, 1));
    assert!(fixture.take(worker, 64).len() > 1);

    let pool = fixture.world.open(owner, None, Spec::Pool);
    let (first, second) = (fixture.world.session("first"), fixture.world.session("second"));
    let batch = fixture.world.batch(owner, pool);
    let add = |calls: usize| Request::BatchAdd { id: batch, chunks: empty_calls(calls), last: false };
    fixture.world.done(owner, add(1));
    let (_, call, _) = fixture.world.take_call(first, pool);
    fixture.world.end_call(first, batch, call, b"");
    let waits =
        [first, second].map(|worker| fixture.world.block(worker, wait_for(Target::Calls { pool, most: 64 })));
    fixture.world.done(owner, add(100));
    let mut count = |worker, wait| match fixture.world.grant(worker, wait) {
        Grant::Calls(grant) => grant.calls,
        other => panic!("not tasks: {other:?}"),
    };
    assert_eq!((count(first, waits[0]), count(second, waits[1])), (1, 24));
}

#[test]
fn a_death_costs_the_call_that_had_begun_and_the_others_go_back_to_the_front() {
    let mut fixture = PrefetchFixture::new(16);
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    assert_eq!(fixture.take(worker, 64), [1, 2, 3, 4]);
    fixture.end(worker, 1);
    fixture.world.kill(worker);
    assert_eq!(fixture.endings(), [(0, None), (1, None), (2, Some(FailureKind::WorkerDied))]);
    assert_eq!(fixture.progress(), (14, 0));
    assert_eq!(fixture.take(other, 64), [3, 4, 5]);
}

#[test]
fn with_retries_the_call_that_had_begun_comes_before_those_that_had_not() {
    let mut fixture = PrefetchFixture::with(16, SHORT, |options| options.retries = 1);
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    assert_eq!(fixture.take(worker, 64), [1, 2, 3, 4]);
    fixture.world.kill(worker);
    let mut take = || match fixture.world.take(other, Target::Calls { pool: fixture.pool, most: 64 }) {
        Grant::Calls(grant) => (grant.first, grant.calls, grant.retry),
        other => panic!("not calls: {other:?}"),
    };
    assert_eq!([take(), take()], [(1, 1, 1), (2, 3, 0)], "only what had begun was begun before");
}

#[test]
fn what_is_prefetched_of_a_cancelled_batch_may_begin_and_is_not_started_again() {
    let mut fixture = PrefetchFixture::with(8, SHORT, |options| options.retries = 3);
    let (worker, owner) = (fixture.worker, fixture.owner);
    assert_eq!(fixture.take(worker, 64), [1, 2]);
    fixture.world.ask(owner, Request::BatchCancel { id: fixture.batch });
    fixture.end(worker, 1);
    fixture.world.kill(worker);
    let endings = fixture.endings();
    assert_eq!(endings[endings.len() - 2..], [(1, None), (2, Some(FailureKind::WorkerDied))]);
}

#[test]
fn the_time_limit_counts_from_when_a_call_begins() {
    let limit = Duration::from_millis(50);
    let mut fixture =
        PrefetchFixture::with(8, SHORT, |options| options.time_limit_ns = Some(limit.as_nanos() as u64));
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    assert_eq!(fixture.take(worker, 64), [1, 2]);
    fixture.world.pass(limit * 3 / 4);
    fixture.end(worker, 1);
    fixture.world.pass(limit * 3 / 4);
    assert!(fixture.world.signals.is_empty());
    fixture.world.pass(limit / 4);
    assert_eq!(fixture.world.signals, [(worker, StopSignal::Kill)]);
    fixture.world.kill(worker);
    assert_eq!(fixture.endings(), [(0, None), (1, None), (2, Some(FailureKind::TimeLimit))]);
    assert_eq!(fixture.take(other, 64), [3]);
}

#[test]
fn an_end_that_is_told_too_late_still_shows_that_the_next_call_has_begun() {
    let limit = Duration::from_millis(50);
    let mut fixture =
        PrefetchFixture::with(12, SHORT, |options| options.time_limit_ns = Some(limit.as_nanos() as u64));
    let worker = fixture.worker;
    assert_eq!(fixture.take(worker, 64), [1, 2, 3]);
    fixture.world.pass(limit);
    assert!(is_refused(&fixture.world.end_call(worker, fixture.batch, 1, b"")));
    fixture.world.kill(worker);
    let (overdue, died) = (Some(FailureKind::TimeLimit), Some(FailureKind::WorkerDied));
    assert_eq!(fixture.endings(), [(0, None), (1, overdue), (2, died)]);
    assert_eq!(fixture.progress(), (10, 0));
}

#[test]
fn what_is_prefetched_by_a_process_that_was_signalled_starts_elsewhere() {
    let mut fixture = PrefetchFixture::new(8);
    let (worker, owner, other) = (fixture.worker, fixture.owner, fixture.world.session("other"));
    assert_eq!(fixture.take(worker, 64), [1, 2]);
    let signal = Request::BatchSignal { id: fixture.batch, signal: StopSignal::Terminate };
    assert_eq!(fixture.world.ask(owner, signal), Reply::Count(1));
    let wait = Request::Wait {
        mode: protocol::WaitMode::Any,
        targets: [Target::Calls { pool: fixture.pool, most: 9 }].into_iter().collect(),
        timeout_ns: None,
        thread: protocol::ThreadId(1),
    };
    assert_eq!(fixture.world.refused(worker, wait).0, Code::Cancelled);
    fixture.world.end(worker, SessionEnd::Died(DeathCause::Signal(15)));
    assert_eq!(fixture.endings(), [(0, None), (1, Some(FailureKind::Stopped))]);
    assert_eq!(fixture.take(other, 64), [2]);
}

#[test]
fn terminating_the_pool_ends_what_is_prefetched_too() {
    let mut fixture = PrefetchFixture::new(8);
    let (worker, owner) = (fixture.worker, fixture.owner);
    assert_eq!(fixture.take(worker, 64), [1, 2]);
    fixture.world.done(owner, Request::PoolTerminate { id: fixture.pool, reason: "enough" });
    let ended: Vec<u64> = fixture.endings().into_iter().map(|(call, _)| call).collect();
    assert_eq!(ended, (0..=8).collect::<Vec<_>>());
    assert!(is_refused(&fixture.world.end_call(worker, fixture.batch, 1, b"")));
    assert!(is_refused(&fixture.give_back(worker, 2)));
    fixture.world.kill(worker);
}

#[test]
fn a_worker_is_seen_to_run_one_call_and_asks_for_at_least_one() {
    let mut fixture = PrefetchFixture::new(16);
    let (worker, owner) = (fixture.worker, fixture.owner);
    fixture.take(worker, 64);
    let Reply::Sessions { sessions, .. } = fixture.world.ask(owner, Request::ListSessions { after: None })
    else {
        panic!("sessions")
    };
    let calls: Vec<u32> = sessions.iter().map(|session| session.calls).collect();
    assert_eq!(calls, [0, 1]);
    let ObjectState::Batch { progress, .. } = fixture.world.inspect(owner, fixture.batch).state else {
        panic!("a batch")
    };
    assert_eq!((progress.waiting, progress.running), (15, 1));
    let none = wait_for(Target::Calls { pool: fixture.pool, most: 0 });
    assert_eq!(fixture.world.refused(worker, none).0, Code::BadArgument);
}

#[test]
fn many_results_are_waited_for_together() {
    let mut fixture = PrefetchFixture::new(5);
    let (worker, owner, batch) = (fixture.worker, fixture.owner, fixture.batch);
    assert_eq!(fixture.endings(), [(0, None)]);
    for (least, expected) in [(3, vec![1, 2, 3]), (0, vec![4]), (9, vec![5])] {
        let wait = fixture.world.block(owner, wait_for(Target::ManyResults { batch, least }));
        for &call in &expected {
            assert_eq!(fixture.world.answer(owner, wait), None, "{least} are not there");
            assert_eq!(fixture.take(worker, 1), [call]);
            fixture.end(worker, call);
        }
        let Grant::Results(results) = fixture.world.grant(owner, wait) else { panic!("results") };
        let calls: Vec<u64> = results.results.iter().map(|result| result.first).collect();
        assert_eq!((calls, results.complete), (expected.clone(), expected == [5]));
    }
}

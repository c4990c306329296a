//! Calls that came in one chunk: how many of them a grant brings, and how each ends on its own.

use std::time::Duration;

use protocol::limits::{CALLS_PER_CHUNK_MAX, CALLS_PER_GRANT_MAX, CALLS_PER_REQUEST_MAX, GRANT_BYTES_MAX};
use protocol::{
    BatchOptions, CallsOutcome, Code, Failure, FailureKind, Grant, Limits, ObjectId, Outcome, Payload, Reply,
    Request, SessionId, Spec, StopSignal, Target, TaskInput, TasksGrant,
};

use crate::call_words::{calls_of, empty_calls, endings, input, returned, returned_all};
use crate::words::wait_for;
use crate::world::World;

const DIED: Option<FailureKind> = Some(FailureKind::WorkerDied);
const CANCELLED: Option<FailureKind> = Some(FailureKind::Cancelled);

/// A worker, and a batch that takes chunks.
struct Scene {
    world: World,
    owner: SessionId,
    worker: SessionId,
    pool: ObjectId,
    batch: ObjectId,
    stop: ObjectId,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(Limits::default(), |_| {})
    }

    fn with(limits: Limits, change: impl FnOnce(&mut BatchOptions)) -> Scene {
        let mut world = World::with_limits(limits);
        let (owner, worker) = (world.session("owner"), world.session("worker"));
        let pool = world.open(owner, None, Spec::Pool);
        let mut options = world.batch_options();
        change(&mut options);
        let batch = world.fresh_id();
        world.done(owner, Request::BatchOpen { id: batch, pool, function: "f", options });
        Scene { world, owner, worker, pool, batch, stop: options.stop }
    }

    /// A batch of which the first call has shown that its calls take no time, and a chunk of so many more.
    fn with_short_calls(calls: u8, change: impl FnOnce(&mut BatchOptions)) -> Scene {
        let mut scene = Scene::with(Limits::default(), change);
        scene.add(&[b"first"]);
        scene.take(1);
        scene.end(0, &[b"FIRST"]);
        assert_eq!(scene.endings(), [(0, None)]);
        if calls == 0 {
            return scene;
        }
        let calls: Vec<u8> = (1..=calls).collect();
        scene.add(&calls.iter().map(std::slice::from_ref).collect::<Vec<_>>());
        scene
    }

    fn add_chunks(&mut self, tasks: Vec<TaskInput<'_>>) {
        let add = Request::BatchAdd { id: self.batch, tasks, last: false };
        assert_eq!(self.world.ask(self.owner, add), Reply::Done);
    }

    /// Adds a chunk of calls with these arguments.
    fn add(&mut self, calls: &[&[u8]]) {
        self.add_chunks(vec![input(&calls_of(calls), calls.len() as u32)]);
    }

    fn take_in(&mut self, worker: SessionId, most: u32) -> TasksGrant {
        match self.world.take(worker, Target::Tasks { pool: self.pool, most }) {
            Grant::Tasks(grant) => grant,
            other => panic!("not calls: {other:?}"),
        }
    }

    fn take(&mut self, most: u32) -> TasksGrant {
        self.take_in(self.worker, most)
    }

    /// The numbers of the calls that the worker gets.
    fn numbers(&mut self, worker: SessionId) -> std::ops::Range<u64> {
        let grant = self.take_in(worker, u32::MAX);
        grant.first..grant.first + u64::from(grant.calls)
    }

    fn end(&mut self, first: u64, results: &[&[u8]]) {
        assert_eq!(self.world.end_calls(self.worker, self.batch, first, results), Reply::Done);
    }

    fn report(&mut self, first: u64, ends: Vec<CallsOutcome<&[u8], &str>>) -> Reply {
        let (batch, carries) = (self.batch, Vec::new());
        self.world.ask(self.worker, Request::CallsEnd { batch, first, ends: ends.into(), carries })
    }

    fn endings(&mut self) -> Vec<(u64, Option<FailureKind>)> {
        endings(self.world.results(self.owner, self.batch).results)
    }

    /// How many calls wait, run, have returned and have failed.
    fn progress(&mut self) -> [u64; 4] {
        match self.world.ask(self.owner, Request::BatchProgress { id: self.batch }) {
            Reply::Progress(progress) => {
                [progress.waiting, progress.running, progress.returned, progress.failed]
            }
            other => panic!("not progress: {other:?}"),
        }
    }
}

fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(refusal) if refusal.code == Code::BadArgument)
}

fn ended(calls: u32, results: &[u8]) -> CallsOutcome<&[u8], &str> {
    CallsOutcome { calls, outcome: Outcome::Returned(results) }
}

fn failed(calls: u32) -> CallsOutcome<&'static [u8], &'static str> {
    CallsOutcome { calls, outcome: Outcome::Failed(Failure { kind: FailureKind::Panicked, text: "no" }) }
}

#[test]
fn a_chunk_is_granted_in_parts_and_ends_in_runs() {
    let mut scene = Scene::new();
    scene.add(&[b"a", b"bb", b"", b"d", b"e", b"f", b"g", b"h", b"i"]);
    assert_eq!(scene.progress(), [9, 0, 0, 0]);
    let first = scene.take(64);
    assert_eq!((first.first, first.calls, first.retry, first.report_each), (0, 1, 0, false));
    assert_eq!(first.arguments.as_bytes(), calls_of(&[b"a"]));
    scene.end(0, &[b"A"]);
    let next = scene.take(64);
    assert_eq!((next.first, next.calls), (1, 2), "a quarter of the eight calls that wait");
    assert_eq!(next.arguments.as_bytes(), calls_of(&[b"bb", b""]));
    assert_eq!(scene.progress(), [7, 1, 1, 0], "the second has not begun");
    scene.end(1, &[b"BB", b""]);
    let results = scene.world.results(scene.owner, scene.batch).results;
    assert_eq!(results, [returned(0, b"A"), returned_all(1, &[b"BB", b""])]);
    assert_eq!(scene.take(1).arguments.as_bytes(), calls_of(&[b"d"]), "no more than were asked for");
    assert_eq!(scene.progress(), [5, 1, 3, 0]);
}

#[test]
fn calls_of_a_grant_end_in_different_ways() {
    let mut scene = Scene::with_short_calls(16, |_| {});
    assert_eq!(scene.numbers(scene.worker), 1..5);
    let (one, two) = (calls_of(&[b"A"]), calls_of(&[b"C", b"D"]));
    assert_eq!(scene.report(1, vec![ended(1, &one), failed(1), ended(2, &two)]), Reply::Done);
    let results = scene.world.results(scene.owner, scene.batch).results;
    assert_eq!(results[0], returned(1, b"A"));
    assert_eq!(results[2], returned_all(3, &[b"C", b"D"]));
    assert_eq!(endings(results), [(1, None), (2, Some(FailureKind::Panicked)), (3, None), (4, None)]);
    assert_eq!(scene.progress(), [12, 0, 4, 1]);
}

#[test]
fn small_chunks_come_together_if_nobody_loses_and_large_ones_in_parts_at_any_time() {
    let mut scene = Scene::with_short_calls(0, |_| {});
    scene.add_chunks([empty_calls(10), vec![input(&[0; 30], 30)]].concat());
    let grant = scene.take(64);
    assert_eq!((grant.first, grant.calls, grant.arguments.as_bytes()), (1, 10, &[0; 10][..]));
    let grant = scene.take(64);
    assert_eq!((grant.first, grant.calls), (11, 7));

    // While another batch has calls to begin, chunks do not come together.
    let mut scene = Scene::with_short_calls(0, |_| {});
    scene.add_chunks([empty_calls(2), vec![input(&[0; 38], 38)]].concat());
    let other = scene.world.batch(scene.owner, scene.pool);
    scene.world.fill(scene.owner, other, &[b"other".as_slice(); 9]);
    let granted: Vec<(ObjectId, u32)> =
        (0..6).map(|_| scene.take(64)).map(|grant| (grant.batch, grant.calls)).collect();
    let batch = scene.batch;
    assert_eq!(granted, [(batch, 1), (other, 1), (batch, 1), (other, 1), (batch, 9), (other, 1)]);
}

#[test]
fn what_starts_again_does_not_come_together_with_what_starts_for_the_first_time() {
    let mut scene = Scene::with_short_calls(40, |options| options.retries = 1);
    let (worker, second) = (scene.worker, scene.world.session("second"));
    assert_eq!(scene.numbers(worker), 1..11);
    scene.world.kill(worker);
    let grants: Vec<_> = (0..2).map(|_| scene.take_in(second, 64)).collect();
    assert_eq!((grants[0].first, grants[0].calls, grants[0].retry), (1, 1, 1));
    assert_eq!((grants[1].first, grants[1].calls, grants[1].retry), (2, 9, 0));
    assert_eq!(grants[1].arguments.as_bytes(), (2..11).flat_map(|call| [1, call]).collect::<Vec<u8>>());
}

#[test]
fn a_grant_has_not_too_many_calls_or_bytes() {
    let mut scene = Scene::with_short_calls(0, |_| {});
    for _ in 0..2 {
        scene.add_chunks(vec![input(&vec![0; CALLS_PER_CHUNK_MAX], CALLS_PER_CHUNK_MAX as u32)]);
    }
    assert_eq!(scene.take(u32::MAX).calls, CALLS_PER_GRANT_MAX as u32);

    let mut scene = Scene::with_short_calls(0, |_| {});
    let quarter = vec![7; GRANT_BYTES_MAX / 4 - 2];
    scene.add(&[&quarter[..]; 40]);
    let grant = scene.take(u32::MAX);
    assert_eq!((grant.calls, grant.arguments.as_bytes().len()), (4, GRANT_BYTES_MAX));

    let mut scene = Scene::with_short_calls(0, |_| {});
    let large = vec![7; GRANT_BYTES_MAX];
    scene.add(&[b"", &large, b"", b"", b"", b"", b"", b""]);
    let sizes: Vec<u32> = (0..3).map(|_| scene.take(u32::MAX).calls).collect();
    assert_eq!(sizes, [1, 1, 1], "a large call comes alone, and what stands behind it comes later");
}

#[test]
fn a_chunk_that_is_none_is_refused() {
    let mut scene = Scene::new();
    let add = |task: TaskInput<'static>| Request::BatchAdd {
        id: ObjectId(uuid::Uuid::nil()),
        tasks: vec![task],
        last: false,
    };
    let batch = scene.batch;
    let mut refused = |arguments: &'static [u8], calls| {
        let mut request = add(input(arguments, calls));
        let Request::BatchAdd { id, .. } = &mut request else { unreachable!("it is one") };
        *id = batch;
        scene.world.refused(scene.owner, request)
    };
    for (arguments, calls) in
        [(&[][..], 0), (&[], 1), (&[0], 0), (&[0, 0], 1), (&[0], 2), (&[2, 7], 1), (&[0x80], 1), (b"\x01", 1)]
    {
        assert_eq!(refused(arguments, calls).0, Code::BadArgument, "{arguments:?} for {calls} calls");
    }
    let (most, zeros) = (CALLS_PER_CHUNK_MAX as u32, vec![0; CALLS_PER_CHUNK_MAX + 1].leak());
    let (code, text) = refused(zeros, most + 1);
    assert_eq!((code, text.contains("65536")), (Code::LimitReached, true), "{text}");
    let mut tasks = vec![input(&zeros[1..], most); CALLS_PER_REQUEST_MAX / CALLS_PER_CHUNK_MAX];
    tasks.push(input(&[0], 1));
    let (code, text) = scene.world.refused(scene.owner, Request::BatchAdd { id: batch, tasks, last: false });
    assert_eq!((code, text.contains("1048576")), (Code::LimitReached, true), "{text}");
    assert_eq!(scene.progress(), [0; 4]);
}

#[test]
fn a_report_is_of_calls_that_the_session_runs_and_counts_once() {
    let mut scene = Scene::with_short_calls(16, |_| {});
    assert_eq!(scene.numbers(scene.worker), 1..5);
    let three = calls_of(&[b"A", b"B", b"C"]);
    for (first, ends) in [
        (1, vec![]),
        (1, vec![ended(0, b"")]),
        (1, vec![failed(0)]),
        (1, vec![ended(2, &three)]),
        (1, vec![ended(4, &three)]),
        (1, vec![ended(1, b"\x05A")]),
        (2, vec![failed(1)]),
        (0, vec![failed(2)]),
        (1, vec![failed(5)]),
        (1, vec![failed(1), failed(u32::MAX)]),
        (5, vec![failed(1)]),
        (u64::MAX, vec![failed(1)]),
    ] {
        assert!(is_refused(&scene.report(first, ends.clone())), "{first}: {ends:?}");
    }
    assert_eq!(scene.progress(), [15, 1, 1, 0], "nothing has changed");
    assert_eq!(scene.report(1, vec![ended(2, &three[..4])]), Reply::Done);
    assert!(is_refused(&scene.report(1, vec![ended(2, &three[..4])])), "they have ended");
    // A report that overlaps with one before it.
    assert_eq!(scene.report(2, vec![failed(1), ended(1, &three[4..])]), Reply::Done);
    assert_eq!(scene.report(3, vec![ended(2, &three[2..])]), Reply::Done);
    let results = scene.world.results(scene.owner, scene.batch).results;
    assert_eq!(results, [returned_all(1, &[b"A", b"B"]), returned(3, b"C"), returned(4, b"C")]);
}

#[test]
fn a_death_costs_one_call_of_a_chunk() {
    let mut scene = Scene::with_short_calls(16, |_| {});
    let (worker, other) = (scene.worker, scene.world.session("other"));
    assert_eq!(scene.numbers(worker), 1..5);
    scene.end(1, &[b"A", b"B"]);
    scene.world.kill(worker);
    assert_eq!(scene.endings(), [(1, None), (2, None), (3, DIED)]);
    let grant = scene.take_in(other, 64);
    assert_eq!((grant.first, grant.calls), (4, 3));
    assert_eq!(grant.arguments.as_bytes(), calls_of(&[&[4], &[5], &[6]]));
}

#[test]
fn the_time_limit_is_that_of_a_call() {
    let limit = Duration::from_millis(50);
    let mut scene =
        Scene::with_short_calls(16, |options| options.time_limit_ns = Some(limit.as_nanos() as u64));
    let (worker, other) = (scene.worker, scene.world.session("other"));
    let grant = scene.take(64);
    assert_eq!((grant.first, grant.calls, grant.report_each), (1, 4, true));
    for call in [1, 2] {
        scene.world.pass(limit * 3 / 4);
        scene.end(call, &[b""]);
    }
    assert!(scene.world.signals.is_empty());
    scene.world.pass(limit);
    assert_eq!(scene.world.signals, [(worker, StopSignal::Kill)]);
    assert_eq!(scene.progress(), [13, 0, 3, 1], "nobody knows of a call that has begun");
    scene.world.kill(worker);
    assert_eq!(scene.endings(), [(1, None), (2, None), (3, Some(FailureKind::TimeLimit))]);
    assert_eq!(scene.numbers(other), 4..5, "its calls are not short");
}

#[test]
fn a_cancelled_batch_begins_no_more_calls_of_a_chunk() {
    for stops in [false, true] {
        let mut scene = Scene::with_short_calls(16, |options| options.retries = 3);
        let (worker, other) = (scene.worker, scene.world.session("other"));
        assert_eq!(scene.numbers(worker), 1..5);
        match stops {
            true => scene.world.set(scene.owner, scene.stop),
            false => {
                let cancel = Request::BatchCancel { id: scene.batch };
                assert_eq!(scene.world.ask(scene.owner, cancel), Reply::Count(12));
            }
        }
        let results = scene.world.results(scene.owner, scene.batch).results;
        assert_eq!((results.len(), results[0].first, results[0].calls), (1, 5, 12), "in one run");
        assert_eq!(endings(results), (5..17).map(|call| (call, CANCELLED)).collect::<Vec<_>>());
        scene.end(1, &[b"A"]);
        scene.end(2, &[b"B"]);
        let give_back = Request::CallsGiveBack { batch: scene.batch, first: 4 };
        assert_eq!(scene.world.ask(worker, give_back), Reply::Done);
        scene.world.kill(worker);
        assert_eq!(scene.endings(), [(1, None), (2, None), (4, CANCELLED), (3, DIED)]);
        scene.world.block(other, wait_for(Target::Tasks { pool: scene.pool, most: 1 }));
    }
}

#[test]
fn what_was_cancelled_in_a_cut_connection_is_lost_and_the_rest_starts_again() {
    let mut scene = Scene::with_short_calls(16, |options| options.retries = 1);
    let (worker, other) = (scene.worker, scene.world.session("other"));
    assert_eq!(scene.numbers(worker), 1..5);
    scene.world.ask(scene.owner, Request::BatchCancel { id: scene.batch });
    scene.endings();
    let cut_off = manager_core::DeathCause::Dropped("it never reads".to_owned());
    scene.world.end(worker, manager_core::SessionEnd::Died(cut_off));
    assert_eq!(scene.endings(), [(2, DIED), (3, DIED), (4, DIED)]);
    let grant = scene.take_in(other, 64);
    assert_eq!(
        (grant.first, grant.calls, grant.retry),
        (1, 1, 1),
        "it had begun before the batch was cancelled"
    );
}

#[test]
fn a_signal_stops_the_call_that_runs_and_no_other_of_its_chunk() {
    let mut scene = Scene::with_short_calls(16, |_| {});
    let (worker, other) = (scene.worker, scene.world.session("other"));
    assert_eq!(scene.numbers(worker), 1..5);
    scene.end(1, &[b"A"]);
    let signal = Request::BatchSignal { id: scene.batch, signal: StopSignal::Kill };
    assert_eq!(scene.world.ask(scene.owner, signal), Reply::Count(1));
    scene.world.kill(worker);
    assert_eq!(scene.endings(), [(1, None), (2, Some(FailureKind::Stopped))]);
    assert_eq!(scene.numbers(other), 3..6);
}

#[test]
fn what_a_chunk_carries_lives_until_its_last_call_has_ended() {
    let mut scene = Scene::with_short_calls(0, |_| {});
    let carried = scene.world.open(scene.owner, None, Spec::Lock);
    let chunk = TaskInput { arguments: &[0; 8], carries: vec![carried], calls: 8 };
    scene.add_chunks([empty_calls(2), vec![chunk], empty_calls(9)].concat());
    scene.world.done(scene.owner, Request::Detach { id: carried });
    let lives = |scene: &mut Scene| {
        let inspect = Request::Inspect { object: protocol::Selector::Id(carried) };
        !matches!(scene.world.ask(scene.owner, inspect), Reply::Refused(_))
    };
    // One run may end calls of several chunks.
    let mut next = 1;
    while next < 11 {
        assert!(lives(&mut scene), "call {next} has not ended");
        let calls = scene.take(3).calls;
        scene.end(next, &vec![b"".as_slice(); calls as usize]);
        next += u64::from(calls);
    }
    assert!(!lives(&mut scene));
}

#[test]
fn a_manager_has_room_for_so_many_calls_and_no_bytes_of_theirs_are_left_behind() {
    let limits = Limits { tasks_max: 20, stored_bytes_max: 1_000, ..Limits::default() };
    let mut scene = Scene::with(limits, |options| options.retries = 2);
    let second = scene.world.session("second");
    let chunk = |bytes: usize| input(calls_of(&vec![vec![7_u8; bytes].as_slice(); 20]).leak(), 20);
    let add = |id, bytes| Request::BatchAdd { id, tasks: vec![chunk(bytes)], last: false };
    assert_eq!(scene.world.refused(scene.owner, add(scene.batch, 50)).0, Code::LimitReached);
    // Whatever becomes of the calls, in the end there is room for as many again.
    for round in 0..5_u64 {
        scene.add_chunks(vec![chunk(49)]);
        let (code, text) = scene.world.refused(scene.owner, add(scene.batch, 0));
        assert_eq!((code, text.contains("20 of at most 20")), (Code::LimitReached, true), "{text}");
        let (first, worker) = (20 * round, scene.world.session("worker"));
        if round > 0 {
            let grant = scene.take_in(worker, 64);
            assert_eq!((grant.first, grant.calls), (first, 5));
            scene.world.end_calls(worker, scene.batch, first, &[b"".as_slice(); 2]);
            match round {
                1 => scene.world.kill(worker),
                2 => {
                    let give_back = Request::CallsGiveBack { batch: scene.batch, first: first + 3 };
                    scene.world.done(worker, give_back);
                }
                3 => {
                    scene.world.ask(scene.owner, Request::BatchCancel { id: scene.batch });
                    scene.world.kill(worker);
                }
                _ => {}
            }
        }
        while scene.progress()[0] > 5 {
            let grant = scene.take_in(second, 64);
            let results = vec![b"".as_slice(); grant.calls as usize];
            scene.world.end_calls(second, scene.batch, grant.first, &results);
        }
        if ![1, 3].contains(&round) {
            scene.world.end_calls(worker, scene.batch, first + 2, &[b"".as_slice(); 3]);
            scene.world.end_calls(worker, scene.batch, first + 2, &[b"".as_slice(); 1]);
            scene.world.leave(worker);
        }
        while scene.progress()[0] > 0 {
            let grant = scene.take_in(second, 1);
            scene.world.end_calls(second, scene.batch, grant.first, &[b""]);
        }
        let mut count = 0;
        while count < 20 {
            count += scene.endings().len();
        }
        assert_eq!((count, scene.progress()[0]), (20, 0), "round {round}");
    }
    let payload = Payload::from(&calls_of(&[&[7; 998]])[..]);
    scene.add_chunks(vec![input(payload.as_bytes(), 1)]);
}

#[test]
fn a_terminated_pool_fails_the_calls_of_each_grant_in_runs() {
    let mut scene = Scene::with_short_calls(16, |_| {});
    assert_eq!(scene.numbers(scene.worker), 1..5);
    scene.world.done(scene.owner, Request::PoolTerminate { id: scene.pool, reason: "enough" });
    let results = scene.world.results(scene.owner, scene.batch).results;
    let runs: Vec<(u64, u32)> = results.iter().map(|run| (run.first, run.calls)).collect();
    assert_eq!(runs, [(1, 4), (5, 12)]);
    assert!(is_refused(&scene.report(1, vec![failed(1)])));
    scene.world.kill(scene.worker);
}

#[test]
fn the_owner_waits_for_as_many_calls_however_they_come() {
    let mut scene = Scene::with_short_calls(16, |_| {});
    assert_eq!(scene.numbers(scene.worker), 1..5);
    let many = wait_for(Target::ManyResults { batch: scene.batch, least: 3 });
    let wait = scene.world.block(scene.owner, many);
    scene.end(1, &[b"A", b"B"]);
    assert_eq!(scene.world.answer(scene.owner, wait), None);
    scene.end(3, &[b"C"]);
    assert!(matches!(scene.world.answer(scene.owner, wait), Some(Reply::Taken(_))));
}

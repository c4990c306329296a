//! Call records: what a worker had done and not reported counts, whatever it was that ended the worker.

use manager_core::{CallRecord, DeathCause, Input, SessionEnd};
use protocol::{FailureKind, Grant, ObjectId, Reply, Request, SessionId, SharedMemory, Spec, Target};
use uuid::Uuid;

use crate::call_messages::{calls_of, endings, input, returned, returned_all};
use crate::world::World;

const DIED: Option<FailureKind> = Some(FailureKind::WorkerDied);
const NONE: ObjectId = ObjectId(Uuid::nil());

/// A batch of which a worker has been granted calls 1 to 4, and the first has ended.
struct RecordScene {
    world: World,
    owner: SessionId,
    worker: SessionId,
    other: SessionId,
    pool: ObjectId,
    batch: ObjectId,
}

impl RecordScene {
    fn new(retries: u32) -> RecordScene {
        let mut world = World::new();
        let [owner, worker, other] = ["owner", "worker", "other"].map(|program| world.session(program));
        let pool = world.open(owner, None, Spec::Pool);
        let options = protocol::BatchOptions { retries, ..world.batch_options() };
        let batch = world.fresh_id();
        world.done(owner, Request::BatchOpen { id: batch, pool, function: "f", options });
        let chunks = vec![input(&[0; 17], 17)];
        world.done(owner, Request::BatchAdd { id: batch, chunks, last: true });
        let mut scene = RecordScene { world, owner, worker, other, pool, batch };
        assert_eq!(scene.take(worker), (0, 1, 0));
        scene.end(0, 1);
        scene.results();
        assert_eq!(scene.take(worker), (1, 4, 0));
        scene
    }

    /// The calls that a worker gets: the first, how many, and how often they were begun before.
    fn take(&mut self, worker: SessionId) -> (u64, u32, u32) {
        match self.world.take(worker, Target::Calls { pool: self.pool, most: 64 }) {
            Grant::Calls(grant) => (grant.first, grant.calls, grant.retry),
            other => panic!("not calls: {other:?}"),
        }
    }

    fn end(&mut self, first: u64, calls: usize) {
        let results = vec![b"".as_slice(); calls];
        assert_eq!(self.world.end_calls(self.worker, self.batch, first, &results), Reply::Done);
    }

    /// The worker ends, and leaves this record.
    fn die(&mut self, record: CallRecord<'_>, ending: SessionEnd) {
        self.world.apply(Input::CallsFound { session: self.worker, is_last: true, record });
        self.world.end(self.worker, ending);
    }

    /// A record of results from one call up to another, with the number of the first call that had not begun.
    fn leave(&mut self, first: u64, results: &[&[u8]], begun: u64) {
        let ended = first + results.len() as u64;
        let record = CallRecord { batch: self.batch, first, ended, begun, results: &calls_of(results) };
        self.die(record, SessionEnd::Died(DeathCause::Signal(9)));
    }

    fn results(&mut self) -> Vec<protocol::CallsResult> {
        self.world.results(self.owner, self.batch).results
    }

    fn has_results(&mut self) -> bool {
        let Reply::Progress(progress) = self.world.ask(self.owner, Request::BatchProgress { id: self.batch })
        else {
            panic!("progress")
        };
        progress.returned + progress.failed > 1
    }
}

#[test]
fn what_returned_before_a_death_is_kept_and_the_call_that_had_begun_fails() {
    let mut scene = RecordScene::new(0);
    scene.leave(1, &[b"A", b"B"], 4);
    let results = scene.results();
    assert_eq!(results[0], returned_all(1, &[b"A", b"B"]));
    assert_eq!(endings(results), [(1, None), (2, None), (3, DIED)]);
    assert_eq!(scene.take(scene.other), (4, 3, 0));
}

#[test]
fn a_call_that_had_begun_starts_again_before_those_that_had_not() {
    let mut scene = RecordScene::new(1);
    scene.leave(1, &[b"A"], 3);
    assert_eq!(scene.results(), [returned(1, b"A")]);
    assert_eq!([scene.take(scene.other), scene.take(scene.other)], [(2, 1, 1), (3, 3, 0)]);
}

#[test]
fn a_death_between_two_calls_costs_none_and_is_no_retry() {
    let mut scene = RecordScene::new(0);
    scene.leave(1, &[b"A", b"B"], 3);
    assert_eq!(scene.results(), [returned_all(1, &[b"A", b"B"])]);
    assert_eq!(scene.take(scene.other), (3, 3, 0));
}

#[test]
fn a_worker_that_dies_before_it_has_read_its_grant_costs_nothing() {
    for record in [
        CallRecord { batch: NONE, first: 0, ended: 0, begun: 0, results: &[] },
        // It stands where the calls before have ended, or in another batch.
        CallRecord { batch: ObjectId(Uuid::from_u128(3)), first: 1, ended: 1, begun: 1, results: &[] },
        CallRecord { batch: ObjectId(Uuid::from_u128(77)), first: 0, ended: 9, begun: 9, results: &[0; 9] },
        // Calls with larger numbers, of which this worker ran some before it got these, which start again.
        CallRecord { batch: ObjectId(Uuid::from_u128(3)), first: 9, ended: 9, begun: 9, results: &[] },
        CallRecord { batch: ObjectId(Uuid::from_u128(3)), first: 2, ended: 3, begun: 4, results: &[0] },
    ] {
        let mut scene = RecordScene::new(0);
        assert_eq!(scene.batch, ObjectId(Uuid::from_u128(3)));
        scene.die(record.clone(), SessionEnd::Died(DeathCause::Signal(9)));
        assert!(!scene.has_results(), "{record:?}");
        assert_eq!(scene.take(scene.other), (1, 4, 0), "{record:?}");
    }
}

#[test]
fn what_was_reported_and_still_stands_in_the_record_counts_once() {
    // It died after it had sent a report and before it changed the record, at one point or another.
    for (first, ended, begun) in [(1, 3, 3), (3, 3, 3)] {
        let mut scene = RecordScene::new(0);
        scene.end(1, 2);
        scene.results();
        let results = vec![0; (ended - first) as usize];
        let record = CallRecord { batch: scene.batch, first, ended, begun, results: &results };
        scene.die(record, SessionEnd::Died(DeathCause::Signal(9)));
        assert_eq!(scene.take(scene.other), (3, 3, 0));
    }
    let mut scene = RecordScene::new(0);
    scene.end(1, 2);
    scene.results();
    scene.leave(1, &[b"A", b"B", b"C"], 5);
    let results = scene.results();
    assert_eq!(results[0], returned(3, b"C"));
    assert_eq!(endings(results), [(3, None), (4, DIED)]);
}

#[test]
fn all_calls_may_have_ended_in_the_record() {
    let mut scene = RecordScene::new(0);
    scene.leave(1, &[b"A", b"B", b"C", b"D"], 5);
    assert_eq!(scene.results(), [returned_all(1, &[b"A", b"B", b"C", b"D"])]);
    assert_eq!(scene.take(scene.other), (5, 3, 0));
}

#[test]
fn a_record_that_ends_within_a_result_has_those_before_it() {
    let mut scene = RecordScene::new(0);
    let record = CallRecord { batch: scene.batch, first: 1, ended: 2, begun: 3, results: &[1, 7, 5, 1] };
    scene.die(record, SessionEnd::Died(DeathCause::Signal(9)));
    let results = scene.results();
    assert_eq!(results[0], returned(1, &[7]));
    assert_eq!(endings(results), [(1, None), (2, DIED)]);
}

#[test]
fn nonsense_in_a_record_hurts_the_calls_of_its_session_at_most() {
    let scene = RecordScene::new(0);
    let batch = scene.batch;
    for record in [
        // More calls than it was granted, or than there are results.
        CallRecord { batch, first: 1, ended: 6, begun: 6, results: &[0; 5] },
        CallRecord { batch, first: 1, ended: u64::MAX, begun: u64::MAX, results: &[0; 5] },
        CallRecord { batch, first: 1, ended: 3, begun: 4, results: &[0] },
        CallRecord { batch, first: 1, ended: 3, begun: 4, results: &[0, 9] },
        CallRecord { batch, first: 1, ended: 0, begun: 4, results: &[0; 4] },
    ] {
        let mut scene = RecordScene::new(0);
        scene.die(record.clone(), SessionEnd::Died(DeathCause::Signal(9)));
        assert_eq!(endings(scene.results()), [(1, DIED)], "{record:?}");
        assert_eq!(scene.take(scene.other), (2, 3, 0), "{record:?}");
    }
    // The calls of another session.
    let mut scene = RecordScene::new(0);
    assert_eq!(scene.take(scene.other), (5, 3, 0));
    let record = CallRecord { batch, first: 5, ended: 6, begun: 8, results: &[0] };
    scene.die(record, SessionEnd::Died(DeathCause::Signal(9)));
    assert_eq!(scene.world.end_calls(scene.other, batch, 5, &[b"mine"]), Reply::Done);
    assert_eq!(scene.results(), [returned(5, b"mine")]);
}

#[test]
fn a_cut_connection_keeps_what_returned_and_loses_the_rest() {
    let mut scene = RecordScene::new(0);
    let record = CallRecord { batch: scene.batch, first: 1, ended: 2, begun: 2, results: &[0] };
    scene.die(record, SessionEnd::Died(DeathCause::Dropped("it never reads".to_owned())));
    assert_eq!(endings(scene.results()), [(1, None), (2, DIED), (3, DIED), (4, DIED)]);
}

#[test]
fn a_worker_that_leaves_may_have_a_record_too() {
    let mut scene = RecordScene::new(0);
    let record = CallRecord { batch: scene.batch, first: 1, ended: 2, begun: 2, results: &[0] };
    scene.die(record, SessionEnd::Goodbye);
    assert_eq!(endings(scene.results()), [(1, None)]);
    assert_eq!(scene.take(scene.other), (2, 3, 0));
}

#[test]
fn what_a_signalled_worker_had_not_begun_is_cancelled_with_its_batch() {
    let mut scene = RecordScene::new(0);
    let signal = protocol::StopSignal::Terminate;
    let stop = Request::BatchSignal { id: scene.batch, signal };
    assert_eq!(scene.world.ask(scene.owner, stop), Reply::Count(1));
    scene.world.ask(scene.owner, Request::BatchCancel { id: scene.batch });
    scene.results();
    scene.leave(1, &[b"A"], 3);
    let (stopped, cancelled) = (Some(FailureKind::Stopped), Some(FailureKind::Cancelled));
    assert_eq!(endings(scene.results()), [(1, None), (3, cancelled), (4, cancelled), (2, stopped)]);
}

#[test]
fn a_termination_keeps_what_stands_in_the_records_of_those_who_work() {
    let mut scene = RecordScene::new(0);
    for session in [scene.worker, scene.other] {
        scene.world.send(session, Request::Share { memory: SharedMemory::CallRecord });
    }
    let terminate = Request::PoolTerminate { id: scene.pool, reason: "enough" };
    let request = scene.world.send(scene.owner, terminate);
    assert_eq!(scene.world.records_wanted, [scene.worker], "the other has no calls");
    assert_eq!(scene.world.answer(scene.owner, request), None);
    let results = calls_of(&[b"A", b"B"]);
    let record = CallRecord { batch: scene.batch, first: 1, ended: 3, begun: 4, results: &results };
    scene.world.apply(Input::CallsFound { session: scene.worker, is_last: false, record });
    scene.world.work();
    assert_eq!(scene.world.answer(scene.owner, request), Some(Reply::Done));
    let ended = scene.results();
    assert_eq!(ended[0], returned_all(1, &[b"A", b"B"]));
    let rest: Vec<_> = endings(ended).split_off(2);
    assert_eq!(rest, (3..17).map(|call| (call, Some(FailureKind::Terminated))).collect::<Vec<_>>());
    // The worker reports as if nothing had been, and dies.
    let late = scene.world.end_calls(scene.worker, scene.batch, 1, &[b"A", b"B", b"C"]);
    assert!(matches!(late, Reply::Refused(_)), "{late:?}");
    scene.world.kill(scene.worker);
    let Reply::Progress(progress) = scene.world.ask(scene.owner, Request::BatchProgress { id: scene.batch })
    else {
        panic!("no progress")
    };
    assert_eq!((progress.returned, progress.failed), (3, 14));
}

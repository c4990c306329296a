//! Batches that one request makes, fills and waits for.

use std::time::Duration;

use protocol::{
    BatchOptions, Code, Grant, Limits, ObjectId, Outcome, Reply, Request, RequestId, Results, SessionId,
    Spec, Target, ThreadId,
};

use crate::call_messages::{calls_of, input, returned};
use crate::requests::{event, wait_for};
use crate::world::World;

/// An owner with a pool, a worker, and the id of a batch that does not exist yet.
struct BatchRunFixture {
    world: World,
    owner: SessionId,
    worker: SessionId,
    pool: ObjectId,
    batch: ObjectId,
    options: BatchOptions,
}

impl BatchRunFixture {
    fn new(limits: Limits) -> BatchRunFixture {
        let mut world = World::with_limits(limits);
        let (owner, worker) = (world.session("owner"), world.session("worker"));
        let pool = world.open(owner, None, Spec::Pool);
        let (batch, options) = (world.fresh_id(), world.batch_options());
        BatchRunFixture { world, owner, worker, pool, batch, options }
    }

    fn run(&self, calls: &[&[u8]]) -> Request<'static> {
        let chunk = |&arguments: &&[u8]| input(calls_of(&[arguments]).leak(), 1);
        Request::BatchRun {
            id: self.batch,
            pool: self.pool,
            function: "f",
            options: self.options,
            chunks: calls.iter().map(chunk).collect(),
            timeout_ns: None,
            thread: ThreadId(1),
        }
    }

    /// The results that a wait of the owner has brought.
    fn results(&mut self, wait: RequestId) -> Results {
        match self.world.answer(self.owner, wait) {
            Some(Reply::Taken(mut taken)) => match taken.grants.pop() {
                Some(Grant::Results(results)) => results,
                grant => panic!("no results but {grant:?}"),
            },
            reply => panic!("no results but {reply:?}"),
        }
    }

    /// Has the only call of the batch start, and its result come to the next wait.
    fn assert_goes_on(&mut self) {
        let (batch, call, _) = self.world.take_call(self.worker, self.pool);
        assert_eq!(self.world.end_call(self.worker, batch, call, b"A"), Reply::Done);
        let again = self.world.send(self.owner, wait_for(Target::Results { batch }));
        assert_eq!(self.results(again), Results { results: vec![returned(0, b"A")], complete: true });
    }

    /// Asserts that nothing of the batch exists, through a session that lives.
    fn assert_absent_for(&mut self, session: SessionId) {
        for id in [self.batch, self.options.stop] {
            assert_eq!(self.world.refused(session, Request::Detach { id }).0, Code::NoSuchObject);
        }
    }
}

#[test]
fn a_run_is_answered_with_its_results_and_has_no_more_tasks() {
    let mut fixture = BatchRunFixture::new(Limits::default());
    let waiting =
        fixture.world.block(fixture.worker, wait_for(Target::Calls { pool: fixture.pool, most: 1 }));
    let run = fixture.world.block(fixture.owner, fixture.run(&[b"a"]));
    let (batch, call, arguments) = fixture.world.call_of(fixture.worker, waiting);
    assert_eq!((batch, call, &arguments[..]), (fixture.batch, 0, &b"a"[..]));
    assert_eq!(fixture.world.end_call(fixture.worker, batch, call, b"A"), Reply::Done);
    assert_eq!(fixture.results(run), Results { results: vec![returned(0, b"A")], complete: true });
    let more = Request::BatchAdd { id: batch, chunks: vec![], last: false };
    assert_eq!(fixture.world.refused(fixture.owner, more).0, Code::Closed);
    for id in [batch, fixture.options.stop] {
        fixture.world.done(fixture.owner, Request::Detach { id });
    }
    fixture.assert_absent_for(fixture.owner);
}

#[test]
fn a_run_of_several_is_answered_with_the_first_result_and_waited_for_again() {
    let mut fixture = BatchRunFixture::new(Limits::default());
    let run = fixture.world.block(fixture.owner, fixture.run(&[b"a", b"b"]));
    let (batch, pool) = (fixture.batch, fixture.pool);
    assert_eq!(fixture.world.take_call(fixture.worker, pool).1, 0);
    assert_eq!(fixture.world.end_call(fixture.worker, batch, 0, b"A"), Reply::Done);
    assert_eq!(fixture.results(run), Results { results: vec![returned(0, b"A")], complete: false });
    let rest = fixture.world.block(fixture.owner, wait_for(Target::Results { batch }));
    assert_eq!(fixture.world.take_call(fixture.worker, pool).1, 1);
    assert_eq!(fixture.world.end_call(fixture.worker, batch, 1, b"B"), Reply::Done);
    assert_eq!(fixture.results(rest), Results { results: vec![returned(1, b"B")], complete: true });
}

#[test]
fn a_run_of_nothing_is_complete_at_once() {
    let mut fixture = BatchRunFixture::new(Limits::default());
    let run = fixture.world.send(fixture.owner, fixture.run(&[]));
    assert_eq!(fixture.results(run), Results { results: vec![], complete: true });
}

#[test]
fn a_run_that_is_refused_has_made_nothing() {
    let limits =
        Limits { calls_and_items_max: 2, stored_bytes_max: 10, session_waits_max: 1, ..Limits::default() };
    let mut fixture = BatchRunFixture::new(limits);
    let refused = |fixture: &mut BatchRunFixture, run: Request<'_>, code: Code| {
        assert_eq!(fixture.world.refused(fixture.owner, run).0, code);
        fixture.assert_absent_for(fixture.owner);
    };
    let run = fixture.run(&[b"a".as_slice(); 3]);
    refused(&mut fixture, run, Code::LimitReached);
    let run = fixture.run(&[&[0; 11]]);
    refused(&mut fixture, run, Code::LimitReached);
    let mut run = fixture.run(&[b"a"]);
    let Request::BatchRun { function, .. } = &mut run else { unreachable!("it is one") };
    *function = "";
    refused(&mut fixture, run, Code::BadName);

    let never = fixture.world.event(fixture.owner, "never");
    let blocked = fixture.world.block(fixture.owner, wait_for(event(never)));
    let run = fixture.run(&[b"a"]);
    refused(&mut fixture, run, Code::LimitReached);
    fixture.world.done(fixture.owner, Request::Cancel { request: blocked });

    // One-way, so nobody would get the results.
    let run = fixture.run(&[b"a"]);
    fixture.world.send_as(fixture.owner, RequestId::ONE_WAY, run);
    fixture.assert_absent_for(fixture.owner);

    fixture.world.done(fixture.owner, Request::PoolClose { id: fixture.pool });
    let run = fixture.run(&[b"a"]);
    refused(&mut fixture, run, Code::Closed);
}

#[test]
fn a_run_with_ids_that_do_not_fit_has_made_nothing() {
    let mut fixture = BatchRunFixture::new(Limits { objects_max: 3, ..Limits::default() });
    let taken = fixture.world.event(fixture.owner, "taken");
    let (batch, stop, missing) = (fixture.batch, fixture.options.stop, fixture.world.fresh_id());
    let pool = fixture.pool;
    for (batch, stop, parent, pool, code) in [
        (batch, batch, None, pool, Code::BadArgument),
        (batch, stop, Some(missing), pool, Code::NoSuchObject),
        (batch, stop, Some(pool), pool, Code::WrongKind),
        (batch, stop, None, missing, Code::NoSuchObject),
        (batch, stop, None, taken, Code::WrongKind),
        // There is room for one more object, and not for two.
        (batch, stop, None, pool, Code::LimitReached),
    ] {
        (fixture.batch, fixture.options, fixture.pool) =
            (batch, BatchOptions { stop, parent, ..fixture.options }, pool);
        let run = fixture.run(&[b"a"]);
        assert_eq!(fixture.world.refused(fixture.owner, run).0, code);
        fixture.assert_absent_for(fixture.owner);
    }

    let mut fixture = BatchRunFixture::new(Limits::default());
    let taken = fixture.world.open(fixture.owner, None, Spec::Event { auto_reset: false });
    let (batch, stop) = (fixture.batch, fixture.options.stop);
    for (batch, stop, fresh) in [(taken, stop, stop), (batch, taken, batch)] {
        (fixture.batch, fixture.options.stop) = (batch, stop);
        let run = fixture.run(&[b"a"]);
        assert_eq!(fixture.world.refused(fixture.owner, run).0, Code::AlreadyExists);
        assert_eq!(fixture.world.refused(fixture.owner, Request::Detach { id: fresh }).0, Code::NoSuchObject);
    }
    fixture.world.done(fixture.owner, Request::Detach { id: taken });
    fixture.assert_absent_for(fixture.owner);

    // A refused run can be tried again, but not under the id of a blocked request.
    (fixture.batch, fixture.options.stop) = (batch, stop);
    let never = fixture.world.event(fixture.owner, "never");
    let blocked = fixture.world.block(fixture.owner, wait_for(event(never)));
    let run = fixture.run(&[b"a"]);
    fixture.world.send_as(fixture.owner, blocked, run);
    assert!(matches!(fixture.world.answer(fixture.owner, blocked), Some(Reply::Refused(_))));
    fixture.assert_absent_for(fixture.owner);
    let run = fixture.run(&[b"a"]);
    fixture.world.block(fixture.owner, run);
}

#[test]
fn a_run_under_a_parent_that_is_set_starts_nothing() {
    let mut fixture = BatchRunFixture::new(Limits::default());
    let parent = fixture.world.event(fixture.worker, "parent");
    fixture.world.set(fixture.worker, parent);
    fixture.options.parent = Some(parent);
    let waiting =
        fixture.world.block(fixture.worker, wait_for(Target::Calls { pool: fixture.pool, most: 1 }));
    let run = fixture.run(&[b"a"]);
    let run = fixture.world.send(fixture.owner, run);
    let results = fixture.results(run);
    assert!(results.complete && matches!(results.results[0].outcome, Outcome::Failed(_)), "{results:?}");
    assert_eq!(fixture.world.answer(fixture.worker, waiting), None);
}

#[test]
fn a_run_that_is_cancelled_goes_on() {
    let mut fixture = BatchRunFixture::new(Limits::default());
    let run = fixture.world.block(fixture.owner, fixture.run(&[b"a"]));
    fixture.world.done(fixture.owner, Request::Cancel { request: run });
    assert!(matches!(fixture.world.answer(fixture.owner, run), Some(Reply::Refused(_))));
    fixture.assert_goes_on();
}

#[test]
fn a_run_whose_time_is_over_goes_on() {
    let mut fixture = BatchRunFixture::new(Limits::default());
    let mut run = fixture.run(&[b"a"]);
    let Request::BatchRun { timeout_ns, .. } = &mut run else { unreachable!("it is one") };
    *timeout_ns = Some(1000);
    let run = fixture.world.block(fixture.owner, run);
    fixture.world.pass(Duration::from_nanos(1000));
    assert!(matches!(fixture.world.answer(fixture.owner, run), Some(Reply::TimedOut { .. })));
    fixture.assert_goes_on();
}

#[test]
fn a_run_is_stopped_by_its_event_and_by_the_death_of_its_owner() {
    let mut fixture = BatchRunFixture::new(Limits::default());
    let run = fixture.world.block(fixture.owner, fixture.run(&[b"a"]));
    fixture.world.set(fixture.worker, fixture.options.stop);
    let results = fixture.results(run);
    assert!(results.complete && matches!(results.results[0].outcome, Outcome::Failed(_)), "{results:?}");

    let mut fixture = BatchRunFixture::new(Limits::default());
    fixture.world.attach(fixture.worker, fixture.pool, protocol::Kind::Pool);
    fixture.world.block(fixture.owner, fixture.run(&[b"a"]));
    let (batch, call, _) = fixture.world.take_call(fixture.worker, fixture.pool);
    fixture.world.kill(fixture.owner);
    assert!(fixture.world.is_set(fixture.worker, fixture.options.stop), "the worker sees it");
    assert_eq!(fixture.world.end_call(fixture.worker, batch, call, b"A"), Reply::Done);
    fixture.assert_absent_for(fixture.worker);
}

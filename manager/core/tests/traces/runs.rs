//! Batches that one request makes, fills and waits for.

use std::time::Duration;

use protocol::{
    BatchOptions, Code, Grant, Limits, ObjectId, Outcome, Reply, Request, RequestId, Results, SessionId,
    Spec, Target, ThreadId,
};

use crate::call_words::{calls_of, input, returned};
use crate::words::{event, wait_for};
use crate::world::World;

/// An owner with a pool, a worker, and the id of a batch that does not exist yet.
struct Scene {
    world: World,
    owner: SessionId,
    worker: SessionId,
    pool: ObjectId,
    batch: ObjectId,
    options: BatchOptions,
}

impl Scene {
    fn new(limits: Limits) -> Scene {
        let mut world = World::with_limits(limits);
        let (owner, worker) = (world.session("owner"), world.session("worker"));
        let pool = world.open(owner, None, Spec::Pool);
        let (batch, options) = (world.fresh_id(), world.batch_options());
        Scene { world, owner, worker, pool, batch, options }
    }

    fn run(&self, calls: &[&[u8]]) -> Request<'static> {
        let chunk = |&arguments: &&[u8]| input(calls_of(&[arguments]).leak(), 1);
        Request::BatchRun {
            id: self.batch,
            pool: self.pool,
            function: "f",
            options: self.options,
            tasks: calls.iter().map(chunk).collect(),
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

    /// Has the only task of the batch start, and its result come to the next wait.
    fn assert_goes_on(&mut self) {
        let (batch, task, _) = self.world.take_call(self.worker, self.pool);
        assert_eq!(self.world.end_call(self.worker, batch, task, b"A"), Reply::Done);
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
    let mut scene = Scene::new(Limits::default());
    let waiting = scene.world.block(scene.worker, wait_for(Target::Tasks { pool: scene.pool, most: 1 }));
    let run = scene.world.block(scene.owner, scene.run(&[b"a"]));
    let (batch, task, arguments) = scene.world.call_of(scene.worker, waiting);
    assert_eq!((batch, task, &arguments[..]), (scene.batch, 0, &b"a"[..]));
    assert_eq!(scene.world.end_call(scene.worker, batch, task, b"A"), Reply::Done);
    assert_eq!(scene.results(run), Results { results: vec![returned(0, b"A")], complete: true });
    let more = Request::BatchAdd { id: batch, tasks: vec![], last: false };
    assert_eq!(scene.world.refused(scene.owner, more).0, Code::Closed);
    for id in [batch, scene.options.stop] {
        scene.world.done(scene.owner, Request::Detach { id });
    }
    scene.assert_absent_for(scene.owner);
}

#[test]
fn a_run_of_several_is_answered_with_the_first_result_and_waited_for_again() {
    let mut scene = Scene::new(Limits::default());
    let run = scene.world.block(scene.owner, scene.run(&[b"a", b"b"]));
    let (batch, pool) = (scene.batch, scene.pool);
    assert_eq!(scene.world.take_call(scene.worker, pool).1, 0);
    assert_eq!(scene.world.end_call(scene.worker, batch, 0, b"A"), Reply::Done);
    assert_eq!(scene.results(run), Results { results: vec![returned(0, b"A")], complete: false });
    let rest = scene.world.block(scene.owner, wait_for(Target::Results { batch }));
    assert_eq!(scene.world.take_call(scene.worker, pool).1, 1);
    assert_eq!(scene.world.end_call(scene.worker, batch, 1, b"B"), Reply::Done);
    assert_eq!(scene.results(rest), Results { results: vec![returned(1, b"B")], complete: true });
}

#[test]
fn a_run_of_nothing_is_complete_at_once() {
    let mut scene = Scene::new(Limits::default());
    let run = scene.world.send(scene.owner, scene.run(&[]));
    assert_eq!(scene.results(run), Results { results: vec![], complete: true });
}

#[test]
fn a_run_that_is_refused_has_made_nothing() {
    let limits = Limits { tasks_max: 2, stored_bytes_max: 10, session_waits_max: 1, ..Limits::default() };
    let mut scene = Scene::new(limits);
    let refused = |scene: &mut Scene, run: Request<'_>, code: Code| {
        assert_eq!(scene.world.refused(scene.owner, run).0, code);
        scene.assert_absent_for(scene.owner);
    };
    let run = scene.run(&[b"a".as_slice(); 3]);
    refused(&mut scene, run, Code::LimitReached);
    let run = scene.run(&[&[0; 11]]);
    refused(&mut scene, run, Code::LimitReached);
    let mut run = scene.run(&[b"a"]);
    let Request::BatchRun { function, .. } = &mut run else { unreachable!("it is one") };
    *function = "";
    refused(&mut scene, run, Code::BadName);

    let never = scene.world.event(scene.owner, "never");
    let blocked = scene.world.block(scene.owner, wait_for(event(never)));
    let run = scene.run(&[b"a"]);
    refused(&mut scene, run, Code::LimitReached);
    scene.world.done(scene.owner, Request::Cancel { request: blocked });

    // One-way, so nobody would get the results.
    let run = scene.run(&[b"a"]);
    scene.world.send_as(scene.owner, RequestId::ONE_WAY, run);
    scene.assert_absent_for(scene.owner);

    scene.world.done(scene.owner, Request::PoolClose { id: scene.pool });
    let run = scene.run(&[b"a"]);
    refused(&mut scene, run, Code::Closed);
}

#[test]
fn a_run_with_ids_that_do_not_fit_has_made_nothing() {
    let mut scene = Scene::new(Limits { objects_max: 3, ..Limits::default() });
    let taken = scene.world.event(scene.owner, "taken");
    let (batch, stop, missing) = (scene.batch, scene.options.stop, scene.world.fresh_id());
    let pool = scene.pool;
    for (batch, stop, parent, pool, code) in [
        (batch, batch, None, pool, Code::BadArgument),
        (batch, stop, Some(missing), pool, Code::NoSuchObject),
        (batch, stop, Some(pool), pool, Code::WrongKind),
        (batch, stop, None, missing, Code::NoSuchObject),
        (batch, stop, None, taken, Code::WrongKind),
        // There is room for one more object, and not for two.
        (batch, stop, None, pool, Code::LimitReached),
    ] {
        (scene.batch, scene.options, scene.pool) =
            (batch, BatchOptions { stop, parent, ..scene.options }, pool);
        let run = scene.run(&[b"a"]);
        assert_eq!(scene.world.refused(scene.owner, run).0, code);
        scene.assert_absent_for(scene.owner);
    }

    let mut scene = Scene::new(Limits::default());
    let taken = scene.world.open(scene.owner, None, Spec::Event { auto_reset: false });
    let (batch, stop) = (scene.batch, scene.options.stop);
    for (batch, stop, fresh) in [(taken, stop, stop), (batch, taken, batch)] {
        (scene.batch, scene.options.stop) = (batch, stop);
        let run = scene.run(&[b"a"]);
        assert_eq!(scene.world.refused(scene.owner, run).0, Code::AlreadyExists);
        assert_eq!(scene.world.refused(scene.owner, Request::Detach { id: fresh }).0, Code::NoSuchObject);
    }
    scene.world.done(scene.owner, Request::Detach { id: taken });
    scene.assert_absent_for(scene.owner);

    // A refused run can be tried again, but not under the id of a blocked request.
    (scene.batch, scene.options.stop) = (batch, stop);
    let never = scene.world.event(scene.owner, "never");
    let blocked = scene.world.block(scene.owner, wait_for(event(never)));
    let run = scene.run(&[b"a"]);
    scene.world.send_as(scene.owner, blocked, run);
    assert!(matches!(scene.world.answer(scene.owner, blocked), Some(Reply::Refused(_))));
    scene.assert_absent_for(scene.owner);
    let run = scene.run(&[b"a"]);
    scene.world.block(scene.owner, run);
}

#[test]
fn a_run_under_a_parent_that_is_set_starts_nothing() {
    let mut scene = Scene::new(Limits::default());
    let parent = scene.world.event(scene.worker, "parent");
    scene.world.set(scene.worker, parent);
    scene.options.parent = Some(parent);
    let waiting = scene.world.block(scene.worker, wait_for(Target::Tasks { pool: scene.pool, most: 1 }));
    let run = scene.run(&[b"a"]);
    let run = scene.world.send(scene.owner, run);
    let results = scene.results(run);
    assert!(results.complete && matches!(results.results[0].outcome, Outcome::Failed(_)), "{results:?}");
    assert_eq!(scene.world.answer(scene.worker, waiting), None);
}

#[test]
fn a_run_that_is_cancelled_goes_on() {
    let mut scene = Scene::new(Limits::default());
    let run = scene.world.block(scene.owner, scene.run(&[b"a"]));
    scene.world.done(scene.owner, Request::Cancel { request: run });
    assert!(matches!(scene.world.answer(scene.owner, run), Some(Reply::Refused(_))));
    scene.assert_goes_on();
}

#[test]
fn a_run_whose_time_is_over_goes_on() {
    let mut scene = Scene::new(Limits::default());
    let mut run = scene.run(&[b"a"]);
    let Request::BatchRun { timeout_ns, .. } = &mut run else { unreachable!("it is one") };
    *timeout_ns = Some(1000);
    let run = scene.world.block(scene.owner, run);
    scene.world.pass(Duration::from_nanos(1000));
    assert!(matches!(scene.world.answer(scene.owner, run), Some(Reply::TimedOut { .. })));
    scene.assert_goes_on();
}

#[test]
fn a_run_is_stopped_by_its_event_and_by_the_death_of_its_owner() {
    let mut scene = Scene::new(Limits::default());
    let run = scene.world.block(scene.owner, scene.run(&[b"a"]));
    scene.world.set(scene.worker, scene.options.stop);
    let results = scene.results(run);
    assert!(results.complete && matches!(results.results[0].outcome, Outcome::Failed(_)), "{results:?}");

    let mut scene = Scene::new(Limits::default());
    scene.world.attach(scene.worker, scene.pool, protocol::Kind::Pool);
    scene.world.block(scene.owner, scene.run(&[b"a"]));
    let (batch, task, _) = scene.world.take_call(scene.worker, scene.pool);
    scene.world.kill(scene.owner);
    assert!(scene.world.is_set(scene.worker, scene.options.stop), "the worker sees it");
    assert_eq!(scene.world.end_call(scene.worker, batch, task, b"A"), Reply::Done);
    scene.assert_absent_for(scene.worker);
}

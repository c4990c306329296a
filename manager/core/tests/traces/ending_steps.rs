//! How much one input does at the limits when much ends at once: sessions, pools, batches, and what they keep.

use manager_core::{DeathCause, Input, SessionEnd};
use protocol::limits::{CARRIES_MAX, CARRIES_PER_REQUEST_MAX, CONDITIONS_PER_LOCK_MAX};
use protocol::{
    BatchOptions, CallCounts, CallsOutcome, Chunk, Code, Grant, Kind, ObjectId, OpenMode, Outcome, Reply,
    Request, RequestId, SessionId, Spec, Target,
};

use crate::call_messages::input;
use crate::requests;
use crate::requests::{event, lock, on_thread, wait_for};
use crate::steps::STEPS_MAX;
use crate::world::World;

#[test]
fn the_death_of_a_session_with_many_objects_goes_on_in_slices() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let shared = world.event(b, "shared");
    let held = world.open(b, None, Spec::Lock);
    world.acquire(a, lock(held));
    let behind = world.block(b, wait_for(lock(held)));
    let objects: Vec<_> = (0..50_000).map(|_| world.open(a, None, Spec::Latch { count: 1 })).collect();
    world.kill(a);
    world.locked(b, behind);
    assert!(!world.is_set(b, shared), "another may ask in between");
    assert!(world.work() > 1);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    for id in [objects[0], objects[25_000], objects[49_999]] {
        assert_eq!(world.refused(b, Request::LatchCount { id }).0, Code::NoSuchObject);
    }
}

/// One worker has many calls of a pool, which is terminated.
#[test]
fn the_termination_of_a_pool_with_many_calls_that_run() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let pool = world.open(a, Some("pool"), Spec::Pool);
    world.attach(b, pool, Kind::Pool);
    let batches = [world.batch(a, pool), world.batch(a, pool)];
    for batch in batches {
        let chunks = vec![input(&[0; 20_000], 20_000)];
        world.done(a, Request::BatchAdd { id: batch, chunks, last: false });
    }
    for _ in 0..30_000 {
        world.send(b, wait_for(Target::Calls { pool, most: 1 }));
    }
    let stops = batches.map(|batch| world.stop_of(batch));
    world.forget_steps();
    let terminate = world.send(a, Request::PoolTerminate { id: pool, reason: "enough" });
    assert_eq!(world.answer(a, terminate), None, "it goes on");
    assert!(world.holds_back(a, &Request::BatchProgress { id: batches[0] }));
    // Nothing begins meanwhile, nor comes.
    let wanting = world.block(c, wait_for(Target::Calls { pool, most: 1 }));
    let batch = world.fresh_id();
    let options = world.batch_options();
    let open = Request::BatchOpen { id: batch, pool, function: "f", options };
    assert_eq!(world.refused(c, open).0, Code::Closed);
    let slices = world.work();
    assert!(slices > 10, "{slices} slices");
    assert_eq!(world.answer(a, terminate), Some(Reply::Done));
    assert_eq!(world.refusal(c, wanting).0, Code::Closed);
    for (batch, stop) in batches.into_iter().zip(stops) {
        assert!(world.is_set(a, stop));
        let counts = CallCounts { failed: 20_000, ..CallCounts::default() };
        assert_eq!(world.ask(a, Request::BatchProgress { id: batch }), Reply::Progress(counts));
    }
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// More calls are added and cancelled while the first still end. What is asked of them looks at none.
#[test]
fn many_cancellations_of_one_batch() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let pool = world.open(a, Some("pool"), Spec::Pool);
    let batch = world.batch(a, pool);
    let add =
        |calls: usize| Request::BatchAdd { id: batch, chunks: vec![input(&[0], 1); calls], last: false };
    let cancel = |world: &mut World| {
        world.send_as(b, RequestId::ONE_WAY, Request::BatchCancel { id: batch });
    };
    (0..5).for_each(|_| world.done(a, add(2_000)));
    cancel(&mut world);
    for _ in 0..1_000 {
        world.done(a, add(1));
        cancel(&mut world);
    }
    let count = |world: &mut World| match world.ask(b, Request::BatchProgress { id: batch }) {
        Reply::Progress(CallCounts { waiting, failed, .. }) => (waiting, failed),
        other => panic!("not a progress: {other:?}"),
    };
    let (waiting, failed) = count(&mut world);
    assert_eq!(waiting + failed, 11_000);
    assert!(waiting > 1_000, "{waiting} have not ended");
    world.work();
    assert_eq!(count(&mut world), (0, 11_000));
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// They carry many proxies, and there are many of them.
#[test]
fn the_cancellation_of_many_calls_that_carry_objects() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let pool = world.open(a, Some("pool"), Spec::Pool);
    let batch = world.batch(a, pool);
    let carried: Vec<_> = (0..CARRIES_MAX).map(|_| world.open(b, None, Spec::Lock)).collect();
    for _ in 0..500 {
        let chunk = Chunk { arguments: &[0], carries: carried.clone(), calls: 1 };
        let chunks = vec![chunk; CARRIES_PER_REQUEST_MAX / CARRIES_MAX];
        world.done(a, Request::BatchAdd { id: batch, chunks, last: false });
    }
    world.leave(b);
    world.work();
    world.forget_steps();
    let cancel = world.send(a, Request::BatchCancel { id: batch });
    assert_eq!(world.answer(a, cancel), None);
    let witness = world.session("witness");
    let mut slices = 0;
    let answer = loop {
        world.slice();
        slices += 1;
        let Reply::Progress(counts) = world.ask(witness, Request::BatchProgress { id: batch }) else {
            panic!("it has a progress");
        };
        assert_eq!(counts.waiting + counts.failed, 1000, "each waits until it has ended");
        if let Some(answer) = world.answer(a, cancel) {
            break answer;
        }
    };
    assert_eq!(answer, Reply::Count(1000));
    slices += world.work();
    assert!(slices > 50, "{slices} slices");
    let (code, _) = world.refused(a, wait_for(lock(carried[0])));
    assert_eq!(code, Code::NoSuchObject, "nothing carries them any more");
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// Opens a batch whose stop event is set when this one is, and returns the stop event.
fn stop_below(world: &mut World, owner: SessionId, pool: ObjectId, parent: Option<ObjectId>) -> ObjectId {
    let id = world.fresh_id();
    let options = BatchOptions { parent, ..world.batch_options() };
    world.done(owner, Request::BatchOpen { id, pool, function: "f", options });
    options.stop
}

/// An event has many children: the stop events of batches that calls have opened.
#[test]
fn an_event_with_many_children() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let pool = world.open(a, Some("pool"), Spec::Pool);
    let parent = world.event(a, "parent");
    let batches: Vec<_> = (0..10_000).map(|_| stop_below(&mut world, a, pool, Some(parent))).collect();
    world.forget_steps();
    let set = world.send(b, Request::EventSet { id: parent, reason: Some("enough") });
    assert!(world.is_set(a, parent), "for everyone at once");
    assert_eq!(world.answer(b, set), None);
    assert!(world.holds_back(a, &Request::Remove { id: parent }), "its children are still to be set");
    assert!(world.work() > 5);
    assert_eq!(world.answer(b, set), Some(Reply::Done));
    assert!(batches.into_iter().all(|stop| world.is_set(a, stop)));
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// A queue has many items, and a batch many results.
#[test]
fn the_end_of_an_object_that_keeps_much() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let queue = world.open(a, Some("queue"), requests::queue(None));
    let carried = world.open(a, None, Spec::Lock);
    for _ in 0..40_000 {
        let put = Target::Put { queue, item: b"item", carries: vec![carried] };
        let request = world.send(a, wait_for(put));
        world.taken(a, request);
    }
    world.leave(a);
    world.work();
    world.forget_steps();
    let remove = world.send(b, Request::Remove { id: queue });
    assert_eq!(world.answer(b, remove), None);
    assert_eq!(world.refused(c, Request::QueueLength { id: queue }).0, Code::NoSuchObject);
    assert!(world.work() > 5);
    assert_eq!(world.answer(b, remove), Some(Reply::Done));
    assert_eq!(world.refused(b, wait_for(lock(carried))).0, Code::NoSuchObject);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// Two sessions have every other item of a joinable queue. So those of the second come back between those of the first.
#[test]
fn items_that_come_back_between_others() {
    const ITEMS: u64 = 12_000;
    let mut world = World::new();
    let (a, b, c, d) = (world.session("a"), world.session("b"), world.session("c"), world.session("d"));
    let queue = world.open(a, Some("queue"), Spec::Queue { capacity: None, is_joinable: true });
    for number in 0..ITEMS {
        let request = world.send(a, wait_for(requests::put(queue, &number.to_le_bytes())));
        world.taken(a, request);
        world.send(if number % 2 == 0 { b } else { c }, wait_for(requests::get(queue)));
        world.forget_answers();
    }
    world.forget_steps();
    world.kill(b);
    assert!(world.work() > 1);
    world.kill(c);
    assert!(world.work() > 1);
    assert_eq!(world.ask(a, Request::QueueLength { id: queue }), Reply::Count(ITEMS));
    for number in 0..ITEMS {
        let request = world.send(d, wait_for(requests::get(queue)));
        match world.taken(d, request).grants.remove(0) {
            Grant::Item(item) => assert_eq!(item.payload.as_bytes(), number.to_le_bytes()),
            other => panic!("{other:?}"),
        }
    }
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// They carry many proxies, and one request confirms them all.
#[test]
fn the_confirmation_of_many_items() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let queue = world.open(a, Some("queue"), requests::queue(None));
    let carried: Vec<_> = (0..100).map(|_| world.open(a, None, Spec::Lock)).collect();
    for _ in 0..1_000 {
        let put = Target::Put { queue, item: b"item", carries: carried.clone() };
        let request = world.send(a, wait_for(put));
        world.taken(a, request);
        world.send_unread(b, wait_for(requests::get(queue)));
    }
    world.forget_answers();
    world.leave(a);
    world.work();
    world.forget_steps();
    assert_eq!(world.ask(b, Request::QueueLength { id: queue }), Reply::Count(0));
    world.work();
    assert_eq!(world.refused(b, wait_for(lock(carried[0]))).0, Code::NoSuchObject);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// Calls that came in chunks that carry much end together.
#[test]
fn the_end_of_many_calls_that_carry_objects() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let pool = world.open(a, Some("pool"), Spec::Pool);
    let batch = world.batch(a, pool);
    let carried: Vec<_> = (0..CARRIES_MAX).map(|_| world.open(b, None, Spec::Lock)).collect();
    let chunk = Chunk { arguments: &[0], carries: carried.clone(), calls: 1 };
    for _ in 0..200 {
        let chunks = vec![chunk.clone(); CARRIES_PER_REQUEST_MAX / CARRIES_MAX];
        world.done(a, Request::BatchAdd { id: batch, chunks, last: false });
    }
    let take = |most| wait_for(Target::Calls { pool, most });
    let end = |first, calls: u32| {
        let outcome = Outcome::Returned(&[0; 400][..calls as usize]);
        let ends = vec![CallsOutcome { calls, outcome }].into();
        Request::CallsEnd { batch, first, ends, carries: Vec::new() }
    };
    let request = world.send(b, take(1));
    world.taken(b, request);
    world.done(b, end(0, 1));
    let request = world.send(b, take(99));
    world.taken(b, request);
    world.forget_steps();
    world.done(b, end(1, 99));
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn the_end_of_many_conditions_over_few_locks() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let mut conditions = Vec::new();
    for _ in 0..10 {
        let l = world.open(a, None, Spec::Lock);
        conditions.extend((0..1_000).map(|_| world.open(b, None, requests::over(l))));
    }
    world.forget_steps();
    world.leave(b);
    assert!(world.work() > 1);
    assert_eq!(world.refused(a, Request::ConditionLock { id: conditions[9_999] }).0, Code::NoSuchObject);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// They end in one step, so there is a limit to them.
#[test]
fn the_end_of_a_lock_with_as_many_conditions_as_it_may_have() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, Some("lock"), Spec::Lock);
    let conditions: Vec<_> =
        (0..CONDITIONS_PER_LOCK_MAX).map(|_| world.open(b, None, requests::over(l))).collect();
    let open = |id| Request::Open { id, name: None, spec: requests::over(l), mode: OpenMode::OpenOrCreate };
    let one_more = world.fresh_id();
    assert_eq!(world.refused(b, open(one_more)).0, Code::LimitReached);
    world.done(b, Request::Detach { id: conditions[7] });
    world.open(b, None, requests::over(l));
    world.forget_steps();
    world.done(a, Request::Remove { id: l });
    let steps = world.steps_most();
    assert!((8 * CONDITIONS_PER_LOCK_MAX as u64..=STEPS_MAX).contains(&steps), "{steps} steps");
    for id in [conditions[0], conditions[CONDITIONS_PER_LOCK_MAX - 1]] {
        assert_eq!(world.refused(b, Request::ConditionLock { id }).0, Code::NoSuchObject);
    }
}

/// Its children live on without it.
#[test]
fn the_removal_of_an_event_with_many_children() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let pool = world.open(a, Some("pool"), Spec::Pool);
    let parent = world.event(a, "parent");
    let stops: Vec<_> = (0..20_000).map(|_| stop_below(&mut world, a, pool, Some(parent))).collect();
    world.forget_steps();
    let removed = world.send(b, Request::Remove { id: parent });
    assert_eq!(world.answer(b, removed), None, "it lets go of them in slices");
    assert!(world.work() > 0);
    assert_eq!(world.answer(b, removed), Some(Reply::Done));
    // Something else may have its place by now.
    let other = world.event(b, "other");
    world.set(b, stops[7]);
    assert!(!world.is_set(b, other));
    world.set(b, other);
    assert!(!world.is_set(b, stops[8]));
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

#[test]
fn the_death_of_an_owner_of_many_batches_goes_on_in_slices() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let pool = world.open(b, Some("pool"), Spec::Pool);
    let batches: Vec<_> = (0..5000).map(|_| world.batch(a, pool)).collect();
    let stop = world.stop_of(batches[4999]);
    world.attach(b, stop, Kind::Event);
    let stopped = world.block(b, wait_for(event(stop)));
    world.kill(a);
    assert_eq!(world.answer(b, stopped), None);
    // A batch and its stop event are several pieces of memory, and to free them counts like that.
    let slices = world.work();
    assert!(slices > 5000 / 128, "{slices} slices");
    world.taken(b, stopped);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    assert_eq!(world.refused(b, Request::BatchProgress { id: batches[0] }).0, Code::NoSuchObject);
}

/// Each batch's stop event also sets the next one's, so each of them has all the later ones below it.
#[test]
fn a_chain_of_stop_events_takes_as_many_steps_as_it_has_events() {
    for ends_by_death in [true, false] {
        let mut world = World::new();
        let (a, b) = (world.session("a"), world.session("b"));
        let pool = world.open(b, Some("pool"), Spec::Pool);
        let mut parent = None;
        for _ in 0..5_000 {
            parent = Some(stop_below(&mut world, a, pool, parent));
        }
        let last = parent.expect("there are many");
        world.attach(b, last, Kind::Event);
        match ends_by_death {
            true => world.kill(a),
            false => drop(world.send(b, Request::PoolTerminate { id: pool, reason: "enough" })),
        }
        let slices = world.work();
        assert!(slices <= 100, "{slices} slices");
        assert!(world.is_set(b, last));
        assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
    }
}

/// A set event sets nothing below it again, so that nobody has a tree walked at will.
#[test]
fn setting_a_set_event_changes_nothing_below_it() {
    let mut world = World::new();
    let a = world.session("a");
    let pool = world.open(a, None, Spec::Pool);
    let parent = world.event(a, "parent");
    let stop = stop_below(&mut world, a, pool, Some(parent));
    world.set(a, parent);
    assert!(world.is_set(a, stop));
    world.clear(a, stop);
    world.set(a, parent);
    assert!(!world.is_set(a, stop));
    world.clear(a, parent);
    world.set(a, parent);
    assert!(world.is_set(a, stop));
}

/// A session that will leave many waits behind, and is first in the wait queue of a lock.
struct Crowded {
    world: World,
    /// The session, and its wait for the lock.
    crowded: (SessionId, RequestId),
    /// The session that holds the lock, and its wait for it, which is behind.
    other: (SessionId, RequestId),
    held: ObjectId,
}

impl Crowded {
    fn new() -> Crowded {
        let mut world = World::new();
        let (a, b) = (world.session("a"), world.session("b"));
        let held = world.open(b, None, Spec::Lock);
        world.acquire(b, lock(held));
        let stop = world.event(a, "stop");
        for _ in 0..20_000 {
            world.send(a, wait_for(event(stop)));
        }
        let waiting = world.send(a, on_thread(2, wait_for(lock(held))));
        let behind = world.block(b, on_thread(2, wait_for(lock(held))));
        Crowded { world, crowded: (a, waiting), other: (b, behind), held }
    }

    /// Asserts that the lock went past the crowded session.
    fn has_passed_by(mut self) {
        let ((a, waiting), (b, behind)) = (self.crowded, self.other);
        assert_eq!(self.world.answer(a, waiting), None, "nobody reads it");
        assert!(self.world.locked(b, behind).abandoned.is_none());
        self.world.silent();
        let steps = self.world.steps_most();
        assert!(steps <= STEPS_MAX, "{steps} steps");
    }
}

#[test]
fn nothing_goes_to_the_dead() {
    let mut crowd = Crowded::new();
    crowd.world.kill(crowd.crowded.0);
    // The teardown has not come to the wait of the dead, which is first in the wait queue.
    crowd.world.release(crowd.other.0, crowd.held);
    assert!(crowd.world.work() > 1);
    crowd.has_passed_by();
}

/// A session is about to end when the processes that are bound to it are gone.
#[test]
fn nothing_goes_to_a_session_with_many_waits_that_is_about_to_end() {
    let mut crowd = Crowded::new();
    let session = crowd.crowded.0;
    let ending = SessionEnd::Died(DeathCause::Signal(9));
    crowd.world.apply(Input::SessionEnding { session, ending: ending.clone(), bound: vec![4711] });
    crowd.world.release(crowd.other.0, crowd.held);
    // It ends in the middle of this.
    crowd.world.slice();
    crowd.world.end(session, ending);
    assert!(crowd.world.work() > 0);
    crowd.has_passed_by();
}

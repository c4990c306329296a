//! How much one input does at the limits with what is kept: items, permits of the dead, locks that are held.

use manager_core::Input;
use protocol::{BatchOptions, Code, Grant, Kind, Reply, Request, Selector, Spec, Target, ThreadId};

use crate::call_messages::input;
use crate::requests::{SECOND, all, any, event, get, lock, permits, put, semaphore, wait_for};
use crate::steps::STEPS_MAX;
use crate::world::World;

/// Each of very many dead has left one permit behind. They are taken with one look.
#[test]
fn permits_of_many_dead_are_taken_at_once() {
    const DEAD: u64 = 20_000;
    let mut world = World::new();
    let a = world.session("a");
    let id = world.open(a, None, semaphore(DEAD + 5));
    let mut holders = Vec::new();
    for number in 0..DEAD {
        let holder = world.session("holder");
        let request = world.send(holder, wait_for(permits(id, 1 + u64::from(number == 0))));
        world.taken(holder, request);
        holders.push(holder);
    }
    holders.into_iter().for_each(|holder| world.kill(holder));
    world.forget_steps();
    let before = world.charged_bytes();
    let taken_from = |world: &mut World, count| {
        let request = world.send(a, wait_for(permits(id, count)));
        match world.taken(a, request).grants.remove(0) {
            Grant::Permits { abandoned } => abandoned.map(|abandoned| abandoned.process),
            other => panic!("{other:?}"),
        }
    };
    // The first had two.
    assert_eq!(taken_from(&mut world, 1), Some(200));
    assert_eq!(taken_from(&mut world, DEAD - 2), Some(200));
    assert!(world.work() > 0, "the others are forgotten in slices");
    assert!(before - world.charged_bytes() > 500 * (DEAD as usize - 5));
    assert_eq!(taken_from(&mut world, 1), Some(100 * DEAD as u32));
    assert_eq!(taken_from(&mut world, 1), Some(100 * (DEAD as u32 + 1)));
    assert_eq!(taken_from(&mut world, 1), None);
    assert!(world.steps_most() <= STEPS_MAX, "{} steps", world.steps_most());
}

/// A thread finds its oldest item without a look at those of others, which are very many.
#[test]
fn unfinished_items_of_many_threads() {
    const ITEMS: u64 = 2_000;
    let mut world = World::new();
    let a = world.session("a");
    let queue = world.open(a, None, Spec::Queue { capacity: None, is_joinable: true });
    for number in 0..ITEMS {
        let request = world.send(a, wait_for(put(queue, &number.to_le_bytes())));
        world.taken(a, request);
        world.send(a, crate::requests::on_thread(number % 7, wait_for(get(queue))));
    }
    world.forget_answers();
    let done = |item, thread| Request::QueueItemDone { id: queue, item, thread: ThreadId(thread) };
    // Items are numbered from one. A thread has every seventh; one that has none takes the oldest of all.
    for (item, thread) in [(None, 3), (Some(11), 0), (None, 3), (None, 99), (None, 0)] {
        world.done(a, done(item, thread));
    }
    for gone in [4, 11, 18, 1, 8] {
        assert_eq!(world.refused(a, done(Some(gone), 1)).0, Code::NotOwner, "{gone}");
    }
    (0..ITEMS - 5).for_each(|number| world.done(a, done(None, number % 7)));
    assert_eq!(world.refused(a, done(None, 3)).0, Code::NotOwner);
    let joined = world.send(a, wait_for(Target::Join { queue }));
    world.taken(a, joined);
}

/// Nobody asks for them, and they come one after the other: they share the steps of one input.
#[test]
fn releases_without_requests_of_locks_with_long_queues() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let never = world.event(b, "never");
    let mut holdings = Vec::new();
    for _ in 0..200 {
        let id = world.open(a, None, Spec::Lock);
        let number = world.acquire(a, lock(id)).holding;
        holdings.push(world.holding(a, number).expect("it holds the lock"));
        for _ in 0..200 {
            world.block(b, all(&[lock(id), event(never)]));
        }
    }
    let last = world.block(b, wait_for(lock(holdings[199].lock)));
    world.is_set(b, never);
    world.forget_steps();
    for &holding in &holdings {
        world.apply(Input::DeferredRelease(holding));
    }
    assert!(world.steps_most() <= STEPS_MAX, "{} steps of all together", world.steps_most());
    assert_eq!(world.answer(b, last), None);
    assert!(world.work() > 1);
    world.taken(b, last);
}

/// The workers of calls whose time is over get signals, and few in one input.
#[test]
fn the_time_of_many_calls_is_over() {
    let mut world = World::new();
    let a = world.session("a");
    let pool = world.open(a, None, Spec::Pool);
    let batch = world.fresh_id();
    let options = BatchOptions { time_limit_ns: Some(1_000_000_000), ..world.batch_options() };
    world.done(a, Request::BatchOpen { id: batch, pool, function: "f", options });
    world.done(a, Request::BatchAdd { id: batch, chunks: vec![input(&[0; 2_000], 2_000)], last: true });
    for _ in 0..2_000 {
        let worker = world.session("worker");
        world.attach(worker, pool, Kind::Pool);
        let request = world.send(worker, wait_for(Target::Calls { pool, most: 1 }));
        world.taken(worker, request);
    }
    world.jump(SECOND);
    world.slice();
    assert!((100..1_000).contains(&world.signals.len()), "{} signals", world.signals.len());
    world.work();
    assert_eq!(world.signals.len(), 2_000);
}

/// An inspection passes by all entries of a wait that names the object again and again.
#[test]
fn an_inspection_of_waits_that_name_an_object_often() {
    let mut world = World::new();
    let a = world.session("a");
    let id = world.event(a, "event");
    for _ in 0..100 {
        world.block(a, any(&vec![event(id); 1_000]));
    }
    match world.ask(a, Request::Inspect { object: Selector::Id(id) }) {
        Reply::Object(info) => assert_eq!((info.waiting, info.waiters.len()), (100, 65)),
        other => panic!("{other:?}"),
    }
}

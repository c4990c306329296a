//! Inspection: sessions, objects, holders, waiters.

use std::time::Duration;

use protocol::{
    Abandonment, BarrierStatus, CallCounts, Code, HolderInfo, ObjectId, ObjectState, ObjectSummary, Reply,
    Request, Selector, SessionId, SessionInfo, Spec, Target, ThreadId, WaiterInfo, Wanted,
};
use uuid::Uuid;

use crate::call_messages::input;
use crate::requests::{
    JOINABLE, SECOND, barrier, bounded, condition, event, get, join, lock, on_thread, over, permits, put,
    rlock, wait_at_most, wait_for,
};
use crate::world::World;

#[test]
fn sessions_are_listed_with_what_they_do() {
    let mut world = World::new();
    let a = world.session("owner");
    world.pass(SECOND);
    let b = world.session("worker");
    let pool = world.open(a, Some("pool"), Spec::Pool);
    let batch = world.batch(a, pool);
    world.fill(a, batch, &[b"task"]);
    world.take_call(b, pool);
    let e = world.event(b, "e");
    world.event(b, "e");
    world.block(b, wait_for(event(e)));
    let info = |session: SessionId, program: &str, age_ns, objects, waits, calls| SessionInfo {
        session,
        process: session.0 as u32 * 100,
        program: program.into(),
        age_ns,
        objects,
        waits,
        calls,
        ending: None,
    };
    let sessions = vec![info(a, "owner", 1_000_000_000, 3, 0, 0), info(b, "worker", 0, 1, 1, 1)];
    let all = world.ask(a, Request::ListSessions { after: None });
    assert_eq!(all, Reply::Sessions { sessions: sessions.clone(), more: false });
    let rest = world.ask(a, Request::ListSessions { after: Some(a) });
    assert_eq!(rest, Reply::Sessions { sessions: sessions[1..].to_vec(), more: false });
    let none = world.ask(a, Request::ListSessions { after: Some(SessionId(u64::MAX)) });
    assert_eq!(none, Reply::Sessions { sessions: vec![], more: false });
    world.kill(b);
    let Reply::Sessions { sessions, .. } = world.ask(a, Request::ListSessions { after: None }) else {
        panic!("sessions");
    };
    assert_eq!(sessions.len(), 1);
}

#[test]
fn objects_are_listed_page_by_page_in_the_order_of_their_ids() {
    let mut world = World::new();
    let a = world.session("a");
    let named = world.event(a, "e");
    world.block(a, wait_for(event(named)));
    for _ in 0..1500 {
        world.auto_event(a);
    }
    let mut list = |after| match world.ask(a, Request::ListObjects { after }) {
        Reply::Objects { objects, more } => (objects, more),
        other => panic!("not objects: {other:?}"),
    };
    let (first, more) = list(None);
    assert_eq!((first.len(), more), (1000, true));
    let expected =
        ObjectSummary { id: named, name: Some("e".into()), kind: protocol::Kind::Event, is_awaited: true };
    assert_eq!(first[0], expected);
    assert_eq!((first[1].name.clone(), first[1].is_awaited), (None, false));
    let (second, more) = list(Some(first[999].id));
    assert_eq!((second.len(), more), (501, false));
    assert!(first.iter().chain(&second).is_sorted_by_key(|object| object.id));
}

#[test]
fn an_object_is_found_by_id_or_name() {
    let mut world = World::new();
    let a = world.session("a");
    let e = world.event(a, "e");
    let mut ask = |object| world.ask(a, Request::Inspect { object });
    assert_eq!(ask(Selector::Id(e)), ask(Selector::Name("e")));
    let unknown = ObjectId(Uuid::from_u128(0xdead));
    assert_eq!(world.refused(a, Request::Inspect { object: Selector::Id(unknown) }).0, Code::NoSuchObject);
    let (code, text) = world.refused(a, Request::Inspect { object: Selector::Name("f") });
    assert_eq!((code, &*text), (Code::NoSuchObject, r#"there is no object named "f""#));
    let long = "x".repeat(1 << 20);
    let (code, text) = world.refused(a, Request::Inspect { object: Selector::Name(&long) });
    assert_eq!(code, Code::BadName);
    assert!(text.len() < 1000, "a long name does not come back");
}

#[test]
fn a_lock_tells_its_holder_and_its_waiters_in_order() {
    let mut world = World::new();
    let (a, b, c) = (world.session("holder"), world.session("b"), world.session("c"));
    let r = world.open(a, Some("r"), Spec::RLock);
    let token = world.acquire(a, rlock(r)).token;
    world.acquire(a, rlock(r));
    world.pass(SECOND);
    world.block(c, on_thread(7, wait_at_most(5 * SECOND, rlock(r))));
    world.pass(SECOND);
    world.block(b, wait_for(rlock(r)));
    world.pass(SECOND);
    let info = world.inspect(b, r);
    assert_eq!((info.id, info.name.as_deref(), info.references, info.waiting), (r, Some("r"), 1, 2));
    let holder = HolderInfo {
        process: 100,
        program: "holder".into(),
        thread: ThreadId(1),
        held_ns: 3_000_000_000,
        depth: 2,
        token,
        ending: None,
    };
    assert_eq!(info.state, ObjectState::Lock { is_reentrant: true, holder: Some(holder), abandoned: None });
    let waiter = |process, program: &str, thread, waited_ns, remaining_ns| WaiterInfo {
        process,
        program: program.into(),
        thread: ThreadId(thread),
        wants: Wanted::Lock,
        waited_ns,
        remaining_ns,
    };
    assert_eq!(
        info.waiters,
        [waiter(300, "c", 7, 2_000_000_000, Some(3_000_000_000)), waiter(200, "b", 1, 1_000_000_000, None)]
    );
}

#[test]
fn an_abandoned_lock_tells_who_left_it_behind() {
    let mut world = World::new();
    let (a, b) = (world.session("crash"), world.session("b"));
    let l = world.open(b, None, Spec::Lock);
    world.acquire(a, lock(l));
    world.pass(SECOND);
    world.kill(a);
    world.pass(SECOND);
    let ObjectState::Lock { holder: None, abandoned: Some(abandoned), .. } = world.inspect(b, l).state else {
        panic!("it was left behind");
    };
    let Abandonment { process, program, how, held_ns } = abandoned;
    assert_eq!((process, &*program, held_ns), (100, "crash", 1_000_000_000));
    assert_eq!(&*how, "was ended by signal 9 (SIGKILL)");
}

#[test]
fn a_notified_waiter_is_seen_where_it_waits() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, None, Spec::Lock);
    let c = world.open(a, None, over(l));
    assert_eq!(world.inspect(a, c).state, ObjectState::Condition { lock: l });
    world.acquire(a, lock(l));
    world.block(a, wait_for(condition(c)));
    world.acquire(b, lock(l));
    assert_eq!((world.inspect(b, c).waiting, world.inspect(b, l).waiting), (1, 0));
    assert_eq!(world.inspect(b, c).waiters[0].wants, Wanted::Notification);
    world.count(b, crate::requests::notify(c, 1));
    assert_eq!((world.inspect(b, c).waiting, world.inspect(b, l).waiting), (0, 1));
    assert_eq!(world.inspect(b, l).waiters[0].wants, Wanted::Relock);
}

#[test]
fn an_event_tells_who_set_it_and_why() {
    let mut world = World::new();
    let (a, b) = (world.session("disk"), world.session("b"));
    let e = world.event(a, "e");
    assert_eq!(world.inspect(b, e).state, ObjectState::Event { auto_reset: false, set_by: None });
    world.done(a, Request::EventSet { id: e, reason: Some("full") });
    world.kill(a);
    world.pass(SECOND);
    let ObjectState::Event { set_by: Some(cause), .. } = world.inspect(b, e).state else {
        panic!("it is set")
    };
    assert_eq!((cause.process, &*cause.program, cause.age_ns), (100, "disk", 1_000_000_000));
    assert_eq!(cause.reason.as_deref(), Some("full"));
}

#[test]
fn a_semaphore_tells_who_holds_how_many_permits() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(a, None, bounded(5));
    world.take(b, permits(s, 2));
    world.pass(SECOND);
    world.take(a, permits(s, 1));
    let ObjectState::Semaphore { available: 2, permits_max: Some(5), holders } = world.inspect(a, s).state
    else {
        panic!("a semaphore with two permits left");
    };
    let holders: Vec<_> =
        (holders.iter()).map(|holder| (holder.session.session, holder.permits, holder.held_ns)).collect();
    assert_eq!(holders, [(a, 1, 0), (b, 2, 1_000_000_000)]);
    world.kill(b);
    let ObjectState::Semaphore { available: 4, holders, .. } = world.inspect(a, s).state else {
        panic!("those of the dead are available");
    };
    assert_eq!(holders.len(), 1);
}

#[test]
fn a_barrier_tells_who_has_come() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let gate = world.open(a, None, Spec::Barrier { parties: 2 });
    world.block(b, crate::requests::any(&[barrier(gate), barrier(gate)]));
    let info = world.inspect(a, gate);
    let status = BarrierStatus { parties: 2, waiting: 1, broken: None };
    assert_eq!(info.state, ObjectState::Barrier { status, acting: None });
    assert_eq!((info.waiting, info.waiters.len(), info.waiters[0].process), (1, 1, 200));
    world.kill(b);
    let ObjectState::Barrier { status, .. } = world.inspect(a, gate).state else { panic!("a barrier") };
    assert_eq!(status.broken.as_deref(), Some("process 200 (b) was ended by signal 9 (SIGKILL)"));
}

#[test]
fn a_latch_tells_its_count_and_a_queue_its_lengths_and_all_waiters() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let down = world.open(a, None, Spec::Latch { count: 3 });
    world.count(a, Request::LatchCountDown { id: down, count: 1 });
    assert_eq!(world.inspect(a, down).state, ObjectState::Latch { count: 2 });
    let spec = Spec::Queue { capacity: Some(2), is_joinable: true };
    let q = world.open(a, None, spec);
    world.put(a, q, b"1");
    world.put(a, q, b"2");
    world.enqueue(b, q);
    world.block(c, wait_for(join(q)));
    world.get(a, q);
    let info = world.inspect(a, q);
    let ObjectState::Queue { length: 2, capacity: Some(2), unfinished: Some(3), is_closed: false, holders } =
        info.state
    else {
        panic!("two of three unfinished items are in the queue");
    };
    assert_eq!((holders.len(), holders[0].0.session, holders[0].1), (1, a, 1));
    assert_eq!((info.waiting, info.waiters[0].process), (1, 300));
    world.done(a, Request::QueueClose { id: q });
    assert!(matches!(world.inspect(a, q).state, ObjectState::Queue { is_closed: true, .. }));
    let empty = world.open(a, None, JOINABLE);
    world.block(b, wait_for(get(empty)));
    assert_eq!(world.inspect(a, empty).waiters[0].process, 200);
}

impl World {
    /// Begins a put for which there is no room yet.
    fn enqueue(&mut self, session: SessionId, queue: ObjectId) {
        self.block(session, wait_for(put(queue, b"3")));
    }
}

#[test]
fn a_pool_and_a_batch_tell_how_far_they_are() {
    let mut world = World::new();
    let a = world.session("a");
    let pool = world.open(a, None, Spec::Pool);
    let batch = world.batch(a, pool);
    world.fill(a, batch, &[b"a", b"b"]);
    world.take_call(a, pool);
    world.pass(Duration::from_secs(1));
    let ObjectState::Pool { batches: 1, is_closed: false, running } = world.inspect(a, pool).state else {
        panic!("it is open and has a batch")
    };
    // The other call waits.
    let [call] = &running[..] else { panic!("{running:?}") };
    assert_eq!((call.session.process, call.session.calls, &*call.function), (100, 1, "f"));
    assert_eq!((call.batch, call.number, call.retry, call.running_ns), (batch, 0, 0, 1_000_000_000));
    let progress = CallCounts { waiting: 1, running: 1, ..CallCounts::default() };
    assert_eq!(world.inspect(a, batch).state, ObjectState::Batch { function: "f".into(), progress });
    world.block(a, wait_for(Target::Results { batch }));
    assert_eq!(world.inspect(a, batch).waiting, 1);
}

#[test]
fn of_many_waiters_the_first_thousand_are_told_and_all_are_counted() {
    let mut world = World::new();
    let a = world.session("a");
    let e = world.event(a, "e");
    for thread in 0..1200 {
        world.block(a, on_thread(thread, wait_for(event(e))));
    }
    let info = world.inspect(a, e);
    assert_eq!((info.waiting, info.waiters.len()), (1200, 1000));
    assert!(info.waiters.iter().map(|waiter| waiter.thread.0).eq(0..1000));
}

#[test]
fn a_barrier_tells_who_runs_its_action() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let gate = world.open(a, None, Spec::Barrier { parties: 2 });
    world.block(a, wait_for(barrier(gate)));
    world.take(b, crate::requests::barrier_with_action(gate));
    let ObjectState::Barrier { status, acting } = world.inspect(a, gate).state else { panic!("a barrier") };
    assert_eq!((status.waiting, acting.map(|session| session.session)), (1, Some(b)));
}

#[test]
fn each_waiter_shows_what_it_wants_of_the_object() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let spec = Spec::Queue { capacity: Some(1), is_joinable: true };
    let (s, q, e) = (world.open(a, None, bounded(3)), world.open(a, None, spec), world.auto_event(a));
    world.take(a, permits(s, 2));
    world.put(a, q, b"1");
    world.block(b, crate::requests::any(&[event(e), permits(s, 2)]));
    world.enqueue(b, q);
    world.block(b, wait_for(join(q)));
    let mut wants =
        |id| -> Vec<_> { world.inspect(a, id).waiters.iter().map(|waiter| waiter.wants).collect() };
    assert_eq!(wants(s), [Wanted::Permits { permits: 2 }]);
    assert_eq!(wants(e), [Wanted::Event]);
    assert_eq!(wants(q), [Wanted::Room, Wanted::Joined]);
}

/// Only those of which calls run are looked at.
#[test]
fn a_pool_of_many_batches_takes_few_steps_to_inspect() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let pool = world.open(a, Some("pool"), Spec::Pool);
    let batches: Vec<_> = (0..5_000).map(|_| world.batch(a, pool)).collect();
    let running = batches[4_000];
    world.done(a, Request::BatchAdd { id: running, chunks: vec![input(&[0, 0], 2)], last: false });
    let request = world.send(b, wait_for(Target::Calls { pool, most: 1 }));
    world.taken(b, request);
    world.forget_steps();
    let state = |world: &mut World| match world.ask(a, Request::Inspect { object: Selector::Id(pool) }) {
        Reply::Object(info) => info.state,
        other => panic!("{other:?}"),
    };
    let ObjectState::Pool { batches: count, running: calls, .. } = state(&mut world) else {
        panic!("it is a pool")
    };
    assert_eq!((count, calls.len(), calls[0].batch), (5_000, 1, running));
    assert!(world.steps_most() <= 10, "{} steps", world.steps_most());
    world.kill(b);
    world.work();
    let ObjectState::Pool { running: calls, .. } = state(&mut world) else { panic!("it is a pool") };
    assert_eq!(calls, []);
}

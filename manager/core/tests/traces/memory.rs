//! The memory of all clients together: what is charged for each thing, given back, and refused at the edge.

use protocol::limits::REASON_BYTES_MAX;
use protocol::{
    BatchOptions, Code, Grant, Kind, LockChoice, ObjectId, OpenMode, Reply, Request, Selector, SessionId,
    SharedMemory, Spec, Target, ThreadId, WaitMode,
};

use crate::call_messages::input;
use crate::world::{EPOCH, World};
use protocol::Limits;

/// A manager that keeps this many bytes.
fn world_of(bytes: usize) -> World {
    World::with_limits(Limits { memory_bytes_max: bytes.div_ceil(3) * 4, ..Limits::default() })
}

fn wait(targets: impl IntoIterator<Item = Target<'static>>, timeout_ns: Option<u64>) -> Request<'static> {
    let targets = targets.into_iter().collect();
    Request::Wait { mode: WaitMode::Any, targets, timeout_ns, thread: ThreadId(1) }
}

fn open(id: ObjectId, spec: Spec) -> Request<'static> {
    Request::Open { id, name: None, spec, mode: OpenMode::CreateNew }
}

/// What a request costs while what it brings is there: asked of a manager that has room for anything.
fn cost(prepare: impl Fn(&mut World, SessionId), request: impl Fn(&mut World) -> Request<'static>) -> usize {
    let mut world = World::new();
    let session = world.session("program");
    prepare(&mut world, session);
    let before = world.charged_bytes();
    let request = request(&mut world);
    world.send(session, request);
    world.charged_bytes() - before
}

/// Asserts that a request is carried out with exactly the room that it needs, and otherwise refused and without effect.
/// It may ask for more room than it then takes.
fn assert_edge(
    prepare: impl Fn(&mut World, SessionId),
    request: impl Fn(&mut World) -> Request<'static>,
    more: usize,
) {
    let mut world = World::new();
    let session = world.session("program");
    prepare(&mut world, session);
    let before = world.charged_bytes();
    let cost = cost(&prepare, &request);
    for missing in [0, 1] {
        let mut world = world_of(before + cost + more);
        // The limit is a multiple of three.
        let surplus = (before + cost + more).div_ceil(3) * 3 - (before + cost + more);
        let session = world.session(&format!("program{}", "x".repeat(surplus + missing)));
        prepare(&mut world, session);
        let charged = world.charged_bytes();
        let request = request(&mut world);
        let id = world.send(session, request);
        let refused = match world.answer(session, id) {
            Some(Reply::Refused(refusal)) => {
                assert_eq!(refusal.code, Code::LimitReached, "{refusal}");
                assert!(refusal.text.contains("for all of its clients"), "{refusal}");
                assert_eq!(world.charged_bytes(), charged);
                true
            }
            _ => false,
        };
        assert_eq!(refused, missing == 1, "{missing} bytes were missing of {cost} and {more}");
    }
}

/// However much room there is, a batch that is refused does not exist.
#[test]
fn a_batch_that_is_refused_does_not_exist_even_if_its_stop_event_is_set_at_once() {
    let reason = "x".repeat(REASON_BYTES_MAX);
    let mut refused = Vec::new();
    for room in (0..4_000).step_by(40) {
        let mut world = world_of(4_500 + room);
        let session = world.session("program");
        let parent = world.event(session, "parent");
        let pool = world.open(session, Some("pool"), Spec::Pool);
        world.done(session, Request::EventSet { id: parent, reason: Some(&reason) });
        let id = world.fresh_id();
        let options = BatchOptions { parent: Some(parent), ..world.batch_options() };
        let chunks = vec![input(&[0], 1)];
        let (function, timeout_ns, thread) = ("f", Some(0), ThreadId(1));
        let run = Request::BatchRun { id, pool, function, options, chunks, timeout_ns, thread };
        let is_refused = matches!(world.ask(session, run), Reply::Refused(_));
        let is_there =
            !matches!(world.ask(session, Request::Inspect { object: Selector::Id(id) }), Reply::Refused(_));
        assert_eq!(is_there, !is_refused, "with room for {room} bytes");
        refused.push(is_refused);
    }
    assert!(refused[0] && !refused[99], "the edge is in between: {refused:?}");
}

const EVENT: Spec = Spec::Event { auto_reset: false };
const QUEUE: Spec = Spec::Queue { capacity: None, is_joinable: false };

fn nothing(_: &mut World, _: SessionId) {}

fn first() -> ObjectId {
    ObjectId(uuid::Uuid::from_u128(1))
}

#[test]
fn objects_of_every_kind_are_made_up_to_the_edge() {
    let specs = [
        EVENT,
        Spec::Pool,
        Spec::Lock,
        Spec::RLock,
        Spec::Semaphore { permits: 1, is_bounded: false },
        Spec::Barrier { parties: 2 },
        Spec::Latch { count: 1 },
        QUEUE,
    ];
    for spec in specs {
        assert_edge(nothing, |world| open(world.fresh_id(), spec), 0);
    }
    let over = |world: &mut World| LockChoice::Own { id: world.fresh_id(), is_reentrant: false };
    // The lock is made first, and could have been referred to.
    assert_edge(nothing, |world| open(world.fresh_id(), Spec::Condition { over: over(world) }), 0);
}

#[test]
fn a_name_counts_with_its_bytes() {
    let named = |name: &'static str| {
        cost(nothing, move |world| {
            let id = world.fresh_id();
            Request::Open { id, name: Some(name), spec: EVENT, mode: OpenMode::CreateNew }
        })
    };
    assert_eq!(named("four") - named("one"), 1);
}

#[test]
fn the_first_proxy_of_a_session_is_charged_and_the_others_are_not() {
    let prepare = |world: &mut World, _: SessionId| {
        let other = world.session("other");
        world.event(other, "shared");
    };
    let attach = |_: &mut World| Request::Attach { id: first(), kind: Kind::Event, epoch: EPOCH };
    assert_edge(prepare, attach, 0);
    let again = |world: &mut World, session: SessionId| {
        prepare(world, session);
        world.attach(session, first(), Kind::Event);
    };
    assert_eq!(cost(again, attach), 0);
}

#[test]
fn a_blocked_request_is_charged_by_its_targets() {
    let prepare = |world: &mut World, session: SessionId| {
        world.open(session, None, EVENT);
    };
    let targets = |count: usize| std::iter::repeat_n(Target::Event { id: first() }, count);
    // It asks for room to wait for a lock again.
    assert_edge(prepare, |_| wait(targets(1), None), 256);
    assert_edge(prepare, |_| wait(targets(100), None), 256);
    let [two, three] = [2, 3].map(|count| cost(prepare, |_| wait(targets(count), None)));
    assert_eq!(three - two, 56);
    assert_eq!(cost(prepare, |_| wait(targets(1), Some(0))), 0);
}

#[test]
fn an_item_is_charged_with_its_bytes_and_what_it_carries() {
    let put = |bytes: &'static [u8], carries: usize| {
        move |_: &mut World| {
            let carries = vec![first(); carries];
            wait([Target::Put { queue: first(), item: bytes, carries }], Some(0))
        }
    };
    let prepare = |world: &mut World, session: SessionId| {
        world.open(session, None, QUEUE);
    };
    // It asks for the room of an item that is to be finished.
    assert_edge(prepare, put(b"item", 3), 176);
    let [plain, longer, carrying] = [(b"item".as_slice(), 0), (b"items", 0), (b"item", 2)]
        .map(|(item, carries)| cost(prepare, put(item, carries)));
    assert_eq!((longer - plain, carrying - plain), (1, 32));
}

#[test]
fn an_item_can_be_fetched_when_nothing_more_fits() {
    let mut world = world_of(8_000);
    let session = world.session("program");
    let queue = world.open(session, None, QUEUE);
    let put = || wait([Target::Put { queue, item: &[0; 100], carries: vec![] }], Some(0));
    let mut items = 0;
    while matches!(world.ask(session, put()), Reply::Taken(_)) {
        items += 1;
    }
    assert!(items > 3, "{items}");
    for _ in 0..items {
        let Reply::Taken(taken) = world.ask(session, wait([Target::Get { queue }], Some(0))) else {
            panic!("an item");
        };
        assert!(matches!(taken.grants[..], [Grant::Item(_)]));
    }
    // The last is acknowledged with this.
    assert!(matches!(world.ask(session, put()), Reply::Taken(_)));
}

#[test]
fn permits_are_charged_for_each_session_that_holds_some() {
    let prepare = |world: &mut World, session: SessionId| {
        world.open(session, None, Spec::Semaphore { permits: 9, is_bounded: true });
    };
    let acquire = |_: &mut World| wait([Target::Semaphore { id: first(), permits: 1 }], Some(0));
    assert_edge(prepare, acquire, 0);
    let again = |world: &mut World, session: SessionId| {
        prepare(world, session);
        world.ask(session, acquire(&mut World::new()));
    };
    assert_eq!(cost(again, acquire), 0);

    // Its death leaves them to the next taker, who then pays for them.
    let mut world = World::new();
    let (first_holder, second_holder) = (world.session("first"), world.session("second"));
    let id = world.open(second_holder, Some("permits"), Spec::Semaphore { permits: 1, is_bounded: true });
    let acquire = || wait([Target::Semaphore { id, permits: 1 }], Some(0));
    world.ask(first_holder, acquire());
    let held = world.charged_bytes();
    let death = world.charged_bytes() - {
        world.kill(first_holder);
        world.charged_bytes()
    };
    assert!(death > 0 && death < held);
    let abandoned = world.charged_bytes();
    world.ask(second_holder, acquire());
    assert_eq!(world.charged_bytes(), abandoned);
    world.ask(second_holder, Request::SemaphoreRelease { id, permits: 1 });
    assert_eq!(abandoned - world.charged_bytes(), 512);
}

#[test]
fn the_grant_of_an_event_is_charged_until_it_is_confirmed() {
    let prepare = |world: &mut World, session: SessionId| {
        let id = world.auto_event(session);
        world.set(session, id);
    };
    assert_edge(prepare, |_| wait([Target::Event { id: first() }], Some(0)), 0);

    let mut world = World::new();
    let session = world.session("program");
    let id = world.auto_event(session);
    let before = world.charged_bytes();
    let reason = "why";
    assert_eq!(world.ask(session, Request::EventSet { id, reason: Some(reason) }), Reply::Done);
    let set = world.charged_bytes();
    assert_eq!(set - before, 16 + reason.len());
    world.ask(session, wait([Target::Event { id }], Some(0)));
    assert_eq!(world.charged_bytes() - set, 224 + 16 + reason.len());
    world.is_set(session, id);
    assert_eq!(world.charged_bytes(), set);
    // Given back by a death, it is charged once, with the reason that counts.
    let other = world.session("other");
    world.block(other, wait([Target::Event { id }], None));
    assert_eq!(world.ask(session, Request::EventSet { id, reason: Some(reason) }), Reply::Done);
    world.kill(other);
    assert!(world.is_set(session, id));
    assert_eq!(world.charged_bytes(), set);
}

#[test]
fn an_event_is_set_without_its_reason_if_that_has_no_room() {
    let reason: &'static str = Box::leak("x".repeat(REASON_BYTES_MAX).into());
    for (room, kept) in [(16 + REASON_BYTES_MAX, true), (15 + REASON_BYTES_MAX, false)] {
        let charged = {
            let mut world = World::new();
            let session = world.session("program");
            world.open(session, None, EVENT);
            world.charged_bytes()
        };
        let mut world = world_of(charged + room);
        let surplus = (charged + room).div_ceil(3) * 3 - (charged + room);
        let session = world.session(&format!("program{}", "x".repeat(surplus)));
        let id = world.open(session, None, EVENT);
        assert_eq!(world.ask(session, Request::EventSet { id, reason: Some(reason) }), Reply::Done);
        let Reply::SetBy(Some(cause)) = world.ask(session, Request::EventCause { id }) else {
            panic!("a cause")
        };
        assert_eq!(cause.reason.is_some(), kept, "with room for {room} bytes");
    }
}

#[test]
fn the_slots_of_freed_objects_stay_until_there_are_none() {
    let mut world = world_of(400_000);
    let session = world.session("program");
    let mut objects = Vec::new();
    loop {
        let id = world.fresh_id();
        match world.ask(session, open(id, EVENT)) {
            Reply::Opened { id, .. } => objects.push(id),
            Reply::Refused(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(objects.len() > 500, "{}", objects.len());
    let last = objects.pop().unwrap();
    for id in objects.drain(..) {
        assert_eq!(world.ask(session, Request::Detach { id }), Reply::Done);
    }
    // An item has less room than at first, since objects would come back to their slots.
    let queue = world.open(session, None, QUEUE);
    let item: &'static [u8] = vec![0; 350_000].leak();
    let put = || wait([Target::Put { queue, item, carries: vec![] }], Some(0));
    assert!(matches!(world.ask(session, put()), Reply::Refused(_)));
    for id in [last, queue] {
        assert_eq!(world.ask(session, Request::Detach { id }), Reply::Done);
    }
    let queue = world.open(session, None, QUEUE);
    let put = wait([Target::Put { queue, item, carries: vec![] }], Some(0));
    assert!(matches!(world.ask(session, put), Reply::Taken(_)));
}

#[test]
fn shared_memory_is_no_charge_of_the_core() {
    let share = |_: &mut World| Request::Share { memory: SharedMemory::DeferredReleases };
    assert_eq!(cost(nothing, share), 0);
}

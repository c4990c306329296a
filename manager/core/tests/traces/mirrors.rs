//! The mirror: what shared memory says about each event, and what becomes of a place.

use manager_core::Publication;
use protocol::shared_memory::mirror;
use protocol::{Code, Limits, ObjectId, Reply, Request, SessionId, SharedMemory};

use crate::world::World;

/// Has an event mirrored: its place and serial.
fn mirror(world: &mut World, session: SessionId, id: ObjectId) -> (u32, u32) {
    match world.ask(session, Request::EventMirror { id }) {
        Reply::Mirrored { number, serial } => (number, serial),
        other => panic!("not mirrored: {other:?}"),
    }
}

/// What was published since the last look: for each change the place, the serial and whether the event is set.
fn published(world: &mut World) -> Vec<(u32, u32, bool)> {
    let publications = std::mem::take(&mut world.published);
    let brief = |Publication { number, serial, state }: Publication| (number, serial, state.is_set());
    publications.into_iter().map(brief).collect()
}

#[test]
fn a_mirrored_event_is_published_with_each_change_and_no_other_is() {
    let mut world = World::new();
    let a = world.session("a");
    let [plain, stop] = ["plain", "stop"].map(|name| world.event(a, name));
    let (number, serial) = mirror(&mut world, a, stop);
    assert_eq!(published(&mut world), [(number, serial, false)]);
    world.set(a, plain);
    world.set(a, stop);
    world.set(a, stop);
    assert_eq!(published(&mut world), [(number, serial, true)], "a set that changes nothing is no news");
    world.clear(a, stop);
    world.clear(a, stop);
    assert_eq!(published(&mut world), [(number, serial, false)]);
}

#[test]
fn an_event_that_is_set_already_is_published_so_and_under_one_place_for_all() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let stop = world.event(a, "stop");
    world.set(a, stop);
    let place = mirror(&mut world, a, stop);
    assert_eq!(published(&mut world), [(place.0, place.1, true)]);
    assert_eq!(mirror(&mut world, b, stop), place);
    assert_eq!(published(&mut world), []);
}

#[test]
fn a_set_is_counted_though_a_clear_follows() {
    let mut world = World::new();
    let a = world.session("a");
    let stop = world.event(a, "stop");
    mirror(&mut world, a, stop);
    world.set(a, stop);
    world.clear(a, stop);
    let states: Vec<mirror::EventState> =
        world.published.iter().map(|publication| publication.state).collect();
    assert!(states[2].was_set_since(states[0]));
    assert!(!states[2].is_set());
}

#[test]
fn what_is_set_with_a_parent_is_published_too() {
    let mut world = World::new();
    let owner = world.session("owner");
    let pool = world.open(owner, None, protocol::Spec::Pool);
    let batch = world.batch(owner, pool);
    let (number, serial) = {
        let stop = world.stop_of(batch);
        mirror(&mut world, owner, stop)
    };
    world.published.clear();
    world.kill(owner);
    assert_eq!(published(&mut world)[0], (number, serial, true), "the batch of a dead owner is stopped");
}

#[test]
fn a_place_is_used_again_under_another_serial_after_its_event_is_withdrawn() {
    let mut world = World::new();
    let a = world.session("a");
    let first = world.event(a, "first");
    let (number, serial) = mirror(&mut world, a, first);
    let before = world.published[0].state;
    assert_eq!(world.ask(a, Request::Remove { id: first }), Reply::Done);
    let last = *world.published.last().unwrap();
    assert_eq!((last.number, last.serial), (number, 0));
    assert!(last.state.was_set_since(before), "a thread that sleeps there sees a change");
    let second = world.event(a, "second");
    let (number_again, other_serial) = mirror(&mut world, a, second);
    assert_eq!(number_again, number);
    assert_ne!(other_serial, serial);
    let first_of_second = world.published.last().unwrap().state;
    assert!(!first_of_second.is_set());
    assert!(first_of_second.was_set_since(before), "nobody sleeps on what stood there before");
}

#[test]
fn places_are_limited_and_only_events_without_auto_reset_have_them() {
    let mut world = World::with_limits(Limits { mirrored_events_max: 1, ..Limits::default() });
    let a = world.session("a");
    let [one, two] = ["one", "two"].map(|name| world.event(a, name));
    let place = mirror(&mut world, a, one);
    assert_eq!(world.refused(a, Request::EventMirror { id: two }).0, Code::LimitReached);
    assert_eq!(mirror(&mut world, a, one), place);
    let turn = world.auto_event(a);
    assert_eq!(world.refused(a, Request::EventMirror { id: turn }).0, Code::WrongParameters);
    let latch = world.open(a, None, protocol::Spec::Latch { count: 1 });
    assert_eq!(world.refused(a, Request::EventMirror { id: latch }).0, Code::WrongKind);
    world.ask(a, Request::Remove { id: one });
    assert_eq!(mirror(&mut world, a, two).0, place.0);
}

#[test]
fn memory_is_shared_if_an_answer_is_wanted() {
    let mut world = World::new();
    let a = world.session("a");
    let request = world.send(a, Request::Share { memory: SharedMemory::Mirror });
    world.send_as(a, protocol::RequestId::ONE_WAY, Request::Share { memory: SharedMemory::Mirror });
    assert_eq!(world.shared, [(a, request, SharedMemory::Mirror)]);
}

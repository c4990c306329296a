//! Items that were granted: which of them come back when their receiver dies, in which order, and what they keep alive.

use protocol::{Code, Grant, OpenMode, Reply, Request, Target};

use crate::queues::item_done;
use crate::requests::{JOINABLE, get, join, put, queue, wait_for};
use crate::world::World;

#[test]
fn items_that_the_dead_never_received_go_back_to_the_front_in_order() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, None, queue(None));
    for item in [b"1", b"2", b"3", b"4"] {
        world.put(a, q, item);
    }
    assert_eq!(world.get(b, q), b"1");
    // It reads no more answers: its next request acknowledges only the first item.
    world.send(b, wait_for(get(q)));
    world.send(b, wait_for(get(q)));
    assert_eq!(world.length(a, q), 1);
    world.kill(b);
    assert_eq!([world.get(a, q), world.get(a, q), world.get(a, q)], [b"2", b"3", b"4"]);
}

#[test]
fn the_next_request_acknowledges_an_item_and_a_death_before_it_does_not() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let q = world.open(a, Some("q"), queue(None));
    world.put(a, q, b"1");
    world.put(a, q, b"2");
    assert_eq!(world.get(b, q), b"1");
    world.length(b, q);
    world.kill(b);
    assert_eq!(world.get(c, q), b"2");
    let waiting = world.block(a, wait_for(get(q)));
    world.kill(c);
    assert_eq!(world.item(a, waiting), b"2", "to the earlier waiter");
}

#[test]
fn an_item_whose_receiver_says_goodbye_was_received() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, None, queue(None));
    world.put(a, q, b"1");
    world.get(b, q);
    world.leave(b);
    assert_eq!(world.length(a, q), 0);
}

#[test]
fn items_that_come_back_may_be_more_than_there_is_room_for() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, None, queue(Some(1)));
    world.put(a, q, b"1");
    world.get(b, q);
    world.put(a, q, b"2");
    world.kill(b);
    assert_eq!(world.length(a, q), 2);
    let waiting = world.block(a, wait_for(put(q, b"3")));
    assert_eq!(world.get(a, q), b"1");
    assert_eq!(world.answer(a, waiting), None);
    assert_eq!(world.get(a, q), b"2");
    assert_eq!(world.grant(a, waiting), Grant::Put);
}

#[test]
fn unfinished_items_of_a_joinable_queue_come_back_in_order_whatever_was_received() {
    let mut world = World::new();
    let a = world.session("a");
    let q = world.open(a, None, JOINABLE);
    for item in [b"1", b"2", b"3"] {
        world.put(a, q, item);
    }
    for ending in [World::kill, World::leave] {
        let b = world.session("b");
        assert_eq!([world.get(b, q), world.get(b, q)], [b"1", b"2"]);
        world.length(b, q);
        ending(&mut world, b);
        assert_eq!(world.length(a, q), 3);
    }
    // What was finished does not come back.
    let b = world.session("b");
    world.get(b, q);
    world.get(b, q);
    world.done(b, item_done(q));
    world.kill(b);
    assert_eq!([world.get(a, q), world.get(a, q)], [b"2", b"3"]);
}

#[test]
fn an_item_that_comes_back_to_a_closed_queue_can_be_got() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, None, JOINABLE);
    world.put(a, q, b"1");
    world.get(b, q);
    world.done(a, Request::QueueClose { id: q });
    assert_eq!(world.refused(a, wait_for(get(q))).0, Code::Closed);
    world.kill(b);
    assert_eq!(world.get(a, q), b"1");
    world.done(a, item_done(q));
    assert_eq!(world.take(a, join(q)), Grant::Joined);
}

#[test]
fn a_client_that_claims_what_it_was_not_sent_acknowledges_no_item() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, Some("q"), queue(None));
    world.put(a, q, b"1");
    world.get(b, q);
    world.overcount(b);
    world.send(b, Request::QueueLength { id: q });
    assert_eq!(world.dropped, [(b, Code::Protocol)]);
    world.kill(b);
    assert_eq!(world.get(a, q), b"1");
}

#[test]
fn an_item_keeps_the_objects_alive_whose_proxies_it_carries_until_it_is_acknowledged() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, Some("q"), queue(Some(1)));
    let e = world.auto_event(a);
    let carrying = Target::Put { queue: q, item: b"proxy", carries: vec![e] };
    world.take(a, carrying.clone());
    world.block(a, wait_for(carrying));
    world.done(a, Request::Detach { id: e });
    world.get(b, q);
    assert!(!world.is_set(b, e), "the second item carries it still");
    world.get(b, q);
    world.attach(b, e, protocol::Kind::Event);
    assert!(!world.is_set(b, e), "it has a proxy of its own by now");
    world.done(b, Request::Detach { id: e });
    assert_eq!(world.refused(b, Request::EventIsSet { id: e }).0, Code::NoSuchObject);
}

#[test]
fn an_item_that_goes_with_its_queue_lets_go_of_what_it_carries() {
    let mut world = World::new();
    let a = world.session("a");
    let q = world.open(a, Some("q"), queue(None));
    let e = world.auto_event(a);
    world.take(a, Target::Put { queue: q, item: b"proxy", carries: vec![e] });
    world.done(a, Request::Detach { id: e });
    assert!(!world.is_set(a, e));
    world.done(a, Request::Remove { id: q });
    assert_eq!(world.refused(a, Request::EventIsSet { id: e }).0, Code::NoSuchObject);
}

#[test]
fn items_of_the_dead_do_not_go_to_another_queue_that_has_the_id_of_theirs_now() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, Some("q"), queue(None));
    world.put(a, q, b"1");
    world.get(b, q);
    world.done(a, Request::Remove { id: q });
    let again = Request::Open { id: q, name: None, spec: JOINABLE, mode: OpenMode::CreateNew };
    assert_eq!(world.ask(a, again), Reply::Opened { id: q, created: true });
    world.kill(b);
    assert_eq!(world.length(a, q), 0);
}

#[test]
fn items_that_come_back_one_by_one_are_in_the_order_in_which_they_were_put() {
    for spec in [queue(None), JOINABLE] {
        let mut world = World::new();
        let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
        let q = world.open(c, None, spec);
        [b"1", b"2", b"3"].iter().for_each(|item| world.put(c, q, *item));
        world.send(a, wait_for(get(q)));
        world.send(b, wait_for(get(q)));
        world.kill(a);
        world.kill(b);
        let items = [(); 3].map(|()| world.get(c, q));
        assert_eq!(items, [b"1", b"2", b"3"]);
    }
}

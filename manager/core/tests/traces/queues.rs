//! Queues: order, room, joining, closing, and limits.

use protocol::limits::{FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX};
use protocol::{
    Code, Grant, ItemGrant, Limits, ObjectId, OpenMode, Reply, Request, SessionId, Spec, Target, ThreadId,
};

use crate::requests::{
    JOINABLE, NO_TIME, SECOND, all, any, event, get, join, lock, on_thread, put, queue, wait_at_most,
    wait_for,
};
use crate::world::World;

pub(crate) fn item_done(id: ObjectId) -> Request<'static> {
    Request::QueueItemDone { id, item: None, thread: ThreadId(1) }
}

#[test]
fn items_come_in_the_order_in_which_they_were_put_each_to_one() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let q = world.open(a, Some("q"), queue(None));
    for item in [b"1", b"2", b"3"] {
        world.put(a, q, item);
    }
    assert_eq!(world.length(b, q), 3);
    assert_eq!([world.get(b, q), world.get(c, q), world.get(b, q)], [b"1", b"2", b"3"]);
    assert_eq!(world.length(b, q), 0);
}

#[test]
fn getters_are_served_first_come_first_served() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let q = world.open(a, None, queue(None));
    let waits = [world.block(b, wait_for(get(q))), world.block(c, wait_for(get(q)))];
    world.put(a, q, b"1");
    world.put(a, q, b"2");
    assert_eq!(world.item(b, waits[0]), b"1");
    assert_eq!(world.item(c, waits[1]), b"2");
}

#[test]
fn a_full_queue_blocks_putters_who_are_served_first_come_first_served() {
    let mut world = World::new();
    let (a, b, c, d) = (world.session("a"), world.session("b"), world.session("c"), world.session("d"));
    let q = world.open(a, None, queue(Some(2)));
    world.put(a, q, b"1");
    world.put(a, q, b"2");
    let waits = [world.block(b, wait_for(put(q, b"3"))), world.block(c, wait_for(put(q, b"4")))];
    assert_eq!(world.ask(d, wait_at_most(NO_TIME, put(q, b"x"))), Reply::TimedOut { reacquired: None });
    assert_eq!(world.get(d, q), b"1");
    assert_eq!(world.grant(b, waits[0]), Grant::Put);
    assert_eq!(world.answer(c, waits[1]), None);
    assert_eq!(world.get(d, q), b"2");
    assert_eq!(world.grant(c, waits[1]), Grant::Put);
    assert_eq!([world.get(d, q), world.get(d, q)], [b"3", b"4"]);
}

#[test]
fn a_putter_that_gives_up_or_dies_puts_nothing_and_holds_nobody_up() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let q = world.open(a, None, queue(Some(1)));
    world.put(a, q, b"1");
    let late = world.block(b, wait_at_most(SECOND, put(q, b"late")));
    let dead = world.session("dead");
    world.block(dead, wait_for(put(q, b"dead")));
    let next = world.block(c, wait_for(put(q, b"2")));
    world.pass(SECOND);
    assert_eq!(world.answer(b, late), Some(Reply::TimedOut { reacquired: None }));
    world.kill(dead);
    assert_eq!(world.get(a, q), b"1");
    assert_eq!(world.granted(), [next]);
    assert_eq!(world.get(a, q), b"2");
    assert_eq!(world.length(a, q), 0);
}

#[test]
fn a_put_passes_through_a_full_queue_to_a_waiting_consumer() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, None, queue(Some(1)));
    let waits: Vec<_> = (0..3).map(|_| world.block(b, wait_for(get(q)))).collect();
    for (item, wait) in [b"1", b"2", b"3"].into_iter().zip(waits) {
        world.put(a, q, item);
        assert_eq!(world.item(b, wait), item);
    }
}

#[test]
fn a_queue_is_joined_when_every_item_that_was_put_is_finished() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let q = world.open(a, None, JOINABLE);
    assert_eq!(world.take(a, join(q)), Grant::Joined, "nothing was put");
    world.put(a, q, b"1");
    world.put(a, q, b"2");
    let waits = [world.block(a, wait_for(join(q))), world.block(c, wait_for(join(q)))];
    world.get(b, q);
    world.get(c, q);
    world.done(b, item_done(q));
    world.silent();
    world.kill(c);
    let late = world.get(b, q);
    assert_eq!(late, b"2");
    world.silent();
    world.done(b, item_done(q));
    assert_eq!(world.granted(), waits[..1], "the other waiter is dead");
}

#[test]
pub(crate) fn item_done_is_for_a_session_that_has_an_item() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, Some("q"), JOINABLE);
    world.put(a, q, b"1");
    world.get(b, q);
    let (code, text) = world.refused(a, item_done(q));
    assert_eq!((code, &*text), (Code::NotOwner, r#"this process has no unfinished item of the queue "q""#));
    world.done(b, item_done(q));
    assert_eq!(world.refused(b, item_done(q)).0, Code::NotOwner, "once for each item");
}

#[test]
fn a_plain_queue_has_no_unfinished_items() {
    let mut world = World::new();
    let a = world.session("a");
    let q = world.open(a, None, queue(None));
    world.put(a, q, b"1");
    world.get(a, q);
    assert_eq!(world.refused(a, item_done(q)).0, Code::BadTarget);
    assert_eq!(world.refused(a, wait_for(join(q))).0, Code::BadTarget);
}

#[test]
fn a_closed_queue_takes_no_more_and_gives_what_it_has() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let q = world.open(a, None, queue(Some(2)));
    world.put(a, q, b"1");
    world.put(a, q, b"2");
    let putter = world.block(c, wait_for(put(q, b"3")));
    world.done(b, Request::QueueClose { id: q });
    assert_eq!(world.refusal(c, putter), (Code::Closed, "the queue is closed".into()));
    assert_eq!(world.refused(a, wait_for(put(q, b"4"))).0, Code::Closed);
    assert_eq!([world.get(b, q), world.get(b, q)], [b"1", b"2"]);
    assert_eq!(world.refused(b, wait_for(get(q))), (Code::Closed, "the queue is closed and empty".into()));
    world.done(b, Request::QueueClose { id: q });
}

#[test]
fn a_waiter_for_an_item_of_a_queue_that_closes_is_refused() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, None, queue(None));
    let waits = [world.block(b, wait_for(get(q))), world.block(b, wait_for(get(q)))];
    world.done(a, Request::QueueClose { id: q });
    for wait in waits {
        assert_eq!(world.refusal(b, wait).0, Code::Closed);
    }
}

#[test]
fn a_queue_has_room_for_at_least_one() {
    let mut world = World::new();
    let a = world.session("a");
    for is_joinable in [false, true] {
        let spec = Spec::Queue { capacity: Some(0), is_joinable };
        let request = Request::Open { id: world.fresh_id(), name: None, spec, mode: OpenMode::CreateNew };
        assert_eq!(world.refused(a, request).0, Code::BadArgument);
    }
}

#[test]
fn a_queue_of_other_parameters_is_refused_and_both_are_named() {
    let mut world = World::new();
    let a = world.session("a");
    world.open(a, Some("q"), queue(Some(3)));
    let request =
        Request::Open { id: world.fresh_id(), name: Some("q"), spec: JOINABLE, mode: OpenMode::Open };
    let (code, text) = world.refused(a, request);
    assert_eq!(code, Code::WrongParameters);
    assert!(
        text.starts_with(r#""q" is a queue of at most 3 items, not a joinable queue without a bound; "#),
        "{text}"
    );
}

#[test]
fn an_item_over_the_limit_is_refused() {
    let mut world = World::new();
    let a = world.session("a");
    let q = world.open(a, None, queue(None));
    let huge = vec![0; PAYLOAD_BYTES_MAX + 1];
    let (code, text) = world.refused(a, wait_for(put(q, &huge)));
    assert_eq!(code, Code::LimitReached);
    assert!(text.contains(&PAYLOAD_BYTES_MAX.to_string()), "{text}");
    world.put(a, q, &huge[1..]);
    assert_eq!(world.get(a, q).len(), PAYLOAD_BYTES_MAX);
}

#[test]
fn a_wait_for_all_whose_answer_could_be_larger_than_a_frame_is_refused_and_takes_nothing() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, None, queue(None));
    let (l, turn) = (world.open(a, None, Spec::Lock), world.auto_event(a));
    let largest = vec![0; PAYLOAD_BYTES_MAX];
    let waiting = world.block(b, all(&[get(q), lock(l), event(turn)]));
    world.set(a, turn);
    world.put(a, q, &largest);
    let (code, text) = world.refusal(b, waiting);
    assert_eq!(code, Code::LimitReached);
    assert!(text.contains(&FRAME_BYTES_MAX.to_string()), "{text}");
    assert_eq!(world.refused(a, all(&[get(q), lock(l), event(turn)])).0, Code::LimitReached);
    assert!(world.is_set(a, turn));
    // With one target less it is at the limit.
    let request = world.send(b, all(&[get(q), lock(l)]));
    assert_eq!(world.taken(b, request).grants.len(), 2);
    assert_eq!(world.length(a, q), 0);
}

/// Fills the manager to its limits with items, and asserts that exactly this many have room.
fn fill(world: &mut World, room: usize) {
    let filler = world.session("filler");
    let q = world.open(filler, None, queue(None));
    for _ in 0..room {
        world.put(filler, q, &[0; 10]);
    }
    assert_eq!(world.refused(filler, wait_for(put(q, &[0; 10]))).0, Code::LimitReached);
    world.leave(filler);
}

#[test]
fn every_way_that_an_item_can_go_gives_its_room_back() {
    let by_count = Limits { calls_and_items_max: 3, ..Limits::default() };
    let by_bytes = Limits { stored_bytes_max: 35, ..Limits::default() };
    for limits in [by_count, by_bytes] {
        let mut world = World::with_limits(limits);
        let a = world.session("a");
        fill(&mut world, 3);
        let full = world.open(a, Some("full"), queue(Some(1)));
        let joinable = world.open(a, Some("joinable"), JOINABLE);
        // Got and acknowledged, finished, and refused before it was in.
        world.put(a, full, &[0; 10]);
        world.get(a, full);
        world.put(a, joinable, &[0; 10]);
        world.get(a, joinable);
        world.done(a, item_done(joinable));
        let unknown = world.fresh_id();
        assert_eq!(world.refused(a, wait_for(put(unknown, &[0; 10]))).0, Code::NoSuchObject);
        fill(&mut world, 3);
        // Given up by time, by a cancel, by a death, by a removal, and for another target.
        world.put(a, full, &[0; 10]);
        let b = world.session("b");
        world.block(b, wait_at_most(SECOND, put(full, &[0; 10])));
        world.pass(SECOND);
        let cancelled = world.block(b, wait_for(put(full, &[0; 10])));
        world.done(b, Request::Cancel { request: cancelled });
        world.block(b, any(&[put(full, &[0; 10]), get(joinable)]));
        world.put(a, joinable, &[0; 10]);
        world.kill(b);
        fill(&mut world, 1);
        world.block(a, wait_for(put(full, &[0; 10])));
        world.done(a, Request::Remove { id: full });
        world.get(a, joinable);
        world.done(a, Request::Remove { id: joinable });
        world.leave(a);
        fill(&mut world, 3);
    }
}

/// What a thread gets from a queue that has something for it.
fn handed_to(world: &mut World, session: SessionId, thread: u64, queue: ObjectId) -> ItemGrant {
    let request = world.send(session, on_thread(thread, wait_for(get(queue))));
    match world.grant(session, request) {
        Grant::Item(item) => item,
        other => panic!("not an item: {other:?}"),
    }
}

#[test]
fn a_number_finishes_that_item_and_no_other() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, Some("q"), JOINABLE);
    for item in [b"1", b"2", b"3"] {
        world.put(a, q, item);
    }
    let [first, second] = [1, 1].map(|thread| handed_to(&mut world, b, thread, q));
    let done =
        |item: &ItemGrant| Request::QueueItemDone { id: q, item: Some(item.number), thread: ThreadId(1) };
    let (code, text) = world.refused(a, done(&second));
    assert_eq!(code, Code::NotOwner, "it is another's");
    assert_eq!(text, r#"this process has no unfinished item of this number of the queue "q""#);
    world.done(b, done(&second));
    assert_eq!(world.refused(b, done(&second)).0, Code::NotOwner, "once");
    world.kill(b);
    let again = handed_to(&mut world, a, 1, q);
    assert_eq!((again.payload.as_bytes(), again.number == first.number), (&b"1"[..], false));
    assert_eq!(world.refused(a, done(&first)).0, Code::NotOwner, "what is handed out again has a new number");
    assert_eq!(world.get(a, q), b"3");
}

#[test]
fn a_thread_finishes_what_it_got_before_what_others_of_its_process_got() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let q = world.open(a, None, JOINABLE);
    for item in [b"1", b"2", b"3"] {
        world.put(a, q, item);
    }
    for thread in [1, 2, 2] {
        handed_to(&mut world, b, thread, q);
    }
    for thread in [2, 3] {
        // The third thread got nothing, so it finishes the oldest of all.
        world.done(b, Request::QueueItemDone { id: q, item: None, thread: ThreadId(thread) });
    }
    world.kill(b);
    assert_eq!((world.length(a, q), world.get(a, q)), (1, b"3".to_vec()));
}

#[test]
fn a_delivery_says_whether_the_item_carries_something() {
    let mut world = World::new();
    let a = world.session("a");
    let q = world.open(a, None, queue(None));
    let e = world.auto_event(a);
    world.put(a, q, b"1");
    world.take(a, Target::Put { queue: q, item: b"proxy", carries: vec![e] });
    let carries = [(); 2].map(|()| handed_to(&mut world, a, 1, q).carries);
    assert_eq!(carries, [false, true]);
}

#[test]
fn all_items_of_one_wait_need_room() {
    let limits = Limits { calls_and_items_max: 1, ..Limits::default() };
    let mut world = World::with_limits(limits);
    let a = world.session("a");
    let (q, other) = (world.open(a, None, queue(None)), world.open(a, None, queue(None)));
    let (code, _) = world.refused(a, any(&[put(q, b"1"), put(other, b"2")]));
    assert_eq!(code, Code::LimitReached);
    world.put(a, q, b"1");
}

//! Events: set, clear, auto reset, which process set them, and what a death does to a wake-up on its way.

use std::time::Duration;

use protocol::limits::UNCONFIRMED_MAX;
use protocol::{Code, Grant, Reply, Request, Signal, ThreadId, WaitMode};

use crate::requests::{event, wait_for};
use crate::world::World;

#[test]
fn a_set_is_seen_by_everyone_who_asks_later() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let stop = world.event(a, "stop");
    assert_eq!(world.event(b, "stop"), stop);
    assert!(!world.is_set(b, stop));
    world.set(a, stop);
    assert!(world.is_set(b, stop));
    world.clear(b, stop);
    assert!(!world.is_set(a, stop));
}

#[test]
fn a_set_followed_at_once_by_a_clear_wakes_everyone_who_waited() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let stop = world.event(a, "stop");
    let waits = [world.block(b, wait_for(event(stop))), world.block(c, wait_for(event(stop)))];
    world.set(a, stop);
    world.clear(a, stop);
    assert_eq!(world.granted(), waits);
    world.block(b, wait_for(event(stop)));
}

#[test]
fn an_auto_reset_event_wakes_one_waiter_for_each_set_in_the_order_of_their_coming() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let turn = world.auto_event(a);
    let first = world.block(b, wait_for(event(turn)));
    let second = world.block(c, wait_for(event(turn)));
    world.set(a, turn);
    assert_eq!(world.granted(), [first]);
    assert!(!world.is_set(a, turn));
    world.set(a, turn);
    assert_eq!(world.granted(), [second]);
    world.set(a, turn);
    assert!(world.is_set(a, turn), "with nobody waiting it stays set for the next");
    assert!(matches!(world.ask(b, wait_for(event(turn))), Reply::Taken(_)));
    assert!(!world.is_set(a, turn));
}

#[test]
fn a_wake_up_on_its_way_to_the_dead_goes_to_the_next_waiter() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let turn = world.auto_event(a);
    world.block(b, wait_for(event(turn)));
    let next = world.block(c, wait_for(event(turn)));
    world.set(a, turn);
    // The answer to `b` is never read.
    world.kill(b);
    assert!(matches!(world.answer(c, next), Some(Reply::Taken(_))));
    assert!(!world.is_set(a, turn));
}

#[test]
fn a_wake_up_that_was_received_is_not_given_twice() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let turn = world.auto_event(a);
    let wait = world.block(b, wait_for(event(turn)));
    world.set(a, turn);
    assert!(matches!(world.answer(b, wait), Some(Reply::Taken(_))));
    world.is_set(b, turn);
    let next = world.block(c, wait_for(event(turn)));
    world.kill(b);
    assert_eq!(world.answer(c, next), None);
}

#[test]
fn a_goodbye_says_that_everything_was_received() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let turn = world.auto_event(a);
    world.block(b, wait_for(event(turn)));
    world.set(a, turn);
    world.leave(b);
    assert!(!world.is_set(a, turn));
}

#[test]
fn a_client_that_claims_more_answers_than_it_was_sent_is_dropped() {
    let mut world = World::new();
    let a = world.session("a");
    let stop = world.event(a, "stop");
    let request = world.send(a, Request::EventIsSet { id: stop });
    assert!(world.answer(a, request).is_some());
    assert!(world.dropped.is_empty());
    world.overcount(a);
    world.send(a, Request::EventIsSet { id: stop });
    assert_eq!(world.dropped, [(a, Code::Protocol)]);
    world.silent();
}

#[test]
fn an_event_knows_who_set_it_first_when_and_why() {
    let mut world = World::new();
    let (a, b) = (world.session("fill-disk"), world.session("b"));
    let stop = world.event(a, "stop");
    assert_eq!(world.ask(b, Request::EventCause { id: stop }), Reply::SetBy(None));
    world.ask(a, Request::EventSet { id: stop, reason: Some("disk full") });
    world.pass(Duration::from_secs(3));
    world.set(b, stop);
    let Reply::SetBy(Some(cause)) = world.ask(b, Request::EventCause { id: stop }) else {
        panic!("the event is set");
    };
    assert_eq!((cause.process, &*cause.program), (100, "fill-disk"));
    assert_eq!(cause.age_ns, 3_000_000_000);
    assert_eq!(cause.reason.as_deref(), Some("disk full"));
    let Reply::Taken(taken) = world.ask(b, wait_for(event(stop))) else {
        panic!("the event is set");
    };
    assert_eq!(taken.grants[..], [Grant::Event(cause)]);
    world.clear(b, stop);
    assert_eq!(world.ask(b, Request::EventCause { id: stop }), Reply::SetBy(None));
}

#[test]
fn a_reason_over_the_limit_is_refused_and_sets_nothing() {
    let mut world = World::new();
    let a = world.session("a");
    let stop = world.event(a, "stop");
    let reason = "x".repeat(1025);
    let (code, text) = world.refused(a, Request::EventSet { id: stop, reason: Some(&reason) });
    assert_eq!(code, Code::BadArgument);
    assert!(text.contains("1024"), "{text}");
    assert!(!world.is_set(a, stop));
}

#[test]
fn a_reason_that_would_garble_a_terminal_is_refused_and_sets_nothing() {
    let mut world = World::new();
    let a = world.session("a");
    let stop = world.event(a, "stop");
    for reason in ["a\0\n\x1b[31mred", "a\n", "a\u{7f}", "a\u{9b}31m"] {
        let (code, text) = world.refused(a, Request::EventSet { id: stop, reason: Some(reason) });
        assert_eq!(code, Code::BadArgument, "{reason:?}");
        assert!(text.ends_with("at byte 1"), "{text}");
        let signal = Signal::EventSet { id: stop, reason: Some(reason) };
        let wait = Request::SignalAndWait {
            signal,
            mode: WaitMode::Any,
            targets: [event(stop)].into(),
            timeout_ns: None,
            thread: ThreadId(1),
        };
        assert_eq!(world.refused(a, wait).0, Code::BadArgument, "{reason:?}");
        assert!(!world.is_set(a, stop));
    }
}

#[test]
fn what_was_cleared_meanwhile_is_not_given_back() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let turn = world.auto_event(a);
    world.set(a, turn);
    world.send(b, wait_for(event(turn)));
    world.clear(a, turn);
    world.kill(b);
    assert!(!world.is_set(a, turn));
}

#[test]
fn a_client_that_never_confirms_is_dropped_before_it_bloats_the_manager() {
    let mut world = World::new();
    let a = world.session("a");
    let turn = world.auto_event(a);
    for _ in 0..=UNCONFIRMED_MAX {
        world.send(a, Request::EventSet { id: turn, reason: None });
        world.send(a, wait_for(event(turn)));
    }
    assert_eq!(world.dropped, [], "at the limit it goes on, and its last request exceeds it");
    world.send(a, Request::EventIsSet { id: turn });
    assert_eq!(world.dropped, [(a, Code::LimitReached)]);
}

#[test]
fn an_event_that_a_death_sets_again_names_the_cause_of_the_set_that_was_lost() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let turn = world.auto_event(a);
    let setter = |grant| match grant {
        Grant::Event(cause) => cause.process,
        other => panic!("not an event: {other:?}"),
    };
    world.set(a, turn);
    let first = world.send(b, wait_for(event(turn)));
    world.set(c, turn);
    assert_eq!(setter(world.take(c, event(turn))), 300);
    world.kill(b);
    assert_eq!(setter(world.take(c, event(turn))), 100);
    assert!(world.answer(b, first).is_some(), "it was on its way");
    // Even if it was set again since, the first cause counts.
    let b = world.session("b");
    world.set(a, turn);
    world.send(b, wait_for(event(turn)));
    world.set(c, turn);
    world.kill(b);
    assert_eq!(setter(world.take(c, event(turn))), 100);
    assert!(!world.is_set(c, turn));
}

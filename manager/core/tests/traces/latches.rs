//! Latches: a count that goes down once.

use protocol::{Code, Grant, Reply, Request, Spec};

use crate::requests::{SECOND, latch, wait_at_most, wait_for};
use crate::world::World;

#[test]
fn everyone_goes_through_when_the_count_is_zero_and_from_then_on() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let l = world.open(a, Some("l"), Spec::Latch { count: 3 });
    let waits = [world.block(b, wait_for(latch(l))), world.block(c, wait_for(latch(l)))];
    assert_eq!(world.count(a, Request::LatchCountDown { id: l, count: 1 }), 2);
    world.silent();
    assert_eq!(world.count(c, Request::LatchCountDown { id: l, count: 2 }), 0);
    assert_eq!(world.granted(), waits);
    assert_eq!(world.take(b, latch(l)), Grant::Latch);
}

#[test]
fn a_count_does_not_go_below_zero() {
    let mut world = World::new();
    let a = world.session("a");
    let l = world.open(a, None, Spec::Latch { count: 2 });
    assert_eq!(world.count(a, Request::LatchCountDown { id: l, count: 0 }), 2);
    assert_eq!(world.count(a, Request::LatchCountDown { id: l, count: u64::MAX }), 0);
    assert_eq!(world.count(a, Request::LatchCountDown { id: l, count: 1 }), 0);
    assert_eq!(world.count(a, Request::LatchCount { id: l }), 0);
}

#[test]
fn a_latch_of_nothing_is_open() {
    let mut world = World::new();
    let a = world.session("a");
    let l = world.open(a, None, Spec::Latch { count: 0 });
    assert_eq!(world.take(a, latch(l)), Grant::Latch);
}

#[test]
fn a_wait_for_a_latch_times_out() {
    let mut world = World::new();
    let a = world.session("a");
    let l = world.open(a, None, Spec::Latch { count: 1 });
    let wait = world.block(a, wait_at_most(SECOND, latch(l)));
    world.pass(SECOND);
    assert_eq!(world.answer(a, wait), Some(Reply::TimedOut { reacquired: None }));
}

#[test]
fn the_death_of_a_process_that_counted_changes_nothing() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(b, None, Spec::Latch { count: 2 });
    world.count(a, Request::LatchCountDown { id: l, count: 1 });
    world.kill(a);
    assert_eq!(world.count(b, Request::LatchCount { id: l }), 1);
}

#[test]
fn a_latch_that_was_counted_down_opens_with_the_count_that_it_was_made_with() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, Some("l"), Spec::Latch { count: 2 });
    world.count(a, Request::LatchCountDown { id: l, count: 1 });
    assert_eq!(world.open(b, Some("l"), Spec::Latch { count: 2 }), l);
    let id = world.fresh_id();
    let spec = Spec::Latch { count: 1 };
    let other = Request::Open { id, name: Some("l"), spec, mode: protocol::OpenMode::Open };
    let (code, text) = world.refused(b, other);
    assert_eq!(
        (code, &*text),
        (
            Code::WrongParameters,
            r#""l" is a latch of 2, not a latch of 1; open it as it is, or choose another name"#
        )
    );
}

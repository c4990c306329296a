//! The one wait: any and all, order, deadlines, cancelling, bad targets.

use std::time::Duration;

use protocol::{Code, Kind, Limits, ObjectId, Reply, Request, RequestId, Spec, Target, ThreadId, WaitMode};
use uuid::Uuid;

use crate::requests::{event, wait, wait_for};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_wait_for_any_takes_the_first_ready_target_in_list_order_and_no_other() {
    let mut world = World::new();
    let a = world.session("a");
    let (x, y) = (world.auto_event(a), world.auto_event(a));
    world.set(a, x);
    world.set(a, y);
    let Reply::Taken(taken) = world.ask(a, wait(WaitMode::Any, &[event(y), event(x)], None)) else {
        panic!("both are ready");
    };
    assert_eq!((taken.index, taken.grants.len()), (0, 1));
    assert!(world.is_set(a, x));
    assert!(!world.is_set(a, y));
}

#[test]
fn a_wait_for_any_tells_which_came() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (x, y) = (world.event(a, "x"), world.event(a, "y"));
    let request = world.block(b, wait(WaitMode::Any, &[event(x), event(y)], None));
    world.set(a, y);
    let Some(Reply::Taken(taken)) = world.answer(b, request) else { panic!("y is set") };
    assert_eq!(taken.index, 1);
    world.set(a, x);
    world.silent();
}

#[test]
fn a_wait_for_all_takes_nothing_until_it_takes_everything() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (x, y) = (world.auto_event(a), world.auto_event(a));
    let all = world.block(b, wait(WaitMode::All, &[event(x), event(y)], None));
    world.set(a, x);
    assert!(world.is_set(a, x));
    assert_eq!(world.answer(b, all), None);
    world.set(a, y);
    let Some(Reply::Taken(taken)) = world.answer(b, all) else { panic!("both are set") };
    assert_eq!(taken.grants.len(), 2);
    assert!(!world.is_set(a, x));
    assert!(!world.is_set(a, y));
}

#[test]
fn a_wait_for_all_that_lacks_another_target_does_not_hold_up_those_behind_it() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let (x, y) = (world.auto_event(a), world.auto_event(a));
    let all = world.block(b, wait(WaitMode::All, &[event(x), event(y)], None));
    let one = world.block(c, wait_for(event(x)));
    world.set(a, x);
    assert_eq!(world.granted(), [one]);
    world.set(a, x);
    world.set(a, y);
    assert_eq!(world.granted(), [all]);
}

#[test]
fn naming_an_object_twice_is_fine_for_any_and_refused_for_all() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let x = world.auto_event(a);
    let twice = [event(x), event(x)];
    let first = world.block(b, wait(WaitMode::Any, &twice, None));
    let second = world.block(b, wait(WaitMode::Any, &twice, None));
    world.set(a, x);
    assert_eq!(world.granted(), [first]);
    world.set(a, x);
    assert_eq!(world.granted(), [second]);
    assert_eq!(world.refused(a, wait(WaitMode::All, &twice, None)).0, Code::BadTarget);
}

#[test]
fn a_timeout_of_zero_only_asks() {
    let mut world = World::new();
    let a = world.session("a");
    let x = world.auto_event(a);
    let ask = wait(WaitMode::Any, &[event(x)], Some(Duration::ZERO));
    assert_eq!(world.ask(a, ask.clone()), Reply::TimedOut { reacquired: None });
    world.set(a, x);
    assert!(matches!(world.ask(a, ask), Reply::Taken(_)));
    assert!(!world.has_deadline());
}

#[test]
fn waits_time_out_when_their_time_has_come_and_not_before() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let x = world.event(a, "x");
    let late = world.block(a, wait(WaitMode::Any, &[event(x)], Some(2 * SECOND)));
    let early = world.block(b, wait(WaitMode::Any, &[event(x)], Some(SECOND)));
    world.pass(SECOND - Duration::from_nanos(1));
    world.silent();
    world.pass(Duration::from_nanos(1));
    assert_eq!(world.answer(b, early), Some(Reply::TimedOut { reacquired: None }));
    world.silent();
    world.pass(SECOND);
    assert_eq!(world.answer(a, late), Some(Reply::TimedOut { reacquired: None }));
    world.set(a, x);
    world.silent();
    assert!(!world.has_deadline());
}

#[test]
fn a_timeout_of_centuries_is_no_different_from_a_long_one() {
    let mut world = World::new();
    let a = world.session("a");
    let x = world.event(a, "x");
    world.pass(SECOND);
    let request = world.send(
        a,
        Request::Wait {
            mode: WaitMode::Any,
            targets: [event(x)].into_iter().collect(),
            timeout_ns: Some(u64::MAX),
            thread: ThreadId(1),
        },
    );
    world.pass(Duration::from_secs(100 * 365 * 86_400));
    world.set(a, x);
    assert!(matches!(world.answer(a, request), Some(Reply::Taken(_))));
}

#[test]
fn a_wait_that_was_served_has_no_deadline_any_more() {
    let mut world = World::new();
    let a = world.session("a");
    let x = world.event(a, "x");
    let request = world.block(a, wait(WaitMode::Any, &[event(x)], Some(SECOND)));
    world.set(a, x);
    assert!(matches!(world.answer(a, request), Some(Reply::Taken(_))));
    assert!(!world.has_deadline());
}

#[test]
fn a_cancelled_wait_is_refused_and_takes_nothing() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let x = world.auto_event(a);
    let request = world.block(b, wait_for(event(x)));
    // Another session's cancel with the same number does not reach it.
    assert_eq!(world.ask(a, Request::Cancel { request }), Reply::Done);
    assert_eq!(world.answer(b, request), None);
    assert_eq!(world.ask(b, Request::Cancel { request }), Reply::Done);
    assert!(
        matches!(world.answer(b, request), Some(Reply::Refused(refusal)) if refusal.code == Code::Cancelled)
    );
    world.set(a, x);
    assert!(world.is_set(a, x));
    assert_eq!(world.ask(b, Request::Cancel { request }), Reply::Done);
    world.silent();
}

#[test]
fn the_waits_of_a_dead_session_are_gone() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let x = world.auto_event(a);
    for _ in 0..3 {
        world.block(b, wait(WaitMode::Any, &[event(x)], Some(SECOND)));
    }
    let next = world.block(c, wait_for(event(x)));
    world.kill(b);
    assert!(!world.has_deadline());
    world.set(a, x);
    assert_eq!(world.granted(), [next]);
}

#[test]
fn bad_targets_are_refused() {
    let mut world = World::with_limits(Limits { wait_targets_max: 3, ..Limits::default() });
    let a = world.session("a");
    let x = world.event(a, "x");
    let pool = world.open(a, None, Spec::Pool);
    assert_eq!(world.refused(a, wait(WaitMode::Any, &[], None)).0, Code::BadTarget);
    assert_eq!(world.refused(a, wait(WaitMode::Any, &vec![event(x); 4], None)).0, Code::LimitReached);
    let unknown = ObjectId(Uuid::from_u128(0xdead));
    assert_eq!(world.refused(a, wait_for(event(unknown))).0, Code::NoSuchObject);
    let (code, text) = world.refused(a, wait_for(event(pool)));
    assert_eq!(code, Code::WrongKind);
    assert!(text.contains("pool") && text.contains("event"), "{text}");
    assert_eq!(world.refused(a, wait_for(Target::Calls { pool: x, most: 1 })).0, Code::WrongKind);
}

#[test]
fn waits_that_could_never_be_answered_are_refused() {
    let mut world = World::with_limits(Limits { session_waits_max: 2, ..Limits::default() });
    let a = world.session("a");
    let x = world.event(a, "x");
    // One-way: silently nothing, and nothing is taken by it.
    world.send_as(a, RequestId::ONE_WAY, wait_for(event(x)));
    let first = world.block(a, wait_for(event(x)));
    world.send_as(a, first, wait_for(event(x)));
    assert!(
        matches!(world.answer(a, first), Some(Reply::Refused(refusal)) if refusal.code == Code::BadArgument),
        "an id that is blocked already"
    );
    world.block(a, wait_for(event(x)));
    assert_eq!(world.refused(a, wait_for(event(x))).0, Code::LimitReached);
    world.set(a, x);
    assert_eq!(world.granted().len(), 2);
}

#[test]
fn a_waiter_for_a_removed_object_is_refused() {
    let mut world = World::new();
    let (a, b) = (world.session("operator"), world.session("b"));
    let (x, y) = (world.event(a, "x"), world.event(a, "y"));
    let request = world.block(b, wait(WaitMode::Any, &[event(y), event(x)], Some(SECOND)));
    assert_eq!(world.ask(a, Request::Remove { id: x }), Reply::Done);
    let Some(Reply::Refused(refusal)) = world.answer(b, request) else { panic!("x was removed") };
    assert_eq!(refusal.code, Code::Removed);
    assert_eq!(refusal.text, r#"the event "x" was removed by process 100 (operator)"#);
    world.set(a, y);
    world.silent();
    assert!(!world.has_deadline());
    let epoch = crate::world::EPOCH;
    assert_eq!(world.refused(b, Request::Attach { id: x, kind: Kind::Event, epoch }).0, Code::NoSuchObject);
}

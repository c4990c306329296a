//! Names and lifetimes: spec, mismatches, references, removal, what frees an anonymous object.

use protocol::limits::CARRIES_MAX;
use protocol::{
    CallsOutcome, Chunk, Code, Epoch, Kind, Limits, ObjectId, OpenMode, Outcome, Reply, Request, Selector,
    Spec,
};
use uuid::Uuid;

use crate::requests::{event, wait_for};
use crate::world::{EPOCH, World};

const MANUAL: Spec = Spec::Event { auto_reset: false };
const AUTO: Spec = Spec::Event { auto_reset: true };

fn open(world: &mut World, name: Option<&'static str>, spec: Spec, mode: OpenMode) -> Request<'static> {
    Request::Open { id: world.fresh_id(), name, spec, mode }
}

#[test]
fn the_three_ways_to_open() {
    let mut world = World::new();
    let a = world.session("a");
    let request = open(&mut world, Some("x"), MANUAL, OpenMode::Open);
    assert_eq!(world.refused(a, request).0, Code::NoSuchObject);
    let request = open(&mut world, Some("x"), MANUAL, OpenMode::CreateNew);
    let Reply::Opened { id, created: true } = world.ask(a, request) else { panic!("made") };
    let request = open(&mut world, Some("x"), MANUAL, OpenMode::CreateNew);
    assert_eq!(world.refused(a, request).0, Code::AlreadyExists);
    for mode in [OpenMode::Open, OpenMode::OpenOrCreate] {
        let request = open(&mut world, Some("x"), MANUAL, mode);
        assert_eq!(world.ask(a, request), Reply::Opened { id, created: false });
    }
    let request = open(&mut world, None, MANUAL, OpenMode::Open);
    assert_eq!(world.refused(a, request).0, Code::BadArgument);
}

#[test]
fn another_kind_or_other_parameters_are_refused_and_both_are_named() {
    let mut world = World::new();
    let a = world.session("a");
    world.event(a, "x");
    let request = open(&mut world, Some("x"), AUTO, OpenMode::OpenOrCreate);
    let (code, text) = world.refused(a, request);
    assert_eq!(code, Code::WrongParameters);
    assert_eq!(
        text,
        r#""x" is an event (manual reset), not an event (auto reset); open it as it is, or choose another name"#
    );
    let request = open(&mut world, Some("x"), Spec::Pool, OpenMode::Open);
    let (code, text) = world.refused(a, request);
    assert_eq!(code, Code::WrongKind);
    assert_eq!(
        text,
        "the object named \"x\" is of kind event, not pool; objects of all kinds share their names, and keep them when \
         nobody uses them any more: open it as what it is, or choose another name"
    );
}

#[test]
fn bad_names_are_refused() {
    let mut world = World::new();
    let a = world.session("a");
    let long = "x".repeat(256);
    for name in ["", "a\nb", long.as_str()] {
        let id = world.fresh_id();
        let request = Request::Open { id, name: Some(name), spec: MANUAL, mode: OpenMode::OpenOrCreate };
        assert_eq!(world.refused(a, request).0, Code::BadName, "{name:?}");
    }
}

#[test]
fn a_named_object_outlives_its_sessions_and_an_anonymous_one_its_last_proxy() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let named = world.event(a, "named");
    let anonymous = world.open(a, None, MANUAL);
    world.attach(b, anonymous, Kind::Event);
    world.set(a, anonymous);
    world.kill(a);
    assert!(world.is_set(b, anonymous));
    assert_eq!(world.event(b, "named"), named);
    assert_eq!(world.ask(b, Request::Detach { id: anonymous }), Reply::Done);
    assert_eq!(world.refused(b, Request::EventIsSet { id: anonymous }).0, Code::NoSuchObject);
    assert_eq!(world.refused(b, Request::Detach { id: anonymous }).0, Code::NoSuchObject);
}

#[test]
fn every_proxy_counts() {
    let mut world = World::new();
    let a = world.session("a");
    let id = world.open(a, None, MANUAL);
    world.attach(a, id, Kind::Event);
    assert_eq!(world.ask(a, Request::Detach { id }), Reply::Done);
    assert!(!world.is_set(a, id));
    assert_eq!(world.ask(a, Request::Detach { id }), Reply::Done);
    assert_eq!(world.refused(a, Request::EventIsSet { id }).0, Code::NoSuchObject);
}

#[test]
fn a_waiter_for_a_freed_object_is_refused() {
    let mut world = World::new();
    let a = world.session("a");
    let id = world.open(a, None, MANUAL);
    let wait = world.block(a, wait_for(event(id)));
    assert_eq!(world.ask(a, Request::Detach { id }), Reply::Done);
    assert!(matches!(world.answer(a, wait), Some(Reply::Refused(refusal)) if refusal.code == Code::Removed));
}

#[test]
fn a_call_keeps_the_objects_alive_whose_proxies_it_carries() {
    let mut world = World::new();
    let (owner, worker) = (world.session("owner"), world.session("worker"));
    let pool = world.open(owner, None, Spec::Pool);
    let id = world.open(owner, None, MANUAL);
    let batch = world.batch(owner, pool);
    let chunks = vec![Chunk { arguments: &[0], carries: vec![id], calls: 1 }];
    world.ask(owner, Request::BatchAdd { id: batch, chunks, last: true });
    world.ask(owner, Request::Detach { id });
    let (batch, call, _) = world.take_call(worker, pool);
    assert!(!world.is_set(worker, id), "alive while the task runs");
    assert_eq!(world.end_call(worker, batch, call, b""), Reply::Done);
    assert_eq!(world.refused(worker, Request::EventIsSet { id }).0, Code::NoSuchObject);
}

#[test]
fn a_result_that_carries_too_many_proxies_keeps_none_of_their_objects_alive() {
    for (carries, lives) in [(CARRIES_MAX, true), (CARRIES_MAX + 1, false)] {
        let mut world = World::new();
        let (owner, worker) = (world.session("owner"), world.session("worker"));
        let pool = world.open(owner, None, Spec::Pool);
        let batch = world.batch(owner, pool);
        let chunks = vec![Chunk { arguments: &[0], carries: vec![], calls: 1 }];
        world.done(owner, Request::BatchAdd { id: batch, chunks, last: true });
        let (batch, first, _) = world.take_call(worker, pool);
        let id = world.open(worker, None, MANUAL);
        let returned = CallsOutcome { calls: 1, outcome: Outcome::Returned(&[0][..]) };
        let (ends, carries) = (vec![returned].into(), vec![id; carries]);
        world.done(worker, Request::CallsEnd { batch, first, ends, carries });
        world.done(worker, Request::Detach { id });
        let inspected = world.ask(owner, Request::Inspect { object: Selector::Id(id) });
        assert_eq!(!matches!(inspected, Reply::Refused(_)), lives);
    }
}

#[test]
fn the_id_of_a_removed_object_may_be_used_again_without_confusing_the_counts() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let pool = world.open(a, None, Spec::Pool);
    let id = world.open(a, Some("first"), MANUAL);
    world.attach(b, id, Kind::Event);
    let batch = world.batch(a, pool);
    let chunks = vec![Chunk { arguments: &[0], carries: vec![id], calls: 1 }];
    world.ask(a, Request::BatchAdd { id: batch, chunks, last: true });
    world.ask(a, Request::Remove { id });
    // Under the same id stands a pool now, which only `b` and an open batch keep alive.
    let again = Request::Open { id, name: None, spec: Spec::Pool, mode: OpenMode::CreateNew };
    assert_eq!(world.ask(b, again), Reply::Opened { id, created: true });
    world.batch(b, id);
    assert_eq!(world.ask(b, Request::Detach { id }), Reply::Done);
    // What the first object left behind does not reach the second.
    assert_eq!(world.ask(a, Request::Detach { id }), Reply::Done);
    let (batch, call, _) = world.take_call(b, pool);
    assert_eq!(world.end_call(b, batch, call, b""), Reply::Done);
    assert_eq!(world.ask(b, Request::PoolClose { id }), Reply::Done);
    world.kill(b);
    world.kill(a);
}

#[test]
fn handles_of_another_epoch_and_of_another_kind_are_refused() {
    let mut world = World::new();
    let a = world.session("a");
    let id = world.event(a, "x");
    let stale = Request::Attach { id, kind: Kind::Event, epoch: Epoch(Uuid::from_u128(0xbad)) };
    assert_eq!(world.refused(a, stale).0, Code::StaleEpoch);
    let wrong = Request::Attach { id, kind: Kind::Pool, epoch: EPOCH };
    assert_eq!(world.refused(a, wrong).0, Code::WrongKind);
}

#[test]
fn the_limit_of_objects_is_an_error_and_not_the_end() {
    let mut world = World::with_limits(Limits { objects_max: 2, ..Limits::default() });
    let a = world.session("a");
    let x = world.event(a, "x");
    world.event(a, "y");
    let request = open(&mut world, Some("z"), MANUAL, OpenMode::OpenOrCreate);
    let (code, text) = world.refused(a, request);
    assert_eq!(code, Code::LimitReached);
    assert!(text.contains("2 objects"), "{text}");
    assert_eq!(world.event(a, "x"), x, "those that are there still open");
    world.ask(a, Request::Remove { id: x });
    world.event(a, "z");
}

#[test]
fn a_refusal_quotes_the_name_and_says_what_to_do() {
    let mut world = World::new();
    let a = world.session("a");
    let name = "n".repeat(200);
    let open =
        |spec, mode| Request::Open { id: ObjectId(Uuid::from_u128(77)), name: Some(&name), spec, mode };
    let event = Spec::Event { auto_reset: false };
    let missing = world.refused(a, open(event, OpenMode::Open));
    let unknown = world.refused(a, Request::Inspect { object: Selector::Name(&name) });
    let id = world.open(a, Some(&name), event);
    let wrong_kind = world.refused(a, open(Spec::Lock, OpenMode::OpenOrCreate));
    let wrong_parameters = world.refused(a, open(Spec::Event { auto_reset: true }, OpenMode::Open));
    let taken = world.refused(a, open(event, OpenMode::CreateNew));
    for (code, text) in [&missing, &unknown, &wrong_kind, &wrong_parameters, &taken] {
        assert!(text.contains(&format!("{name:?}")), "{code:?}: {text}");
    }
    let other_kinds =
        [Request::LatchCount { id }, Request::ForceRelease { id }].map(|request| world.refused(a, request));
    for (code, text) in other_kinds.iter().chain([&wrong_kind, &wrong_parameters, &taken]) {
        assert!(
            text.contains("; use a proxy of its own kind") || text.contains("choose another name"),
            "{code:?}: {text}"
        );
    }
}

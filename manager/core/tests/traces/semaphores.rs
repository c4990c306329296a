//! Semaphores: permits, their order, over-release, and what becomes of the permits of the dead.

use protocol::{Abandonment, Code, Grant, Kind, ObjectId, Reply, Request, SessionId};

use crate::requests::{NO_TIME, SECOND, bounded, permits, semaphore, wait_at_most, wait_for};
use crate::world::World;

fn release(id: ObjectId, permits: u64) -> Request<'static> {
    Request::SemaphoreRelease { id, permits }
}

/// Acquires available permits, and returns which process left them behind, if one did.
fn acquire(world: &mut World, session: SessionId, id: ObjectId, count: u64) -> Option<Abandonment> {
    match world.take(session, permits(id, count)) {
        Grant::Permits { abandoned } => abandoned,
        other => panic!("not permits: {other:?}"),
    }
}

#[test]
fn permits_are_acquired_and_given_back() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(a, Some("s"), semaphore(3));
    assert_eq!(acquire(&mut world, a, s, 2), None);
    assert_eq!(world.available(b, s), 1);
    let waiting = world.block(b, wait_for(permits(s, 2)));
    world.done(a, release(s, 1));
    assert_eq!(world.grant(b, waiting), Grant::Permits { abandoned: None });
    assert_eq!(world.available(b, s), 0);
    world.done(a, release(s, 1));
    world.done(b, release(s, 2));
    assert_eq!(world.available(b, s), 3);
}

#[test]
fn a_small_request_does_not_pass_a_large_one_which_so_does_not_starve() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let s = world.open(a, None, semaphore(10));
    acquire(&mut world, a, s, 6);
    let large = world.block(b, wait_for(permits(s, 10)));
    let small = world.block(c, wait_for(permits(s, 1)));
    assert_eq!(world.available(a, s), 4);
    assert_eq!(
        world.ask(c, wait_at_most(NO_TIME, permits(s, 1))),
        Reply::TimedOut { reacquired: None },
        "trying does not pass it either"
    );
    world.done(a, release(s, 5));
    world.silent();
    world.done(a, release(s, 1));
    assert_eq!(world.granted(), [large]);
    world.done(b, release(s, 10));
    assert_eq!(world.granted(), [small]);
}

#[test]
fn a_waiter_behind_a_large_request_that_gives_up_is_served_at_once() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let s = world.open(a, Some("s"), semaphore(2));
    for way in 0..3 {
        let large = world.block(b, wait_at_most(SECOND, permits(s, 5)));
        let small = [world.block(c, wait_for(permits(s, 1))), world.block(c, wait_for(permits(s, 1)))];
        match way {
            0 => world.pass(SECOND),
            1 => world.done(b, Request::Cancel { request: large }),
            _ => world.kill(b),
        }
        let _ = world.answer(b, large);
        assert_eq!(world.granted(), small);
        world.done(c, release(s, 2));
    }
}

#[test]
fn one_release_serves_as_many_as_it_can_in_order() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(a, None, semaphore(0));
    let waits: Vec<_> =
        [2, 1, 3, 1].into_iter().map(|count| world.block(b, wait_for(permits(s, count)))).collect();
    world.done(a, release(s, 4));
    assert_eq!(world.granted(), waits[..2]);
    assert_eq!(world.available(a, s), 1);
    world.done(a, release(s, 3));
    assert_eq!(world.granted(), waits[2..]);
}

#[test]
fn a_wait_that_names_a_semaphore_twice_takes_what_is_there_for_either() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(a, None, semaphore(0));
    let wait = world.block(b, crate::requests::any(&[permits(s, 5), permits(s, 1)]));
    world.done(a, release(s, 1));
    assert_eq!(world.taken(b, wait).index, 1);
}

#[test]
fn a_plain_semaphore_is_a_signal_that_anyone_gives() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(a, None, semaphore(0));
    world.done(b, release(s, 3));
    assert_eq!(world.available(a, s), 3);
    world.done(b, release(s, u64::MAX - 3));
    let (code, text) = world.refused(b, release(s, 1));
    assert_eq!(code, Code::OverRelease);
    assert!(text.contains("cannot count"), "{text}");
    assert_eq!(world.available(a, s), u64::MAX);
    assert_eq!(acquire(&mut world, a, s, u64::MAX), None);
}

#[test]
fn a_bounded_semaphore_refuses_more_permits_than_at_first() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(a, Some("s"), bounded(2));
    let (code, text) = world.refused(a, release(s, 1));
    assert_eq!(code, Code::OverRelease);
    assert_eq!(text, r#"the semaphore "s" has 2 of its 2 permits, 1 more would be too many"#);
    acquire(&mut world, a, s, 1);
    assert_eq!(world.refused(a, release(s, 2)).0, Code::OverRelease);
    assert_eq!(world.available(a, s), 1, "a refusal changes nothing");
    world.done(b, release(s, 1));
    assert_eq!(world.refused(a, release(s, 1)).0, Code::OverRelease, "another gave it back");
    assert_eq!(world.refused(a, release(s, u64::MAX)).0, Code::OverRelease);
}

#[test]
fn impossible_numbers_of_permits_are_refused() {
    let mut world = World::new();
    let a = world.session("a");
    let s = world.open(a, Some("s"), bounded(2));
    assert_eq!(world.refused(a, wait_for(permits(s, 0))).0, Code::BadArgument);
    assert_eq!(world.refused(a, release(s, 0)).0, Code::BadArgument);
    let (code, text) = world.refused(a, wait_for(permits(s, 3)));
    assert_eq!(code, Code::BadArgument);
    assert_eq!(text, r#"the semaphore "s" has 2 permits, so 3 are never available"#);
    let one = world.open(a, Some("one"), bounded(1));
    let (_, text) = world.refused(a, wait_for(permits(one, 2)));
    assert_eq!(text, r#"the semaphore "one" has 1 permit, so 2 are never available"#);
    let (_, text) = world.refused(a, release(one, 1));
    assert_eq!(text, r#"the semaphore "one" has 1 of its 1 permit, 1 more would be too many"#);
    let id = world.fresh_id();
    let none = Request::Open { id, name: None, spec: bounded(0), mode: protocol::OpenMode::CreateNew };
    assert_eq!(world.refused(a, none).0, Code::BadArgument);
}

#[test]
fn permits_of_the_dead_go_to_the_next_waiter_and_the_grant_says_so() {
    let mut world = World::new();
    let (a, b) = (world.session("crash"), world.session("b"));
    let s = world.open(b, None, semaphore(2));
    acquire(&mut world, a, s, 1);
    world.pass(SECOND);
    acquire(&mut world, a, s, 1);
    let waiting = world.block(b, wait_for(permits(s, 2)));
    world.pass(SECOND);
    world.kill(a);
    let Grant::Permits { abandoned: Some(abandoned) } = world.grant(b, waiting) else {
        panic!("they were left behind");
    };
    assert_eq!((abandoned.process, &*abandoned.program), (100, "crash"));
    assert_eq!((&*abandoned.how, abandoned.held_ns), ("was ended by signal 9 (SIGKILL)", 2_000_000_000));
    world.done(b, release(s, 2));
    assert_eq!(acquire(&mut world, b, s, 2), None, "told once");
}

#[test]
fn permits_of_the_dead_are_taken_before_free_ones_and_the_first_to_die_is_named() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let s = world.open(c, Some("s"), bounded(5));
    acquire(&mut world, a, s, 1);
    acquire(&mut world, b, s, 1);
    world.kill(b);
    world.leave(a);
    assert_eq!(world.available(c, s), 5);
    assert_eq!(acquire(&mut world, c, s, 1).map(|abandoned| abandoned.process), Some(200));
    let abandoned = acquire(&mut world, c, s, 2).expect("one of the two was left behind");
    assert_eq!((abandoned.process, &*abandoned.how), (100, "left"));
    assert_eq!(acquire(&mut world, c, s, 2), None);
    assert_eq!(world.available(c, s), 0);
}

#[test]
fn one_release_by_anyone_clears_the_mark_of_an_abandoned_permit_and_adds_none() {
    let mut world = World::new();
    let (child, parent) = (world.session("child"), world.session("parent"));
    let s = world.open(parent, Some("s"), bounded(1));
    acquire(&mut world, child, s, 1);
    world.leave(child);
    // As in Python: one process acquires and ends, and another releases.
    world.done(parent, release(s, 1));
    assert_eq!(world.available(parent, s), 1);
    assert_eq!(world.refused(parent, release(s, 1)).0, Code::OverRelease);
    assert_eq!(acquire(&mut world, parent, s, 1), None);
}

#[test]
fn what_others_gave_back_for_the_living_does_not_come_again_with_their_death() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let s = world.open(c, None, semaphore(3));
    acquire(&mut world, a, s, 2);
    acquire(&mut world, b, s, 1);
    world.done(c, release(s, 2));
    world.kill(a);
    assert_eq!(world.available(c, s), 3, "one permit was still out");
    world.kill(b);
    assert_eq!(world.available(c, s), 3);
}

#[test]
fn a_forgotten_permit_does_not_come_back_with_the_death_of_who_acquired_it() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(b, None, semaphore(3));
    acquire(&mut world, a, s, 2);
    let (code, text) = world.refused(a, Request::SemaphoreForget { id: s, permits: 3 });
    assert_eq!(code, Code::NotOwner);
    assert!(text.contains("holds 2 permits"), "{text}");
    world.done(a, Request::SemaphoreForget { id: s, permits: 1 });
    world.kill(a);
    assert_eq!(world.available(b, s), 2);
    assert_eq!(world.refused(b, Request::SemaphoreForget { id: s, permits: 1 }).0, Code::NotOwner);
}

#[test]
fn permits_on_their_way_to_the_dead_go_to_the_next_waiter() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let s = world.open(a, None, semaphore(0));
    world.block(b, wait_for(permits(s, 1)));
    let next = world.block(c, wait_for(permits(s, 1)));
    world.done(a, release(s, 1));
    // The answer to `b` is never read.
    world.kill(b);
    assert!(matches!(world.grant(c, next), Grant::Permits { abandoned: Some(_) }));
}

#[test]
fn a_removed_semaphore_is_forgotten_by_those_who_hold_permits() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(a, Some("s"), semaphore(1));
    acquire(&mut world, a, s, 1);
    let waiting = world.block(b, wait_for(permits(s, 1)));
    world.done(b, Request::Remove { id: s });
    assert_eq!(world.refusal(b, waiting).0, Code::Removed);
    assert_eq!(world.refused(a, release(s, 1)).0, Code::NoSuchObject);
    world.kill(a);
}

#[test]
fn a_process_may_be_charged_with_more_permits_than_can_be_counted() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let s = world.open(b, None, semaphore(u64::MAX));
    world.attach(a, s, Kind::Semaphore);
    // The other gives back what this one holds, and this one takes it again.
    for _ in 0..2 {
        world.take(a, permits(s, u64::MAX));
        world.done(b, Request::SemaphoreRelease { id: s, permits: u64::MAX });
    }
    world.take(a, permits(s, 1));
    assert_eq!(world.available(b, s), u64::MAX - 1);
    world.kill(a);
    assert_eq!(world.available(b, s), u64::MAX);
}

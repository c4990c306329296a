//! Deferred releases: when a holder learns that its lock is wanted, and when the core has the driver look for its
//! release.

use manager_core::Holding;
use protocol::{LockGrant, ObjectId, Reply, Request, Selector, SessionId, SharedMemory, Spec, ThreadId};

use crate::fuzz::run_with_deferred_releases;
use crate::orderly;
use crate::random::seeds;
use crate::requests::{NO_TIME, SECOND, lock, rlock, wait_at_most, wait_for};
use crate::world::World;

/// A session that shares memory for deferred releases and holds a lock.
fn holder(world: &mut World) -> (SessionId, ObjectId, Holding) {
    let session = world.session("holder");
    world.send(session, Request::Share { memory: SharedMemory::DeferredReleases });
    let id = world.open(session, Some("lock"), Spec::Lock);
    let holding = acquire(world, session, id).holding;
    (session, id, Holding { session, lock: id, number: holding })
}

fn acquire(world: &mut World, session: SessionId, id: ObjectId) -> LockGrant {
    match world.ask(session, wait_for(lock(id))) {
        Reply::Taken(taken) => match &taken.grants[..] {
            [protocol::Grant::Lock(grant)] => grant.clone(),
            other => panic!("not a lock: {other:?}"),
        },
        other => panic!("not taken: {other:?}"),
    }
}

/// Applies a deferred release that was found.
fn release(world: &mut World, holding: Holding) {
    world.apply(manager_core::Input::DeferredRelease(holding));
}

#[test]
fn a_holder_learns_of_a_wait_and_its_release_is_looked_for() {
    let mut world = World::new();
    let (holder, id, holding) = holder(&mut world);
    assert_eq!(world.wants, []);
    let (b, c) = (world.session("b"), world.session("c"));
    let first = world.block(b, wait_for(lock(id)));
    assert_eq!(world.wants, [(holder, 1, Some(holding))]);
    let second = world.block(c, wait_for(lock(id)));
    assert_eq!(world.wants.len(), 1, "it knows already");
    release(&mut world, holding);
    assert_eq!(world.wants[1..], [(holder, 0, None)]);
    assert_eq!(world.granted(), [first]);
    world.kill(b);
    assert_eq!(world.granted(), [second]);
}

#[test]
fn a_holder_that_gets_a_wanted_lock_knows_it_from_the_beginning() {
    let mut world = World::new();
    let (a, id, holding) = holder(&mut world);
    let (b, c) = (world.session("b"), world.session("c"));
    world.send(b, Request::Share { memory: SharedMemory::DeferredReleases });
    world.block(b, wait_for(lock(id)));
    world.block(c, wait_for(lock(id)));
    world.wants.clear();
    release(&mut world, holding);
    assert_eq!(world.wants, [(a, 0, None), (b, 1, None)]);
    assert_eq!(world.uncertain_holdings(&wait_for(lock(id))), [], "it sends its release");
}

#[test]
fn what_is_wanted_already_is_written_as_soon_as_memory_is_shared() {
    let mut world = World::new();
    let a = world.session("a");
    let id = world.open(a, Some("lock"), Spec::Lock);
    acquire(&mut world, a, id);
    let b = world.session("b");
    world.block(b, wait_for(lock(id)));
    assert_eq!(world.wants, [], "there is no memory to write into");
    world.send(a, Request::Share { memory: SharedMemory::DeferredReleases });
    assert_eq!(world.wants, [(a, 1, None)]);
}

#[test]
fn a_request_that_depends_on_a_holder_makes_its_holding_uncertain() {
    let mut world = World::new();
    let (_, id, holding) = holder(&mut world);
    let thread = ThreadId(1);
    let requests = [
        wait_at_most(NO_TIME, lock(id)),
        wait_at_most(SECOND, rlock(id)),
        Request::Inspect { object: Selector::Id(id) },
        Request::Inspect { object: Selector::Name("lock") },
        Request::ForceRelease { id },
        Request::Release { id, holding: None, thread },
    ];
    for request in &requests {
        assert_eq!(world.uncertain_holdings(request), [holding], "{request:?}");
    }
    let others =
        [Request::Release { id, holding: Some(1), thread }, Request::Detach { id }, Request::Goodbye];
    for request in &others {
        assert_eq!(world.uncertain_holdings(request), [], "{request:?}");
    }
}

#[test]
fn nothing_is_uncertain_of_a_session_without_memory_or_of_a_free_lock() {
    let mut world = World::new();
    let a = world.session("a");
    let id = world.open(a, None, Spec::Lock);
    assert_eq!(world.uncertain_holdings(&wait_for(lock(id))), []);
    acquire(&mut world, a, id);
    assert_eq!(world.uncertain_holdings(&wait_for(lock(id))), []);
    let (_, other, holding) = holder(&mut world);
    release(&mut world, holding);
    assert_eq!(world.uncertain_holdings(&wait_for(lock(other))), []);
}

#[test]
fn the_holdings_of_a_session_are_its_locks_alone() {
    let mut world = World::new();
    let (session, _, holding) = holder(&mut world);
    let permits = world.open(session, None, Spec::Semaphore { permits: 1, is_bounded: false });
    world.ask(session, wait_for(protocol::Target::Semaphore { id: permits, permits: 1 }));
    let other = world.session("other");
    let id = world.open(other, None, Spec::Lock);
    let of_other = Holding { session: other, lock: id, number: acquire(&mut world, other, id).holding };
    assert_eq!(world.holding(session, holding.number), Some(holding));
    assert_eq!(world.holding(other, of_other.number), Some(of_other));
    for (session, number) in
        [(session, 0), (session, of_other.number), (other, holding.number), (other, u64::MAX)]
    {
        assert_eq!(world.holding(session, number), None);
    }
    release(&mut world, holding);
    assert_eq!(world.holding(session, holding.number), None);
}

#[test]
fn what_is_wanted_is_counted_over_all_locks_whatever_ends_it() {
    let mut world = World::new();
    let (a, first, holding) = holder(&mut world);
    let second = world.open(a, Some("second"), Spec::Lock);
    acquire(&mut world, a, second);
    let b = world.session("b");
    world.block(b, wait_for(lock(first)));
    world.block(b, crate::requests::on_thread(2, wait_for(lock(second))));
    let counts = |world: &World| world.wants.iter().map(|(_, wanted, _)| *wanted).collect::<Vec<_>>();
    assert_eq!(counts(&world), [1, 2]);
    world.ask(b, Request::Remove { id: second });
    release(&mut world, holding);
    assert_eq!(counts(&world), [1, 2, 1, 0]);
}

#[test]
fn a_client_that_may_defer_releases_and_does_not_gets_the_same_answers() {
    for seed in seeds(100) {
        run_with_deferred_releases(seed, 500, Some(orderly::setup), orderly::request);
    }
}

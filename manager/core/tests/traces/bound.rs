//! Sessions that end only when the processes bound to them are gone.

use manager_core::{DeathCause, Input, SessionEnd};
use protocol::{Kind, ObjectState, Reply, Request, SessionId, Spec};

use crate::requests::*;
use crate::world::World;

/// So many waits that no input ends them all.
const MANY: u64 = 5_000;

fn ending(world: &mut World, session: SessionId) {
    let ending = SessionEnd::Died(DeathCause::Signal(9));
    world.apply(Input::SessionEnding { session, ending, bound: vec![4711] });
}

#[test]
fn a_binding_is_the_drivers_work() {
    let mut world = World::new();
    let a = world.session("a");
    let request = world.send(a, Request::BindProcesses { leader: 4711 });
    assert_eq!(world.bound, [(a, request, 4711)]);
    world.silent();
    assert_eq!(world.ask(a, Request::UnbindProcesses { leader: 4711 }), Reply::Done);
    assert_eq!(world.unbound, [(a, 4711)]);
}

#[test]
fn what_an_ending_session_holds_stays_held() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let id = world.open(a, Some("lock"), Spec::Lock);
    world.acquire(a, lock(id));
    let waits = world.block(b, wait_for(lock(id)));
    let gives_up = world.block(b, on_thread(7, wait_at_most(SECOND, lock(id))));
    ending(&mut world, a);
    world.silent();
    let ObjectState::Lock { holder: Some(holder), .. } = world.inspect(b, id).state else {
        panic!("not held")
    };
    let text = "was ended by signal 9 (SIGKILL); what is bound to it has not ended yet: process session 4711";
    assert_eq!((holder.process, holder.ending.as_deref()), (100, Some(text)));
    let Reply::Sessions { sessions, .. } = world.ask(b, Request::ListSessions { after: None }) else {
        panic!("no list")
    };
    assert_eq!(sessions[0].ending.as_deref(), Some(text));

    // Waits of others time out as ever.
    world.pass(SECOND);
    assert_eq!(world.answer(b, gives_up), Some(Reply::TimedOut { reacquired: None }));
    world.apply(Input::SessionEnded { session: a, ending: SessionEnd::Died(DeathCause::Signal(9)) });
    let grant = world.locked(b, waits);
    assert!(grant.abandoned.as_ref().is_some_and(|abandonment| abandonment.process == 100));
}

#[test]
fn only_some_of_many_bound_processes_are_named() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let bound = (1..=1_024).collect();
    world.apply(Input::SessionEnding { session: a, ending: SessionEnd::Goodbye, bound });
    let Reply::Sessions { sessions, .. } = world.ask(b, Request::ListSessions { after: None }) else {
        panic!("no list")
    };
    let text = "what is bound to it has not ended yet: process session 1 2 3 4 5 6 7 8 and 1016 more";
    assert_eq!(sessions[0].ending.as_deref(), Some(&*format!("left; {text}")));
}

#[test]
fn an_ending_session_waits_for_nothing_and_its_lock_can_be_taken_by_force() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (id, e) = (world.open(a, Some("lock"), Spec::Lock), world.auto_event(a));
    world.attach(b, e, Kind::Event);
    world.acquire(a, lock(id));
    world.block(a, wait_for(event(e)));
    let waits = world.block(b, wait_for(event(e)));
    ending(&mut world, a);
    world.set(b, e);
    assert!(matches!(world.answer(b, waits), Some(Reply::Taken(_))), "it goes to a session that lives");
    assert_eq!(world.ask(b, Request::ForceRelease { id }), Reply::Done);
    world.acquire(b, lock(id));
    world.apply(Input::SessionEnded { session: a, ending: SessionEnd::Died(DeathCause::Signal(9)) });
    world.silent();
}

#[test]
fn notifications_pass_on_from_many_waits_of_a_session_that_ends_meanwhile() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(b, None, Spec::Lock);
    let c = world.open(b, None, over(l));
    for _ in 0..MANY {
        world.acquire(a, lock(l));
        world.block(a, wait_for(condition(c)));
    }
    let behind: Vec<_> = (0..MANY)
        .map(|_| {
            world.acquire(b, lock(l));
            world.block(b, wait_for(condition(c)))
        })
        .collect();
    world.acquire(b, lock(l));
    // They must have the lock again, which is taken.
    assert_eq!(world.count(b, notify(c, MANY as u32)), MANY);
    ending(&mut world, a);
    world.slice();
    world.kill(a);
    assert!(world.work() > 0);
    for request in behind {
        world.release(b, l);
        world.notified(b, request);
    }
}

//! A signal and a wait in one step.

use protocol::{Code, Grant, Reply, Request, Signal, Spec, Target, ThreadId, WaitMode};

use crate::requests::{event, latch, lock, permits, semaphore, wait_for};
use crate::world::World;

fn signal_and_wait<'a>(signal: Signal<'a>, target: Target<'a>) -> Request<'a> {
    Request::SignalAndWait {
        signal,
        mode: WaitMode::Any,
        targets: [target].into_iter().collect(),
        timeout_ns: None,
        thread: ThreadId(1),
    }
}

#[test]
fn a_signal_and_a_wait_are_one_step() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let (ping, pong) = (world.auto_event(a), world.auto_event(a));
    let mut waiting = world.block(b, wait_for(event(ping)));
    for _ in 0..3 {
        let there = Signal::EventSet { id: ping, reason: None };
        let other = world.block(a, signal_and_wait(there, event(pong)));
        world.grant(b, waiting);
        let back = Signal::EventSet { id: pong, reason: Some("back") };
        waiting = world.block(b, signal_and_wait(back, event(ping)));
        let Grant::Event(cause) = world.grant(a, other) else { panic!("an event") };
        assert_eq!(cause.reason.as_deref(), Some("back"));
    }
}

#[test]
fn a_signal_serves_its_waiters_before_the_wait_begins() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let turn = world.auto_event(a);
    let other = world.block(b, wait_for(event(turn)));
    let set = Signal::EventSet { id: turn, reason: None };
    let own = world.block(a, signal_and_wait(set.clone(), event(turn)));
    assert_eq!(world.granted(), [other]);
    world.set(b, turn);
    assert_eq!(world.granted(), [own]);
    // With nobody else there, it serves itself.
    assert!(matches!(world.ask(a, signal_and_wait(set, event(turn))), Reply::Taken(_)));
}

#[test]
fn every_signal_does_what_the_request_of_its_name_does() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let l = world.open(a, None, Spec::Lock);
    let s = world.open(a, None, semaphore(0));
    let down = world.open(a, None, Spec::Latch { count: 1 });
    let e = world.event(a, "e");
    let holding = world.acquire(a, lock(l)).holding;
    let waits = [
        world.block(b, wait_for(lock(l))),
        world.block(b, wait_for(permits(s, 2))),
        world.block(b, wait_for(latch(down))),
    ];
    let signals = [
        Signal::Release { id: l, holding: Some(holding) },
        Signal::SemaphoreRelease { id: s, permits: 2 },
        Signal::LatchCountDown { id: down, count: 1 },
    ];
    for (signal, wait) in signals.into_iter().zip(waits) {
        world.block(a, signal_and_wait(signal, event(e)));
        assert_eq!(world.granted(), [wait]);
    }
}

#[test]
fn a_refused_signal_refuses_the_whole_request() {
    let mut world = World::new();
    let a = world.session("a");
    let l = world.open(a, None, Spec::Lock);
    let e = world.auto_event(a);
    world.set(a, e);
    let not_held = Signal::Release { id: l, holding: None };
    assert_eq!(world.refused(a, signal_and_wait(not_held, event(e))).0, Code::NotOwner);
    assert!(world.is_set(a, e), "nothing was taken");
    let unknown = world.fresh_id();
    let nothing = Signal::EventSet { id: unknown, reason: None };
    assert_eq!(world.refused(a, signal_and_wait(nothing, event(e))).0, Code::NoSuchObject);
}

#[test]
fn a_wait_that_cannot_begin_leaves_its_signal_ungiven() {
    let mut world = World::new();
    let a = world.session("a");
    let (stop, pool) = (world.event(a, "stop"), world.open(a, None, Spec::Pool));
    let set = Signal::EventSet { id: stop, reason: None };
    let unknown = world.fresh_id();
    for (target, code) in [(event(pool), Code::WrongKind), (event(unknown), Code::NoSuchObject)] {
        assert_eq!(world.refused(a, signal_and_wait(set.clone(), target)).0, code);
        assert!(!world.is_set(a, stop));
    }
}

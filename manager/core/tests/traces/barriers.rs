//! Barriers: which parties come, which one leads, what breaks them, and the action that one party runs for all.

use protocol::{BarrierStatus, Code, Grant, ObjectId, Reply, Request, RequestId, SessionId, Spec};

use crate::requests::{
    NO_TIME, SECOND, any, barrier, barrier_with_action, event, on_thread, put, queue, wait_at_most, wait_for,
};
use crate::world::World;

fn index(world: &mut World, session: SessionId, request: RequestId) -> (u32, bool) {
    match world.grant(session, request) {
        Grant::Barrier { index, leads, .. } => (index, leads),
        other => panic!("not a barrier: {other:?}"),
    }
}

fn status(world: &mut World, session: SessionId, id: ObjectId) -> BarrierStatus {
    match world.ask(session, Request::BarrierStatus { id }) {
        Reply::Barrier(status) => status,
        other => panic!("not a barrier: {other:?}"),
    }
}

fn abort(id: ObjectId) -> Request<'static> {
    Request::BarrierAbort { id, turn: None, reason: "no fuel" }
}

fn pass(id: ObjectId, turn: u64) -> Request<'static> {
    Request::BarrierPass { id, turn }
}

/// Three sessions and a barrier for them.
fn three(world: &mut World) -> ([SessionId; 3], ObjectId) {
    let sessions = [world.session("a"), world.session("b"), world.session("c")];
    let id = world.open(sessions[0], Some("gate"), Spec::Barrier { parties: 3 });
    (sessions, id)
}

#[test]
fn all_go_when_all_have_come_each_with_its_index_and_the_last_leads() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    for _ in 0..2 {
        let first = world.block(b, wait_for(barrier(gate)));
        let second = world.block(a, wait_for(barrier(gate)));
        assert_eq!(status(&mut world, c, gate), BarrierStatus { parties: 3, waiting: 2, broken: None });
        let third = world.send(c, wait_for(barrier(gate)));
        assert_eq!(index(&mut world, b, first), (0, false));
        assert_eq!(index(&mut world, a, second), (1, false));
        assert_eq!(index(&mut world, c, third), (2, true));
        assert_eq!(status(&mut world, c, gate).waiting, 0);
    }
}

#[test]
fn a_barrier_of_one_lets_everyone_through_also_without_waiting() {
    let mut world = World::new();
    let a = world.session("a");
    let gate = world.open(a, None, Spec::Barrier { parties: 1 });
    assert_eq!(world.take(a, barrier(gate)), Grant::Barrier { index: 0, leads: true, turn: 1 });
    let request = world.send(a, wait_at_most(NO_TIME, barrier(gate)));
    assert_eq!(index(&mut world, a, request), (0, true));
    assert!(!world.has_deadline());
}

#[test]
fn a_barrier_has_at_least_one_party() {
    let mut world = World::new();
    let a = world.session("a");
    let (id, spec) = (world.fresh_id(), Spec::Barrier { parties: 0 });
    let request = Request::Open { id, name: None, spec, mode: protocol::OpenMode::CreateNew };
    assert_eq!(world.refused(a, request).0, Code::BadArgument);
}

#[test]
fn threads_of_one_process_are_parties_of_their_own() {
    let mut world = World::new();
    let a = world.session("a");
    let gate = world.open(a, None, Spec::Barrier { parties: 2 });
    let first = world.block(a, on_thread(1, wait_for(barrier(gate))));
    let second = world.send(a, on_thread(2, wait_for(barrier(gate))));
    assert_eq!(index(&mut world, a, first), (0, false));
    assert_eq!(index(&mut world, a, second), (1, true));
}

#[test]
fn a_party_that_times_out_breaks_the_barrier_for_all_that_wait_or_come() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let patient = world.block(a, wait_for(barrier(gate)));
    let impatient = world.block(b, wait_at_most(SECOND, barrier(gate)));
    world.pass(SECOND);
    assert_eq!(world.answer(b, impatient), Some(Reply::TimedOut { reacquired: None }));
    let why = "the barrier is broken: process 200 (b) did not wait longer";
    assert_eq!(world.refusal(a, patient), (Code::Broken, why.into()));
    assert_eq!(world.refused(c, wait_for(barrier(gate))), (Code::Broken, why.into()));
    assert_eq!(status(&mut world, c, gate).broken.as_deref(), Some("process 200 (b) did not wait longer"));
}

#[test]
fn a_party_that_does_not_wait_at_all_breaks_the_barrier_unless_it_is_the_last() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let no_time = wait_at_most(NO_TIME, barrier(gate));
    let waits = [world.block(a, wait_for(barrier(gate))), world.block(b, wait_for(barrier(gate)))];
    let last = world.send(c, no_time.clone());
    assert_eq!(world.granted(), [waits[0], waits[1], last]);
    let first = world.send(c, no_time);
    world.pass(NO_TIME);
    assert_eq!(world.answer(c, first), Some(Reply::TimedOut { reacquired: None }));
    assert_eq!(world.refused(a, wait_for(barrier(gate))).0, Code::Broken);
}

#[test]
fn a_dead_party_breaks_the_barrier_by_name() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let waiting = world.block(a, wait_for(barrier(gate)));
    world.block(b, wait_for(barrier(gate)));
    world.kill(b);
    let why = "the barrier is broken: process 200 (b) was ended by signal 9 (SIGKILL)";
    assert_eq!(world.refusal(a, waiting), (Code::Broken, why.into()));
    assert_eq!(world.refused(c, wait_for(barrier(gate))), (Code::Broken, why.into()));
}

#[test]
fn a_party_that_says_goodbye_or_cancels_breaks_it_as_well() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let cancelled = world.block(b, wait_for(barrier(gate)));
    world.done(b, Request::Cancel { request: cancelled });
    assert_eq!(world.refusal(b, cancelled).0, Code::Cancelled);
    assert_eq!(status(&mut world, a, gate).broken.as_deref(), Some("process 200 (b) cancelled its wait"));
    world.done(a, Request::BarrierReset { id: gate });
    world.block(c, wait_for(barrier(gate)));
    world.leave(c);
    assert_eq!(status(&mut world, a, gate).broken.as_deref(), Some("process 300 (c) left"));
}

#[test]
fn the_death_of_a_party_that_passed_breaks_nothing() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    world.block(a, wait_for(barrier(gate)));
    world.block(b, wait_for(barrier(gate)));
    world.send(c, wait_for(barrier(gate)));
    world.kill(b);
    assert_eq!(status(&mut world, a, gate).broken, None);
}

#[test]
fn an_abort_breaks_the_barrier_with_a_reason_and_the_first_cause_counts() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let waiting = world.block(a, wait_for(barrier(gate)));
    world.done(b, abort(gate));
    let why = "the barrier is broken: process 200 (b) aborted it: no fuel";
    assert_eq!(world.refusal(a, waiting), (Code::Broken, why.into()));
    world.done(c, Request::BarrierAbort { id: gate, turn: None, reason: "another" });
    assert_eq!(world.refused(c, wait_for(barrier(gate))).1, why);
    for reason in ["x".repeat(1025), "a\0\n\x1b[31mred".to_owned()] {
        let abort = Request::BarrierAbort { id: gate, turn: None, reason: &reason };
        assert_eq!(world.refused(c, abort).0, Code::BadArgument, "{reason:?}");
    }
}

#[test]
fn a_reset_refuses_the_waiters_and_makes_the_barrier_like_new() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let waiting = world.block(a, wait_for(barrier(gate)));
    world.done(b, Request::BarrierReset { id: gate });
    let text = r#"the barrier "gate" was reset by process 200 (b)"#;
    assert_eq!(world.refusal(a, waiting), (Code::Broken, text.into()));
    world.done(b, abort(gate));
    world.done(b, Request::BarrierReset { id: gate });
    let waits = [world.block(a, wait_for(barrier(gate))), world.block(b, wait_for(barrier(gate)))];
    let last = world.send(c, wait_for(barrier(gate)));
    assert_eq!(world.granted(), [waits[0], waits[1], last]);
}

#[test]
fn leaving_by_another_target_breaks_nothing_and_is_not_coming() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let stop = world.event(a, "stop");
    let either = world.block(a, any(&[barrier(gate), event(stop)]));
    let waits = [world.block(b, wait_for(barrier(gate)))];
    world.set(b, stop);
    assert_eq!(world.taken(a, either).index, 1);
    assert_eq!(status(&mut world, c, gate), BarrierStatus { parties: 3, waiting: 1, broken: None });
    world.block(c, wait_for(barrier(gate)));
    assert_eq!(world.answer(b, waits[0]), None);
    world.clear(a, stop);
    let third = world.send(a, any(&[event(stop), barrier(gate)]));
    assert_eq!(world.taken(a, third).index, 1);
    assert_eq!(world.granted().len(), 2);
}

#[test]
fn a_barrier_that_a_wait_names_twice_counts_one_party() {
    let mut world = World::new();
    let a = world.session("a");
    let gate = world.open(a, None, Spec::Barrier { parties: 2 });
    let twice = world.block(a, any(&[barrier(gate), barrier(gate)]));
    assert_eq!(status(&mut world, a, gate).waiting, 1);
    let other = world.send(a, on_thread(2, wait_for(barrier(gate))));
    assert_eq!(index(&mut world, a, twice), (0, false));
    assert_eq!(index(&mut world, a, other), (1, true));
}

#[test]
fn the_last_that_brought_an_action_goes_first_and_the_others_when_it_says_so() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let first = world.block(a, wait_for(barrier_with_action(gate)));
    let second = world.block(b, wait_for(barrier_with_action(gate)));
    let third = world.block(c, wait_for(barrier(gate)));
    assert_eq!(index(&mut world, b, second), (1, true), "exactly one leads");
    world.silent();
    assert_eq!(world.refused(a, pass(gate, 1)).0, Code::NotOwner);
    world.done(b, pass(gate, 1));
    assert_eq!(index(&mut world, a, first), (0, false));
    assert_eq!(index(&mut world, c, third), (2, false));
    assert_eq!(world.refused(b, pass(gate, 1)).0, Code::NotOwner, "once");
}

#[test]
fn an_action_that_fails_breaks_the_barrier() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let waits = [world.block(a, wait_for(barrier(gate))), world.block(b, wait_for(barrier(gate)))];
    let action = world.send(c, wait_for(barrier_with_action(gate)));
    assert_eq!(index(&mut world, c, action), (2, true));
    world.done(c, abort(gate));
    for (session, wait) in [(a, waits[0]), (b, waits[1])] {
        let (code, text) = world.refusal(session, wait);
        assert_eq!((code, text.contains("process 300 (c) aborted it: no fuel")), (Code::Broken, true));
    }
    assert_eq!(world.refused(c, pass(gate, 1)).0, Code::Broken);
}

#[test]
fn an_actor_that_dies_breaks_the_barrier_by_name() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let waiting = world.block(a, wait_for(barrier(gate)));
    world.block(b, wait_for(barrier(gate)));
    world.send(c, wait_for(barrier_with_action(gate)));
    world.kill(c);
    let why = "the barrier is broken: process 300 (c) was ended by signal 9 (SIGKILL)";
    assert_eq!(world.refusal(a, waiting), (Code::Broken, why.into()));
}

#[test]
fn a_party_that_comes_during_the_action_belongs_to_the_next_turn() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let others = [world.session("d"), world.session("e"), world.session("f")];
    let waits = [world.block(a, wait_for(barrier(gate))), world.block(b, wait_for(barrier(gate)))];
    let action = world.send(c, wait_for(barrier_with_action(gate)));
    assert_eq!(index(&mut world, c, action), (2, true));
    let next = others.map(|other| world.block(other, wait_for(barrier(gate))));
    world.done(c, pass(gate, 1));
    assert_eq!(world.granted(), [waits[0], waits[1], next[0], next[1], next[2]]);
}

#[test]
fn several_turns_that_have_come_during_the_action_follow_each_with_its_own_action() {
    let mut world = World::new();
    let a = world.session("a");
    let gate = world.open(a, None, Spec::Barrier { parties: 2 });
    let party =
        |world: &mut World, thread| world.send(a, on_thread(thread, wait_for(barrier_with_action(gate))));
    let requests: Vec<_> = (1..=6).map(|thread| party(&mut world, thread)).collect();
    for (number, turn) in (1..).zip(requests.chunks(2)) {
        assert_eq!(index(&mut world, a, turn[1]), (1, true));
        world.silent();
        world.done(a, pass(gate, number));
        assert_eq!(index(&mut world, a, turn[0]), (0, false));
    }
}

#[test]
fn a_reset_during_the_action_ends_it_and_a_timeout_breaks_it() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    for (reset, turn) in [(true, 1), (false, 2)] {
        let first = world.block(a, wait_at_most(SECOND, barrier(gate)));
        let second = world.block(b, wait_for(barrier(gate)));
        let action = world.send(c, wait_for(barrier_with_action(gate)));
        assert_eq!(index(&mut world, c, action), (2, true));
        let late = if reset {
            world.done(b, Request::BarrierReset { id: gate });
            assert_eq!(world.refusal(a, first).0, Code::Broken);
            Code::NotOwner
        } else {
            world.pass(SECOND);
            assert_eq!(world.answer(a, first), Some(Reply::TimedOut { reacquired: None }));
            Code::Broken
        };
        assert_eq!(world.refusal(b, second).0, Code::Broken);
        assert_eq!(world.refused(c, pass(gate, turn)).0, late);
    }
}

#[test]
fn removing_a_barrier_during_the_action_refuses_everyone() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let waiting = world.block(a, wait_for(barrier(gate)));
    world.block(b, wait_for(barrier(gate)));
    world.send(c, wait_for(barrier_with_action(gate)));
    world.done(a, Request::Remove { id: gate });
    assert_eq!(world.refusal(a, waiting).0, Code::Removed);
    assert_eq!(world.refused(c, pass(gate, 1)).0, Code::NoSuchObject);
    world.kill(c);
}

#[test]
fn a_session_that_does_not_run_the_action_lets_nobody_pass() {
    let mut world = World::new();
    let ([a, b, _], gate) = three(&mut world);
    world.block(a, wait_for(barrier_with_action(gate)));
    let (code, text) = world.refused(b, pass(gate, 1));
    assert_eq!(code, Code::NotOwner);
    assert_eq!(text, r#"this process does not run the action of the barrier "gate""#);
}

#[test]
fn what_an_action_tells_after_its_turn_is_over_does_nothing_to_the_next() {
    let mut world = World::new();
    let a = world.session("a");
    let gate = world.open(a, None, Spec::Barrier { parties: 2 });
    let first = world.block(a, on_thread(1, wait_for(barrier(gate))));
    let late = world.send(a, on_thread(2, wait_for(barrier_with_action(gate))));
    assert_eq!(index(&mut world, a, late), (1, true));
    world.done(a, Request::BarrierReset { id: gate });
    assert_eq!(world.refusal(a, first).0, Code::Broken);
    let waiting = world.block(a, on_thread(1, wait_for(barrier(gate))));
    let action = world.send(a, on_thread(3, wait_for(barrier_with_action(gate))));
    assert_eq!(world.grant(a, action), Grant::Barrier { index: 1, leads: true, turn: 2 });
    let failed = |turn| Request::BarrierAbort { id: gate, turn: Some(turn), reason: "too late" };
    for late in [pass(gate, 1), failed(1), pass(gate, 3), failed(3)] {
        assert_eq!(world.refused(a, late).0, Code::NotOwner);
    }
    world.silent();
    assert_eq!(status(&mut world, a, gate).broken, None);
    world.done(a, pass(gate, 2));
    assert_eq!(world.grant(a, waiting), Grant::Barrier { index: 0, leads: false, turn: 2 });
    assert_eq!(world.refused(a, failed(2)).0, Code::NotOwner, "it has ended well");
}

#[test]
fn a_party_that_has_come_takes_nothing_else_while_the_action_runs() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let stop = world.auto_event(a);
    let full = world.open(a, None, queue(Some(1)));
    world.put(a, full, b"1");
    let first = world.block(a, any(&[event(stop), put(full, b"mine"), barrier(gate)]));
    let next = world.block(c, wait_for(put(full, b"next")));
    let second = world.block(b, any(&[barrier(gate), event(stop)]));
    let action = world.send(c, on_thread(2, wait_for(barrier_with_action(gate))));
    assert_eq!(index(&mut world, c, action), (2, true));
    world.set(c, stop);
    assert_eq!(world.get(c, full), b"1");
    assert_eq!(world.granted(), [next], "the next waiter is served");
    assert!(world.is_set(c, stop), "nobody waits for it any more");
    assert_eq!(status(&mut world, c, gate).waiting, 2);
    world.done(c, pass(gate, 1));
    assert_eq!(world.taken(a, first).index, 2);
    assert_eq!(world.taken(b, second).index, 0);
    assert_eq!(world.get(c, full), b"next");
    assert_eq!(world.length(c, full), 0);
}

#[test]
fn removing_another_target_of_a_party_that_has_come_refuses_nothing() {
    let mut world = World::new();
    let ([a, b, c], gate) = three(&mut world);
    let stop = world.event(a, "stop");
    let first = world.block(a, any(&[event(stop), barrier(gate), barrier(gate)]));
    let second = world.block(b, wait_for(barrier(gate)));
    world.send(c, wait_for(barrier_with_action(gate)));
    world.done(c, Request::Remove { id: stop });
    assert_eq!(world.answer(a, first), None);
    world.kill(a);
    let why = "the barrier is broken: process 100 (a) was ended by signal 9 (SIGKILL)";
    assert_eq!(world.refusal(b, second), (Code::Broken, why.into()));
}

//! Deadlocks: the core refuses at once a request that would close a cycle, and leaves alone what has a way out.

use protocol::{Code, ObjectId, Reply, Request, SessionId, Signal, Spec, ThreadId, WaitMode};

use crate::requests::{
    SECOND, all, any, event, lock, on_thread, permits, rlock, semaphore, wait_at_most, wait_for,
};
use crate::world::World;

/// Locks of these names.
pub(crate) fn locks<const COUNT: usize>(
    world: &mut World,
    session: SessionId,
    names: [&str; COUNT],
) -> [ObjectId; COUNT] {
    names.map(|name| world.open(session, Some(name), Spec::Lock))
}

pub(crate) fn deadlocked(world: &mut World, session: SessionId, body: Request<'_>) -> String {
    let (code, text) = world.refused(session, body);
    assert_eq!(code, Code::Deadlock, "{text}");
    text
}

#[test]
fn a_thread_that_waits_for_a_lock_that_it_holds_is_refused() {
    let mut world = World::new();
    let a = world.session("a");
    let [x] = locks(&mut world, a, ["x"]);
    world.acquire(a, lock(x));
    assert_eq!(
        deadlocked(&mut world, a, wait_for(lock(x))),
        "this wait would never end: process 100 (a), thread 1 waits for the lock \"x\", \
         held by process 100 (a), thread 1"
    );
    world.release(a, x);
    world.acquire(a, lock(x));
}

#[test]
fn a_reentrant_lock_is_no_deadlock_for_its_holder() {
    let mut world = World::new();
    let a = world.session("a");
    let r = world.open(a, None, Spec::RLock);
    world.acquire(a, rlock(r));
    assert_eq!(world.acquire(a, rlock(r)).depth, 2);
}

#[test]
fn two_processes_that_wait_for_each_other_are_told_in_words() {
    let mut world = World::new();
    let (a, b) = (world.session("left"), world.session("right"));
    let [x, y] = locks(&mut world, a, ["x", "y"]);
    world.acquire(a, lock(x));
    world.acquire(b, lock(y));
    let waiting = world.block(a, wait_for(lock(y)));
    assert_eq!(
        deadlocked(&mut world, b, wait_for(lock(x))),
        "this wait would never end: process 200 (right), thread 1 waits for the lock \"x\", \
         held by process 100 (left), thread 1, which waits for the lock \"y\", \
         held by process 200 (right), thread 1"
    );
    // Only the request that closes the cycle fails, and the others go on.
    world.release(b, y);
    world.locked(a, waiting);
}

#[test]
fn three_parties_over_locks_of_both_kinds() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let [x, y] = locks(&mut world, a, ["x", "y"]);
    let r = world.open(a, Some("r"), Spec::RLock);
    world.acquire(a, lock(x));
    world.acquire(b, rlock(r));
    world.acquire(c, lock(y));
    world.block(a, wait_for(rlock(r)));
    world.block(b, wait_for(lock(y)));
    let text = deadlocked(&mut world, c, wait_for(lock(x)));
    let order = [
        "process 300 (c)",
        "lock \"x\"",
        "process 100 (a)",
        "reentrant lock \"r\"",
        "process 200 (b)",
        "lock \"y\"",
        "process 300 (c)",
    ];
    let mut rest = &*text;
    for part in order {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} comes next in {text:?}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn two_threads_of_one_process_are_two_parties() {
    let mut world = World::new();
    let a = world.session("a");
    let [x, y] = locks(&mut world, a, ["x", "y"]);
    world.acquire(a, lock(x));
    let request = world.send(a, on_thread(2, wait_for(lock(y))));
    world.locked(a, request);
    world.block(a, on_thread(2, wait_for(lock(x))));
    let text = deadlocked(&mut world, a, wait_for(lock(y)));
    assert!(text.contains("thread 1") && text.contains("thread 2"), "{text}");
}

#[test]
fn a_holder_that_is_not_blocked_is_no_deadlock() {
    let mut world = World::new();
    let a = world.session("a");
    let [x, y] = locks(&mut world, a, ["x", "y"]);
    world.acquire(a, lock(x));
    world.acquire(a, lock(y));
    world.block(a, on_thread(2, wait_for(lock(x))));
    world.block(a, on_thread(3, wait_for(lock(y))));
}

#[test]
fn a_chain_without_a_cycle_is_no_deadlock() {
    let mut world = World::new();
    let a = world.session("a");
    let names: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let ids: Vec<_> = names.iter().map(|name| world.open(a, Some(name), Spec::Lock)).collect();
    for (thread, &id) in ids.iter().enumerate() {
        let request = world.send(a, on_thread(thread as u64, wait_for(lock(id))));
        world.locked(a, request);
    }
    for (thread, &id) in ids[1..].iter().enumerate() {
        world.block(a, on_thread(thread as u64, wait_for(lock(id))));
    }
    deadlocked(&mut world, a, on_thread(49, wait_for(lock(ids[0]))));
    assert_eq!(world.inspect(a, ids[49]).waiting, 1);
}

#[test]
fn a_wait_with_an_alternative_is_no_deadlock() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let [x, y, z] = locks(&mut world, a, ["x", "y", "z"]);
    let stop = world.event(a, "stop");
    world.acquire(a, lock(x));
    world.acquire(b, lock(y));
    // Its own alternative, and that of another in the cycle.
    let own = world.block(a, any(&[lock(x), event(stop)]));
    world.done(a, Request::Cancel { request: own });
    world.refusal(a, own);
    let either = world.block(a, any(&[lock(y), event(stop)]));
    let behind = world.block(b, wait_for(lock(x)));
    world.set(b, stop);
    assert_eq!(world.taken(a, either).index, 1);
    world.release(a, x);
    world.locked(b, behind);
    // Another lock is an alternative while its holder is not blocked, but not when it is in the cycle as well.
    world.acquire(a, lock(z));
    world.block(a, any(&[lock(x), lock(y)]));
    deadlocked(&mut world, b, wait_for(lock(z)));
    deadlocked(&mut world, b, any(&[lock(z), lock(x)]));
}

#[test]
fn an_alternative_among_locks_that_is_outside_the_cycle_is_a_way_out() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let [x, y, z] = locks(&mut world, a, ["x", "y", "z"]);
    world.acquire(a, lock(x));
    world.acquire(b, lock(y));
    world.acquire(c, lock(z));
    let either = world.block(a, any(&[lock(y), lock(z)]));
    let behind = world.block(b, wait_for(lock(x)));
    // Now the last way out would close.
    deadlocked(&mut world, c, wait_for(lock(y)));
    world.release(c, z);
    assert_eq!(world.taken(a, either).index, 1);
    world.release(a, x);
    world.locked(b, behind);
}

#[test]
fn a_wait_with_a_timeout_is_no_deadlock_for_itself_or_for_others() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let [x, y] = locks(&mut world, a, ["x", "y"]);
    world.acquire(a, lock(x));
    let own = world.block(a, wait_at_most(SECOND, lock(x)));
    world.pass(SECOND);
    assert_eq!(world.answer(a, own), Some(Reply::TimedOut { reacquired: None }));
    world.acquire(b, lock(y));
    let impatient = world.block(a, wait_at_most(SECOND, lock(y)));
    let behind = world.block(b, wait_for(lock(x)));
    world.pass(SECOND);
    assert_eq!(world.answer(a, impatient), Some(Reply::TimedOut { reacquired: None }));
    // With its way out gone it may not wait forever.
    deadlocked(&mut world, a, wait_for(lock(y)));
    world.release(a, x);
    world.locked(b, behind);
}

#[test]
fn a_wait_for_all_is_deadlocked_by_one_of_its_locks() {
    let mut world = World::new();
    let (a, b, c) = (world.session("a"), world.session("b"), world.session("c"));
    let [x, y, z] = locks(&mut world, a, ["x", "y", "z"]);
    let stop = world.event(a, "stop");
    world.acquire(a, lock(x));
    deadlocked(&mut world, a, all(&[event(stop), lock(x)]));
    world.acquire(b, lock(y));
    world.acquire(c, lock(z));
    world.block(a, all(&[lock(z), lock(y), event(stop)]));
    deadlocked(&mut world, b, wait_for(lock(x)));
    deadlocked(&mut world, c, wait_for(lock(x)));
    deadlocked(&mut world, c, all(&[lock(y), lock(x)]));
}

#[test]
fn what_is_not_a_lock_is_no_deadlock_that_the_manager_could_know() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let [x] = locks(&mut world, a, ["x"]);
    let s = world.open(a, None, semaphore(1));
    world.acquire(a, lock(x));
    world.take(b, permits(s, 1));
    world.block(a, wait_for(permits(s, 1)));
    // Anyone may release a permit.
    world.block(b, wait_for(lock(x)));
}

#[test]
fn a_deadlock_that_was_refused_leaves_no_trace() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let [x] = locks(&mut world, a, ["x"]);
    world.acquire(a, lock(x));
    deadlocked(&mut world, a, wait_for(lock(x)));
    assert_eq!(world.inspect(b, x).waiting, 0);
    let waiting = world.block(b, wait_for(lock(x)));
    world.release(a, x);
    world.locked(b, waiting);
    world.silent();
}

#[test]
fn the_death_of_a_party_frees_the_others_without_a_deadlock() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let [x, y] = locks(&mut world, b, ["x", "y"]);
    world.acquire(a, lock(x));
    world.acquire(b, lock(y));
    world.block(a, wait_for(lock(y)));
    world.kill(a);
    assert!(world.acquire(b, lock(x)).abandoned.is_some());
}

#[test]
fn a_signal_that_gives_a_lock_back_comes_before_the_look_for_deadlocks() {
    let mut world = World::new();
    let (a, b) = (world.session("a"), world.session("b"));
    let [x, y] = locks(&mut world, a, ["x", "y"]);
    world.acquire(a, lock(x));
    world.acquire(b, lock(y));
    let other = world.block(b, wait_for(lock(x)));
    let swap = Request::SignalAndWait {
        signal: Signal::Release { id: x, holding: None },
        mode: WaitMode::Any,
        targets: [lock(y)].into_iter().collect(),
        timeout_ns: None,
        thread: ThreadId(1),
    };
    let waiting = world.block(a, swap);
    world.locked(b, other);
    world.release(b, y);
    world.locked(a, waiting);
}

#[test]
fn a_wait_for_all_may_name_a_reentrant_lock_that_its_thread_holds() {
    let mut world = World::new();
    let a = world.session("a");
    let (r, e) = (world.open(a, None, Spec::RLock), world.auto_event(a));
    world.acquire(a, rlock(r));
    let both = world.block(a, all(&[rlock(r), event(e)]));
    world.set(a, e);
    assert_eq!(world.taken(a, both).grants.len(), 2);
}

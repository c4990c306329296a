//! Searches for deadlocks among many threads.

use manager_core::Input;
use protocol::{ObjectId, Request, SessionId, Spec, Target};

use crate::requests::{all, any};
use crate::timed_core::{TimedCore, TimedScenario};

/// How many threads of a chain each session has.
const THREADS_PER_SESSION: u64 = 60_000;

pub(crate) const SCENARIOS: &[(&str, TimedScenario)] = &[
    ("a long chain of locks is closed", |world| {
        let (a, locks) = chain(world, 1_000_000);
        world.begin();
        world.carry_out(a, any(1_000_000, [Target::Lock { id: locks[0] }]));
    }),
    ("a long chain of locks is closed, and opened by force", |world| {
        let (a, locks) = chain(world, 300_000);
        world.send(a, any(300_000, [Target::Lock { id: locks[0] }]));
        // In the middle of the search.
        (0..200).for_each(|_| world.apply(Input::TimePassed));
        world.begin();
        world.carry_out(a, Request::ForceRelease { id: locks[7] });
    }),
    ("locks are released by a chain", |world| {
        let (a, locks) = chain(world, 300_000);
        let b = world.session();
        world.send(b, any(1, [Target::Lock { id: locks[0] }]));
        world.begin();
        world.kill(a);
    }),
    ("a wait for 1,000 locks whose holders wait for any of them", |world| {
        let (a, b) = (world.session(), world.session());
        let way_out = world.open(b, Spec::Lock);
        world.send(b, any(1, [Target::Lock { id: way_out }]));
        let locks: Vec<_> = (1..=1_000).map(|thread| world.held_lock(a, thread)).collect();
        let locks = || locks.iter().map(|&id| Target::Lock { id });
        for thread in 1..=1_000 {
            world.send(a, any(thread, [Target::Lock { id: way_out }].into_iter().chain(locks())));
        }
        world.begin();
        world.carry_out(b, all(1, locks()));
    }),
    ("a deadlock is broken of threads with many waits", |world| {
        let a = world.session();
        let locks: Vec<_> = (1..=8).map(|thread| world.held_lock(a, thread)).collect();
        for _ in 0..8_000 {
            for thread in 1..=7 {
                world.send(a, any(thread, [Target::Lock { id: locks[thread as usize] }]));
            }
        }
        world.begin();
        world.carry_out(a, any(8, [Target::Lock { id: locks[0] }]));
    }),
];

/// Threads that hold a lock each, and wait for the next but the last. Returns the session of the last, and the locks.
fn chain(world: &mut TimedCore, length: u64) -> (SessionId, Vec<ObjectId>) {
    let sessions: Vec<_> = (0..length / THREADS_PER_SESSION + 1).map(|_| world.session()).collect();
    let of = |thread: u64| sessions[(thread / THREADS_PER_SESSION) as usize];
    let locks: Vec<_> = (1..=length).map(|thread| world.held_lock(of(thread), thread)).collect();
    for thread in 1..length {
        world.send(of(thread), any(thread, [Target::Lock { id: locks[thread as usize] }]));
    }
    (of(length), locks)
}

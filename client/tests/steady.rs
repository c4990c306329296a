//! Repeated calls allocate nothing in the thread that calls: neither for a round trip nor for a look at a mirror.

#[path = "../../tests/support/counting_allocator.rs"]
mod counting_allocator;

use std::thread;
use std::time::Duration;

use client::Manager;

/// How many allocations this many calls make in this thread, after as many warm-up calls.
fn allocations(call: impl Fn()) -> u64 {
    const CALLS: u32 = 1_000;
    (0..CALLS).for_each(|_| call());
    let before = counting_allocator::allocations();
    (0..CALLS).for_each(|_| call());
    counting_allocator::allocations() - before
}

#[test]
fn steady_calls_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("own/m.sock");
    let host =
        manager::EventLoop::bind(manager::ManagerOptions::new(manager::Address::unix(&socket).unwrap()))
            .unwrap();
    let stopper = host.stopper();
    let serving = thread::spawn(move || host.run().unwrap());

    let manager = Manager::connect_to(&socket).unwrap();
    let event = manager.event("flag").unwrap();
    let mirror = event.mirror().unwrap();
    assert_eq!(allocations(|| assert!(!event.is_set().unwrap())), 0, "is_set");
    assert_eq!(allocations(|| assert!(!mirror.is_set().unwrap())), 0, "is_set of a mirror");
    assert_eq!(allocations(|| assert!(!mirror.wait(Duration::ZERO).unwrap())), 0, "wait of a mirror");
    let toggle = || event.set().and_then(|()| event.clear()).unwrap();
    assert_eq!(allocations(toggle), 0, "set and clear");
    let lock = manager.lock("lock").unwrap();
    assert_eq!(allocations(|| drop(lock.acquire().unwrap())), 0, "acquire and release");
    assert!(allocations(|| drop(std::hint::black_box(Box::new(1)))) > 0, "what is counted are allocations");

    drop((lock, mirror, event, manager));
    stopper.stop();
    serving.join().unwrap();
}

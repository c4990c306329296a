//! What is called again and again allocates nothing in the thread that calls: neither for a round trip nor for a look
//! at a mirror. That is counted by an allocator of this test's own, hence the `unsafe`: there is no other way to be
//! one.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread;
use std::time::Duration;

use client::Manager;

/// Counts, for each thread, how often memory was asked for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: each call goes on to the system's allocator as it came, which keeps what this trait promises. The counter is
// a plain value without a destructor, so counting neither allocates nor fails.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

/// How often memory was asked for in this thread by so many calls that come after as many others.
fn allocations(call: impl Fn()) -> u64 {
    const CALLS: u32 = 1_000;
    (0..CALLS).for_each(|_| call());
    let before = ALLOCATIONS.get();
    (0..CALLS).for_each(|_| call());
    ALLOCATIONS.get() - before
}

#[test]
fn steady_calls_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("own/m.sock");
    let host = manager::Manager::bind(manager::Options::new(&socket)).unwrap();
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

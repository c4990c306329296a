//! An innocent client asks `is_set` again and again, while another does what takes the manager longest. It is answered
//! in time.
//!
//! The traces of the core count the steps of each input; see `manager/core/tests/traces/steps.rs`. What counts here is
//! how long the manager's thread works before it answers, whatever else the machine does; in a build for debugging it
//! works some twenty times as long. What these inputs took when each was done in one go, in a build for release, is
//! beside each test.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use protocol::{
    Chunk, Code, Kind, LockChoice, Reply, Request, RequestId, Selector, Spec, Target, ThreadId, WaitMode,
};

use super::raw_client::{RawClient, done, object, open_anonymous, open_batch, open_event, wait_for};
use super::running_manager::RunningManager;

/// How long the manager may work before it answers.
const WORST_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 600 } else { 20 });

/// Has a client do something, and asserts that another is answered in time meanwhile, and for a moment after.
pub(super) fn while_another_asks(manager: &RunningManager, attack: impl FnOnce()) {
    let mut innocent = manager.session();
    done(&mut innocent, open_event(1_000_000, "innocent"));
    let is_over = AtomicBool::new(false);
    let worst = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut worst = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let before = manager.busy_time();
                let reply = innocent.call(Request::EventIsSet { id: object(1_000_000) });
                assert_eq!(reply, Reply::Flag(false));
                worst = worst.max(manager.busy_time() - before);
                thread::sleep(Duration::from_millis(1));
            }
            worst
        });
        // Also if the attack panics.
        let over = Over(&is_over);
        attack();
        thread::sleep(Duration::from_millis(50));
        drop(over);
        asking.join().unwrap()
    });
    assert!(worst <= WORST_MAX, "the manager worked {worst:?} before it answered");
}

/// Tells the innocent client that it is over.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) fn wait(mode: WaitMode, thread: u64, targets: Vec<Target<'static>>) -> Request<'static> {
    Request::Wait { mode, targets: targets.into_iter().collect(), timeout_ns: None, thread: ThreadId(thread) }
}

pub(super) fn lock(number: u128) -> Target<'static> {
    Target::Lock { id: object(number) }
}

fn locks(numbers: impl Iterator<Item = u128>) -> Vec<Target<'static>> {
    numbers.map(lock).collect()
}

/// Sends requests that block, and one that does not, so that the manager has read them all.
pub(super) fn block(peer: &mut RawClient, requests: impl Iterator<Item = Request<'static>>) {
    let mut bytes = Vec::new();
    for request in requests {
        bytes.extend(peer.frame(request));
        if bytes.len() > 1 << 20 {
            peer.send_bytes(&bytes);
            bytes.clear();
        }
    }
    peer.send_bytes(&bytes);
    done(peer, Request::Cancel { request: RequestId(0) });
}

/// Sends requests that are answered at once, and reads the answers. A cancelled wait is answered as well.
pub(super) fn carry_out(peer: &mut RawClient, requests: impl Iterator<Item = Request<'static>>) {
    let mut stream = peer.stream.try_clone().unwrap();
    let frames: Vec<Vec<u8>> = requests.map(|request| peer.frame(request)).collect();
    let count = frames.len();
    let writer = thread::spawn(move || frames.iter().try_for_each(|frame| stream.write_all(frame)));
    let mut left = count;
    while left > 0 {
        match peer.answer().unwrap().body {
            Reply::Refused(refusal) => assert_eq!(refusal.code, Code::Cancelled, "{refusal}"),
            _ => left -= 1,
        }
    }
    writer.join().unwrap().unwrap();
}

/// Locks of these numbers, each acquired by a thread of its own that is counted from one.
fn held_locks(peer: &mut RawClient, count: u64) {
    let numbers = || 1..=u128::from(count);
    carry_out(peer, numbers().map(|number| open_anonymous(number, Spec::Lock)));
    carry_out(peer, (1..=count).map(|thread| wait(WaitMode::Any, thread, vec![lock(thread.into())])));
}

/// 12.9 s.
#[test]
fn a_wait_for_locks_whose_holders_wait_for_any_of_many() {
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    held_locks(&mut a, 1000);
    done(&mut b, open_anonymous(2000, Spec::Lock));
    done(&mut b, wait(WaitMode::Any, 1, vec![lock(2000)]));
    block(
        &mut a,
        (1..=1000).map(|thread| {
            wait(WaitMode::Any, thread, [lock(2000)].into_iter().chain(locks(1..=1000)).collect())
        }),
    );
    while_another_asks(&manager, || {
        let reply = b.call(wait(WaitMode::All, 1, locks(1..=1000)));
        assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    });
}

/// 2.4 s.
#[test]
fn an_event_that_frees_waits_for_many_behind_others_that_stay() {
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    done(&mut b, open_event(1, "start"));
    done(&mut b, open_event(2, "never"));
    let semaphore = Spec::Semaphore { permits: 1_000_000, is_bounded: false };
    carry_out(&mut a, (10..1009).map(|number| open_anonymous(number, semaphore)));
    let permits = || (10..1009).map(|number| Target::Semaphore { id: object(number), permits: 1 });
    let event = |number| Target::Event { id: object(number) };
    let freed: Vec<_> = permits().chain([event(1)]).collect();
    let staying: Vec<_> = permits().chain([event(2), event(1)]).collect();
    block(&mut a, (0..500).map(|_| wait(WaitMode::All, 1, staying.clone())));
    block(&mut a, (0..100).map(|_| wait(WaitMode::All, 1, freed.clone())));
    while_another_asks(&manager, || {
        done(&mut b, Request::EventSet { id: object(1), reason: None });
        for _ in 0..100 {
            assert!(matches!(a.answer().unwrap().body, Reply::Taken(_)));
        }
    });
}

/// 1.2 s and 0.7 s.
#[test]
fn cancels_and_releases_before_a_long_line_of_waits_for_all() {
    const WAITS: u64 = 60_000;
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    carry_out(&mut b, [1, 2].into_iter().map(|number| open_anonymous(number, Spec::Lock)));
    carry_out(&mut b, [1, 2].into_iter().map(|number| wait(WaitMode::Any, 1, vec![lock(number)])));
    let first = a.last_request().0 + 1;
    block(&mut a, (0..WAITS).map(|_| wait(WaitMode::All, 1, locks(1..=2))));
    while_another_asks(&manager, || {
        for number in 1..=2 {
            done(&mut b, Request::Release { id: object(number), holding: None, thread: ThreadId(1) });
            if number == 1 {
                let again = b.call(wait(WaitMode::Any, 1, vec![lock(1)]));
                assert!(matches!(again, Reply::Taken(_)), "{again:?}");
                let cancels = (first..first + WAITS).step_by(2);
                carry_out(&mut a, cancels.map(|request| Request::Cancel { request: RequestId(request) }));
            }
        }
    });
}

/// 0.74 s, with a million.
#[test]
fn the_death_of_a_session_with_many_objects() {
    let manager = RunningManager::start();
    let mut a = manager.session();
    let objects = if cfg!(debug_assertions) { 200_000 } else { 900_000 };
    carry_out(&mut a, (1..=objects).map(|number| open_anonymous(number, Spec::Latch { count: 1 })));
    while_another_asks(&manager, || drop(a));
}

/// 0.6 s, with 100,000.
#[test]
fn the_death_of_an_owner_of_many_batches() {
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    done(&mut b, open_anonymous(1, Spec::Pool));
    done(&mut a, Request::Attach { id: object(1), kind: Kind::Pool, epoch: manager.epoch });
    let batches = if cfg!(debug_assertions) { 50_000 } else { 100_000 };
    carry_out(&mut a, (1..=batches).map(|number| open_batch(2 * number, 1, 2 * number + 1, "f")));
    while_another_asks(&manager, || drop(a));
}

/// 0.42 s.
#[test]
fn an_acquire_at_the_end_of_a_long_chain_of_locks() {
    let manager = RunningManager::start();
    let mut a = manager.session();
    held_locks(&mut a, 30_000);
    block(&mut a, (1..30_000).map(|thread| wait(WaitMode::Any, thread, vec![lock(u128::from(thread) + 1)])));
    while_another_asks(&manager, || {
        let reply = a.call(wait(WaitMode::Any, 30_000, vec![lock(1)]));
        assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    });
}

/// 0.35 s.
#[test]
fn a_notification_for_all_by_a_thread_that_is_blocked_in_a_long_chain_of_locks() {
    const SLEEPERS: u64 = 1000;
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    held_locks(&mut a, 4000);
    let over = LockChoice::Own { id: object(10_001), is_reentrant: false };
    done(&mut b, open_anonymous(10_000, Spec::Condition { over }));
    let condition = || vec![Target::Condition { id: object(10_000), holding: None }];
    for thread in 2..2 + SLEEPERS {
        done(&mut b, wait(WaitMode::Any, thread, vec![lock(10_001)]));
        b.send(wait(WaitMode::Any, thread, condition()));
    }
    done(&mut b, wait(WaitMode::Any, 1, vec![lock(10_001)]));
    block(&mut a, (1..4000).map(|thread| wait(WaitMode::Any, thread, vec![lock(u128::from(thread) + 1)])));
    block(&mut b, [wait(WaitMode::Any, 1, vec![lock(1)])].into_iter());
    while_another_asks(&manager, || {
        let notify = Request::Notify { id: object(10_000), count: None, holding: None, thread: ThreadId(1) };
        assert_eq!(b.call(notify), Reply::Count(SLEEPERS));
    });
}

/// 0.25 s.
#[test]
fn waits_of_one_thread_that_end_together() {
    const WAITS: usize = 60_000;
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    done(&mut b, open_event(1, "stop"));
    let event = Target::Event { id: object(1) };
    block(&mut a, (0..WAITS).map(|_| wait(WaitMode::Any, 1, vec![event.clone()])));
    while_another_asks(&manager, || {
        done(&mut b, Request::EventSet { id: object(1), reason: None });
        for _ in 0..WAITS {
            assert!(matches!(a.answer().unwrap().body, Reply::Taken(_)));
        }
    });
    done(&mut b, Request::EventClear { id: object(1) });
    while_another_asks(&manager, || {
        carry_out(&mut a, (0..WAITS).map(|_| wait_for(event.clone(), Some(1_000_000_000))));
    });
}

/// 0.2 s.
#[test]
fn many_inspections_in_one_write() {
    const INSPECTIONS: usize = 500;
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    done(&mut b, open_event(1, "popular"));
    let event = Target::Event { id: object(1) };
    block(&mut a, (0..2000).map(|_| wait(WaitMode::Any, 1, vec![event.clone()])));
    while_another_asks(&manager, || {
        let inspect = Request::Inspect { object: Selector::Id(object(1)) };
        carry_out(&mut b, (0..INSPECTIONS).map(|_| inspect.clone()));
    });
}

/// 2.2 s, with 80,000 calls.
#[test]
fn the_termination_of_a_pool_with_many_calls_that_run() {
    const CALLS: usize = 80_000;
    let manager = RunningManager::start();
    let (mut owner, mut worker) = (manager.session(), manager.session());
    done(&mut owner, open_anonymous(1, Spec::Pool));
    done(&mut worker, Request::Attach { id: object(1), kind: Kind::Pool, epoch: manager.epoch });
    done(&mut owner, open_batch(2, 1, 3, "f"));
    let calls = Chunk { arguments: &[0; CALLS / 2], carries: Vec::new(), calls: CALLS as u32 / 2 };
    done(&mut owner, Request::BatchAdd { id: object(2), chunks: vec![calls; 2], last: false });
    let take = |_| wait_for(Target::Calls { pool: object(1), most: 1 }, None);
    carry_out(&mut worker, (0..CALLS).map(take));
    while_another_asks(&manager, || {
        done(&mut owner, Request::PoolTerminate { id: object(1), reason: "enough" });
    });
}

/// 0.08 s, with 27,000 calls.
#[test]
fn the_cancellation_of_many_calls_that_carry_objects() {
    const CARRYING_CALLS: u64 = if cfg!(debug_assertions) { 2_000 } else { 27_000 };
    let manager = RunningManager::start();
    let mut owner = manager.session();
    done(&mut owner, open_anonymous(1, Spec::Pool));
    done(&mut owner, open_batch(2, 1, 3, "f"));
    let carried: Vec<_> = (10..1_010).collect();
    carry_out(&mut owner, carried.iter().map(|&number| open_anonymous(number, Spec::Lock)));
    let chunk =
        Chunk { arguments: &[0], carries: carried.iter().map(|&number| object(number)).collect(), calls: 1 };
    for _ in 0..CARRYING_CALLS / 2 {
        done(&mut owner, Request::BatchAdd { id: object(2), chunks: vec![chunk.clone(); 2], last: false });
    }
    while_another_asks(&manager, || {
        let reply = owner.call(Request::BatchCancel { id: object(2) });
        assert_eq!(reply, Reply::Count(CARRYING_CALLS));
    });
}

//! An innocent client asks `is_set` while one request of another decides what becomes of tens of thousands of waiters.

use std::time::Duration;

use protocol::{LockChoice, Reply, Request, Selector, Spec, Target, ThreadId, WaitMode};

use super::raw_client::{RawClient, done, object, open_anonymous, open_batch};
use super::responsiveness::{block, carry_out, lock, wait, while_another_asks};
use super::running_manager::RunningManager;

const WAITS: u64 = 60_000;

/// Has a session wait as often for this.
fn wait_often(peer: &mut RawClient, target: &Target<'static>) {
    block(peer, (0..WAITS).map(|_| wait(WaitMode::Any, 1, vec![target.clone()])));
}

/// Reads answers of which none is a refusal, or all are.
fn read_answers(peer: &mut RawClient, count: u64, are_refusals: bool) {
    for _ in 0..count {
        let body = peer.answer().unwrap().body;
        assert_eq!(matches!(body, Reply::Refused(_)), are_refusals, "{body:?}");
    }
}

/// 49 ms, and as long for the removal of the lock.
#[test]
fn a_notification_for_all_and_the_removal_of_the_lock() {
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    done(&mut b, open_anonymous(1, Spec::Lock));
    let over = LockChoice::Given { id: object(1) };
    done(&mut b, open_anonymous(2, Spec::Condition { over }));
    let condition = Target::Condition { id: object(2), holding: None };
    let sleep = || [lock(1), condition.clone()].map(|target| wait(WaitMode::Any, 1, vec![target]));
    let mut bytes = Vec::new();
    for request in (0..WAITS).flat_map(|_| sleep()) {
        bytes.extend(a.frame(request));
    }
    let mut stream = a.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stream, &bytes));
    read_answers(&mut a, WAITS, false);
    writer.join().unwrap().unwrap();
    done(&mut b, wait(WaitMode::Any, 1, vec![lock(1)]));
    while_another_asks(&manager, || {
        let notify = Request::Notify { id: object(2), count: None, holding: None, thread: ThreadId(1) };
        assert_eq!(b.call(notify), Reply::Count(WAITS));
    });
    while_another_asks(&manager, || {
        done(&mut b, Request::Remove { id: object(1) });
        read_answers(&mut a, WAITS, true);
    });
}

/// 31 ms.
#[test]
fn the_removal_of_an_event() {
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    done(&mut b, open_anonymous(1, Spec::Event { auto_reset: false }));
    wait_often(&mut a, &Target::Event { id: object(1) });
    while_another_asks(&manager, || {
        done(&mut b, Request::Remove { id: object(1) });
        read_answers(&mut a, WAITS, true);
    });
}

/// 25 ms; 35 ms for the end of an action, 13 ms for a reset.
#[test]
fn a_barrier_of_many_parties() {
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    done(&mut b, open_anonymous(1, Spec::Barrier { parties: WAITS as u32 + 1 }));
    let party = |has_action| Target::Barrier { id: object(1), has_action };
    let last = |has_action| wait(WaitMode::Any, 1, vec![party(has_action)]);
    wait_often(&mut a, &party(false));
    while_another_asks(&manager, || {
        done(&mut b, last(false));
        read_answers(&mut a, WAITS, false);
    });
    wait_often(&mut a, &party(false));
    while_another_asks(&manager, || {
        done(&mut b, last(true));
        done(&mut b, Request::BarrierPass { id: object(1), turn: 2 });
        read_answers(&mut a, WAITS, false);
    });
    wait_often(&mut a, &party(false));
    while_another_asks(&manager, || {
        done(&mut b, Request::BarrierReset { id: object(1) });
        read_answers(&mut a, WAITS, true);
    });
}

/// 12 s.
#[test]
fn a_barrier_of_two_with_many_behind() {
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    done(&mut b, open_anonymous(1, Spec::Barrier { parties: 2 }));
    let party = |has_action| Target::Barrier { id: object(1), has_action };
    b.send(wait(WaitMode::Any, 1, vec![party(true)]));
    done(&mut b, wait(WaitMode::Any, 1, vec![party(true)]));
    wait_often(&mut a, &party(false));
    while_another_asks(&manager, || {
        b.send(Request::BarrierPass { id: object(1), turn: 1 });
        read_answers(&mut b, 2, false);
        read_answers(&mut a, WAITS, false);
    });
}

/// What serves its line one by one.
#[test]
fn permits_a_latch_and_the_end_of_a_queue() {
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    let scenes = [
        (
            Spec::Semaphore { permits: 0, is_bounded: false },
            Target::Semaphore { id: object(1), permits: 1 },
            Request::SemaphoreRelease { id: object(1), permits: WAITS },
            false,
        ),
        (
            Spec::Latch { count: 1 },
            Target::Latch { id: object(1) },
            Request::LatchCountDown { id: object(1), count: 1 },
            false,
        ),
        (
            Spec::Queue { capacity: None, is_joinable: false },
            Target::Get { queue: object(1) },
            Request::QueueClose { id: object(1) },
            true,
        ),
    ];
    for (spec, target, request, are_refusals) in scenes {
        done(&mut b, open_anonymous(1, spec));
        wait_often(&mut a, &target);
        while_another_asks(&manager, || {
            done(&mut b, request);
            read_answers(&mut a, WAITS, are_refusals);
        });
        done(&mut b, Request::Remove { id: object(1) });
    }
}

/// 10 ms with 60,000, of which none has a call that runs.
#[test]
fn inspections_of_a_pool_of_many_batches() {
    let manager = RunningManager::start();
    let (mut a, mut b) = (manager.session(), manager.session());
    done(&mut b, open_anonymous(1, Spec::Pool));
    let batches = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
    carry_out(&mut a, (1..=batches).map(|number| open_batch(2 * number, 1, 2 * number + 1, "f")));
    while_another_asks(&manager, || {
        let inspect = Request::Inspect { object: Selector::Id(object(1)) };
        carry_out(&mut b, (0..100).map(|_| inspect.clone()));
    });
}

/// 449 ms: what one session has of a queue comes back between what another had.
#[test]
fn the_deaths_of_two_that_have_every_other_item() {
    let manager = RunningManager::start();
    let (mut owner, mut a, mut b) = (manager.session(), manager.session(), manager.session());
    let items = if cfg!(debug_assertions) { 5_000 } else { 60_000 };
    done(&mut owner, open_anonymous(1, Spec::Queue { capacity: None, is_joinable: true }));
    let put = Target::Put { queue: object(1), item: &[0], carries: Vec::new() };
    carry_out(&mut owner, (0..items).map(|_| wait(WaitMode::Any, 1, vec![put.clone()])));
    for number in 0..items {
        let get = wait(WaitMode::Any, 1, vec![Target::Get { queue: object(1) }]);
        done(if number % 2 == 0 { &mut a } else { &mut b }, get);
    }
    while_another_asks(&manager, || {
        drop(a);
        drop(b);
        // The manager first waits a moment for the ends of their processes.
        while owner.call(Request::QueueLength { id: object(1) }) != Reply::Count(items) {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

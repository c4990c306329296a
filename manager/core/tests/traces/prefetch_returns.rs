//! Prefetched calls that their worker gives back before it has begun them.

use manager_core::{DeathCause, SessionEnd};
use protocol::{Code, FailureKind, Reply, Request, Target};

use crate::prefetch::{PrefetchFixture, SHORT, is_refused};
use crate::requests::wait_for;

#[test]
fn a_process_that_is_gone_gives_back_what_had_not_begun_and_one_that_lives_on_does_not() {
    let died = Some(FailureKind::WorkerDied);
    let cut_off = DeathCause::Dropped("it never reads".to_owned());
    let all = vec![(0, None), (1, died), (2, died), (3, died), (4, died)];
    for (ending, expected) in [
        (SessionEnd::Goodbye, vec![(0, None), (1, died)]),
        (SessionEnd::Died(DeathCause::Exit(0)), vec![(0, None), (1, died)]),
        (SessionEnd::Died(DeathCause::Ended), vec![(0, None), (1, died)]),
        (SessionEnd::Died(DeathCause::Disconnected), all.clone()),
        (SessionEnd::Died(cut_off), all.clone()),
    ] {
        let mut fixture = PrefetchFixture::new(16);
        let worker = fixture.worker;
        assert_eq!(fixture.take(worker, 64), [1, 2, 3, 4]);
        fixture.world.end(worker, ending);
        assert_eq!(fixture.endings(), expected);
    }
}

#[test]
fn what_is_given_back_goes_to_the_front_in_order() {
    let mut fixture = PrefetchFixture::new(16);
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    assert_eq!(fixture.take(worker, 64), [1, 2, 3, 4]);
    assert_eq!(fixture.give_back(worker, 3), Reply::Done);
    assert_eq!(fixture.progress(), (15, 1));
    assert_eq!(fixture.take(other, 64), [3, 4, 5]);
    fixture.end(worker, 1);
    fixture.world.kill(worker);
    fixture.world.kill(other);
    assert_eq!(
        fixture.endings(),
        [(0, None), (1, None), (2, Some(FailureKind::WorkerDied)), (3, Some(FailureKind::WorkerDied)),]
    );
}

#[test]
fn a_worker_that_waits_gets_what_another_gives_back() {
    let mut fixture = PrefetchFixture::new(5);
    let (worker, other, idle) =
        (fixture.worker, fixture.world.session("other"), fixture.world.session("idle"));
    for (call, worker) in [(1, worker), (2, other)] {
        assert_eq!(fixture.take(worker, 64), [call], "there are few");
        fixture.end(worker, call);
    }
    for (call, worker) in [(3, worker), (4, other), (5, other)] {
        assert_eq!(fixture.take(worker, 64), [call]);
    }
    let wait = fixture.world.block(idle, wait_for(Target::Calls { pool: fixture.pool, most: 1 }));
    // Whether or not the manager took it as begun: its worker knows better.
    assert_eq!(fixture.give_back(other, 5), Reply::Done);
    assert_eq!(fixture.world.call_of(idle, wait).1, 5);
}

#[test]
fn a_call_that_seemed_to_have_begun_may_be_given_back_with_all_behind_it() {
    let mut fixture = PrefetchFixture::new(16);
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    assert_eq!(fixture.take(worker, 64), [1, 2, 3, 4]);
    fixture.end(worker, 1);
    assert_eq!(fixture.give_back(worker, 2), Reply::Done);
    assert_eq!(fixture.progress(), (15, 0));
    fixture.world.kill(worker);
    assert_eq!(fixture.endings(), [(0, None), (1, None)]);
    assert_eq!(fixture.take(other, 64), [2, 3, 4]);
}

#[test]
fn nobody_gives_back_what_it_was_not_granted() {
    let mut fixture = PrefetchFixture::new(16);
    let (worker, other) = (fixture.worker, fixture.world.session("other"));
    assert_eq!(fixture.take(worker, 64), [1, 2, 3, 4]);
    assert!(is_refused(&fixture.give_back(other, 4)));
    for call in [0, 5, u64::MAX] {
        assert!(is_refused(&fixture.give_back(worker, call)), "{call}");
    }
    assert_eq!(fixture.progress(), (15, 1), "nothing has changed");
    let unknown = Request::CallsGiveBack { batch: fixture.world.fresh_id(), first: 1 };
    assert_eq!(fixture.world.refused(worker, unknown).0, Code::NoSuchObject);
    assert!(is_refused(&fixture.world.end_call(worker, fixture.batch, 3, b"")), "others come before it");
    fixture.end(worker, 1);
    assert!(is_refused(&fixture.give_back(worker, 1)), "it has ended");
}

#[test]
fn what_is_prefetched_of_a_cancelled_or_stopped_batch_never_starts_once_it_is_given_back() {
    let cancelled = Some(FailureKind::Cancelled);
    for stops in [false, true] {
        let mut fixture = PrefetchFixture::with(8, SHORT, |options| options.retries = 3);
        let (worker, owner, other) = (fixture.worker, fixture.owner, fixture.world.session("other"));
        assert_eq!(fixture.take(worker, 64), [1, 2]);
        match stops {
            true => fixture.world.set(owner, fixture.stop),
            false => {
                assert_eq!(
                    fixture.world.ask(owner, Request::BatchCancel { id: fixture.batch }),
                    Reply::Count(6)
                );
            }
        }
        let ended: Vec<_> = (3..=8).map(|call| (call, cancelled)).collect();
        assert_eq!(fixture.endings(), [&[(0, None)], &ended[..]].concat());
        fixture.give_back(worker, 2);
        assert_eq!(fixture.endings(), [(2, cancelled)]);
        fixture.end(worker, 1);
        assert!(fixture.world.results(owner, fixture.batch).complete);
        fixture.world.block(other, wait_for(Target::Calls { pool: fixture.pool, most: 1 }));
    }
}

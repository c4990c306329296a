//! Stopping: whatever its tasks do, a batch is cancelled or ended by escalation, and the pool goes on.

use std::thread;
use std::time::{Duration, Instant};

use client::{Ending, Event, Manager, Pool, Result};

use crate::pool::stopping_tasks::{block, block_sigterm, die_at_first, doze, listen, note, submit_more};
use crate::pool::task::{add, hold, set};
use crate::support::helper;
use crate::support::{ManagerProgram, PATIENCE, RunningProgram, apply, eventually, test};

/// A grace that is not used up if all tasks end when asked.
const LONG: Duration = PATIENCE;
/// A grace for tasks that do not end when asked. SIGTERM has the same time to end them, even on a busy machine.
const SHORT: Duration = Duration::from_secs(1);

fn events<const COUNT: usize>(manager: &Manager) -> [Event; COUNT] {
    [(); COUNT].map(|()| manager.anonymous_event().unwrap())
}

fn wait_for(events: &[Event]) {
    for event in events {
        assert!(event.wait(PATIENCE).unwrap().is_some());
    }
}

/// Checks that a pool has its workers, and uses them.
fn works(pool: &Pool, processes: usize) {
    assert_eq!(pool.starmap(add, (0..100).map(|number| (number, 1))).unwrap(), (1..101).collect::<Vec<_>>());
    eventually("all workers are there", || pool.process_ids().len() == processes);
}

#[apply(test)]
fn tasks_that_look_return_what_they_have() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    eventually("both are ready", || pool.process_ids().len() == 2);
    let before = pool.process_ids();
    let running = events::<2>(&manager);
    let result = pool.batch(listen).chunk_size(1).map_async(running.clone()).unwrap();
    wait_for(&running);
    let started = Instant::now();
    let report = result.stop_because("enough", LONG).unwrap();
    assert!(started.elapsed() < LONG);
    assert_eq!(report.endings(), [Ending::Returned, Ending::Returned]);
    assert_eq!(report.to_string(), "2 calls returned");
    assert_eq!(result.get(None).unwrap(), [Some("enough".to_owned()), Some("enough".to_owned())]);
    assert_eq!(result.stop_event().cause().unwrap().unwrap().reason.as_deref(), Some("enough"));

    let [running] = events(&manager);
    let result = pool.apply_async(doze, (running.clone(),)).unwrap();
    wait_for(&[running]);
    result.stop_event().set().unwrap();
    assert!(result.get(None).unwrap());
    works(&pool, 2);
    let mut after = pool.process_ids();
    after.sort_unstable();
    assert!(before.iter().all(|process| after.contains(process)), "nobody was killed");
    assert_eq!(result.stop(Duration::ZERO).unwrap().returned(), 1, "it had ended");
}

#[apply(test)]
fn a_task_in_a_sleep_is_ended_by_sigterm() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let running = events::<2>(&manager);
    let result = pool.batch(block).chunk_size(1).map_async(running.clone()).unwrap();
    wait_for(&running);
    let report = result.stop(SHORT).unwrap();
    assert_eq!(report.endings(), [Ending::Terminated, Ending::Terminated]);
    let error = result.get(None).unwrap_err();
    assert!(error.is_stopped() && error.to_string().contains("SIGTERM"), "{error:?}");
    works(&pool, 2);
}

#[apply(test)]
fn a_task_that_blocks_sigterm_is_killed() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let [first, second] = events(&manager);
    let result = pool.apply_async(block_sigterm, (first.clone(),)).unwrap();
    let other = pool.apply_async(block, (second.clone(),)).unwrap();
    wait_for(&[first, second]);
    let report = result.stop(SHORT).unwrap();
    assert_eq!(report.endings(), [Ending::Killed]);
    let error = result.get(None).unwrap_err();
    assert!(error.is_stopped() && error.to_string().contains("SIGKILL"), "{error:?}");
    assert!(!other.ready().unwrap());
    // Without a grace, the same happens at once.
    other.stop(Duration::ZERO).unwrap();
    assert!(other.get(None).unwrap_err().is_stopped());
    works(&pool, 2);
}

#[apply(test)]
fn each_call_tells_how_it_ended() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 4).unwrap();
    let [held, end, dozing, blocked, deaf, failed] = events(&manager);
    let ended = pool.apply_async(hold, (held.clone(), end.clone())).unwrap();
    let panics = pool.apply_async(crate::pool::task::fail_at, (1, 1)).unwrap();
    let results = [
        pool.apply_async(doze, (dozing.clone(),)).map(|result| result.handle()),
        pool.apply_async(block, (blocked.clone(),)).map(|result| result.handle()),
        pool.apply_async(block_sigterm, (deaf.clone(),)).map(|result| result.handle()),
        pool.apply_async(set, (failed.clone(),)).map(|result| result.handle()),
    ];
    wait_for(&[held, dozing, blocked, deaf]);
    // Four workers run these four, so the call that panics has ended.
    end.set().unwrap();
    let stopped = pool.stop(SHORT).unwrap();
    let endings = stopped.endings();
    assert_eq!(endings.len(), 6, "{stopped}");
    assert!(matches!(&endings[1], Ending::Failed(error) if error.is_panicked()));
    assert_eq!(
        [&endings[0], &endings[2], &endings[3], &endings[4]],
        [&Ending::Returned, &Ending::Returned, &Ending::Terminated, &Ending::Killed]
    );
    assert!(matches!(endings[5], Ending::Returned | Ending::Cancelled));
    ended.get(None).unwrap().unwrap();
    assert!(panics.get(None).unwrap_err().is_panicked());
    for result in results {
        assert_eq!(result.unwrap().progress().unwrap().ended(), 1);
    }
    works(&pool, 4);
}

#[apply(test)]
fn ten_thousand_queued_tasks_are_stopped_within_a_second() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let [running] = events(&manager);
    let calls = std::iter::repeat_n(running.clone(), 10_000);
    let result = pool.batch(doze).chunk_size(1).map_async(calls).unwrap();
    wait_for(&[running]);
    let started = Instant::now();
    let report = result.stop(LONG).unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "it took {:?}", started.elapsed());
    assert_eq!(report.returned() + report.cancelled(), 10_000);
    assert!((1..=2).contains(&report.returned()), "{report}");
    assert!(result.get(None).unwrap_err().is_cancelled());
    let outcomes = result.outcomes().unwrap();
    assert_eq!(outcomes.len(), 10_000);
    assert!(*outcomes[0].as_ref().unwrap());
    assert!(outcomes[9_999].as_ref().unwrap_err().is_cancelled());
    works(&pool, 2);
}

#[apply(test)]
fn ten_thousand_batches_are_stopped_together() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let [running] = events(&manager);
    let submit = |_| pool.apply_async(doze, (running.clone(),)).unwrap();
    let results: Vec<_> = (0..10_000).map(submit).collect();
    wait_for(std::slice::from_ref(&running));
    let report = pool.stop(LONG).unwrap();
    assert_eq!(report.returned() + report.cancelled(), 10_000);
    assert!(results.iter().all(|result| result.ready().unwrap()));
    works(&pool, 2);
}

#[apply(test)]
fn only_one_batch_is_touched() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let [first, second, end] = events(&manager);
    let kept = pool.apply_async(hold, (first.clone(), end.clone())).unwrap();
    let stopped = pool.apply_async(block, (second.clone(),)).unwrap();
    wait_for(&[first, second]);
    let waiting = pool.apply_async(add, (2, 3)).unwrap();
    assert_eq!(stopped.stop(SHORT).unwrap().endings(), [Ending::Terminated]);
    assert!(!kept.ready().unwrap());
    assert_eq!(waiting.get(None).unwrap(), 5);
    end.set().unwrap();
    kept.get(None).unwrap().unwrap();
    works(&pool, 2);
}

#[apply(test)]
fn cancelling_lets_run_what_runs() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let [running, end] = events(&manager);
    let calls = std::iter::repeat_n((running.clone(), end.clone()), 100);
    let result = pool.batch(hold).chunk_size(1).starmap_async(calls).unwrap();
    wait_for(&[running]);
    result.cancel().unwrap();
    eventually("all but one have failed", || result.progress().unwrap().failed == 99);
    assert!(!result.ready().unwrap());
    end.set().unwrap();
    let outcomes = result.outcomes().unwrap();
    assert!(outcomes[0].as_ref().unwrap().is_ok());
    assert!(outcomes[1..].iter().all(|outcome| outcome.as_ref().unwrap_err().is_cancelled()));
    assert!(!result.stop_event().is_set().unwrap());
    works(&pool, 1);
}

#[apply(test)]
fn a_batch_stops_what_its_tasks_submitted() {
    let manager = Manager::start().unwrap();
    let pool = Pool::builder(&manager).processes(4).name("nest").start().unwrap();
    let running = events::<4>(&manager);
    let socket = manager.address().to_string();
    let calls = running.chunks(2).map(|pair| (socket.clone(), pair.to_vec()));
    let result = pool.batch(submit_more).chunk_size(1).starmap_async(calls).unwrap();
    eventually("two of the inner tasks run, which is all there is room for", || {
        running.iter().filter(|event| event.is_set().unwrap()).count() == 2
    });
    let report = result.stop(LONG).unwrap();
    assert_eq!(report.endings(), [Ending::Returned, Ending::Returned]);
    // Inner tasks that had not started were cancelled, which is an error of the inner call.
    for outcome in result.get(None).unwrap() {
        match outcome {
            Ok(stopped) => assert_eq!(stopped, [true, true]),
            Err(error) => assert!(error.is_cancelled(), "{error:?}"),
        }
    }
    works(&pool, 4);
}

#[apply(test)]
fn a_pool_stops_what_was_submitted_and_thrown_away() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    for _ in 0..1_000 {
        drop(pool.apply_async(add, (2, 3)).unwrap());
    }
    let [first, second, never] = events(&manager);
    drop(pool.apply_async(doze, (first.clone(),)).unwrap());
    drop(pool.apply_async(block, (second.clone(),)).unwrap());
    wait_for(&[first, second]);
    for _ in 0..100 {
        drop(pool.apply_async(set, (never.clone(),)).unwrap());
    }
    let report = pool.stop(SHORT).unwrap();
    assert!(report.endings().is_empty());
    assert_eq!(report.to_string(), "there were no calls");
    works(&pool, 2);
    assert!(!never.is_set().unwrap());
}

#[apply(test)]
fn another_thread_can_stop_while_one_waits() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let [running] = events(&manager);
    let result = pool.apply_async(block, (running.clone(),)).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| result.get(None));
        wait_for(&[running]);
        assert_eq!(result.stop(SHORT).unwrap().endings(), [Ending::Terminated]);
        assert!(waiting.join().unwrap().unwrap_err().is_stopped());
    });
}

#[apply(test)]
fn reasons_have_a_limit() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let [running] = events(&manager);
    let result = pool.apply_async(listen, (running.clone(),)).unwrap();
    wait_for(&[running]);
    assert!(result.stop_because(&"x".repeat(1025), LONG).unwrap_err().is_limit());
    assert!(pool.stop_because(&"x".repeat(1025), LONG).unwrap_err().is_limit());
    for error in
        [result.stop_because("a\nb", LONG).unwrap_err(), pool.stop_because("\x1b[31m", LONG).unwrap_err()]
    {
        assert!(error.is_bad_argument() && error.to_string().contains("control characters"), "{error:?}");
    }
    assert!(!result.ready().unwrap());
    let reason = "x".repeat(1024);
    pool.stop_because(&reason, LONG).unwrap();
    assert_eq!(result.get(None).unwrap(), Some(reason));
}

#[apply(test)]
fn batches_of_a_higher_priority_start_first() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let [running, end] = events(&manager);
    let holder = pool.apply_async(hold, (running.clone(), end.clone())).unwrap();
    wait_for(&[running]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order");
    let submit = |priority: i32| {
        let calls = (0..2).map(|_| (file.to_str().unwrap().to_owned(), priority.to_string()));
        pool.batch(note).chunk_size(1).priority(priority).starmap_async(calls).unwrap()
    };
    let results = [-1, 0, 7, 3].map(submit);
    end.set().unwrap();
    holder.get(None).unwrap().unwrap();
    for result in &results {
        result.get(None).unwrap();
    }
    let order = std::fs::read_to_string(&file).unwrap();
    assert_eq!(order.lines().collect::<Vec<_>>(), ["7", "7", "3", "3", "0", "0", "-1", "-1"]);
}

#[apply(test)]
fn a_call_whose_worker_dies_is_tried_again() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(pool.batch(die_at_first).retries(3).apply((file("enough"), 3)).unwrap(), 4);
    let error = pool.batch(die_at_first).retries(2).apply((file("too few"), 3)).unwrap_err();
    assert!(error.is_worker_died(), "{error:?}");
    assert_eq!(std::fs::read_to_string(file("too few")).unwrap().lines().count(), 3);
    let error = pool.apply(die_at_first, (file("none"), 1)).unwrap_err();
    assert!(error.is_worker_died(), "{error:?}");
    // Each of these calls is a task of its own, so that none starts again because another died.
    let calls = (0..8).map(|number| (file(&number.to_string()), 1));
    assert_eq!(pool.batch(die_at_first).retries(1).starmap(calls).unwrap(), [2; 8]);
    works(&pool, 2);
}

#[apply(test)]
fn a_call_that_takes_too_long_is_ended() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let running = events::<3>(&manager);
    let limit = Duration::from_millis(100);
    let result = pool.batch(block).time_limit(limit).retries(3).map_async(running).unwrap();
    for outcome in result.outcomes().unwrap() {
        let error = outcome.unwrap_err();
        assert!(error.is_time_limit() && error.to_string().contains("100ms"), "{error:?}");
    }
    assert_eq!(pool.batch(add).time_limit(PATIENCE).starmap([(2, 3), (3, 4)]).unwrap(), [5, 7]);
    works(&pool, 2);
}

#[apply(test)]
fn owners_that_share_a_pool_stop_their_own_only() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let workers = Pool::builder(&manager).processes(3).name("shared").start().unwrap();
    let (running, end) = (manager.event("running").unwrap(), manager.event("end").unwrap());
    let mut other = RunningProgram::start(helper::command(share).env("RALLYPOINT_SOCKET", &program.socket));
    wait_for(&[running]);

    let [first, second] = events(&manager);
    let pool = Pool::open(&manager, "shared").unwrap();
    let ours = pool.apply_async(block, (first.clone(),)).unwrap();
    let theirs = workers.apply_async(doze, (second.clone(),)).unwrap();
    wait_for(&[first.clone(), second]);
    let report = pool.stop(SHORT).unwrap();
    assert_eq!(report.endings(), [Ending::Terminated]);
    assert!(ours.get(None).unwrap_err().is_stopped());

    first.clear().unwrap();
    let ours = pool.apply_async(doze, (first.clone(),)).unwrap();
    wait_for(&[first]);
    pool.terminate();
    assert!(ours.get(None).unwrap(), "it was asked to stop");
    assert!(pool.apply(add, (2, 3)).unwrap_err().is_closed());
    drop(pool);

    assert!(!theirs.ready().unwrap());
    end.set().unwrap();
    assert_eq!(other.line(), "it was left alone");
    assert_eq!(other.wait(), Some(0));
    works(&workers, 3);
    assert!(!theirs.ready().unwrap());
}

/// The other owner of a shared pool: a program of its own.
#[apply(helper)]
pub(crate) fn share() -> Result<()> {
    let manager = Manager::connect()?;
    let pool = Pool::open(&manager, "shared")?;
    pool.apply(hold, (manager.event("running")?, manager.event("end")?))??;
    println!("it was left alone");
    Ok(())
}

//! Pools: their verbs, their results, and the ways in which they end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use client::{Manager, Pool};
use rustix::process::Signal;

use crate::pool::broken_programs::{BREAK, BROKEN, find_no_room, register_twice, start_broken};
use crate::pool::imap::double;
use crate::pool::task::{add, count_down, hold, process, set, sleep_long};
use crate::support::helper;
use crate::support::{ManagerProgram, PATIENCE, RunningProgram, apply, eventually, is_alive, state, test};

#[apply(test)]
fn four_tasks_stop_by_one_event_and_the_pool_goes_on() {
    let mut helper = RunningProgram::start(&mut helper::command(stop_and_go_on));
    let mut lines: Vec<String> = Vec::new();
    while let line = helper.line()
        && !line.is_empty()
    {
        lines.push(line);
    }
    assert_eq!(helper.wait(), Some(0));

    let (running, rest) = lines.split_at(4);
    assert!((0..4).all(|number| running.contains(&format!("Task {number} running"))), "{lines:?}");
    assert_eq!(rest[0], "Safely stopping all tasks");
    let (stopping, rest) = rest[1..].split_at(8);
    for number in 0..4 {
        let place =
            |what: &str| stopping.iter().position(|line| *line == format!("Task {number} {what}")).unwrap();
        assert!(place("stopping...") < place("Done"), "{lines:?}");
    }
    assert_eq!(rest, ["All stopped", "Another task: 5"]);
}

#[apply(test)]
fn results_come_in_the_order_of_the_input() {
    let manager = Manager::start().unwrap();
    let pool = Pool::builder(&manager).processes(2).start().unwrap();
    let expected: Vec<u32> = (0..5_000).map(|number| 2 * number).collect();
    assert_eq!(pool.starmap(add, (0..5_000).map(|number| (number, number))).unwrap(), expected);
    assert!(pool.starmap(add, []).unwrap().is_empty());
    let numbers = (0..500).map(|number| (number, number));
    assert_eq!(pool.batch(add).chunk_size(3).starmap(numbers).unwrap(), expected[..500]);
}

#[apply(test)]
fn a_panic_of_the_input_reaches_the_caller_and_hurts_nobody_else() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let number = |number: u64, bad: u64| {
        assert!(number != bad, "no disk in drive {number}");
        number
    };
    // The input panics before anything was drawn, after little was, and after much was.
    for bad in [0, 5, 50_000] {
        for chunk_size in [1, 4] {
            let batch = || pool.batch(double).chunk_size(chunk_size);
            let started = Instant::now();
            let panics = [
                catch_unwind(AssertUnwindSafe(|| {
                    drop(batch().map_async((0..100_000).map(|each| number(each, bad))));
                })),
                catch_unwind(AssertUnwindSafe(|| {
                    drop(batch().starmap_async((0..100_000).map(|each| (number(each, bad),))));
                })),
            ];
            for panic in panics {
                let panic = panic.expect_err("it reaches the caller");
                assert_eq!(*panic.downcast::<String>().unwrap(), format!("no disk in drive {bad}"));
            }
            assert!(started.elapsed() < PATIENCE);
            assert_eq!(pool.map(double, 0..3).unwrap(), [0, 2, 4]);
        }
    }
    // The closed pool has nothing left to wait for.
    pool.close().unwrap();
    pool.join().unwrap();
}

#[apply(test)]
fn four_long_tasks_run_side_by_side() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 4).unwrap();
    let end = manager.anonymous_event().unwrap();
    let running: Vec<_> = (0..4).map(|_| manager.anonymous_event().unwrap()).collect();
    let result =
        pool.starmap_async(hold, running.iter().map(|running| (running.clone(), end.clone()))).unwrap();
    for event in &running {
        event.wait(None).unwrap();
    }
    end.set().unwrap();
    let mut processes: Vec<u32> = result.get(None).unwrap().into_iter().map(Result::unwrap).collect();
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 4);
}

#[apply(test)]
fn a_result_can_be_waited_for_in_every_way() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let (running, end) = (manager.anonymous_event().unwrap(), manager.anonymous_event().unwrap());
    let result = pool.apply_async(hold, (running.clone(), end.clone())).unwrap();
    running.wait(None).unwrap();

    let before = Instant::now();
    assert!(!result.wait(Duration::from_millis(30)).unwrap());
    assert!(before.elapsed() >= Duration::from_millis(30));
    assert!(!result.ready().unwrap());
    assert!(result.successful().is_err());
    assert!(result.get(Duration::from_millis(1)).unwrap_err().is_timeout());

    end.set().unwrap();
    let process = result.get(None).unwrap().unwrap();
    assert!(result.ready().unwrap() && result.successful().unwrap());
    assert_eq!(result.get(Duration::ZERO).unwrap().unwrap(), process);
}

#[apply(test)]
fn many_threads_wait_for_one_result() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let (running, end) = (manager.anonymous_event().unwrap(), manager.anonymous_event().unwrap());
    let result = pool.apply_async(hold, (running.clone(), end.clone())).unwrap();
    running.wait(None).unwrap();
    thread::scope(|scope| {
        let impatient = scope.spawn(|| result.get(Duration::from_millis(20)));
        let patient: Vec<_> = (0..8).map(|_| scope.spawn(|| result.get(None))).collect();
        assert!(impatient.join().unwrap().unwrap_err().is_timeout());
        end.set().unwrap();
        for thread in patient {
            thread.join().unwrap().unwrap().unwrap();
        }
    });
}

#[apply(test)]
fn a_dropped_result_lets_its_tasks_run() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let event = manager.anonymous_event().unwrap();
    drop(pool.apply_async(set, (event.clone(),)).unwrap());
    event.wait(None).unwrap();
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn a_closed_pool_ends_its_tasks_and_takes_no_more() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    assert!(pool.join().unwrap_err().to_string().contains("closed or terminated"));
    let (running, end) = (manager.anonymous_event().unwrap(), manager.anonymous_event().unwrap());
    let first = pool.apply_async(hold, (running.clone(), end.clone())).unwrap();
    let second = pool.apply_async(process, ()).unwrap();
    running.wait(None).unwrap();

    pool.close().unwrap();
    pool.close().unwrap();
    assert!(pool.apply_async(add, (2, 3)).unwrap_err().is_closed());
    end.set().unwrap();
    pool.join().unwrap();

    let processes = [first.get(None).unwrap().unwrap(), second.get(None).unwrap()];
    assert!(processes.iter().all(|&process| !is_alive(process)));
}

#[apply(test)]
fn a_terminated_pool_fails_its_tasks() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let (running, never) = (manager.anonymous_event().unwrap(), manager.anonymous_event().unwrap());
    let started = pool.apply_async(hold, (running.clone(), never)).unwrap();
    let waiting = pool.apply_async(add, (2, 3)).unwrap();
    running.wait(None).unwrap();
    eventually("the worker is known", || pool.process_ids().len() == 1);
    let processes = pool.process_ids();

    pool.terminate();
    pool.join().unwrap();
    assert!(!is_alive(processes[0]));
    assert!(started.get(None).unwrap_err().is_terminated());
    assert!(waiting.get(None).unwrap_err().is_terminated());
    assert!(pool.apply(add, (2, 3)).unwrap_err().is_closed());
}

#[apply(test)]
fn callers_learn_what_ends_their_calls() {
    type EndsPool = fn(&Pool, &ManagerProgram);
    type IsExpected = fn(&client::Error) -> bool;
    let stop: EndsPool = |pool, _| drop(pool.stop(Duration::from_millis(100)).unwrap());
    let terminate: EndsPool = |pool, _| pool.terminate();
    let kill: EndsPool = |_, program| program.running.signal(Signal::KILL);
    let ends: [(EndsPool, IsExpected, IsExpected); 3] = [
        (stop, client::Error::is_stopped, client::Error::is_cancelled),
        (terminate, client::Error::is_terminated, |error| error.is_terminated() || error.is_closed()),
        (kill, client::Error::is_manager_gone, client::Error::is_manager_gone),
    ];
    for (end, is_of_running, is_of_waiting) in ends {
        let program = ManagerProgram::start();
        let manager = program.connect();
        let pool = Pool::new(&manager, 1).unwrap();
        let (running, never) = (manager.anonymous_event().unwrap(), manager.anonymous_event().unwrap());
        thread::scope(|scope| {
            let applies = scope.spawn(|| pool.apply(hold, (running.clone(), never.clone())));
            running.wait(PATIENCE).unwrap().expect("it runs");
            let maps: Vec<_> = (0..4).map(|_| scope.spawn(|| pool.map(double, 0..10))).collect();
            end(&pool, &program);
            let error = applies.join().unwrap().unwrap_err();
            assert!(is_of_running(&error), "{error:?}");
            for mapped in maps {
                // A call that is made after a stop is not stopped.
                if let Err(error) = mapped.join().unwrap() {
                    assert!(is_of_waiting(&error), "{error:?}");
                }
            }
        });
    }
}

#[apply(test)]
fn a_dropped_pool_leaves_nobody() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 3).unwrap();
    eventually("all are ready", || pool.process_ids().len() == 3);
    let processes = pool.process_ids();
    drop(pool);
    assert!(processes.iter().all(|&process| !is_alive(process)));
}

#[apply(test)]
fn can_be_dropped_while_its_manager_does_not_answer() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::new(&manager, 2).unwrap();
    eventually("both are ready", || pool.process_ids().len() == 2);
    let processes = pool.process_ids();
    let _result = pool.apply_async(sleep_long, ()).unwrap();
    program.running.signal(Signal::STOP);
    let folder = format!("/proc/{}", program.running.process());
    eventually("it is stopped", || state(folder.as_ref()) == Some('T'));
    let (sender, receiver) = channel();
    let dropping = thread::spawn(move || {
        drop(pool);
        sender.send(()).unwrap();
    });
    let dropped = receiver.recv_timeout(PATIENCE);
    // Whatever the outcome, nobody must wait forever for a manager that is suspended.
    program.running.signal(Signal::CONT);
    dropping.join().unwrap();
    assert_eq!(dropped, Ok(()));
    assert!(processes.iter().all(|&process| !is_alive(process)));
}

#[apply(test)]
fn a_worker_without_room_comes_later() {
    let mut helper = RunningProgram::start(&mut helper::command(find_no_room));
    for line in ["the worker is gone", "after a while: nothing", "when there is room: 5"] {
        assert_eq!(helper.line(), line);
    }
    assert_eq!(helper.wait(), Some(0));
}

#[apply(test)]
fn a_named_pool_is_open_to_others() {
    let manager = Manager::start().unwrap();
    let pool = Pool::builder(&manager).processes(1).name("shared").start().unwrap();
    let taken = Pool::builder(&manager).processes(1).name("shared").start().unwrap_err();
    assert!(taken.is_already_exists(), "{taken:?}");

    let opened = Pool::open(&manager, "shared").unwrap();
    let result = opened.apply_async(add, (2, 3)).unwrap();
    opened.close().unwrap();
    opened.join().unwrap();
    assert!(result.ready().unwrap());
    assert!(opened.apply(add, (2, 3)).unwrap_err().is_closed());
    drop(opened);
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);

    let opened = Pool::open(&manager, "shared").unwrap();
    pool.close().unwrap();
    let refused = opened.apply(add, (2, 3)).unwrap_err();
    assert!(refused.is_closed(), "{refused:?}");
    drop(pool);
    let again = Pool::builder(&manager).processes(1).name("shared").start().unwrap();
    assert_eq!(again.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn a_pool_that_cannot_start_is_an_error() {
    let manager = Manager::start().unwrap();
    let error = Pool::new(&manager, 0).unwrap_err();
    assert!(error.to_string().contains("at least one process"), "{error}");
    let error = Pool::builder(&manager).processes(1).name("").start().unwrap_err();
    assert!(error.is_bad_name(), "{error:?}");
    manager.event("not a pool").unwrap();
    let error = Pool::open(&manager, "not a pool").unwrap_err();
    assert!(error.is_wrong_kind(), "{error:?}");
}

#[apply(test)]
fn workers_that_cannot_start_fail_the_tasks_with_the_reason() {
    let mut helper = RunningProgram::start(helper::command(start_broken).env(BREAK, "1"));
    let line = helper.line();
    assert!(line.contains("5 workers in a row ended before they were ready"), "{line}");
    assert!(line.contains(&format!("exited with status {BROKEN}")), "{line}");
    assert_eq!(helper.wait(), Some(1));
}

#[apply(test)]
fn a_function_that_is_registered_twice_is_reported_at_the_start() {
    let output = helper::command(register_twice).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("`integration::pool::task::add` is registered twice"), "{text}");
}

/// Stops four tasks with one event, and goes on to use the pool.
#[apply(helper)]
pub(crate) fn stop_and_go_on() -> client::Result<()> {
    let manager = Manager::start()?;
    let stop = manager.anonymous_event()?;
    let running = (0..4).map(|_| manager.anonymous_event()).collect::<client::Result<Vec<_>>>()?;
    let pool = Pool::builder(&manager).processes(4).start()?;
    let arguments = running.iter().zip(0..).map(|(running, number)| (number, running.clone(), stop.clone()));
    let result = pool.starmap_async(count_down, arguments)?;
    for event in &running {
        event.wait(None)?;
    }
    println!("Safely stopping all tasks");
    stop.set()?;
    result.get(None)?.into_iter().collect::<client::Result<()>>()?;
    println!("All stopped");
    println!("Another task: {}", pool.apply(add, (2, 3))?);
    Ok(())
}

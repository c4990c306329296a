//! What a pool reports while calls run, and when they have ended: progress, bars and callbacks.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use client::{Manager, Pool, Result};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};

use crate::pool::task::{add, fail_at, hold};
use crate::support::helper;
use crate::support::{PATIENCE, apply, eventually, test};

#[apply(test)]
fn counts_calls_that_run_return_and_fail() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let [running, end] = [0; 2].map(|_| manager.anonymous_event().unwrap());
    let mut holders = Vec::new();
    for _ in 0..2 {
        holders.push(pool.apply_async(hold, (running.clone(), end.clone())).unwrap());
        running.wait(None).unwrap();
        running.clear().unwrap();
    }
    let result = pool.batch(fail_at).chunk_size(5).starmap_async((0..50).map(|n| (n, n / 10 * 10))).unwrap();
    let progress = result.progress().unwrap();
    assert_eq!((progress.done, progress.failed, progress.waiting, progress.total), (0, 0, 50, 50));
    let progress = holders[0].progress().unwrap();
    assert_eq!((progress.done, progress.running, progress.total), (0, 1, 1));

    end.set().unwrap();
    assert!(result.wait(PATIENCE).unwrap());
    // Each multiple of ten fails, and nothing else of its chunk.
    let progress = result.progress().unwrap();
    assert_eq!((progress.done, progress.failed, progress.running, progress.total), (45, 5, 0, 50));
    assert_eq!(progress.ended(), 50);
    let outcomes = result.outcomes().unwrap();
    assert!(outcomes.iter().enumerate().all(|(n, outcome)| outcome.is_err() == (n % 10 == 0)));
}

#[apply(test)]
fn can_be_asked_for_while_another_thread_waits() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let [running, end] = [0; 2].map(|_| manager.anonymous_event().unwrap());
    let calls = [(running.clone(), end.clone()), (running.clone(), end.clone())];
    let result = pool.batch(hold).chunk_size(1).starmap_async(calls).unwrap();
    running.wait(None).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| result.get(None));
        let progress = result.progress().unwrap();
        assert_eq!((progress.done, progress.running, progress.total), (0, 1, 2));
        end.set().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap().len(), 2);
        eventually("all is done", || result.progress().unwrap().done == 2);
    });
}

/// Shows a bar on standard error in each way that there is, and prints the results to standard output.
#[apply(helper)]
pub(crate) fn show_bars() -> Result<()> {
    let manager = Manager::start()?;
    let pool = Pool::new(&manager, 2)?;
    let result = pool.starmap_async(add, (0..100).map(|number| (number, 1)))?;
    result.wait_with_bar()?;
    println!("{}", result.get(None)?.into_iter().sum::<u32>());
    let results = pool.batch(add).istarmap_unordered((0..120).map(|number| (number, 1)))?;
    println!("{}", results.with_bar().sum::<Result<u32>>()?);
    let result = pool.apply_async(fail_at, (1, 1))?;
    result.wait_with_bar()?;
    println!("{}", result.get(None).unwrap_err().is_panicked());
    Ok(())
}

/// What `show_bars` prints on standard output.
const BARRED: &[u8] = b"5050\n7260\ntrue\n";

#[apply(test)]
fn bars_show_nothing_where_nobody_looks() {
    let output = helper::command(show_bars).output().unwrap();
    assert_eq!(output.stdout, BARRED);
    // The task that panics prints some lines. There is nothing else.
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("1 is bad") && !text.contains("/100") && !text.contains('\u{1b}'), "{text}");
}

#[apply(test)]
fn bars_show_at_a_terminal_how_far_it_is() {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    unlockpt(&ours).unwrap();
    let path = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
    let mut command = helper::command(show_bars);
    let child = command.env("TERM", "xterm").stdout(Stdio::piped()).stderr(theirs).spawn().unwrap();
    // The terminal closes when the program has ended and this program has no descriptor of it.
    drop(command);
    let mut shown = Vec::new();
    // Reading ends with an error, since nobody has the terminal open any more.
    let _ = File::from(ours).read_to_end(&mut shown);
    assert_eq!(child.wait_with_output().unwrap().stdout, BARRED);
    let shown = String::from_utf8_lossy(&shown);
    for place in ["100/100", "120/120", "1/1", "1 failed"] {
        assert!(shown.contains(place), "{place:?} is not in {shown:?}");
    }
}

#[apply(test)]
fn a_callback_gets_the_result_once() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let (sender, receiver) = channel();
    let fails = |_| panic!("nothing has failed");
    let result = pool.apply_async(add, (2, 3)).unwrap();
    let sum = sender.clone();
    result.on_result(move |value| sum.send(value).unwrap()).unwrap().on_error(fails).unwrap();
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), 5);

    let result = pool.starmap_async(add, [(1, 2), (3, 4)]).unwrap();
    let sum = sender.clone();
    result.on_result(move |values| sum.send(values.into_iter().sum()).unwrap()).unwrap();
    drop(result);
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), 10);

    let result = pool.apply_async(add, (3, 3)).unwrap();
    assert_eq!(result.get(None).unwrap(), 6);
    result.on_result(move |value| sender.send(value).unwrap()).unwrap();
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), 6, "it may come late");
    assert!(receiver.recv_timeout(PATIENCE).is_err(), "no callback runs twice");
}

#[apply(test)]
fn an_error_callback_gets_the_error_once() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let (sender, receiver) = channel();
    let result = pool.starmap_async(fail_at, [(1, 2), (3, 3)]).unwrap();
    let returns = |_| panic!("one has failed");
    result.on_result(returns).unwrap().on_error(move |error| sender.send(error).unwrap()).unwrap();
    assert!(receiver.recv_timeout(PATIENCE).unwrap().is_panicked());
    assert!(receiver.recv_timeout(PATIENCE).is_err(), "no callback runs twice");
}

#[apply(test)]
fn a_slow_callback_delays_nobody_else() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let (sender, receiver) = channel();
    let (release, released) = channel::<()>();
    let slow = pool.apply_async(add, (1, 1)).unwrap();
    slow.on_result(move |_| released.recv().unwrap_or_default()).unwrap();
    let quick = pool.apply_async(add, (1, 2)).unwrap();
    quick.on_result(move |value| sender.send(value).unwrap()).unwrap();
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), 3);
    assert_eq!(slow.get(None).unwrap(), 2);
    drop(release);
}

#[apply(test)]
fn callbacks_are_done_when_a_pool_is_joined() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let (sender, receiver) = channel();
    for number in 0..10 {
        let sender = sender.clone();
        let result = pool.apply_async(add, (number, 0)).unwrap();
        let call = move |value: u32| {
            thread::sleep(Duration::from_millis(10));
            sender.send(value).unwrap();
        };
        result.on_result(call).unwrap();
    }
    pool.close().unwrap();
    pool.join().unwrap();
    assert_eq!(receiver.try_iter().sum::<u32>(), 45);
}

#[apply(test)]
fn a_callback_that_panics_or_joins_hurts_nobody() {
    let manager = Manager::start().unwrap();
    let pool = std::sync::Arc::new(Pool::new(&manager, 1).unwrap());
    let (sender, receiver) = channel();
    let result = pool.apply_async(add, (1, 1)).unwrap();
    let joins = pool.clone();
    let join = move |_| {
        joins.close().unwrap();
        sender.send(joins.join().unwrap_err()).unwrap();
    };
    result.on_result(|_| panic!("on purpose")).unwrap().on_result(join).unwrap();
    assert!(receiver.recv_timeout(PATIENCE).unwrap().is_deadlock());
    pool.join().unwrap();
}

#[apply(test)]
fn twenty_thousand_calls_call_back() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let [running, end] = [0; 2].map(|_| manager.anonymous_event().unwrap());
    let holder = pool.apply_async(hold, (running, end.clone())).unwrap();
    let (sender, receiver) = channel();
    for number in 0..20_000 {
        let sender = sender.clone();
        let result = pool.apply_async(add, (number, 1)).unwrap();
        result.on_result(move |value: u32| sender.send(value).unwrap()).unwrap();
    }
    drop(sender);
    // No callback has run so far, and there are more of them than a process can have threads.
    assert!(receiver.try_recv().is_err());
    end.set().unwrap();
    holder.get(PATIENCE).unwrap().unwrap();
    assert_eq!(receiver.iter().sum::<u32>(), 200_010_000);
}

//! Tasks that stop in one way or another, or do not.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use client::{Event, Manager, Pool, Result, task};
use rustix::process::{Signal, getpid, kill_process};

use crate::pool::task::process;
use crate::support::{apply, eventually, task_function};

/// Sleeps until it is stopped. Returns whether it was.
#[apply(task_function)]
pub(crate) fn doze(running: Event) -> bool {
    running.set().unwrap();
    !task::sleep(Duration::from_secs(1000))
}

/// Waits to be stopped; returns the reason.
#[apply(task_function)]
pub(crate) fn listen(running: Event) -> Option<String> {
    let stop = task::stop_event().expect("this is a task");
    running.set().unwrap();
    stop.wait(None).unwrap()?.reason.map(|reason| reason.to_string())
}

/// Does not check whether it is to stop.
#[apply(task_function)]
pub(crate) fn block(running: Event) -> u32 {
    running.set().unwrap();
    thread::sleep(Duration::from_secs(1000));
    process()
}

/// Ends in order at SIGTERM, and not before.
#[apply(task_function)]
pub(crate) fn end_at_signal(running: Event) {
    let is_asked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, is_asked.clone()).unwrap();
    running.set().unwrap();
    eventually("it gets the signal", || is_asked.load(Ordering::Relaxed));
}

/// Does not check whether it is to stop, and survives SIGTERM.
#[apply(task_function)]
pub(crate) fn block_sigterm(running: Event) -> u32 {
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::new(AtomicBool::new(false))).unwrap();
    block(running)
}

/// Submits two tasks that sleep, and returns whether they were stopped.
#[apply(task_function)]
pub(crate) fn submit_more(socket: String, running: Vec<Event>) -> Result<Vec<bool>> {
    let manager = Manager::connect_to(socket)?;
    let pool = Pool::open(&manager, "nest")?;
    pool.batch(doze).chunk_size(1).map(running)
}

/// Appends a line to a file.
#[apply(task_function)]
pub(crate) fn note(file: String, line: String) {
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Kills its process the first few times; returns how often it was started.
#[apply(task_function)]
pub(crate) fn die_at_first(file: String, times: usize) -> usize {
    note(file.clone(), "started".to_owned());
    let started = std::fs::read_to_string(file).unwrap().lines().count();
    if started <= times {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
    started
}

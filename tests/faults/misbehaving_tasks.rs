//! Tasks that misbehave: each is a clear failure or a bounded stop, and never the end of the pool.
//!
//! Only unsafe code can fork and block signals, and tasks of users do both.

use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use client::task::TaskFunction;
use client::{Event, Manager, Pool, Result};
use rustix::stdio::{dup2_stdout, stdout};

use crate::pool::task::{add, process};
use crate::support::{PATIENCE, apply, descendants, eventually, is_alive, task_function, test};

/// Forks. True in the child.
#[allow(unsafe_code)]
fn fork() -> bool {
    // SAFETY: the child goes on in one thread. The C library allows that: it frees its own locks in the child, so that
    // the child of a process with several threads can allocate memory.
    match unsafe { libc::fork() } {
        -1 => panic!("the fork failed"),
        0 => true,
        _ => false,
    }
}

#[apply(task_function)]
fn fork_and_return(number: u32) -> (u32, u32) {
    let parent = process();
    fork();
    (parent, number)
}

/// The child sets the event and panics.
#[apply(task_function)]
fn fork_and_act(event: Event) -> u32 {
    if fork() {
        event.set_because("a child did").unwrap();
        panic!("on purpose, in a forked child");
    }
    process()
}

/// The child stays for a long time. Returns the worker's process id.
#[apply(task_function)]
fn fork_and_stay() -> u32 {
    let parent = process();
    if fork() {
        std::thread::sleep(Duration::from_secs(1000));
    }
    parent
}

/// Closes its standard output.
#[allow(unsafe_code)]
#[apply(task_function)]
fn close_output() {
    // SAFETY: nobody else uses the number while this task runs.
    assert_eq!(unsafe { libc::close(1) }, 0);
}

/// Makes its standard output a pipe that nobody reads, and writes to it.
#[apply(task_function)]
fn break_output() {
    let (reader, writer) = std::io::pipe().unwrap();
    dup2_stdout(&writer).unwrap();
    drop(reader);
    println!("is anybody there?");
}

/// Prints something, and opens and closes a file. Returns what its standard output is.
#[apply(task_function)]
fn print() -> String {
    println!();
    drop(File::open("/dev/zero").unwrap());
    std::io::stdout().flush().unwrap();
    std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&stdout())))
        .unwrap()
        .display()
        .to_string()
}

/// Blocks all signals in this thread and in those that it starts, and never checks whether it is to stop.
#[allow(unsafe_code)]
#[apply(task_function)]
fn block_signals(running: Event) -> Result<()> {
    // SAFETY: a set of signals is plain memory, which `sigfillset` fills, and both calls get valid pointers.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        assert_eq!(libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut()), 0);
    }
    running.set()?;
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

/// Ignores all signals, and never checks whether it is to stop.
#[allow(unsafe_code)]
#[apply(task_function)]
fn ignore_signals(running: Event) -> Result<()> {
    for signal in 1..=31 {
        // SAFETY: an ignored signal runs no code. The call refuses the two signals that cannot be ignored.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    running.set()?;
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

#[apply(task_function)]
fn exit(status: i32) {
    std::process::exit(status);
}

#[apply(task_function)]
fn abort() {
    std::process::abort();
}

/// Runs a shell that has children, without a command supervisor.
#[apply(task_function)]
pub(crate) fn run_family(script: String) -> i32 {
    Command::new("sh").args(["-c", &script]).status().unwrap().code().unwrap_or(-1)
}

#[apply(test)]
fn a_task_that_forks_ends_once() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    for chunk_size in [1, 7] {
        let results = pool.batch(fork_and_return).chunk_size(chunk_size).map(0..50).unwrap();
        eventually("both are known", || pool.process_ids().len() == 2);
        let workers = pool.process_ids();
        assert!(results.iter().map(|&(_, number)| number).eq(0..50));
        assert!(results.iter().all(|(parent, _)| workers.contains(parent)), "{workers:?}: {results:?}");
    }
    for worker in pool.process_ids() {
        eventually("the children have ended", || descendants(worker).iter().all(|&child| !is_alive(child)));
    }
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn a_forked_child_can_panic_and_talk_to_the_manager() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    for _ in 0..5 {
        let event = manager.anonymous_event().unwrap();
        let worker = pool.apply(fork_and_act, (event.clone(),)).unwrap();
        let cause = event.wait(PATIENCE).unwrap().expect("the child has set it");
        assert_ne!(cause.process, worker);
        assert_eq!(pool.apply(process, ()).unwrap(), worker);
    }
}

#[apply(test)]
fn a_forked_child_that_stays_ends_with_its_worker() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let worker = pool.apply(fork_and_stay, ()).unwrap();
    let children = descendants(worker);
    assert_eq!(children.len(), 1);
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
    pool.close().unwrap();
    pool.join().unwrap();
    for child in children {
        eventually("it has ended with its worker", || !is_alive(child));
    }
}

#[apply(test)]
fn a_task_that_closes_its_output_hurts_nobody() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let before = pool.apply(process, ()).unwrap();
    pool.apply(close_output, ()).unwrap();
    assert_eq!(pool.apply(print, ()).unwrap(), "/dev/null");
    let captured = pool.apply(worker::tasks::command, (worker::tasks::Command::new("uname"),)).unwrap();
    assert_eq!(captured.unwrap().stdout, b"Linux\n");
    assert_eq!(pool.apply(process, ()).unwrap(), before);
}

#[apply(test)]
fn a_task_whose_output_nobody_reads_fails() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let before = pool.apply(process, ()).unwrap();
    let error = pool.apply(break_output, ()).unwrap_err();
    assert!(error.is_panicked() && error.to_string().contains("failed printing to stdout"), "{error:?}");
    assert_eq!(pool.apply(process, ()).unwrap(), before);
}

#[apply(test)]
fn a_task_that_blocks_signals_is_stopped() {
    // One thread that does not block them is enough, and a worker has such a thread.
    stops("SIGTERM", block_signals);
}

#[apply(test)]
fn a_task_that_ignores_signals_is_killed() {
    stops("SIGKILL", ignore_signals);
}

/// Stops a task that never checks whether it is to stop. The error must name this signal.
fn stops(signal: &str, task: impl TaskFunction<(Event,), Output = Result<()>>) {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let running = manager.anonymous_event().unwrap();
    let result = pool.apply_async(task, (running.clone(),)).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");
    result.handle().stop(Duration::from_millis(100)).unwrap();
    let error = result.get(PATIENCE).unwrap_err();
    assert!(error.is_stopped() && error.to_string().contains(signal), "{error:?}");
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);

    // Such a task does not hold up the end of the pool, either.
    let running = manager.anonymous_event().unwrap();
    let _result = pool.apply_async(task, (running.clone(),)).unwrap();
    running.wait(PATIENCE).unwrap().expect("it runs");
    eventually("the worker is known", || pool.process_ids().len() == 1);
    let processes = pool.process_ids();
    drop(pool);
    assert!(processes.into_iter().all(|process| !is_alive(process)));
}

#[apply(test)]
fn a_task_that_exits_has_failed() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    for status in [0, 3] {
        let error = pool.apply(exit, (status,)).unwrap_err();
        let text = error.to_string();
        assert!(error.is_worker_died() && text.contains(&format!("status {status}")), "{error:?}");
    }
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
    // The pool starts another worker: it does not take an exit in a task for the end in order of a worker.
    eventually("there is a worker", || pool.process_ids().len() == 1);
}

#[apply(test)]
fn a_task_that_aborts_has_failed() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let error = pool.apply(abort, ()).unwrap_err();
    assert!(error.is_worker_died() && error.to_string().contains("SIGABRT"), "{error:?}");
    assert_eq!(pool.apply(add, (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn processes_that_a_task_starts_end_with_its_worker() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let script = "sleep 1012 & sleep 1013 & wait".to_owned();
    let result = pool.apply_async(run_family, (script,)).unwrap();
    eventually("the worker is ready", || pool.process_ids().len() == 1);
    let worker = pool.process_ids()[0];
    eventually("its processes run", || descendants(worker).len() == 3);
    let processes = descendants(worker);
    result.handle().stop(Duration::from_millis(1)).unwrap();
    assert!(result.get(PATIENCE).unwrap_err().is_stopped());
    for process in processes {
        eventually("they have ended with the worker", || !is_alive(process));
    }
}

//! The supervisor: one thread that starts worker processes, watches them, replaces those that die and reaps all.
//!
//! It is a thread of its own, and lives as long as its workers, because a worker asks the kernel to end it when
//! the *thread* that started it ends.
//!
//! A worker that leaves because the pool is closed is not replaced. One that retires is, and any other end is a death:
//! the worker is replaced, too. When workers die again and again before they are ready, the program itself is at fault:
//! the pool is broken, and its owner is told why, with what the last of them wrote to its standard error.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::Signal;

use super::child::Worker;
use crate::parcel::Parcel;
use crate::sync::lock;

/// How many workers may die in a row before they are ready, until the pool is broken.
const FAILURES_MAX: u32 = 5;

/// The pause after the first worker that died before it was ready; it doubles with each that follows.
const PAUSE: Duration = Duration::from_millis(10);

/// How long workers that are told to terminate have before they are killed.
const GRACE: Duration = Duration::from_secs(1);

/// How long a killed worker may take to be gone, before the supervisor gives up on it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a number of worker processes.
///
/// Dropping it ends them: SIGTERM, and SIGKILL to those that are still there a second later.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    /// The process that the thread is in. A child that was forked from it has a copy of this, and no such thread.
    process: u32,
}

/// How the work of a supervisor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every worker left because the pool is closed.
    Left,
    /// It was told to terminate them.
    Terminated,
    /// Workers died before they were ready, too often in a row; the text tells how.
    Broken(String),
    /// Workers died since their manager is gone.
    ManagerGone,
}

/// What the supervisor needs from its owner. All of it is called on the supervisor's thread.
pub(crate) struct Hooks {
    /// Makes the command that starts one worker.
    pub(crate) command: Box<dyn FnMut() -> io::Result<Command> + Send>,
    /// What each worker is told.
    pub(crate) assignment: Parcel,
    /// Whether the manager is gone; it is asked when a worker died, who then need not be replaced.
    pub(crate) is_manager_gone: Box<dyn Fn() -> bool + Send>,
    /// Called once when the pool is broken, with the reason.
    pub(crate) broken: Box<dyn Fn(&str) + Send>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hooks")
    }
}

/// What the thread and its owner share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Readable when the owner wants something.
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    /// The process ids of the workers that are ready.
    ready: Vec<u32>,
    /// Whether the owner wants the workers ended.
    terminate: bool,
    /// How it ended, once no worker is left.
    ended: Option<Ended>,
}

impl Supervisor {
    /// Starts that many workers, and returns at once.
    pub(crate) fn start(processes: usize, hooks: Hooks) -> io::Result<Supervisor> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { state: Mutex::new(State::default()), changed: Condvar::new(), wake });
        let watch = Watch {
            shared: shared.clone(),
            hooks,
            wanted: processes,
            workers: Vec::new(),
            failures: 0,
            start_after: Instant::now(),
            end: Ended::Left,
        };
        std::thread::Builder::new().name("pool supervisor".to_owned()).spawn(move || watch.run())?;
        Ok(Supervisor { shared, process: std::process::id() })
    }

    /// The process ids of the workers that are ready.
    pub(crate) fn process_ids(&self) -> Vec<u32> {
        lock(&self.shared.state).ready.clone()
    }

    /// Waits until that many workers are ready. False: all have ended instead.
    pub(crate) fn wait_ready(&self, processes: usize) -> bool {
        let state = self.shared.wait_while(|state| state.ended.is_none() && state.ready.len() < processes);
        state.ended.is_none()
    }

    /// Has all workers ended; does not wait for it.
    pub(crate) fn terminate(&self) {
        lock(&self.shared.state).terminate = true;
        // It can fail only when the counter is at its end, and then the thread has been woken often enough.
        let _ = rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes());
    }

    /// Waits until every worker has ended and is reaped.
    pub(crate) fn join(&self) -> Ended {
        let state = self.shared.wait_while(|state| state.ended.is_none());
        state.ended.clone().expect("it was waited for")
    }
}

impl Shared {
    fn wait_while(&self, mut condition: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(lock(&self.state), |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            self.terminate();
            self.join();
        }
    }
}

/// What the supervisor's thread works with.
struct Watch {
    shared: Arc<Shared>,
    hooks: Hooks,
    /// How many workers there should be.
    wanted: usize,
    /// Those there are.
    workers: Vec<Worker>,
    /// How many died in a row before they were ready.
    failures: u32,
    /// When the next may be started.
    start_after: Instant,
    /// How it will have ended when no worker is left.
    end: Ended,
}

impl Watch {
    fn run(mut self) {
        loop {
            if lock(&self.shared.state).terminate {
                self.terminate();
                return self.tell_end(Ended::Terminated);
            }
            self.start_missing();
            if self.workers.is_empty() && self.wanted == 0 {
                return self.tell_end(self.end.clone());
            }
            let pause = (self.workers.len() < self.wanted)
                .then(|| self.start_after.saturating_duration_since(Instant::now()));
            self.wait(pause);
            self.hear();
            self.reap();
        }
    }

    fn tell_end(&self, ended: Ended) {
        let mut state = lock(&self.shared.state);
        state.ready.clear();
        state.ended = Some(ended);
        self.shared.changed.notify_all();
    }

    fn start_missing(&mut self) {
        while self.workers.len() < self.wanted && Instant::now() >= self.start_after {
            let command = (self.hooks.command)();
            match command.and_then(|command| Worker::start(command, &self.hooks.assignment)) {
                Ok(worker) => self.workers.push(worker),
                Err(error) => self.count_failure(&format!("a worker can not be started: {error}")),
            }
        }
    }

    /// Waits until a worker ends or says something, the owner wants something, or the pause is over.
    fn wait(&self, pause: Option<Duration>) {
        let mut watched = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        for worker in &self.workers {
            watched.extend(
                worker.descriptors().map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)),
            );
        }
        wait_until(&mut watched, pause);
    }

    fn hear(&mut self) {
        for worker in &mut self.workers {
            let was_ready = worker.is_ready();
            worker.hear();
            if worker.is_ready() && !was_ready {
                self.failures = 0;
                lock(&self.shared.state).ready.push(worker.process());
                self.shared.changed.notify_all();
            }
        }
    }

    fn reap(&mut self) {
        let mut index = 0;
        while index < self.workers.len() {
            if !self.workers[index].has_ended() {
                index += 1;
                continue;
            }
            let mut worker = self.workers.swap_remove(index);
            worker.hear();
            // What it started must not outlive it. Its process id can not be another's before it is reaped.
            worker.signal(Signal::KILL);
            let process = worker.process();
            lock(&self.shared.state).ready.retain(|&ready| ready != process);
            match worker.reap() {
                Ok(how) => self.judge(&worker, &how),
                Err(error) => self.count_failure(&format!("worker {process} can not be reaped: {error}")),
            }
        }
    }

    /// Decides what the end of a worker means for those that follow.
    fn judge(&mut self, worker: &Worker, how: &str) {
        let process = worker.process();
        if worker.is_leaving() {
            log::debug!("worker {process} left");
            self.wanted = self.wanted.saturating_sub(1);
        } else if worker.is_retiring() {
            log::debug!("worker {process} retired; another takes its place");
        } else if (self.hooks.is_manager_gone)() {
            log::debug!("worker {process} {how}, as the manager is gone");
            self.wanted = 0;
            self.end = Ended::ManagerGone;
        } else if worker.is_ready() {
            log::warn!("worker {process} {how}; another takes its place");
        } else {
            let what = format!("worker {process} {how} before it was ready");
            match worker.last_words() {
                words if words.is_empty() => self.count_failure(&what),
                words => self.count_failure(&format!("{what} and wrote: {words}")),
            }
        }
    }

    fn count_failure(&mut self, what: &str) {
        log::warn!("{what}");
        if self.wanted == 0 {
            return;
        }
        self.start_after = Instant::now() + PAUSE * 2_u32.pow(self.failures);
        self.failures += 1;
        if self.failures < FAILURES_MAX {
            return;
        }
        let reason =
            format!("{FAILURES_MAX} workers in a row ended before they were ready; the last: {what}");
        log::error!("the pool is broken: {reason}");
        self.wanted = 0;
        (self.hooks.broken)(&reason);
        self.end = Ended::Broken(reason);
    }

    fn terminate(&mut self) {
        for worker in &self.workers {
            worker.signal(Signal::TERM);
        }
        self.reap_until(Instant::now() + GRACE);
        for worker in &self.workers {
            worker.signal(Signal::KILL);
        }
        self.reap_until(Instant::now() + PATIENCE);
        for worker in &self.workers {
            log::error!("worker {} is still there {PATIENCE:?} after SIGKILL", worker.process());
        }
    }

    /// Reaps what ends until then, or until nothing is left.
    fn reap_until(&mut self, deadline: Instant) {
        loop {
            self.workers.retain_mut(|worker| {
                if !worker.has_ended() {
                    return true;
                }
                worker.signal(Signal::KILL);
                if let Err(error) = worker.reap() {
                    log::warn!("worker {} can not be reaped: {error}", worker.process());
                }
                false
            });
            let rest = deadline.saturating_duration_since(Instant::now());
            if self.workers.is_empty() || rest.is_zero() {
                return;
            }
            let descriptors = self.workers.iter().map(Worker::ending);
            let mut watched: Vec<_> =
                descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)).collect();
            wait_until(&mut watched, Some(rest));
        }
    }
}

/// Waits until one of these is ready or the time is over; an interruption only makes the caller look again.
fn wait_until(watched: &mut [PollFd<'_>], timeout: Option<Duration>) {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    if let Err(error) = poll(watched, timeout.as_ref()) {
        log::debug!("waiting for workers was interrupted: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::process::{Pid, kill_process_group};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// Supervises shells that run this script, and hands over the reason when the pool is broken.
    fn supervise(processes: usize, script: &'static str) -> (Supervisor, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel();
        let command = move || {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            Ok(command)
        };
        let broken = move |reason: &str| sender.send(reason.to_owned()).unwrap();
        let hooks = Hooks {
            command: Box::new(command),
            assignment: Parcel::new(b"").unwrap(),
            is_manager_gone: Box::new(|| false),
            broken: Box::new(broken),
        };
        (Supervisor::start(processes, hooks).unwrap(), receiver)
    }

    fn wait_for(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition() {
            assert!(Instant::now() < deadline, "waited too long: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_alive(process: u32) -> bool {
        std::path::Path::new(&format!("/proc/{process}")).exists()
    }

    #[test]
    fn workers_that_leave_are_not_replaced() {
        let (supervisor, _) = supervise(3, "printf RC >&0");
        assert_eq!(supervisor.join(), Ended::Left);
        assert!(supervisor.process_ids().is_empty());
    }

    #[test]
    fn workers_that_retire_are_replaced_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("starts");
        let script =
            format!("echo >> {0}; printf RN >&0; test $(wc -l < {0}) -lt 20 || printf C >&0", path.display());
        let (supervisor, _) = supervise(1, script.leak());
        assert_eq!(supervisor.join(), Ended::Left);
        assert_eq!(std::fs::read_to_string(path).unwrap().len(), 20);
    }

    #[test]
    fn a_killed_worker_is_replaced() {
        let (supervisor, _) = supervise(2, "printf R >&0; exec sleep 60");
        assert!(supervisor.wait_ready(2));
        let before = supervisor.process_ids();
        let victim = Pid::from_raw(before[0].cast_signed()).unwrap();
        kill_process_group(victim, Signal::KILL).unwrap();
        wait_for("a new worker", || {
            let now = supervisor.process_ids();
            now.len() == 2 && !now.contains(&before[0])
        });
    }

    #[test]
    fn terminated_workers_are_gone_with_all_they_started() {
        let (supervisor, _) = supervise(2, "sleep 61 & printf R >&0; wait");
        assert!(supervisor.wait_ready(2));
        let processes = supervisor.process_ids();
        supervisor.terminate();
        assert_eq!(supervisor.join(), Ended::Terminated);
        for process in processes {
            assert!(!is_alive(process));
            let group = Pid::from_raw(process.cast_signed()).unwrap();
            wait_for("the group is gone", || rustix::process::test_kill_process_group(group).is_err());
        }
    }

    #[test]
    fn a_worker_that_ignores_sigterm_is_killed_after_the_grace() {
        let (supervisor, _) = supervise(1, "trap '' TERM; printf R >&0; while :; do sleep 1; done");
        assert!(supervisor.wait_ready(1));
        let before = Instant::now();
        supervisor.terminate();
        assert_eq!(supervisor.join(), Ended::Terminated);
        assert!(before.elapsed() >= GRACE, "it had {:?}", before.elapsed());
    }

    #[test]
    fn workers_that_never_get_ready_break_the_pool_with_a_reason() {
        let (supervisor, reasons) = supervise(4, "echo no disk >&2; exit 3");
        let Ended::Broken(reason) = supervisor.join() else { panic!("it is not broken") };
        assert!(reason.ends_with("exited with status 3 before it was ready and wrote: no disk"), "{reason}");
        assert_eq!(reasons.recv_timeout(SOON), Ok(reason));
    }

    #[test]
    fn a_program_that_can_not_be_started_breaks_the_pool() {
        let (sender, receiver) = mpsc::channel();
        let hooks = Hooks {
            command: Box::new(|| Ok(Command::new("/nonexistent/program"))),
            assignment: Parcel::new(b"").unwrap(),
            is_manager_gone: Box::new(|| false),
            broken: Box::new(move |reason| sender.send(reason.to_owned()).unwrap()),
        };
        let supervisor = Supervisor::start(1, hooks).unwrap();
        assert!(matches!(supervisor.join(), Ended::Broken(_)));
        assert!(receiver.recv_timeout(SOON).unwrap().contains("can not be started"));
    }

    #[test]
    fn workers_are_not_replaced_when_the_manager_is_gone() {
        let hooks = Hooks {
            command: Box::new(|| Ok(Command::new("/bin/false"))),
            assignment: Parcel::new(b"").unwrap(),
            is_manager_gone: Box::new(|| true),
            broken: Box::new(|reason| panic!("{reason}")),
        };
        assert_eq!(Supervisor::start(3, hooks).unwrap().join(), Ended::ManagerGone);
    }

    #[test]
    fn a_worker_that_closes_its_input_is_still_watched() {
        let (supervisor, _) = supervise(1, "printf R >&0; exec 0</dev/null; exec sleep 62");
        assert!(supervisor.wait_ready(1));
        drop(supervisor);
    }
}

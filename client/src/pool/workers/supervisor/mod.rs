//! The supervisor: one thread that starts worker processes, watches them, replaces those that die and reaps all.
//!
//! It is a thread of its own, and lives as long as its workers, because a worker asks the kernel to end it when
//! the *thread* that started it ends.
//!
//! The supervisor does not replace a worker that leaves because its pool is closed. It replaces one that retires. Any
//! other end is a death, and it replaces that worker, too. When workers die again and again before they are ready, the
//! program itself is at fault: the supervisor gives up, ends the others, and tells its owner why, with what the last of
//! them wrote to its standard error. When the system has no room for another process, the program is not at fault: the
//! supervisor tries again, for a while, or as long as other workers are ready.

use std::fmt;
use std::io;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sys::Signal;
use sys::limits::explained;
use sys::poll::{Watched, wait_for_any};
use sys::wake::WakeDescriptor;

use crate::pool::workers::worker_process::WorkerProcess;
use crate::process::descriptor_message::DescriptorMessage;
use crate::sync::lock;

pub use ended::Ended;
use resource_shortage::is_resource_shortage;

mod ended;
mod resource_shortage;

/// How many workers in a row may die before they are ready, until the pool is broken.
const FAILURES_MAX: u32 = 5;

/// The pause after the first worker that died before it was ready; it doubles with each that follows.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two tries to start a worker that the system has no room for.
const ROOM_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long the supervisor tries again while no worker is ready.
const ROOM_TIME_MAX: Duration = Duration::from_secs(5);

/// How long workers have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// How long a killed worker may take to end, before the supervisor gives up on it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a number of worker processes.
///
/// Dropping it ends them: SIGTERM, and SIGKILL to those that still run a second later.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shared: Arc<SupervisorControl>,
    /// The process that the thread is in. A child that was forked from it has a copy of this, and no such thread.
    process: u32,
}

/// The functions that the supervisor needs from its owner. The supervisor's thread calls all of them.
pub(crate) struct Hooks {
    /// Makes the command that starts one worker.
    pub(crate) command: Box<dyn FnMut() -> io::Result<Command> + Send>,
    /// The assignment that each worker gets.
    pub(crate) assignment: DescriptorMessage,
    /// Whether the manager is gone. Called when a worker died: without a manager it needs no replacement.
    pub(crate) is_manager_gone: Box<dyn Fn() -> bool + Send>,
    /// Called once if the supervisor gives up, with the reason, before it ends the remaining workers.
    pub(crate) broken: Box<dyn Fn(&str) + Send>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hooks")
    }
}

/// The state that the thread and its owner share.
#[derive(Debug)]
struct SupervisorControl {
    state: Mutex<SupervisorState>,
    changed: Condvar,
    /// Readable when the owner has a request.
    wake: WakeDescriptor,
}

#[derive(Debug, Default)]
struct SupervisorState {
    /// The process ids of the workers that are ready.
    ready: Vec<u32>,
    /// Whether the owner wants the workers ended.
    terminate: bool,
    /// How the supervisor ended, once no worker is left.
    ended: Option<Ended>,
}

impl Supervisor {
    /// Starts that many workers, and returns at once.
    pub(crate) fn start(processes: usize, hooks: Hooks) -> io::Result<Supervisor> {
        let shared = Arc::new(SupervisorControl {
            state: Mutex::new(SupervisorState::default()),
            changed: Condvar::new(),
            wake: WakeDescriptor::new()?,
        });
        let watch = SupervisorThread {
            shared: shared.clone(),
            hooks,
            wanted: processes,
            workers: Vec::new(),
            failures: 0,
            no_room: None,
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

    /// Waits until that many workers are ready. Returns false if all have ended instead.
    pub(crate) fn wait_ready(&self, processes: usize) -> bool {
        let state = self.shared.wait_while(|state| state.ended.is_none() && state.ready.len() < processes);
        state.ended.is_none()
    }

    /// Makes the thread end all workers. Does not wait for their end.
    pub(crate) fn terminate(&self) {
        lock(&self.shared.state).terminate = true;
        self.shared.wake.wake();
    }

    /// Waits until every worker has ended and is reaped.
    pub(crate) fn join(&self) -> Ended {
        let state = self.shared.wait_while(|state| state.ended.is_none());
        state.ended.clone().expect("the wait returns when it has ended")
    }
}

impl SupervisorControl {
    fn wait_while(
        &self,
        mut condition: impl FnMut(&SupervisorState) -> bool,
    ) -> MutexGuard<'_, SupervisorState> {
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

/// The supervisor's thread.
struct SupervisorThread {
    shared: Arc<SupervisorControl>,
    hooks: Hooks,
    /// How many workers there should be.
    wanted: usize,
    /// The workers that exist.
    workers: Vec<WorkerProcess>,
    /// How many workers in a row died before they were ready.
    failures: u32,
    /// Since when the system has had no room for another worker, and how often it was tried, if it has none.
    no_room: Option<(Instant, u32)>,
    /// When the next worker may be started.
    start_after: Instant,
    /// How the supervisor will have ended when no worker is left.
    end: Ended,
}

impl SupervisorThread {
    fn run(mut self) {
        log::info!("starts workers: {}", self.wanted);
        loop {
            if lock(&self.shared.state).terminate {
                self.terminate();
                return self.publish_end(Ended::Terminated);
            }
            self.start_missing();
            if let Ended::Broken(_) = self.end {
                self.terminate();
                return self.publish_end(self.end.clone());
            }
            if self.workers.is_empty() && self.wanted == 0 {
                return self.publish_end(self.end.clone());
            }
            let pause = (self.workers.len() < self.wanted)
                .then(|| self.start_after.saturating_duration_since(Instant::now()));
            let late = self.workers.iter().filter_map(WorkerProcess::is_late_in);
            self.wait(late.chain(pause).min());
            self.read_reports();
            self.workers.iter_mut().for_each(WorkerProcess::report_if_late);
            self.reap();
        }
    }

    fn publish_end(&self, ended: Ended) {
        log::info!("all workers have ended: {ended}");
        let mut state = lock(&self.shared.state);
        state.ready.clear();
        state.ended = Some(ended);
        self.shared.changed.notify_all();
    }

    fn start_missing(&mut self) {
        while self.workers.len() < self.wanted && Instant::now() >= self.start_after {
            let command = (self.hooks.command)();
            let index = self.free_index();
            let assignment = &self.hooks.assignment;
            match command.and_then(|command| WorkerProcess::start(command, assignment, index)) {
                Ok(worker) => {
                    self.no_room = None;
                    log::debug!("worker {} is started", worker.id());
                    self.workers.push(worker);
                }
                Err(error) if is_resource_shortage(&error) => self.wait_for_resources(&error),
                Err(error) => {
                    self.count_failure(&format!("a worker cannot be started: {}", explained(&error)));
                }
            }
        }
    }

    /// The lowest index that no worker has.
    fn free_index(&self) -> u32 {
        let mut taken: Vec<u32> = self.workers.iter().map(WorkerProcess::index).collect();
        taken.sort_unstable();
        (0..)
            .zip(taken)
            .find(|(index, taken)| index != taken)
            .map_or(self.workers.len() as u32, |(index, _)| index)
    }

    /// Waits until a worker ends or reports something, the owner has a request, or the pause is over.
    fn wait(&self, pause: Option<Duration>) {
        let mut watched = vec![Watched::to_read(&self.shared.wake)];
        for worker in &self.workers {
            watched.extend(worker.descriptors().map(Watched::borrowed));
        }
        wait_until(&mut watched, pause);
    }

    fn read_reports(&mut self) {
        for worker in &mut self.workers {
            let was_ready = worker.is_ready();
            worker.read_reports();
            if worker.is_ready() && !was_ready {
                self.failures = 0;
                log::debug!("worker {} is ready", worker.id());
                lock(&self.shared.state).ready.push(worker.id());
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
            worker.read_reports();
            // The processes that it started must not outlive it. No other process can have its id before it is reaped.
            worker.signal(Signal::KILL);
            let process = worker.id();
            lock(&self.shared.state).ready.retain(|&ready| ready != process);
            match worker.reap() {
                Ok(how) => self.judge(&worker, &how),
                Err(error) => self.count_failure(&format!("worker {process} cannot be reaped: {error}")),
            }
        }
    }

    /// Decides what the end of a worker means for those that follow.
    fn judge(&mut self, worker: &WorkerProcess, how: &str) {
        let process = worker.id();
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
            match worker.stderr_tail() {
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
        if self.failures == FAILURES_MAX {
            self.give_up(format!(
                "{FAILURES_MAX} workers in a row ended before they were ready; the last: {what}"
            ));
        }
    }

    /// Tries to start a worker again later: other processes may release what the system lacks now.
    fn wait_for_resources(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.no_room.is_none() {
            log::warn!("a worker cannot be started now; trying again: {}", explained(error));
        }
        let (since, attempts) = self.no_room.get_or_insert((now, 0));
        *attempts += 1;
        let (time, attempts) = (now - *since, *attempts);
        // Each pause is as long as all before it together.
        self.start_after = now + time.clamp(PAUSE, ROOM_PAUSE_MAX);
        if time >= ROOM_TIME_MAX && !self.workers.iter().any(WorkerProcess::is_ready) {
            let why = explained(error);
            self.give_up(format!(
                "no worker could be started in {attempts} attempts within {time:.0?}: {why}"
            ));
        }
    }

    fn give_up(&mut self, reason: String) {
        log::error!("no more workers are started: {reason}");
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
            log::error!("worker {} still runs {PATIENCE:?} after SIGKILL", worker.id());
        }
    }

    /// Reaps workers that end before the deadline, or until none is left.
    fn reap_until(&mut self, deadline: Instant) {
        loop {
            self.workers.retain_mut(|worker| {
                if !worker.has_ended() {
                    return true;
                }
                worker.signal(Signal::KILL);
                if let Err(error) = worker.reap() {
                    log::warn!("worker {} cannot be reaped: {error}", worker.id());
                }
                false
            });
            let rest = deadline.saturating_duration_since(Instant::now());
            if self.workers.is_empty() || rest.is_zero() {
                return;
            }
            let mut watched: Vec<_> =
                self.workers.iter().map(WorkerProcess::end).map(Watched::borrowed).collect();
            wait_until(&mut watched, Some(rest));
        }
    }
}

/// Waits until one of these is ready or the time is over. An error may end the wait early; the caller checks again.
fn wait_until(watched: &mut [Watched<'_>], timeout: Option<Duration>) {
    if let Err(error) = wait_for_any(watched, timeout) {
        log::debug!("waiting for workers has failed: {error}");
    }
}

#[cfg(test)]
mod tests;

//! Tasks: from the moment a worker takes one to the moment it has ended.
//!
//! A task runs in one session, which may have prefetched it (`prefetch`). It ends when the worker says how, when the
//! worker dies, or when its time is over. If the worker dies, the task starts again as often as its batch allows, and
//! then fails. A process that was sent a signal to stop a task is *marked for termination*: it gets no other task,
//! since it may end in the middle of it.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use protocol::limits::{CARRIES_MAX, PAYLOAD_BYTES_MAX};
use protocol::{
    Code, FailureKind, Grant, GrantedTask, Kind, ObjectId, Outcome, Payload, Refusal, Reply, SessionId,
    StopSignal, TaskGrant,
};
use serde::{Deserialize, Serialize};

use crate::objects::Want;
use crate::pools::batch::{OUTCOME_BYTES, cut, failed};
use crate::pools::prefetch::Granted;
use crate::state::Due;
use crate::store::catalog::Pin;
use crate::store::slab::Key;
use crate::waiting::wait::Waiter;
use crate::{Effect, State, Time};

/// A task that has not started, or is to start again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) number: u32,
    /// How often it was started before.
    pub(crate) retry: u32,
    pub(crate) arguments: Payload,
    /// Objects whose proxies are in the arguments.
    pub(crate) carries: Box<[Pin]>,
}

/// A task that was granted to a session: it has started there, or will when the one before it has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    session: SessionId,
    task: Task,
    /// When it began; none if it was prefetched and has not begun.
    since: Option<Time>,
    deadline: Option<Time>,
    /// Whether its process was sent a signal to stop it.
    is_signalled: bool,
    /// Whether its batch was cancelled while it was prefetched, so that it does not start anywhere else.
    is_cancelled: bool,
}

impl Running {
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// Whether it was prefetched and has not begun.
    pub(crate) fn is_prefetched(&self) -> bool {
        self.since.is_none()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// Notes that its batch was cancelled.
    pub(crate) fn cancel(&mut self) {
        self.is_cancelled |= self.is_prefetched();
    }
}

impl State {
    /// Starts the next task of a ready pool in this session.
    pub(crate) fn task_take(&mut self, pool: Key, session: SessionId) -> Grant {
        let key = self.pool_next(pool);
        let GrantedTask { task, retry, arguments } = self.batch_start_one(key, session, None);
        self.batch_offer(key);
        let id = self.catalog.at(key).id;
        let batch = self.batch_at(key);
        let (function, stop) = (batch.function(), batch.options.stop);
        Grant::Task(TaskGrant { batch: id, task, function, arguments, stop, retry })
    }

    /// Starts the next task of a batch in a session, or prefetches it, to begin after another of the same batch.
    /// The batch has no turn in its pool.
    pub(crate) fn batch_start_one(
        &mut self,
        key: Key,
        session: SessionId,
        after: Option<u32>,
    ) -> GrantedTask {
        let id = self.catalog.at(key).id;
        let batch = self.batch_at(key);
        let task = batch.waiting.pop_front().expect("a startable batch has a task to start");
        let number = task.number;
        let granted = GrantedTask { task: number, retry: task.retry, arguments: task.arguments.clone() };
        let running =
            Running { session, task, since: None, deadline: None, is_signalled: false, is_cancelled: false };
        batch.running.insert(number, running);
        self.session_at(session).running.push(Granted { batch: id, task: number, after });
        if after.is_none() {
            self.begin(key, number);
        }
        granted
    }

    /// Notes that a granted task begins now.
    pub(crate) fn begin(&mut self, key: Key, number: u32) {
        let now = self.now;
        let batch = self.batch_at(key);
        let deadline = batch.options.time_limit_ns.map(|limit_ns| now.after_ns(limit_ns));
        let running = batch.running.get_mut(&number).expect("a granted task is among those that run");
        running.since = Some(now);
        running.deadline = deadline;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, Due::Task { batch: key, number }));
        }
    }

    pub(crate) fn task_end(
        &mut self,
        session: SessionId,
        id: ObjectId,
        number: u32,
        outcome: &Outcome<&[u8], &str>,
        carries: &[ObjectId],
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        // Even if it comes too late to count: its sender goes on.
        self.begin_next(session, key, number);
        let now = self.now;
        let batch = self.batch_at(key);
        let began = batch.running.get(&number).filter(|running| running.session == session);
        let Some(began) = began.and_then(|running| running.since) else {
            let text = format!("task {number} of batch {id} does not run in this session");
            return Err(Refusal::new(Code::BadArgument, text));
        };
        batch.task_time.note(now.ns_since(began));
        let outcome = self.checked(outcome, carries);
        if matches!(outcome, Outcome::Returned(_)) && self.is_referred_to(key) {
            let carried: Vec<Pin> = carries.iter().filter_map(|&id| self.pin(id)).collect();
            self.batch_at(key).carried.extend(carried);
        }
        self.take_back(key, number);
        self.end(key, number, outcome);
        self.batch_moved_on(key);
        Ok(Reply::Done)
    }

    /// An outcome to store. One that cannot be stored becomes a failure that says so.
    fn checked(&self, outcome: &Outcome<&[u8], &str>, carries: &[ObjectId]) -> Outcome {
        let room = self.limits.stored_bytes_max.saturating_sub(self.stored_bytes);
        match outcome {
            Outcome::Returned(_) if carries.len() > CARRIES_MAX => failed(
                FailureKind::TooLarge,
                format!("the result carries {} proxies, at most {CARRIES_MAX} are taken", carries.len()),
            ),
            Outcome::Returned(bytes) if bytes.len() > PAYLOAD_BYTES_MAX => failed(
                FailureKind::TooLarge,
                format!("the result has {} bytes, at most {PAYLOAD_BYTES_MAX} are taken", bytes.len()),
            ),
            Outcome::Returned(bytes) if bytes.len() + OUTCOME_BYTES > room => failed(
                FailureKind::TooLarge,
                format!(
                    "the manager has no room for a result of {} bytes until others are fetched",
                    bytes.len()
                ),
            ),
            Outcome::Returned(bytes) => Outcome::Returned(Payload::from(*bytes)),
            Outcome::Failed(failure) if cut(failure.text).len() + OUTCOME_BYTES > room => {
                failed(failure.kind, "the manager has no room for the text of this failure")
            }
            Outcome::Failed(failure) => failed(failure.kind, cut(failure.text)),
        }
    }

    /// Takes a running task from its session and releases what it kept; its outcome follows.
    pub(crate) fn take_back(&mut self, key: Key, number: u32) {
        let task = self.stop_running(key, number);
        self.stored_bytes -= task.arguments.as_bytes().len();
        self.unpin_all(&task.carries);
    }

    /// Takes a running task from its session.
    pub(crate) fn stop_running(&mut self, key: Key, number: u32) -> Task {
        let id = self.catalog.at(key).id;
        let running = self.batch_at(key).running.remove(&number).expect("the caller found the task running");
        if let Some(session) = self.sessions.get_mut(&running.session) {
            session.running.retain(|granted| (granted.batch, granted.task) != (id, number));
        }
        if let Some(deadline) = running.deadline {
            self.deadlines.remove(&(deadline, Due::Task { batch: key, number }));
        }
        running.task
    }

    /// Handles a task whose session died while it ran: it starts again, or has failed.
    pub(crate) fn task_lost(&mut self, granted: Granted, process: &str) {
        let Granted { batch: id, task: number, .. } = granted;
        let key = self.catalog.key(id).expect("a batch with running tasks is pinned");
        let batch = self.batch_at(key);
        let running = &batch.running[&number];
        let retries = if batch.is_stopped() || running.is_cancelled { 0 } else { batch.options.retries };
        if running.task.retry < retries && !running.is_signalled {
            let mut task = self.stop_running(key, number);
            task.retry += 1;
            self.batch_at(key).waiting.push_front(task);
            return self.batch_offer(key);
        }
        let (kind, what) = match running.is_signalled {
            true => (FailureKind::Stopped, "to stop the task it ran"),
            false => (FailureKind::WorkerDied, "while it ran the task"),
        };
        let again = match running.task.retry {
            0 => "",
            _ => ", as before",
        };
        let text = format!("the worker {process} {what}{again}");
        self.take_back(key, number);
        self.end(key, number, failed(kind, text));
        self.batch_moved_on(key);
    }

    pub(crate) fn batch_signal(&mut self, id: ObjectId, signal: StopSignal) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        let mut count = 0;
        let mut sessions = Vec::new();
        for running in self.batch_at(key).running.values_mut() {
            running.is_signalled = true;
            sessions.push(running.session);
        }
        sessions.sort_unstable();
        sessions.dedup();
        for session in sessions {
            self.terminate_worker(session, signal);
            count += 1;
        }
        Ok(Reply::Count(count))
    }

    /// Has a signal sent to a worker, which gets no more tasks, not even by a wait that has begun.
    fn terminate_worker(&mut self, session: SessionId, signal: StopSignal) {
        self.session_at(session).is_terminating = true;
        self.effects.push(Effect::Signal { session, signal });
        let waits_for_task = |waiter: &Waiter| {
            waiter.targets.iter().any(|entry| matches!(entry.want, Want::Task | Want::Tasks { .. }))
        };
        let waiters = self.sessions[&session].waiters();
        let waiters: Vec<Key> = waiters.filter(|&key| waits_for_task(&self.waiters[key])).collect();
        for key in waiters {
            self.refuse_waiter(key, terminating());
        }
    }

    /// Ends a task that has run longer than its batch allows, and the worker with it.
    pub(crate) fn task_overdue(&mut self, key: Key, number: u32) {
        let batch = self.batch_at(key);
        let limit = Duration::from_nanos(batch.options.time_limit_ns.unwrap_or_default());
        let session = batch.running[&number].session;
        self.take_back(key, number);
        let text =
            format!("it ran longer than the {limit:?} that its batch allows, and its worker was killed");
        self.end(key, number, failed(FailureKind::TimeLimit, text));
        self.terminate_worker(session, StopSignal::Kill);
        self.batch_moved_on(key);
    }

    /// Refuses tasks to a process that is marked for termination.
    pub(crate) fn check_may_work(&self, session: SessionId) -> Result<(), Refusal> {
        match self.sessions[&session].is_terminating {
            true => Err(terminating()),
            false => Ok(()),
        }
    }
}

fn terminating() -> Refusal {
    Refusal::new(Code::Cancelled, "this worker was told to end, and gets no more tasks")
}

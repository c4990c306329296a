//! Prefetch: several tasks in one grant, so that short tasks do not cost a round trip each.
//!
//! A grant starts only its first task. Each of the others starts when the one before it has ended, because its worker
//! begins it only after reporting that end. So when a worker dies, the core knows which tasks it had not begun, and
//! puts these back to the front of the batch. A worker that runs a long task gives back what it has prefetched. A
//! prefetched task counts as waiting; but only its worker can say that it will not begin.
//!
//! No task is prefetched while another worker waits for one, or another batch has one to start.

use alloc::format;
use alloc::vec::Vec;

use protocol::limits::{TASKS_BYTES_MAX, TASKS_PER_GRANT_MAX};
use protocol::{Code, Grant, Kind, ObjectId, Outcome, Refusal, Reply, SessionId, TasksGrant};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::pools::batch::{CANCELLED, failed};
use crate::pools::task::Running;
use crate::store::slab::Key;
use crate::waiting::wait::Lane;

/// The longest that all tasks of one grant should take together, in nanoseconds.
const GRANT_TIME_NS: u64 = 1_000_000;

/// One grant brings at most one part in this many of the waiting tasks, so that workers get the last ones one by one.
const GRANTS_PER_BATCH: usize = 4;

/// How long tasks take, as the core has seen so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct TaskTime {
    /// Nanoseconds for a task; none before the first has ended.
    task_ns: Option<u64>,
}

/// A task that was granted to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    pub(crate) batch: ObjectId,
    /// Its number in the batch.
    pub(crate) task: u32,
    /// The task of the same batch after whose end it begins; none if it has begun.
    pub(crate) after: Option<u32>,
}

impl TaskTime {
    /// Notes how long a task took. A long one counts in full at once, short ones little by little.
    pub(crate) fn note(&mut self, took_ns: u64) {
        let before_ns = self.task_ns.unwrap_or(took_ns);
        self.task_ns = Some(took_ns.max(before_ns - before_ns / 4 + took_ns / 4));
    }

    /// How many tasks one grant may bring.
    fn tasks_per_grant(&self) -> usize {
        match self.task_ns {
            Some(task_ns) => usize::try_from(GRANT_TIME_NS / task_ns.max(1)).unwrap_or(usize::MAX).max(1),
            None => 1,
        }
    }
}

impl State {
    /// Starts the next task of a ready pool in this session, and prefetches others if no other batch or worker loses by
    /// it.
    pub(crate) fn tasks_take(&mut self, pool: Key, session: SessionId, most: u32) -> Grant {
        let batch = self.pool_next(pool);
        let is_alone = self.pool_at(pool).has_nothing_to_start()
            && self.catalog.at(pool).wait_queue_in(Lane::Main).is_empty();
        let tasks_of = self.batch_at(batch);
        let fair = (tasks_of.waiting.len() / GRANTS_PER_BATCH).min(tasks_of.task_time.tasks_per_grant());
        let count = if is_alone { fair.min(TASKS_PER_GRANT_MAX).min(most as usize) } else { 1 };
        let first = self.batch_start_one(batch, session, None);
        let mut bytes = first.arguments.as_bytes().len();
        let mut tasks = Vec::with_capacity(count.max(1));
        tasks.push(first);
        while tasks.len() < count
            && let Some(next) = self.batch_at(batch).waiting.front()
        {
            bytes += next.arguments.as_bytes().len();
            if bytes > TASKS_BYTES_MAX {
                break;
            }
            let before = tasks.last().map(|task| task.task);
            tasks.push(self.batch_start_one(batch, session, before));
        }
        self.batch_offer(batch);
        let id = self.catalog.at(batch).id;
        let batch = self.batch_at(batch);
        Grant::Tasks(TasksGrant { batch: id, function: batch.function(), stop: batch.options.stop, tasks })
    }

    /// A task has ended in this session, or the session gave it back: the task that was prefetched behind it begins.
    pub(crate) fn begin_next(&mut self, session: SessionId, key: Key, task: u32) {
        let id = self.catalog.at(key).id;
        let granted = &mut self.session_at(session).running;
        let is_next = |granted: &&mut Granted| granted.batch == id && granted.after == Some(task);
        let Some(next) = granted.iter_mut().find(is_next) else { return };
        next.after = None;
        let number = next.task;
        self.begin(key, number);
    }

    pub(crate) fn tasks_give_back(
        &mut self,
        session: SessionId,
        id: ObjectId,
        tasks: &[u32],
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        if tasks.len() > TASKS_PER_GRANT_MAX {
            let text = format!("at most {TASKS_PER_GRANT_MAX} tasks are given back at once");
            return Err(Refusal::new(Code::BadArgument, text));
        }
        for (position, number) in tasks.iter().enumerate() {
            let is_its = |running: &Running| running.session() == session;
            let is_running = self.batch_at(key).running.get(number).is_some_and(is_its);
            if !is_running || tasks[..position].contains(number) {
                let text = format!("this session has no task {number} of batch {id} to give back");
                return Err(Refusal::new(Code::BadArgument, text));
            }
        }
        // Backwards, as each goes to the front of the batch.
        for &number in tasks.iter().rev() {
            let granted = &mut self.session_at(session).running;
            let its = granted.iter().find(|granted| granted.batch == id && granted.task == number);
            let before = its.and_then(|granted| granted.after);
            match before {
                None => self.begin_next(session, key, number),
                Some(_) => {
                    let behind = granted.iter_mut().filter(|other| other.batch == id);
                    behind.filter(|other| other.after == Some(number)).for_each(|other| other.after = before);
                }
            }
            self.task_not_begun(key, number);
        }
        self.batch_offer(key);
        self.batch_moved_on(key);
        Ok(Reply::Done)
    }

    /// Handles a task that a session had prefetched and not begun when it died.
    pub(crate) fn task_prefetched_lost(&mut self, granted: Granted) {
        let key = self.catalog.key(granted.batch).expect("a batch with running tasks is pinned");
        self.task_not_begun(key, granted.task);
        self.batch_offer(key);
        self.batch_moved_on(key);
    }

    /// Puts a granted task that was not begun back to the front of its batch, or ends it if it must not start.
    fn task_not_begun(&mut self, key: Key, number: u32) {
        let is_stopped = self.batch_at(key).is_stopped();
        if !is_stopped && !self.batch_at(key).running[&number].is_cancelled() {
            let task = self.stop_running(key, number);
            return self.batch_at(key).waiting.push_front(task);
        }
        self.take_back(key, number);
        self.end(key, number, cancelled());
    }
}

fn cancelled() -> Outcome {
    failed(CANCELLED.kind, CANCELLED.text)
}

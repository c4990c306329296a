//! Batches: the tasks of one call to a pool, from their arrival to the moment their owner fetches the results.
//!
//! A task is *waiting*, then *running* in one session, then *ended* with an outcome, which its owner takes. If
//! the session that runs it dies, the task ends as failed. Every task ends exactly once: what comes later for it is
//! refused. A batch is complete when its owner has said that no more tasks come and all of them have ended.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use protocol::limits::{
    CARRIES_MAX, FAILURE_BYTES_MAX, PAYLOAD_BYTES_MAX, RESULTS_BYTES_MAX, TASKS_PER_REQUEST_MAX,
};
use protocol::{
    Code, Failure, FailureKind, Grant, Kind, Name, ObjectId, Outcome, Payload, Progress, Refusal, Reply,
    Results, SessionId, TaskGrant, TaskInput, TaskResult,
};

use crate::State;
use crate::object::{Body, Pin};
use crate::slab::Key;
use crate::wait::Readiness;

/// A batch.
#[derive(Debug)]
pub(crate) struct Batch {
    pool: Key,
    /// It holds its pool, and is held itself, until it is complete.
    pins: Option<[Pin; 2]>,
    function: Arc<str>,
    /// Whose batch it is.
    owner: SessionId,
    /// Tasks to start, in order.
    waiting: VecDeque<Task>,
    /// Tasks that were started, by number.
    running: BTreeMap<u32, Running>,
    /// Outcomes that the owner has not taken, in the order in which they came.
    ended: VecDeque<TaskResult>,
    /// Objects whose proxies are in results; kept until the batch is freed, as the owner may yet decode them.
    carried: Vec<Pin>,
    /// How many tasks were ever added, which is the number of the next.
    added: u32,
    returned: u32,
    failed: u32,
    /// Whether the owner has said that no more come.
    is_sealed: bool,
}

/// A task that was not started.
#[derive(Debug)]
struct Task {
    number: u32,
    arguments: Payload,
    /// Objects whose proxies are in the arguments.
    carries: Box<[Pin]>,
}

/// A task that was started.
#[derive(Debug)]
struct Running {
    session: SessionId,
    carries: Box<[Pin]>,
}

impl Batch {
    pub(crate) fn readiness(&self) -> Readiness {
        Readiness::when(!self.ended.is_empty() || self.is_complete())
    }

    fn is_complete(&self) -> bool {
        self.is_sealed && self.waiting.is_empty() && self.running.is_empty()
    }

    /// The function that its tasks call.
    pub(crate) fn function(&self) -> Arc<str> {
        self.function.clone()
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            waiting: self.waiting.len() as u32,
            running: self.running.len() as u32,
            returned: self.returned,
            failed: self.failed,
        }
    }
}

impl State {
    pub(crate) fn batch_open(
        &mut self,
        session: SessionId,
        id: ObjectId,
        pool_id: ObjectId,
        function: &str,
    ) -> Result<Reply, Refusal> {
        Name::check(function)
            .map_err(|error| Refusal::new(Code::BadName, format!("task function: {error}")))?;
        let pool = self.catalog.find(pool_id, Kind::Pool)?;
        self.pool_at(pool).check_open()?;
        let batch = Batch {
            pool,
            pins: None,
            function: function.into(),
            owner: session,
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            ended: VecDeque::new(),
            carried: Vec::new(),
            added: 0,
            returned: 0,
            failed: 0,
            is_sealed: false,
        };
        let key = self.create(id, None, Body::Batch(Box::new(batch)))?;
        self.refer(session, key)?;
        self.batch_at(key).pins = Some([self.pin_at(key), self.pin_at(pool)]);
        self.pool_at(pool).add_batch(key);
        self.session_at(session).batches.push(id);
        Ok(Reply::Done)
    }

    pub(crate) fn batch_add(
        &mut self,
        session: SessionId,
        id: ObjectId,
        tasks: &[TaskInput<'_>],
        last: bool,
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        let batch = self.batch_at(key);
        if batch.owner != session {
            return Err(Refusal::new(
                Code::BadArgument,
                "tasks are added by the session that made the batch",
            ));
        }
        if batch.is_sealed {
            return Err(Refusal::new(Code::Closed, "the batch takes no more tasks"));
        }
        self.check_room(tasks)?;
        let batch = self.batch_at(key);
        let (pool, was_empty) = (batch.pool, batch.waiting.is_empty());
        batch.is_sealed = last;
        batch.waiting.reserve(tasks.len());
        for task in tasks {
            self.batch_add_one(key, task);
        }
        if was_empty && !tasks.is_empty() {
            self.pool_at(pool).add_startable(key);
            self.touch(pool);
        }
        self.batch_moved_on(key);
        Ok(Reply::Done)
    }

    fn check_room(&self, tasks: &[TaskInput<'_>]) -> Result<(), Refusal> {
        let (tasks_max, bytes_max) = (self.limits.tasks_max, self.limits.stored_bytes_max);
        let bytes: usize = tasks.iter().map(|task| task.arguments.len()).sum();
        let text = if tasks.len() > TASKS_PER_REQUEST_MAX {
            format!("a request adds at most {TASKS_PER_REQUEST_MAX} tasks, this one {}", tasks.len())
        } else if tasks.iter().any(|task| task.carries.len() > CARRIES_MAX) {
            format!("the arguments of a task carry at most {CARRIES_MAX} proxies")
        } else if self.stored_tasks + tasks.len() > tasks_max {
            format!("the manager holds {} of at most {tasks_max} tasks", self.stored_tasks)
        } else if self.stored_bytes + bytes > bytes_max {
            format!("the manager stores {} of at most {bytes_max} bytes for tasks", self.stored_bytes)
        } else if tasks.iter().any(|task| task.arguments.len() > PAYLOAD_BYTES_MAX) {
            format!("the arguments of a task have at most {PAYLOAD_BYTES_MAX} bytes")
        } else {
            return Ok(());
        };
        Err(Refusal::new(Code::LimitReached, text))
    }

    fn batch_add_one(&mut self, key: Key, task: &TaskInput<'_>) {
        self.stored_tasks += 1;
        self.stored_bytes += task.arguments.len();
        let carries = task.carries.iter().filter_map(|&id| self.pin(id)).collect();
        let batch = self.batch_at(key);
        let number = batch.added;
        // Far below 2^32 tasks are ever held, but a batch without end may count further; its numbers wrap.
        batch.added = batch.added.wrapping_add(1);
        batch.waiting.push_back(Task { number, arguments: Payload::from(task.arguments), carries });
    }

    /// Starts the next task of a batch in a session. Also tells whether the batch has more to start.
    pub(crate) fn batch_start_next(&mut self, key: Key, session: SessionId) -> (TaskGrant, bool) {
        let id = self.catalog.at(key).id;
        let batch = self.batch_at(key);
        let task = batch.waiting.pop_front().expect("a startable batch has a task to start");
        batch.running.insert(task.number, Running { session, carries: task.carries });
        let bytes = task.arguments.as_bytes().len();
        let grant = TaskGrant {
            batch: id,
            task: task.number,
            function: batch.function.clone(),
            arguments: task.arguments,
        };
        let more = !batch.waiting.is_empty();
        self.stored_bytes -= bytes;
        self.session_at(session).running.push((id, grant.task));
        (grant, more)
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
        let is_its = |running: &Running| running.session == session;
        if !self.batch_at(key).running.get(&number).is_some_and(is_its) {
            let text = format!("task {number} of batch {id} does not run in this session");
            return Err(Refusal::new(Code::BadArgument, text));
        }
        self.session_at(session).running.retain(|running| *running != (id, number));
        let outcome = self.checked(outcome, carries);
        if matches!(outcome, Outcome::Returned(_)) && self.is_referred_to(key) {
            let carried: Vec<Pin> = carries.iter().filter_map(|&id| self.pin(id)).collect();
            self.batch_at(key).carried.extend(carried);
        }
        self.end_running(key, number, outcome);
        Ok(Reply::Done)
    }

    /// An outcome to be stored: one that can not be is a failure that says so.
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

    /// Ends a task whose session died while it ran.
    pub(crate) fn task_lost(&mut self, id: ObjectId, number: u32, process: &str) {
        if let Some(key) = self.catalog.key(id) {
            let text = format!("the worker {process} while it ran the task");
            self.end_running(key, number, failed(FailureKind::WorkerDied, text));
        }
    }

    fn end_running(&mut self, key: Key, number: u32, outcome: Outcome) {
        let running = self.batch_at(key).running.remove(&number).expect("the caller found the task running");
        self.end(key, number, outcome);
        self.unpin_all(&running.carries);
        self.batch_moved_on(key);
    }

    /// Counts and stores the outcome of a task that is neither waiting nor running any more.
    fn end(&mut self, key: Key, number: u32, outcome: Outcome) {
        let is_wanted = self.is_referred_to(key);
        let bytes = stored_bytes(&outcome);
        let batch = self.batch_at(key);
        match outcome {
            Outcome::Returned(_) => batch.returned += 1,
            Outcome::Failed(_) => batch.failed += 1,
        }
        if is_wanted {
            batch.ended.push_back(TaskResult { task: number, outcome });
            self.stored_bytes += bytes;
        } else {
            self.stored_tasks -= 1;
        }
    }

    /// Fails every task that has not ended. The pool has forgotten the batch already.
    pub(crate) fn batch_fail_rest(&mut self, key: Key, failure: &Failure<&str>) {
        let id = self.catalog.at(key).id;
        let batch = self.batch_at(key);
        batch.is_sealed = true;
        let text: Arc<str> = failure.text.into();
        let running = core::mem::take(&mut batch.running);
        for (number, running) in running {
            if let Some(session) = self.sessions.get_mut(&running.session) {
                session.running.retain(|other| *other != (id, number));
            }
            self.end(key, number, failed(failure.kind, text.clone()));
            self.unpin_all(&running.carries);
        }
        for task in core::mem::take(&mut self.batch_at(key).waiting) {
            self.stored_bytes -= task.arguments.as_bytes().len();
            self.end(key, task.number, failed(failure.kind, text.clone()));
            self.unpin_all(&task.carries);
        }
        self.batch_moved_on(key);
    }

    /// The owner is gone: tasks that have not started never will, and those that run are the last.
    pub(crate) fn batch_abandoned(&mut self, id: ObjectId) {
        let key = self.catalog.key(id).expect("a batch that is not complete is pinned");
        let batch = self.batch_at(key);
        batch.is_sealed = true;
        let (pool, waiting) = (batch.pool, core::mem::take(&mut batch.waiting));
        self.pool_at(pool).remove_startable(key);
        self.stored_tasks -= waiting.len();
        for task in waiting {
            self.stored_bytes -= task.arguments.as_bytes().len();
            self.unpin_all(&task.carries);
        }
        self.batch_moved_on(key);
    }

    /// Follows up on a change: serves the owner, and lets go of a batch that is complete.
    fn batch_moved_on(&mut self, key: Key) {
        self.touch(key);
        let batch = self.batch_at(key);
        if !batch.is_complete() {
            return;
        }
        let (pool, owner) = (batch.pool, batch.owner);
        let id = self.catalog.at(key).id;
        if let Some(owner) = self.sessions.get_mut(&owner) {
            owner.batches.retain(|other| *other != id);
        }
        self.pool_at(pool).remove_batch(key);
        self.touch(pool);
        if let Some(pins) = self.batch_at(key).pins.take() {
            self.unpin_all(&pins);
        }
    }

    fn unpin_all(&mut self, pins: &[Pin]) {
        pins.iter().for_each(|pin| self.unpin(*pin));
    }

    /// Moves results to the owner, as many as fit into a reply.
    pub(crate) fn results_take(&mut self, key: Key) -> Grant {
        let batch = self.batch_at(key);
        let mut results = Vec::new();
        let mut bytes = 0;
        while let Some(result) = batch.ended.front() {
            let more = stored_bytes(&result.outcome);
            if !results.is_empty() && bytes + more > RESULTS_BYTES_MAX {
                break;
            }
            bytes += more;
            results.extend(batch.ended.pop_front());
        }
        let complete = batch.ended.is_empty() && batch.is_complete();
        self.stored_tasks -= results.len();
        self.stored_bytes -= bytes;
        Grant::Results(Results { results, complete })
    }

    /// Gives back what a batch kept that is freed now. It is complete.
    pub(crate) fn batch_freed(&mut self, batch: Batch) {
        self.stored_tasks -= batch.ended.len();
        self.stored_bytes -= batch.ended.iter().map(|result| stored_bytes(&result.outcome)).sum::<usize>();
        self.unpin_all(&batch.carried);
    }

    pub(crate) fn batch_progress(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        Ok(Reply::Progress(self.batch_at(key).progress()))
    }

    fn batch_at(&mut self, key: Key) -> &mut Batch {
        match &mut self.catalog.at_mut(key).body {
            Body::Batch(batch) => batch,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}

fn failed(kind: FailureKind, text: impl Into<Arc<str>>) -> Outcome {
    Outcome::Failed(Failure { kind, text: text.into() })
}

/// What stands around the bytes of an outcome, about, in the manager's memory and in a reply.
const OUTCOME_BYTES: usize = 16;

/// What an outcome weighs in the manager's memory and in a reply.
fn stored_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Returned(payload) => payload.as_bytes().len() + OUTCOME_BYTES,
        Outcome::Failed(failure) => failure.text.len() + OUTCOME_BYTES,
    }
}

/// The text up to the limit, cut between characters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FAILURE_BYTES_MAX)]
}

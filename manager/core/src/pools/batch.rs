//! Batches: the tasks of one call to a pool, from their arrival to the moment their owner fetches the results.
//!
//! A task is *waiting*, then *running* in one session, then *ended* with an outcome, which its owner takes;
//! `task` tells how. Every task ends exactly once: later reports of its end are refused. A batch is complete when its
//! owner has said that no more tasks come and all of them have ended.
//!
//! Each batch has a *stop event*, which its tasks look at. Once it is set, tasks that have not started never will. A
//! task's stop event also sets those of the batches that the task opened, so stopping a batch stops what its tasks
//! started. The owner's death and the pool's termination set it, too.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use protocol::limits::{
    CARRIES_MAX, FAILURE_BYTES_MAX, PAYLOAD_BYTES_MAX, RESULTS_BYTES_MAX, TASKS_PER_REQUEST_MAX,
};
use protocol::{
    BatchOptions, Code, Failure, FailureKind, Grant, Kind, Name, ObjectId, ObjectState, Outcome, Payload,
    Refusal, Reply, RequestId, Results, SessionId, Spec, Target, Targets, TaskCounts, TaskInput, TaskResult,
    WaitMode,
};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::event::Event;
use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Want};
use crate::pools::prefetch::TaskTime;
use crate::pools::task::{Running, Task};
use crate::sessions::session::Abandoner;
use crate::store::catalog::{Object, Pin};
use crate::store::lifetime::ObjectEnd;
use crate::store::slab::Key;
use crate::waiting::wait::{Caller, Readiness};

/// A batch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) pool: Key,
    /// They keep its pool, its stop event and itself alive until it is complete.
    pins: Option<[Pin; 3]>,
    pub(crate) function: Arc<str>,
    /// The session that made it.
    owner: SessionId,
    pub(crate) options: BatchOptions,
    /// Its turn among the startable batches of its pool, while it has tasks to start.
    pub(crate) turn: Option<u64>,
    /// Tasks to start, in order.
    pub(crate) waiting: VecDeque<Task>,
    /// Tasks that were started or prefetched, by number.
    pub(crate) running: BTreeMap<u32, Running>,
    /// How long its tasks take.
    pub(crate) task_time: TaskTime,
    /// Outcomes that the owner has not taken, in the order in which they came.
    ended: VecDeque<TaskResult>,
    /// Objects whose proxies are in results; kept until the batch is freed, since the owner may still decode them.
    pub(crate) carried: Vec<Pin>,
    /// How many tasks were ever added, which is the number of the next.
    added: u32,
    returned: u32,
    failed: u32,
    /// Whether the owner has said that no more come.
    is_sealed: bool,
    /// Whether tasks that have not started never will.
    is_stopped: bool,
}

/// What a batch is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSpec<'a> {
    /// Its id.
    pub(crate) id: ObjectId,
    /// The pool that runs it.
    pub(crate) pool: ObjectId,
    /// The function that its tasks call.
    pub(crate) function: &'a str,
    /// How it runs.
    pub(crate) options: BatchOptions,
}

impl Batch {
    fn is_complete(&self) -> bool {
        self.is_sealed && self.waiting.is_empty() && self.running.is_empty()
    }

    /// Whether tasks that have not started never will.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The function that its tasks call.
    pub(crate) fn function(&self) -> Arc<str> {
        self.function.clone()
    }

    fn progress(&self) -> TaskCounts {
        let prefetched = self.running.values().filter(|running| running.is_prefetched()).count();
        TaskCounts {
            waiting: (self.waiting.len() + prefetched) as u32,
            running: (self.running.len() - prefetched) as u32,
            returned: self.returned,
            failed: self.failed,
        }
    }
}

impl ObjectBody for Batch {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    /// A batch has a request of its own that opens it.
    fn spec(&self, _: &State) -> Option<Spec> {
        None
    }

    fn inspect(&self, _: &State, _: &Object) -> ObjectState {
        ObjectState::Batch { function: self.function(), progress: self.progress() }
    }

    fn readiness(&self, want: &Want, _: Caller) -> Readiness {
        match want {
            Want::Results { least } => {
                Readiness::when(self.ended.len() >= *least.max(&1) as usize || self.is_complete())
            }
            _ => unreachable!("the kind was checked when the wait began"),
        }
    }

    fn check_removal(_: &mut State, _: Key, _: SessionId, _: &str) -> Result<(), Refusal> {
        Err(Refusal::new(
            Code::WrongKind,
            "a batch cannot be removed, as it ends with its tasks; cancel it, or set its stop event",
        ))
    }

    /// Gives back what it kept. It is complete.
    fn destroyed(&mut self, state: &mut State, _: Key, _: &ObjectEnd) {
        state.stored_tasks -= self.ended.len();
        state.stored_bytes -= self.ended.iter().map(|result| stored_bytes(&result.outcome)).sum::<usize>();
        state.unpin_all(&self.carried);
    }
}

impl State {
    pub(crate) fn batch_open(&mut self, session: SessionId, spec: BatchSpec<'_>) -> Result<Reply, Refusal> {
        let BatchSpec { id, pool, function, options } = spec;
        Name::check(function)
            .map_err(|error| Refusal::new(Code::BadName, format!("task function: {error}")))?;
        let pool = self.catalog.find(pool, Kind::Pool)?;
        self.pool_at(pool).check_open()?;
        let parent = options.parent.map(|parent| self.catalog.find(parent, Kind::Event)).transpose()?;
        if options.stop == id {
            return Err(Refusal::new(Code::BadArgument, "a batch and its stop event have different ids"));
        }
        let batch = Batch {
            pool,
            pins: None,
            function: function.into(),
            owner: session,
            options,
            turn: None,
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            task_time: TaskTime::default(),
            ended: VecDeque::new(),
            carried: Vec::new(),
            added: 0,
            returned: 0,
            failed: 0,
            is_sealed: false,
            is_stopped: false,
        };
        self.check_room_for(2)?;
        let stop = self.create(options.stop, None, Body::Event(Event::new(false)))?;
        let key = match self.create(id, None, Body::Batch(Box::new(batch))) {
            Ok(key) => key,
            Err(refusal) => {
                // Nothing refers to it yet, so it goes at once.
                let pin = self.pin_at(stop);
                self.unpin(pin);
                return Err(refusal);
            }
        };
        self.refer(session, key)?;
        self.refer(session, stop)?;
        self.batch_at(key).pins = Some([self.pin_at(key), self.pin_at(pool), self.pin_at(stop)]);
        self.pool_at(pool).add_batch(key);
        self.session_at(session).batches.insert(id);
        self.event_stops(stop, key);
        if let Some(parent) = parent {
            self.event_add_child(parent, stop);
        }
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
                "only the session that made a batch can add tasks to it",
            ));
        }
        if batch.is_sealed {
            return Err(Refusal::new(Code::Closed, "the batch takes no more tasks"));
        }
        self.check_room_to_store(tasks)?;
        let batch = self.batch_at(key);
        batch.is_sealed = last;
        batch.waiting.reserve(tasks.len());
        tasks.iter().for_each(|task| self.batch_add_one(key, task));
        if self.batch_at(key).is_stopped {
            self.batch_end_waiting(key, &CANCELLED);
        }
        self.batch_offer(key);
        self.batch_moved_on(key);
        Ok(Reply::Done)
    }

    /// Makes a batch of all the tasks that it will ever have, and begins a wait for its results.
    pub(crate) fn batch_run(
        &mut self,
        caller: Caller,
        request: RequestId,
        spec: BatchSpec<'_>,
        tasks: &[TaskInput<'_>],
        timeout_ns: Option<u64>,
    ) -> Result<(), Refusal> {
        let id = spec.id;
        let targets = Targets::from_iter([Target::Results { batch: id }]);
        // All checks come first, so that nothing has to be undone.
        self.check_wait(request, WaitMode::Any, &targets)?;
        self.check_room_to_wait(caller.session, request)?;
        self.check_room_to_store(tasks)?;
        self.batch_open(caller.session, spec)?;
        self.batch_add(caller.session, id, tasks, true)?;
        self.settle();
        self.wait(caller, request, WaitMode::Any, &targets, timeout_ns)
    }

    fn check_room_to_store(&self, tasks: &[TaskInput<'_>]) -> Result<(), Refusal> {
        let (tasks_max, bytes_max) = (self.limits.tasks_max, self.limits.stored_bytes_max);
        let bytes: usize = tasks.iter().map(|task| task.arguments.len()).sum();
        let text = if tasks.len() > TASKS_PER_REQUEST_MAX {
            format!("a request adds at most {TASKS_PER_REQUEST_MAX} tasks, this one {}", tasks.len())
        } else if tasks.iter().any(|task| task.carries.len() > CARRIES_MAX) {
            format!("the arguments of a task carry at most {CARRIES_MAX} proxies")
        } else if self.stored_tasks + tasks.len() > tasks_max {
            format!("the manager holds {} of at most {tasks_max} tasks and items", self.stored_tasks)
        } else if self.stored_bytes + bytes > bytes_max {
            format!(
                "the manager stores {} of at most {bytes_max} bytes for tasks and items",
                self.stored_bytes
            )
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
        // A manager holds far fewer than 2^32 tasks, but an endless batch may count further; its numbers wrap.
        batch.added = batch.added.wrapping_add(1);
        batch.waiting.push_back(Task { number, retry: 0, arguments: Payload::from(task.arguments), carries });
    }

    /// Gives a batch a turn in its pool if it has tasks to start and has none.
    pub(crate) fn batch_offer(&mut self, key: Key) {
        let batch = self.batch_at(key);
        if batch.turn.is_some() || batch.waiting.is_empty() {
            return;
        }
        let (pool, priority) = (batch.pool, batch.options.priority);
        let turn = self.pool_at(pool).add_startable(key, priority);
        self.batch_at(key).turn = Some(turn);
        self.touch(pool);
    }

    /// Takes from a batch its turn in its pool.
    fn batch_withdraw(&mut self, key: Key) {
        let batch = self.batch_at(key);
        let (pool, priority) = (batch.pool, batch.options.priority);
        if let Some(turn) = batch.turn.take() {
            self.pool_at(pool).remove_startable(priority, turn);
        }
    }

    pub(crate) fn batch_cancel(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        let batch = self.batch_at(key);
        let count = batch.waiting.len() as u64;
        batch.running.values_mut().for_each(Running::cancel);
        self.batch_end_waiting(key, &CANCELLED);
        self.batch_moved_on(key);
        Ok(Reply::Count(count))
    }

    /// The stop event of a batch was set: no more of its tasks start, now or later.
    pub(crate) fn batch_stop(&mut self, key: Key) {
        let batch = self.batch_at(key);
        if batch.is_stopped || batch.is_complete() {
            return;
        }
        batch.is_stopped = true;
        self.batch_end_waiting(key, &CANCELLED);
        self.batch_moved_on(key);
    }

    /// Ends the tasks that have not started.
    fn batch_end_waiting(&mut self, key: Key, failure: &Failure<&str>) {
        self.batch_withdraw(key);
        let text: Arc<str> = failure.text.into();
        for task in core::mem::take(&mut self.batch_at(key).waiting) {
            self.stored_bytes -= task.arguments.as_bytes().len();
            self.end(key, task.number, failed(failure.kind, text.clone()));
            self.unpin_all(&task.carries);
        }
    }

    /// Counts and stores the outcome of a task that neither waits nor runs any more.
    pub(crate) fn end(&mut self, key: Key, number: u32, outcome: Outcome) {
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
        self.batch_at(key).is_sealed = true;
        self.batch_at(key).turn = None;
        let text: Arc<str> = failure.text.into();
        let numbers: Vec<u32> = self.batch_at(key).running.keys().copied().collect();
        for number in numbers {
            self.take_back(key, number);
            self.end(key, number, failed(failure.kind, text.clone()));
        }
        self.batch_end_waiting(key, failure);
        self.batch_moved_on(key);
    }

    /// The owner is gone: tasks that have not started never will, and the stop event tells the others to stop.
    pub(crate) fn batch_abandoned(&mut self, id: ObjectId, abandoner: &Abandoner) {
        let key = self.catalog.key(id).expect("a batch that is not complete is pinned");
        let batch = self.batch_at(key);
        batch.is_sealed = true;
        let stop = batch.options.stop;
        self.batch_stop(key);
        self.event_set_by_abandoner(stop, abandoner, &format!("its owner {}", abandoner.how()));
        self.batch_moved_on(key);
    }

    /// Follows up on a change: serves the owner, and lets go of a batch that is complete.
    pub(crate) fn batch_moved_on(&mut self, key: Key) {
        self.touch(key);
        let batch = self.batch_at(key);
        if !batch.is_complete() {
            return;
        }
        let Some(pins) = batch.pins.take() else {
            return;
        };
        let (pool, owner) = (batch.pool, batch.owner);
        let id = self.catalog.at(key).id;
        if let Some(owner) = self.sessions.get_mut(&owner) {
            owner.batches.remove(&id);
        }
        self.pool_at(pool).remove_batch(key);
        self.touch(pool);
        let stop = self.batch_at(key).options.stop;
        self.event_stops_nothing(stop, key);
        self.unpin_all(&pins);
    }

    pub(crate) fn unpin_all(&mut self, pins: &[Pin]) {
        pins.iter().for_each(|pin| self.unpin(*pin));
    }

    /// Moves results to the owner, as many as fit into a reply.
    pub(crate) fn results_take(&mut self, key: Key) -> Grant {
        let batch = self.batch_at(key);
        let (mut count, mut bytes) = (0, 0);
        for result in &batch.ended {
            let more = stored_bytes(&result.outcome);
            if count > 0 && bytes + more > RESULTS_BYTES_MAX {
                break;
            }
            count += 1;
            bytes += more;
        }
        let results: Vec<TaskResult> = batch.ended.drain(..count).collect();
        let complete = batch.ended.is_empty() && batch.is_complete();
        self.stored_tasks -= results.len();
        self.stored_bytes -= bytes;
        Grant::Results(Results { results, complete })
    }

    pub(crate) fn batch_progress(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        Ok(Reply::Progress(self.batch_at(key).progress()))
    }

    pub(crate) fn batch_at(&mut self, key: Key) -> &mut Batch {
        match &mut self.catalog.at_mut(key).body {
            Body::Batch(batch) => batch,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}

/// How a task that was dropped before it started ends.
pub(crate) const CANCELLED: Failure<&str> =
    Failure { kind: FailureKind::Cancelled, text: "it was cancelled before it started" };

pub(crate) fn failed(kind: FailureKind, text: impl Into<Arc<str>>) -> Outcome {
    Outcome::Failed(Failure { kind, text: text.into() })
}

/// About how many bytes an outcome takes besides its payload, in the manager's memory and in a reply.
pub(crate) const OUTCOME_BYTES: usize = 16;

/// How many bytes an outcome takes in the manager's memory and in a reply.
fn stored_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Returned(payload) => payload.as_bytes().len() + OUTCOME_BYTES,
        Outcome::Failed(failure) => failure.text.len() + OUTCOME_BYTES,
    }
}

/// The text up to the limit, cut between characters.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FAILURE_BYTES_MAX)]
}

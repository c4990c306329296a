//! Batches: the calls of one submission to a pool, from their arrival to the moment their owner fetches the results.
//!
//! A call is *waiting*, then *running* in one session, then *ended* with an outcome, which its owner takes;
//! `calls` tells how. Every call ends exactly once: later reports of its end are refused. Calls travel in chunks, and
//! are kept in runs that share a state or an outcome. A batch is complete when its owner has said that no more calls
//! come and all of them have ended.
//!
//! Each batch has a *stop event*, which its calls look at. Once it is set, calls that have not begun never will. A
//! call's stop event also sets those of the batches that the call opened, so stopping a batch stops what its calls
//! started. The owner's death and the pool's termination set it, too.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use protocol::limits::RESULTS_BYTES_MAX;
use protocol::{
    BatchOptions, Code, Failure, Grant, Kind, Name, ObjectId, ObjectState, Outcome, Payload, Refusal, Reply,
    RequestId, Results, SessionId, Spec, Target, Targets, TaskCounts, TaskInput, TaskResult, WaitMode,
};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::event::Event;
use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Want};
use crate::pools::calls::Running;
use crate::pools::chunk::{WaitingCalls, WaitingChunk};
use crate::pools::outcomes::{CANCELLED, EndedCalls, blob_of, failed};
use crate::pools::prefetch::CallTime;
use crate::sessions::session::Abandoner;
use crate::store::blob::Content;
use crate::store::catalog::{Handle, Object, Pin};
use crate::store::lifetime::ObjectEnd;
use crate::store::slab::Key;
use crate::store::small_map::SmallMap;
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
    /// Its stop event, which may have been removed.
    pub(crate) stop: Handle,
    /// Its turn among the startable batches of its pool, while it has calls to begin.
    pub(crate) turn: Option<u64>,
    /// Calls to begin, in order.
    pub(crate) waiting: WaitingCalls,
    /// Calls that were granted, by the first of each grant.
    pub(crate) running: SmallMap<u64, Running>,
    /// How many calls were granted and have not ended.
    pub(crate) granted: u64,
    /// How many of those have begun, as far as the core knows.
    pub(crate) begun: u64,
    /// How long its calls take.
    pub(crate) call_time: CallTime,
    /// Outcomes that the owner has not taken.
    ended: EndedCalls,
    /// Objects whose proxies are in arguments, by the first call of the chunk.
    pinned: BTreeMap<u64, ChunkPins>,
    /// Objects whose proxies are in results; kept until the batch is freed, since the owner may still decode them.
    pub(crate) carried: Vec<Pin>,
    /// How many calls were ever added, which is the number of the next.
    added: u64,
    returned: u64,
    failed: u64,
    /// Whether the owner has said that no more come.
    is_sealed: bool,
    /// Whether calls that have not begun never will.
    is_stopped: bool,
}

/// The objects whose proxies are in the arguments of one chunk.
#[derive(Debug, Serialize, Deserialize)]
struct ChunkPins {
    /// The number after that of its last call.
    end: u64,
    /// How many of its calls have not ended.
    left: u64,
    pins: Box<[Pin]>,
}

/// What a batch is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSpec<'a> {
    /// Its id.
    pub(crate) id: ObjectId,
    /// The pool that runs it.
    pub(crate) pool: ObjectId,
    /// The function that it calls.
    pub(crate) function: &'a str,
    /// How it runs.
    pub(crate) options: BatchOptions,
}

impl Batch {
    fn is_complete(&self) -> bool {
        self.is_sealed && self.waiting.is_empty() && self.running.is_empty()
    }

    /// Whether calls that have not begun never will.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The function that it calls.
    pub(crate) fn function(&self) -> Arc<str> {
        self.function.clone()
    }

    fn progress(&self) -> TaskCounts {
        TaskCounts {
            waiting: self.waiting.calls() + self.granted - self.begun,
            running: self.begun,
            returned: self.returned,
            failed: self.failed,
        }
    }
}

impl Batch {
    /// The objects that are no longer pinned, as these calls have ended.
    fn unpinned(&mut self, first: u64, end: u64) -> Vec<Box<[Pin]>> {
        let mut unpinned = Vec::new();
        let mut before = end;
        while let Some((&chunk_first, chunk)) = self.pinned.range_mut(..before).next_back()
            && chunk.end > first
        {
            chunk.left -= chunk.end.min(end) - chunk_first.max(first);
            if chunk.left == 0 {
                unpinned.extend(self.pinned.remove(&chunk_first).map(|chunk| chunk.pins));
            }
            before = chunk_first;
        }
        unpinned
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
                Readiness::when(self.ended.calls() >= u64::from(*least.max(&1)) || self.is_complete())
            }
            _ => unreachable!("the kind was checked when the wait began"),
        }
    }

    /// Who waits for many results comes before those behind that wait for fewer.
    fn is_used_up(&self, _: &Want) -> bool {
        true
    }

    fn check_removal(_: &mut State, _: Key, _: SessionId, _: &str) -> Result<(), Refusal> {
        Err(Refusal::new(
            Code::WrongKind,
            "a batch cannot be removed, as it ends with its tasks; cancel it, or set its stop event",
        ))
    }

    /// Gives back what it kept. It is complete.
    fn destroyed(&mut self, state: &mut State, _: Key, _: &ObjectEnd) {
        state.stored_tasks -= self.ended.calls() as usize;
        state.stored_bytes -= self.ended.stored_bytes();
        self.ended.blobs().for_each(|blob| state.blob_release(blob, 1));
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
        self.check_room_for(2)?;
        let stop = self.create(options.stop, None, Body::Event(Event::new(false)))?;
        let batch = Batch {
            pool,
            pins: None,
            function: function.into(),
            owner: session,
            options,
            stop: self.catalog.handle(stop),
            turn: None,
            waiting: WaitingCalls::default(),
            running: SmallMap::default(),
            granted: 0,
            begun: 0,
            call_time: CallTime::default(),
            ended: EndedCalls::default(),
            pinned: BTreeMap::new(),
            carried: Vec::new(),
            added: 0,
            returned: 0,
            failed: 0,
            is_sealed: false,
            is_stopped: false,
        };
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
        let key = self.check_may_add(session, id)?;
        self.check_room_to_store(tasks)?;
        let batch = self.batch_at(key);
        batch.is_sealed = last;
        batch.waiting.reserve(tasks.len());
        tasks.iter().for_each(|chunk| self.batch_add_chunk(key, chunk));
        self.batch_added(key);
        Ok(Reply::Done)
    }

    /// The batch, if this session may add calls to it.
    pub(crate) fn check_may_add(&mut self, session: SessionId, id: ObjectId) -> Result<Key, Refusal> {
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
        Ok(key)
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

    /// Adds a chunk, which was checked, behind those that wait.
    fn batch_add_chunk(&mut self, key: Key, chunk: &TaskInput<'_>) {
        let &TaskInput { arguments, ref carries, calls } = chunk;
        self.stored_bytes += arguments.len();
        self.batch_add_calls(key, calls, Content::Bytes(Payload::from(arguments)), carries);
    }

    /// Adds so many calls, whose arguments count as stored.
    pub(crate) fn batch_add_calls(&mut self, key: Key, calls: u32, arguments: Content, carries: &[ObjectId]) {
        self.stored_tasks += calls as usize;
        let pins: Box<[Pin]> = carries.iter().filter_map(|&id| self.pin(id)).collect();
        let batch = self.batch_at(key);
        let first = batch.added;
        batch.added += u64::from(calls);
        if !pins.is_empty() {
            batch.pinned.insert(first, ChunkPins { end: batch.added, left: calls.into(), pins });
        }
        batch.waiting.push_back(WaitingChunk::new(first, calls, 0, arguments));
    }

    /// Follows up on calls that were added.
    pub(crate) fn batch_added(&mut self, key: Key) {
        if self.batch_at(key).is_stopped {
            self.batch_end_waiting(key, &CANCELLED);
        }
        self.batch_offer(key);
        self.batch_moved_on(key);
    }

    /// Gives a batch a turn in its pool if it has calls to begin and has none.
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
        let count = batch.waiting.calls();
        batch.running.values_mut().for_each(Running::cancel);
        let ranges = batch.running.len();
        self.step(ranges as u64);
        self.batch_end_waiting(key, &CANCELLED);
        self.batch_moved_on(key);
        Ok(Reply::Count(count))
    }

    /// The stop event of a batch was set: no more of its calls begin, now or later.
    pub(crate) fn batch_stop(&mut self, key: Key) {
        let batch = self.batch_at(key);
        if batch.is_stopped || batch.is_complete() {
            return;
        }
        batch.is_stopped = true;
        self.batch_end_waiting(key, &CANCELLED);
        self.batch_moved_on(key);
    }

    /// Ends the calls that have not begun.
    fn batch_end_waiting(&mut self, key: Key, failure: &Failure<&str>) {
        self.batch_withdraw(key);
        let text: Arc<str> = failure.text.into();
        for chunk in self.batch_at(key).waiting.take_all() {
            self.stored_bytes -= chunk.stored_bytes();
            self.end_chunk(key, &chunk, failed(failure.kind, text.clone()));
        }
    }

    /// Counts and stores the outcome of consecutive calls that neither wait nor run any more.
    pub(crate) fn end(&mut self, key: Key, first: u64, calls: u32, outcome: Outcome) {
        let is_wanted = self.is_referred_to(key);
        let batch = self.batch_at(key);
        match outcome {
            Outcome::Returned(_) | Outcome::ReturnedBlob { .. } => batch.returned += u64::from(calls),
            Outcome::Failed(_) => batch.failed += u64::from(calls),
        }
        if is_wanted {
            let bytes = batch.ended.push(TaskResult { first, calls, outcome });
            self.stored_bytes += bytes;
        } else {
            self.stored_tasks -= calls as usize;
            if let Outcome::ReturnedBlob { blob, .. } = outcome {
                self.blob_release(blob, 1);
            }
        }
        let batch = self.batch_at(key);
        if !batch.pinned.is_empty() {
            let unpinned = batch.unpinned(first, first + u64::from(calls));
            unpinned.iter().for_each(|pins| self.unpin_all(pins));
        }
    }

    /// Fails every call that has not ended. The pool has forgotten the batch already.
    pub(crate) fn batch_fail_rest(&mut self, key: Key, failure: &Failure<&str>) {
        self.batch_at(key).is_sealed = true;
        self.batch_at(key).turn = None;
        let text: Arc<str> = failure.text.into();
        while let Some(range) = self.batch(key).running.first_key() {
            let running = self.stop_running(key, range);
            self.drop_arguments(&running);
            self.end(key, running.first, running.calls, failed(failure.kind, text.clone()));
        }
        self.batch_end_waiting(key, failure);
        self.batch_moved_on(key);
    }

    /// The owner is gone: calls that have not begun never will, and the stop event tells the others to stop.
    pub(crate) fn batch_abandoned(&mut self, id: ObjectId, abandoner: &Abandoner) {
        let key = self.catalog.key(id).expect("a batch that is not complete is pinned");
        let batch = self.batch_at(key);
        batch.is_sealed = true;
        let stop = batch.stop;
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
        let stop = self.batch_at(key).stop;
        self.event_stops_nothing(stop, key);
        self.unpin_all(&pins);
    }

    pub(crate) fn unpin_all(&mut self, pins: &[Pin]) {
        pins.iter().for_each(|pin| self.unpin(*pin));
    }

    /// Moves results to the owner, as many as fit into a reply.
    pub(crate) fn results_take(&mut self, key: Key, session: SessionId) -> Grant {
        let batch = self.batch_at(key);
        let (results, calls, bytes) = batch.ended.take(RESULTS_BYTES_MAX);
        let complete = batch.ended.is_empty() && batch.is_complete();
        self.stored_tasks -= calls as usize;
        self.stored_bytes -= bytes;
        for blob in results.iter().filter_map(|result| blob_of(&result.outcome)) {
            // The reference of the batch becomes one of the session.
            self.blob_grant(session, blob);
            self.blob_release(blob, 1);
        }
        Grant::Results(Results { results, complete })
    }

    pub(crate) fn batch_progress(&mut self, id: ObjectId) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        Ok(Reply::Progress(self.batch_at(key).progress()))
    }

    pub(crate) fn batch(&self, key: Key) -> &Batch {
        match &self.catalog.at(key).body {
            Body::Batch(batch) => batch,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }

    pub(crate) fn batch_at(&mut self, key: Key) -> &mut Batch {
        match &mut self.catalog.at_mut(key).body {
            Body::Batch(batch) => batch,
            _ => unreachable!("the kind was checked when the key was found"),
        }
    }
}

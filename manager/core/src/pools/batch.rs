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
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::take;

use protocol::limits::RESULTS_BYTES_MAX;
use protocol::{
    BatchOptions, CallCounts, Chunk, Code, Failure, Grant, Kind, Name, ObjectId, ObjectState, Outcome,
    Payload, Refusal, Reply, RequestId, Results, SessionId, Spec, Target, Targets, WaitMode,
};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::objects::event::Event;
use crate::objects::object_body::ObjectBody;
use crate::objects::{Body, Want};
use crate::pools::calls::{BatchWorker, Running};
use crate::pools::chunk::{WaitingCalls, WaitingChunk};
use crate::pools::outcomes::{CANCELLED, EndedCalls, blob_of};
use crate::pools::prefetch::CallTime;
use crate::pools::submission::{carries_bytes, chunks_bytes};
use crate::store::blob::Content;
use crate::store::catalog::{Handle, Object, Pin};
use crate::store::lifetime::{ObjectEnd, Remains};
use crate::store::long_queue::LongQueue;
use crate::store::memory::{
    BATCH_BYTES, DECISION_BYTES, EVENT_BYTES, OBJECT_BYTES, REFERENCE_BYTES, RESULT_CARRIED_BYTES,
    WAITER_BYTES,
};
use crate::store::slab::Key;
use crate::store::small_map::SmallMap;
use crate::waiting::wait::{Caller, Readiness};

/// How many steps it counts to free a batch, beyond those of any object: it is in several pieces of memory.
const STEPS_PER_FREED: u64 = 64;

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
    /// Calls that will never begin and have not ended.
    pub(crate) dropped: DroppedCalls,
    /// Calls that were granted, by the first of each grant.
    pub(crate) running: SmallMap<u64, Running>,
    /// The sessions of these.
    pub(crate) workers: SmallMap<SessionId, BatchWorker>,
    /// How often it was cancelled.
    pub(crate) cancels: u32,
    /// How many calls were granted and have not ended.
    pub(crate) granted: u64,
    /// How many of those have begun, as far as the core knows.
    pub(crate) begun: u64,
    /// How long its calls take.
    pub(crate) call_time: CallTime,
    /// Outcomes that the owner has not taken.
    pub(crate) ended: EndedCalls,
    /// Objects whose proxies are in arguments, by the first call of the chunk.
    pub(crate) pinned: BTreeMap<u64, ChunkPins>,
    /// Objects whose proxies are in results; kept until the batch is freed, since the owner may still decode them.
    pub(crate) carried: LongQueue<Pin>,
    /// How many calls were ever added, which is the number of the next.
    added: u64,
    pub(crate) returned: u64,
    pub(crate) failed: u64,
    /// Whether the owner has said that no more come.
    pub(crate) is_sealed: bool,
    /// Whether calls that have not begun never will.
    pub(crate) is_stopped: bool,
}

/// Calls that will never begin and have not ended: those that were dropped together, with how they end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct DroppedCalls {
    lists: LongQueue<(WaitingCalls, Failure)>,
    /// How many calls they have together. There may be many lists, if a batch is cancelled again and again.
    calls: u64,
}

/// The objects whose proxies are in the arguments of one chunk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChunkPins {
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
    pub(crate) fn is_complete(&self) -> bool {
        self.is_sealed && self.waiting.is_empty() && self.running.is_empty() && self.dropped.is_empty()
    }

    /// Whether calls that have not begun never will.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The function that it calls.
    pub(crate) fn function(&self) -> Arc<str> {
        self.function.clone()
    }

    fn progress(&self) -> CallCounts {
        CallCounts {
            waiting: self.waiting.calls() + self.dropped.calls + self.granted - self.begun,
            running: self.begun,
            returned: self.returned,
            failed: self.failed,
        }
    }

    /// The objects that are no longer pinned, as these calls have ended.
    pub(crate) fn unpinned(&mut self, first: u64, end: u64) -> Vec<Box<[Pin]>> {
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

impl DroppedCalls {
    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Adds calls that end like this.
    pub(crate) fn push(&mut self, calls: WaitingCalls, failure: Failure) {
        self.calls += calls.calls();
        self.lists.push_back((calls, failure));
    }

    /// Takes the next calls, with how they end.
    pub(crate) fn pop(&mut self) -> Option<(WaitingChunk, Outcome)> {
        let (calls, failure) = self.lists.front_mut()?;
        let outcome = Outcome::Failed(failure.clone());
        let chunk = calls.pop_front()?;
        if calls.is_empty() {
            self.lists.pop_front();
        }
        self.calls -= u64::from(chunk.calls);
        Some((chunk, outcome))
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

    /// A waiter for many results comes before waiters behind it that wait for fewer.
    fn is_used_up(&self, _: &Want) -> bool {
        true
    }

    fn may_be_used_up(&self) -> bool {
        false
    }

    fn remove(_: &mut State, _: Key, _: SessionId, _: String) -> Result<(), Refusal> {
        Err(Refusal::new(
            Code::WrongKind,
            "a batch cannot be removed, as it ends with its tasks; cancel it, or set its stop event",
        ))
    }

    /// Gives back what it kept. It is complete.
    fn destroyed(&mut self, state: &mut State, _: Key, _: &ObjectEnd) {
        state.step(STEPS_PER_FREED);
        state.stored_calls_and_items -= self.ended.calls() as usize;
        state.stored_bytes -= self.ended.stored_bytes();
        state.memory.give_back(RESULT_CARRIED_BYTES * self.carried.len());
        let (results, pins) = (self.ended.take_all(), take(&mut self.carried));
        if !results.is_empty() || !pins.is_empty() {
            state.let_go_of(Box::new(Remains { results, pins, ..Remains::default() }));
        }
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
        self.check_memory(batch_bytes(function))?;
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
            dropped: DroppedCalls::default(),
            running: SmallMap::default(),
            workers: SmallMap::default(),
            cancels: 0,
            granted: 0,
            begun: 0,
            call_time: CallTime::default(),
            ended: EndedCalls::default(),
            pinned: BTreeMap::new(),
            carried: LongQueue::default(),
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
        chunks: &[Chunk<'_>],
        last: bool,
    ) -> Result<Reply, Refusal> {
        let key = self.check_may_add(session, id)?;
        self.check_room_to_store(chunks)?;
        let batch = self.batch_at(key);
        batch.is_sealed = last;
        chunks.iter().for_each(|chunk| self.batch_add_chunk(key, chunk));
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
        let (is_sealed, pool) = (batch.is_sealed, batch.pool);
        if is_sealed || self.pool_at(pool).is_terminated() {
            return Err(Refusal::new(Code::Closed, "the batch takes no more tasks"));
        }
        Ok(key)
    }

    /// Makes a batch of all the calls that it will ever have, and begins a wait for its results.
    pub(crate) fn batch_run(
        &mut self,
        caller: Caller,
        request: RequestId,
        spec: BatchSpec<'_>,
        chunks: &[Chunk<'_>],
        timeout_ns: Option<u64>,
    ) -> Result<(), Refusal> {
        let id = spec.id;
        let targets = Targets::from_iter([Target::Results { batch: id }]);
        // All checks come first, so that nothing has to be undone.
        self.check_wait(request, WaitMode::Any, &targets)?;
        self.check_room_to_wait(caller.session, request)?;
        self.check_room_to_store(chunks)?;
        // Its stop event is set with the same reason if its parent is.
        let parent = spec.options.parent.and_then(|parent| self.catalog.find(parent, Kind::Event).ok());
        let reason = parent.map_or(0, |parent| self.event_reason_bytes(parent));
        let more = WAITER_BYTES + DECISION_BYTES + reason;
        self.check_memory(batch_bytes(spec.function) + chunks_bytes(chunks) + more)?;
        self.batch_open(caller.session, spec)?;
        self.batch_add(caller.session, id, chunks, true)?;
        self.settle();
        self.wait(caller, request, WaitMode::Any, &targets, timeout_ns)
    }

    /// Adds a chunk, which was checked, behind those that wait.
    fn batch_add_chunk(&mut self, key: Key, chunk: &Chunk<'_>) {
        let &Chunk { arguments, ref carries, calls } = chunk;
        self.stored_bytes += arguments.len();
        self.batch_add_calls(key, calls, Content::Bytes(Payload::from(arguments)), carries);
    }

    /// Adds this many calls, whose arguments count as stored.
    pub(crate) fn batch_add_calls(&mut self, key: Key, calls: u32, arguments: Content, carries: &[ObjectId]) {
        self.stored_calls_and_items += calls as usize;
        let pins: Box<[Pin]> = carries.iter().filter_map(|&id| self.pin(id)).collect();
        self.memory.charge(carries_bytes(pins.len()));
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
        if self.pool_at(pool).is_terminated() {
            return;
        }
        let turn = self.pool_at(pool).add_startable(key, priority);
        self.batch_at(key).turn = Some(turn);
        self.touch(pool);
    }

    /// Takes from a batch its turn in its pool.
    pub(crate) fn batch_withdraw(&mut self, key: Key) {
        let batch = self.batch_at(key);
        let (pool, priority) = (batch.pool, batch.options.priority);
        if let Some(turn) = batch.turn.take() {
            self.pool_at(pool).remove_startable(priority, turn);
        }
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
        self.pool_end(pool);
    }

    pub(crate) fn unpin_all(&mut self, pins: &[Pin]) {
        pins.iter().for_each(|pin| self.unpin(*pin));
    }

    /// Moves results to the owner, as many as fit into a reply.
    pub(crate) fn results_take(&mut self, key: Key, session: SessionId) -> Grant {
        let batch = self.batch_at(key);
        let (results, calls, bytes) = batch.ended.take(RESULTS_BYTES_MAX);
        let complete = batch.ended.is_empty() && batch.is_complete();
        self.stored_calls_and_items -= calls as usize;
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

/// How much memory a batch and its stop event take at first, with the proxies of their owner.
fn batch_bytes(function: &str) -> usize {
    2 * (OBJECT_BYTES + REFERENCE_BYTES) + EVENT_BYTES + BATCH_BYTES + function.len()
}

//! Batches: their calls from the moment they come to the moment their owner takes the outcome ("Pools, batches and
//! calls", "Stopping").

use std::sync::Arc;

use protocol::limits::{
    CALLS_PER_CHUNK_MAX, CALLS_PER_REQUEST_MAX, CARRIES_MAX, CARRIES_PER_REQUEST_MAX, CHUNKS_PER_REQUEST_MAX,
    PAYLOAD_BYTES_MAX, RESULTS_BYTES_MAX,
};
use protocol::{
    BatchOptions, BlobId, CallCounts, CallsResult, Chunk, Code, Failure, FailureKind, Grant, Name, ObjectId,
    Outcome, Reply, RequestId, Results, SessionId, Target, WaitMode,
};

use super::blobs::Content;
use super::calls::{GrantedCalls, WaitingCalls};
use super::events::{Event, SetBy};
use super::memory::{batch_cost, blob_call_cost, carries_cost, chunks_cost, reason_cost, wait_cost_most};
use super::{Body, Caller, Model, ModelAnswer, Pin};

pub(crate) struct Batch {
    pub(crate) pool: Pin,
    pub(crate) function: Arc<str>,
    /// The session that made it.
    pub(crate) owner: SessionId,
    pub(crate) options: BatchOptions,
    pub(crate) stop: Pin,
    /// Whether no more calls come.
    pub(crate) is_sealed: bool,
    /// Whether what has not begun never will.
    pub(crate) is_stopped: bool,
    /// The arguments of each call that was ever added, with their length unless they are a blob.
    pub(crate) arguments: Vec<Content>,
    /// The calls that wait, in the order in which they begin.
    pub(crate) waiting: Vec<WaitingCalls>,
    pub(crate) granted: Vec<GrantedCalls>,
    /// Outcomes that were not taken, in the order in which they came.
    pub(crate) ended: Vec<EndedTogether>,
    returned: u64,
    failed: u64,
    /// The chunks of which the arguments carry something.
    chunks: Vec<WaitingChunk>,
    /// The objects that its results carry.
    pub(crate) carried: Vec<Pin>,
    /// For how long a call runs, as far as the manager knows: see `calls`.
    pub(crate) call_ns: Option<u64>,
}

struct WaitingChunk {
    first: u64,
    end: u64,
    /// How many of its calls have not ended.
    left: u64,
    carries: Vec<Pin>,
}

/// An entry in the results.
pub(crate) struct EndedTogether {
    result: CallsResult,
    /// What has ended these calls, if it ended others in the same moment for the same reason.
    joint: Option<u64>,
}

impl EndedTogether {
    /// How many bytes it counts.
    pub(crate) fn bytes(&self) -> usize {
        EndedTogether::bytes_of(&self.result)
    }

    pub(crate) fn bytes_of(result: &CallsResult) -> usize {
        let payload = match &result.outcome {
            Outcome::Returned(results) => results.as_bytes().len(),
            Outcome::Failed(failure) => failure.text.len(),
            Outcome::ReturnedBlob { .. } => 0,
        };
        payload + 16
    }

    pub(crate) fn calls(&self) -> usize {
        self.result.calls as usize
    }
}

/// What a batch is opened with, apart from its owner.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) id: ObjectId,
    pub(crate) pool: ObjectId,
    pub(crate) function: &'a str,
    pub(crate) options: BatchOptions,
}

impl Batch {
    pub(crate) fn is_complete(&self) -> bool {
        self.is_sealed && self.waiting.is_empty() && self.granted.is_empty()
    }

    /// Whether a wait for this many results is ready.
    pub(crate) fn is_ready(&self, least: u32) -> bool {
        let ended: u64 = self.ended.iter().map(|entry| u64::from(entry.result.calls)).sum();
        ended >= u64::from(least.max(1)) || self.is_complete()
    }

    pub(crate) fn waiting_calls(&self) -> u64 {
        self.waiting.iter().map(WaitingCalls::count).sum()
    }

    pub(crate) fn progress(&self) -> CallCounts {
        let granted: u64 = self.granted.iter().map(GrantedCalls::count).sum();
        let running = self.granted.iter().filter(|granted| granted.begun_at.is_some()).count() as u64;
        CallCounts {
            waiting: self.waiting_calls() + granted - running,
            running,
            returned: self.returned,
            failed: self.failed,
        }
    }

    /// Whether it keeps an object, which may be itself.
    pub(crate) fn keeps(&self, pin: Pin, itself: ObjectId) -> bool {
        let is_needed = !self.is_complete() && (pin.0 == itself || pin == self.pool || pin == self.stop);
        let in_arguments = |chunk: &WaitingChunk| chunk.left > 0 && chunk.carries.contains(&pin);
        is_needed || self.carried.contains(&pin) || self.chunks.iter().any(in_arguments)
    }

    /// What the objects take that its arguments carry.
    pub(crate) fn carries_cost(&self) -> usize {
        let chunks = self.chunks.iter().filter(|chunk| chunk.left > 0);
        chunks.map(|chunk| carries_cost(chunk.carries.len())).sum()
    }

    /// Whether it keeps a blob: as the arguments of a call that has not ended, or as a result.
    pub(crate) fn keeps_blob(&self, blob: BlobId) -> bool {
        let waiting = self.waiting.iter().map(|waiting| waiting.first..waiting.end);
        let granted = self.granted.iter().map(|granted| granted.first..granted.end);
        let mut calls = waiting.chain(granted).flatten();
        calls.any(|call| self.arguments[call as usize] == Content::Blob(blob))
            || self.ended.iter().any(|entry| {
                matches!(entry.result.outcome, Outcome::ReturnedBlob { blob: its, .. } if its == blob)
            })
    }

    /// How many calls count as kept, and how many bytes.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let unended: u64 = self.waiting_calls() + self.granted.iter().map(GrantedCalls::count).sum::<u64>();
        let calls = unended as usize + self.ended.iter().map(EndedTogether::calls).sum::<usize>();
        let bytes = self.waiting.iter().map(|waiting| waiting.kept).sum::<usize>()
            + self.granted.iter().map(|granted| granted.kept).sum::<usize>()
            + self.ended.iter().map(EndedTogether::bytes).sum::<usize>();
        (calls, bytes)
    }
}

impl Model {
    pub(crate) fn batches_where(&self, is_it: impl Fn(&Batch) -> bool) -> Vec<ObjectId> {
        let batches = self.objects.iter().filter_map(|(&id, object)| match &object.body {
            Body::Batch(batch) if is_it(batch) => Some(id),
            _ => None,
        });
        batches.collect()
    }

    pub(crate) fn open_batch(&mut self, session: SessionId, opening: Opening<'_>) -> ModelAnswer {
        let Opening { id, pool, function, options } = opening;
        if Name::check(function).is_err() {
            return Err(Code::BadName);
        }
        if self.pool(pool)?.is_closed {
            return Err(Code::Closed);
        }
        if let Some(parent) = options.parent {
            self.event(parent)?;
        }
        if options.stop == id {
            return Err(Code::BadArgument);
        }
        self.check_new(options.stop, 2, batch_cost(&opening))?;
        self.check_new(id, 2, batch_cost(&opening))?;
        self.create(options.stop, None, Body::Event(Event::new(false)));
        let batch = Batch {
            pool: self.pin(pool).unwrap(),
            function: function.into(),
            owner: session,
            options,
            stop: self.pin(options.stop).unwrap(),
            is_sealed: false,
            is_stopped: false,
            arguments: Vec::new(),
            waiting: Vec::new(),
            granted: Vec::new(),
            ended: Vec::new(),
            returned: 0,
            failed: 0,
            chunks: Vec::new(),
            carried: Vec::new(),
            call_ns: None,
        };
        self.create(id, None, Body::Batch(Box::new(batch)));
        self.refer(session, id);
        self.refer(session, options.stop);
        if let Some(parent) = options.parent {
            self.tie_event(parent, options.stop);
        }
        Ok(Reply::Done)
    }

    pub(crate) fn add_calls(
        &mut self,
        session: SessionId,
        id: ObjectId,
        chunks: &[Chunk<'_>],
        last: bool,
    ) -> ModelAnswer {
        self.check_may_add(session, id)?;
        self.check_chunks(chunks)?;
        self.batch(id)?.is_sealed = last;
        for chunk in chunks {
            let carries = chunk.carries.iter().filter_map(|&carried| self.pin(carried)).collect();
            self.batch(id)?.add(chunk, carries);
        }
        self.added(id)
    }

    /// Adds one call, whose arguments are a blob.
    pub(crate) fn add_blob_call(
        &mut self,
        session: SessionId,
        id: ObjectId,
        blob: BlobId,
        carries: &[ObjectId],
    ) -> ModelAnswer {
        self.check_may_add(session, id)?;
        self.check_blob(session, blob)?;
        let (kept, _) = self.kept();
        if carries.len() > CARRIES_MAX || kept + 1 > self.limits.calls_and_items_max {
            return Err(Code::LimitReached);
        }
        self.check_memory(blob_call_cost(carries.len()))?;
        let carries = carries.iter().filter_map(|&carried| self.pin(carried)).collect();
        self.batch(id)?.add_calls(vec![Content::Blob(blob)], carries);
        self.added(id)
    }

    /// Refuses calls that this session may not add.
    fn check_may_add(&mut self, session: SessionId, id: ObjectId) -> Result<(), Code> {
        let batch = self.batch(id)?;
        match batch.owner == session {
            false => Err(Code::BadArgument),
            true if batch.is_sealed => Err(Code::Closed),
            true => Ok(()),
        }
    }

    /// Follows up on calls that were added.
    fn added(&mut self, id: ObjectId) -> ModelAnswer {
        if self.batch(id)?.is_stopped {
            self.cancel_waiting(id);
        }
        self.offer(id);
        self.note_if_unused = true;
        Ok(Reply::Done)
    }

    /// Refuses chunks that are not what they say, or for which there is no room.
    fn check_chunks(&self, chunks: &[Chunk<'_>]) -> Result<(), Code> {
        let (kept, bytes_kept) = self.kept();
        let calls: usize = chunks.iter().map(|chunk| chunk.calls as usize).sum();
        let bytes: usize = chunks.iter().map(|chunk| chunk.arguments.len()).sum();
        let is_too_much = |chunk: &Chunk<'_>| {
            chunk.calls as usize > CALLS_PER_CHUNK_MAX
                || chunk.carries.len() > CARRIES_MAX
                || chunk.arguments.len() > PAYLOAD_BYTES_MAX
        };
        if chunks.len() > CHUNKS_PER_REQUEST_MAX
            || calls > CALLS_PER_REQUEST_MAX
            || chunks.iter().map(|chunk| chunk.carries.len()).sum::<usize>() > CARRIES_PER_REQUEST_MAX
            || kept + calls > self.limits.calls_and_items_max
            || bytes_kept + bytes > self.limits.stored_bytes_max
            || chunks.iter().any(is_too_much)
        {
            return Err(Code::LimitReached);
        }
        match chunks
            .iter()
            .all(|chunk| chunk.calls > 0 && protocol::calls::fit(chunk.arguments, chunk.calls.into()))
        {
            true => self.check_memory(chunks_cost(chunks)),
            false => Err(Code::BadArgument),
        }
    }

    /// Makes a batch of these calls alone, and waits for its results.
    pub(crate) fn run_batch(
        &mut self,
        caller: Caller,
        request: RequestId,
        opening: Opening<'_>,
        chunks: &[Chunk<'_>],
        timeout_ns: Option<u64>,
    ) -> Result<(), Code> {
        let targets = [Target::Results { batch: opening.id }];
        self.check_wait(request, WaitMode::Any, &targets)?;
        self.check_room_to_wait(caller.session, request)?;
        self.check_chunks(chunks)?;
        // With the reason for which its stop event is set at once, if its parent is.
        let parent = opening.options.parent.and_then(|parent| self.event(parent).ok());
        let reason = parent.and_then(|parent| parent.set_by.as_ref()).map_or(0, reason_cost);
        self.check_memory(batch_cost(&opening) + chunks_cost(chunks) + wait_cost_most(1) + reason)?;
        self.open_batch(caller.session, opening)?;
        self.add_calls(caller.session, opening.id, chunks, true)?;
        self.serve();
        self.wait(caller, request, WaitMode::Any, &targets, timeout_ns)
    }

    pub(crate) fn cancel_batch(&mut self, id: ObjectId) -> ModelAnswer {
        let batch = self.batch(id)?;
        let count = batch.waiting_calls();
        batch.granted.iter_mut().for_each(GrantedCalls::cancel);
        self.cancel_waiting(id);
        Ok(Reply::Count(count))
    }

    /// The stop event of a batch was set.
    pub(crate) fn stop_batch(&mut self, id: ObjectId) {
        if !self.batch(id).unwrap().is_complete() {
            self.batch(id).unwrap().is_stopped = true;
            self.cancel_waiting(id);
        }
    }

    fn cancel_waiting(&mut self, id: ObjectId) {
        self.end_waiting(id, FailureKind::Cancelled, CANCELLED);
    }

    /// Ends the calls that have not begun.
    fn end_waiting(&mut self, id: ObjectId, kind: FailureKind, text: &str) {
        self.withdraw(id);
        let joint = self.next_joint();
        for waiting in std::mem::take(&mut self.batch(id).unwrap().waiting) {
            self.end(id, waiting.first..waiting.end, failed(kind, text), Some(joint));
        }
        self.note_if_unused = true;
    }

    /// Fails every call that has not ended.
    pub(crate) fn fail_rest(&mut self, id: ObjectId, kind: FailureKind, text: &str) {
        let batch = self.batch(id).unwrap();
        batch.is_sealed = true;
        let mut granted = std::mem::take(&mut batch.granted);
        granted.sort_by_key(|granted| granted.first);
        let joint = self.next_joint();
        for granted in granted {
            self.end(id, granted.first..granted.end, failed(kind, text), Some(joint));
        }
        self.end_waiting(id, kind, text);
    }

    /// A number for what ends several calls at once.
    pub(crate) fn next_joint(&mut self) -> u64 {
        self.joints += 1;
        self.joints
    }

    /// Ends some calls, and keeps the outcome if somebody refers to the batch.
    pub(crate) fn end(
        &mut self,
        id: ObjectId,
        calls: std::ops::Range<u64>,
        outcome: Outcome,
        joint: Option<u64>,
    ) {
        let is_wanted = self.references(id) > 0;
        let batch = self.batch(id).unwrap();
        let count = calls.end - calls.start;
        match outcome {
            Outcome::Returned(_) | Outcome::ReturnedBlob { .. } => batch.returned += count,
            Outcome::Failed(_) => batch.failed += count,
        }
        for chunk in &mut batch.chunks {
            chunk.left -= calls.end.min(chunk.end).saturating_sub(calls.start.max(chunk.first));
        }
        if is_wanted {
            let follows = |last: &&mut EndedTogether| {
                let end = last.result.first + u64::from(last.result.calls);
                joint.is_some() && last.joint == joint && end == calls.start
            };
            match batch.ended.last_mut().filter(follows) {
                Some(last) => last.result.calls += count as u32,
                None => {
                    let result = CallsResult { first: calls.start, calls: count as u32, outcome };
                    batch.ended.push(EndedTogether { result, joint });
                }
            }
        }
        self.note_if_unused = true;
    }

    /// Moves results to their owner: as many as fit into an answer, or a single entry that does not fit.
    pub(crate) fn take_results(&mut self, id: ObjectId, session: SessionId) -> Grant {
        let batch = self.batch(id).unwrap();
        let (mut count, mut bytes) = (0, 0);
        for entry in &batch.ended {
            bytes += match entry.result.outcome {
                Outcome::ReturnedBlob { .. } => 256,
                _ => entry.bytes(),
            };
            if count > 0 && bytes > RESULTS_BYTES_MAX {
                break;
            }
            count += 1;
        }
        let results: Vec<CallsResult> = batch.ended.drain(..count).map(|entry| entry.result).collect();
        let complete = batch.ended.is_empty() && batch.is_complete();
        for result in &results {
            if let Outcome::ReturnedBlob { blob, .. } = result.outcome {
                self.give_blob(session, blob);
            }
        }
        Grant::Results(Results { results, complete })
    }

    /// Stops the batches of a session that is gone.
    pub(crate) fn abandon_batches(&mut self, session: SessionId, how: &str) {
        for id in self.batches_where(|batch| batch.owner == session && !batch.is_complete()) {
            self.stop_batch(id);
            self.batch(id).unwrap().is_sealed = true;
            let cause = SetBy::new(&self.sessions[&session], self.now, Some(&format!("its owner {how}")));
            self.set_stop_event(id, cause);
        }
    }

    /// Sets the stop event of a batch, unless it was removed.
    pub(crate) fn set_stop_event(&mut self, id: ObjectId, cause: SetBy) {
        let stop = self.batch(id).unwrap().stop;
        if self.exists(stop) {
            self.set_event(stop.0, cause);
        }
    }
}

impl Batch {
    fn add(&mut self, chunk: &Chunk<'_>, carries: Vec<Pin>) {
        let mut calls = Vec::new();
        let mut rest = chunk.arguments;
        for _ in 0..chunk.calls {
            let (call, behind) = protocol::calls::split(rest, 1).expect("the calls were counted");
            calls.push(Content::Bytes(call.into()));
            rest = behind;
        }
        self.add_calls(calls, carries);
    }

    fn add_calls(&mut self, calls: Vec<Content>, carries: Vec<Pin>) {
        let kept = calls.iter().map(|call| call.bytes().len()).sum();
        let first = self.arguments.len() as u64;
        self.arguments.extend(calls);
        let end = self.arguments.len() as u64;
        if !carries.is_empty() {
            self.chunks.push(WaitingChunk { first, end, left: end - first, carries });
        }
        self.waiting.push(WaitingCalls { first, end, retry: 0, kept });
    }
}

/// How a call ends that was dropped before it began.
pub(crate) const CANCELLED: &str = "it was cancelled before it started";

pub(crate) fn failed(kind: FailureKind, text: &str) -> Outcome {
    Outcome::Failed(Failure { kind, text: text.into() })
}

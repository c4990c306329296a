//! Calls: from the moment a worker takes them to the moment they have ended.
//!
//! A worker is granted a *range* of consecutive calls and runs them in order. They end when the worker reports how,
//! when the worker dies, or when the time of a call is over. If the worker dies in a call, the call begins again as
//! often as its batch allows, and then fails. Those behind it have not begun, and go back to their batch.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use protocol::{
    BlobCallGrant, CallsGrant, CallsOutcome, Code, Grant, Kind, ObjectId, Outcome, Payload, Refusal, Reply,
    RunningCallInfo, SessionId, calls,
};
use serde::{Deserialize, Serialize};

use crate::pools::batch::Batch;
use crate::pools::chunk::WaitingChunk;
use crate::pools::outcomes::{CANCELLED, failed};
use crate::pools::reports::{check_ends, without_first};
use crate::state::Due;
use crate::store::blob::Content;
use crate::store::catalog::Pin;
use crate::store::memory::{GRANT_BYTES, RESULT_CARRIED_BYTES};
use crate::store::slab::Key;
use crate::{State, Time};

/// The calls of one grant that have not ended. The first runs, as far as the core knows; the others are prefetched.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) session: SessionId,
    /// The place of the grant among those of its session.
    order: u64,
    /// The first call that was granted. The arguments begin with those of this one.
    granted: u64,
    pub(crate) arguments: Content,
    /// The first call that has not ended.
    pub(crate) first: u64,
    /// How many have not ended.
    pub(crate) calls: u32,
    retry: u32,
    /// When the first began; none if it has not begun.
    pub(crate) since: Option<Time>,
    deadline: Option<Time>,
    /// How often its batch was cancelled when this was looked at last.
    cancels: u32,
    /// The first of those that were prefetched when their batch was cancelled, and so do not start anywhere else.
    pub(crate) cancelled_from: Option<u64>,
}

/// A session that has calls of a batch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BatchWorker {
    pub(crate) session: SessionId,
    /// In how many ranges.
    ranges: u32,
    /// Whether its process was sent a signal to stop them. So it gets no others.
    pub(crate) is_signalled: bool,
}

/// Calls that were granted to a session and have not all ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    pub(crate) batch: Key,
    /// The first call that was granted: the key among the running calls of the batch.
    pub(crate) range: u64,
}

impl Running {
    /// The number after that of the last call.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.calls)
    }

    /// How many of the calls have not begun, as far as the core knows.
    pub(crate) fn prefetched(&self) -> u32 {
        self.calls - u32::from(self.since.is_some())
    }

    /// Notes that its batch was cancelled, if it was since this was looked at last.
    fn note_cancels(&mut self, cancels: u32) {
        if self.cancels != cancels {
            self.cancels = cancels;
            let prefetched_from = self.end() - u64::from(self.prefetched());
            self.cancelled_from.get_or_insert(prefetched_from);
        }
    }

    /// Its calls from this one on, as a chunk.
    pub(crate) fn rest_from(&self, number: u64) -> Option<WaitingChunk> {
        // After some were given back, there are more arguments than calls.
        let calls = (self.end() - self.granted) as u32;
        let arguments = match &self.arguments {
            Content::Blob(blob) => Content::Blob(*blob),
            Content::Bytes(payload) => {
                let bytes = payload.as_bytes();
                let (used, _) =
                    calls::split(bytes, u64::from(calls)).expect("the calls were counted when they came");
                match used.len() == bytes.len() {
                    true => self.arguments.same(),
                    false => Content::Bytes(Payload::from(used)),
                }
            }
        };
        WaitingChunk::new(self.granted, calls, self.retry, arguments).split_off(number)
    }
}

impl Batch {
    /// The range of a session that has this call, even if that call has ended.
    pub(crate) fn range_with(&self, session: SessionId, number: u64) -> Option<(u64, &Running)> {
        let its = self.running.at_or_below(number);
        its.filter(|(_, running)| running.session == session && number < running.end())
    }

    /// A range that was found before.
    pub(crate) fn range(&self, range: u64) -> &Running {
        self.running.get(range).expect("the caller found the range")
    }

    /// The same, to change it.
    fn range_mut(&mut self, range: u64) -> &mut Running {
        let running = self.running.get_mut(range).expect("the caller found the range");
        running.note_cancels(self.cancels);
        running
    }

    /// Takes out a range that was found before.
    fn take_range(&mut self, range: u64) -> Running {
        let mut running = self.running.remove(range).expect("the caller found the range");
        running.note_cancels(self.cancels);
        if let Some(worker) = self.workers.get_mut(running.session) {
            worker.ranges -= 1;
            if worker.ranges == 0 {
                self.workers.remove(running.session);
            }
        }
        running
    }

    /// Whether a process was sent a signal to stop its calls of this batch.
    pub(crate) fn is_signalled(&self, session: SessionId) -> bool {
        self.workers.get(session).is_some_and(|worker| worker.is_signalled)
    }
}

impl State {
    /// Grants the next calls of a batch to a session, and begins the first. The batch has no turn in its pool.
    pub(crate) fn calls_grant(
        &mut self,
        key: Key,
        session: SessionId,
        calls_max: u32,
        bytes_max: usize,
        joins: bool,
    ) -> Grant {
        let order = self.session_at(session).grants.get_or_insert_default().next();
        let id = self.catalog.at(key).id;
        let batch = self.batch_at(key);
        let (taken, freed) = batch.waiting.take(calls_max, bytes_max, joins);
        let WaitingChunk { first, calls, retry, .. } = taken;
        let arguments = taken.into_arguments();
        let running = Running {
            session,
            order,
            granted: first,
            arguments: arguments.same(),
            first,
            calls,
            retry,
            since: None,
            deadline: None,
            cancels: batch.cancels,
            cancelled_from: None,
        };
        let is_first_range = batch.running.is_empty();
        let pool = batch.pool;
        batch.running.insert(first, running);
        match batch.workers.get_mut(session) {
            Some(worker) => worker.ranges += 1,
            None => {
                batch.workers.insert(session, BatchWorker { session, ranges: 1, is_signalled: false });
            }
        }
        batch.granted += u64::from(calls);
        let report_each = batch.options.time_limit_ns.is_some();
        let (function, stop) = (batch.function(), batch.options.stop);
        if is_first_range {
            self.pool_at(pool).batch_runs(key, true);
        }
        self.stored_bytes = self.stored_bytes + arguments.stored_bytes() - freed;
        let grants = self.session_at(session).grants.get_or_insert_default();
        let is_first = grants.len() == 0;
        grants.add(order, Granted { batch: key, range: first });
        if !is_first {
            self.memory.charge(GRANT_BYTES);
        }
        self.begin(key, first);
        let call =
            |arguments| CallsGrant { batch: id, function, stop, first, calls, retry, report_each, arguments };
        match arguments {
            Content::Bytes(arguments) => Grant::Calls(call(arguments)),
            Content::Blob(blob) => {
                let bytes = self.blob_grant(session, blob);
                let call = call(Payload::from([].as_slice()));
                Grant::BlobCall(Box::new(BlobCallGrant { call, blob, bytes }))
            }
        }
    }

    /// Notes that the first call of a range begins now.
    pub(crate) fn begin(&mut self, key: Key, range: u64) {
        let now = self.now;
        let batch = self.batch_at(key);
        let deadline = batch.options.time_limit_ns.map(|limit_ns| now.after_ns(limit_ns));
        let running = batch.range_mut(range);
        running.since = Some(now);
        running.deadline = deadline;
        batch.begun += 1;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, Due::Call { batch: key, range }));
        }
    }

    pub(crate) fn calls_end(
        &mut self,
        session: SessionId,
        id: ObjectId,
        first: u64,
        ends: &[CallsOutcome<&[u8], &str>],
        carries: &[ObjectId],
    ) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        let count: u64 = ends.iter().map(|end| u64::from(end.calls)).sum();
        for end in ends {
            if let Outcome::ReturnedBlob { blob, .. } = end.outcome {
                self.check_blob(session, blob)?;
            }
        }
        let not_here = || {
            let text = format!("call {first} of batch {id} does not run in this session");
            Refusal::new(Code::BadArgument, text)
        };
        let (range, running) = self.batch(key).range_with(session, first).ok_or_else(not_here)?;
        let (next, end) = (running.first, running.end());
        if first > next || end - first < count {
            let text = format!(
                "the calls of batch {id} that this session runs are {next} to {}, and it ended {count} from {first} on",
                end - 1
            );
            return Err(Refusal::new(Code::BadArgument, text));
        }
        check_ends(ends)?;
        let Some(ended @ 1..) = count.checked_sub(next - first) else {
            // They ended otherwise, too early for this report; but their sender goes on.
            if first + count == next {
                self.begin_next(key, range);
            }
            return Err(not_here());
        };
        self.note_time(key, range, ended as u32);
        let mut number = first;
        let mut has_returned = false;
        for CallsOutcome { calls, outcome } in ends {
            let known = next.saturating_sub(number).min(u64::from(*calls));
            let calls_left = calls - known as u32;
            if calls_left > 0 {
                let outcome = without_first(outcome, known);
                has_returned |= self.end_reported(key, number + known, calls_left, &outcome, carries);
            }
            number += u64::from(*calls);
        }
        if !carries.is_empty() && has_returned && self.is_referred_to(key) {
            let carried: Vec<Pin> = carries.iter().filter_map(|&id| self.pin(id)).collect();
            self.memory.charge(RESULT_CARRIED_BYTES * carried.len());
            let kept = &mut self.batch_at(key).carried;
            carried.into_iter().for_each(|pin| kept.push_back(pin));
        }
        if self.advance(key, range, ended as u32) {
            self.begin(key, range);
        }
        self.batch_moved_on(key);
        Ok(Reply::Done)
    }

    /// The calls before the first one of a range have ended, so this one has begun.
    fn begin_next(&mut self, key: Key, range: u64) {
        if self.batch(key).range(range).since.is_none() {
            self.begin(key, range);
        }
    }

    /// The calls of a batch that run, as far as the core knows.
    pub(crate) fn running_calls(&self, key: Key) -> impl Iterator<Item = RunningCallInfo> + '_ {
        let (id, batch) = (self.catalog.at(key).id, self.batch(key));
        batch.running.values().filter_map(move |running| {
            let since = running.since?;
            self.step(1);
            Some(RunningCallInfo {
                session: self.session_info(running.session),
                function: batch.function(),
                batch: id,
                number: running.first,
                retry: running.retry,
                running_ns: self.now.ns_since(since),
            })
        })
    }

    /// Updates how long a call is expected to take, from this many calls of a range that have just ended.
    pub(crate) fn note_time(&mut self, key: Key, range: u64, calls: u32) {
        let now = self.now;
        let batch = self.batch_at(key);
        if let Some(since) = batch.range(range).since {
            batch.call_time.note(now.ns_since(since), calls);
        }
    }

    /// Notes that the first calls of a range have ended; the next has not begun. Returns whether there is one.
    pub(crate) fn advance(&mut self, key: Key, range: u64, calls: u32) -> bool {
        let batch = self.batch_at(key);
        let running = batch.range_mut(range);
        running.first += u64::from(calls);
        running.calls -= calls;
        let had_begun = running.since.take().is_some();
        let (is_over, deadline) = (running.calls == 0, running.deadline.take());
        batch.granted -= u64::from(calls);
        batch.begun -= u64::from(had_begun);
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, Due::Call { batch: key, range }));
        }
        if is_over {
            let ended = self.stop_running(key, range);
            self.drop_arguments(&ended);
        }
        !is_over
    }

    /// Takes a range from its session and gives back the bytes that it kept. Its arguments go on, or are dropped by
    /// [`drop_arguments`](Self::drop_arguments).
    pub(crate) fn stop_running(&mut self, key: Key, range: u64) -> Running {
        let batch = self.batch_at(key);
        let running = batch.take_range(range);
        batch.granted -= u64::from(running.calls);
        batch.begun -= u64::from(running.since.is_some());
        if batch.running.is_empty() {
            let pool = batch.pool;
            self.pool_at(pool).batch_runs(key, false);
        }
        let session = self.sessions.get_mut(&running.session);
        if let Some(grants) = session.and_then(|session| session.grants.as_mut()) {
            grants.remove(running.order);
            if grants.len() > 0 {
                self.memory.give_back(GRANT_BYTES);
            }
        }
        if let Some(deadline) = running.deadline {
            self.deadlines.remove(&(deadline, Due::Call { batch: key, range }));
        }
        self.stored_bytes -= running.arguments.stored_bytes();
        running
    }

    /// Takes back from a session the calls of a range from this one on, which it has not begun.
    pub(crate) fn calls_take_back(&mut self, key: Key, range: u64, number: u64) {
        let running = self.batch_at(key).range_mut(range);
        let (next, cancelled_from) = (running.first, running.cancelled_from);
        if number == next {
            let rest = self.stop_running(key, range).rest_from(number);
            return self.calls_not_begun(key, rest, cancelled_from);
        }
        let batch = self.batch_at(key);
        let running = batch.range_mut(range);
        let rest = running.rest_from(number);
        let given_back = running.end() - number;
        running.calls -= given_back as u32;
        batch.granted -= given_back;
        self.calls_not_begun(key, rest, cancelled_from);
    }

    /// Puts calls that were granted and not begun back to the front of their batch, or ends those that must not start.
    pub(crate) fn calls_not_begun(
        &mut self,
        key: Key,
        chunk: Option<WaitingChunk>,
        cancelled_from: Option<u64>,
    ) {
        let Some(mut chunk) = chunk else { return };
        let cancelled_from = if self.batch(key).is_stopped() { Some(0) } else { cancelled_from };
        let cancelled = match cancelled_from {
            Some(from) if from <= chunk.first => return self.end_cancelled(key, &chunk),
            Some(from) => chunk.split_off(from),
            None => None,
        };
        if let Some(cancelled) = cancelled {
            self.end_cancelled(key, &cancelled);
        }
        self.wait_again(key, chunk);
    }

    fn end_cancelled(&mut self, key: Key, chunk: &WaitingChunk) {
        self.end_chunk(key, chunk, failed(CANCELLED.kind, CANCELLED.text));
    }

    /// Puts calls to the front of their batch.
    pub(crate) fn wait_again(&mut self, key: Key, chunk: WaitingChunk) {
        self.stored_bytes += chunk.stored_bytes();
        self.batch_at(key).waiting.push_front(chunk);
    }
}

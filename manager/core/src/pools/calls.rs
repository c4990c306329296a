//! Calls: from the moment a worker takes them to the moment they have ended.
//!
//! A worker is granted a *range* of consecutive calls and runs them in order. They end when the worker reports how,
//! when the worker dies, or when the time of a call is over. If the worker dies in a call, the call begins again as
//! often as its batch allows, and then fails. Those behind it have not begun, and go back to their batch. A process
//! that was sent a signal to stop a call is *marked for termination*: it gets no other call, since it may end in the
//! middle of it.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use protocol::{
    BlobTaskGrant, CallsOutcome, Code, FailureKind, Grant, Kind, ObjectId, Outcome, Payload, Refusal, Reply,
    RunningCallInfo, SessionId, StopSignal, TasksGrant, calls,
};
use serde::{Deserialize, Serialize};

use crate::objects::Want;
use crate::pools::batch::Batch;
use crate::pools::call_record::FoundRecord;
use crate::pools::chunk::WaitingChunk;
use crate::pools::outcomes::{CANCELLED, failed};
use crate::pools::reports::{check_ends, without_first};
use crate::state::Due;
use crate::store::blob::Content;
use crate::store::catalog::Pin;
use crate::store::slab::Key;
use crate::waiting::wait::Waiter;
use crate::{Effect, State, Time};

/// The calls of one grant that have not ended. The first runs, as far as the core knows; the others are prefetched.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    session: SessionId,
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
    since: Option<Time>,
    deadline: Option<Time>,
    /// Whether its process was sent a signal to stop its calls.
    is_signalled: bool,
    /// The first of those that were prefetched when their batch was cancelled, and so do not start anywhere else.
    cancelled_from: Option<u64>,
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

    /// Notes that its batch was cancelled.
    pub(crate) fn cancel(&mut self) {
        let prefetched_from = self.end() - u64::from(self.prefetched());
        self.cancelled_from.get_or_insert(prefetched_from);
    }

    /// Its calls from this one on, as a chunk.
    fn rest_from(&self, number: u64) -> Option<WaitingChunk> {
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
    fn range(&self, range: u64) -> &Running {
        self.running.get(range).expect("the caller found the range")
    }

    fn range_mut(&mut self, range: u64) -> &mut Running {
        self.running.get_mut(range).expect("the caller found the range")
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
            is_signalled: false,
            cancelled_from: None,
        };
        batch.running.insert(first, running);
        batch.granted += u64::from(calls);
        let report_each = batch.options.time_limit_ns.is_some();
        let (function, stop) = (batch.function(), batch.options.stop);
        self.stored_bytes = self.stored_bytes + arguments.stored_bytes() - freed;
        let grants = self.session_at(session).grants.get_or_insert_default();
        grants.add(order, Granted { batch: key, range: first });
        self.begin(key, first);
        let task =
            |arguments| TasksGrant { batch: id, function, stop, first, calls, retry, report_each, arguments };
        match arguments {
            Content::Bytes(arguments) => Grant::Tasks(task(arguments)),
            Content::Blob(blob) => {
                let bytes = self.blob_grant(session, blob);
                let task = task(Payload::from([].as_slice()));
                Grant::BlobTask(Box::new(BlobTaskGrant { task, blob, bytes }))
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
        let count = check_ends(ends)?;
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
                let outcome = self.checked(&without_first(outcome, known), carries);
                has_returned |= !matches!(outcome, Outcome::Failed(_));
                if let Outcome::ReturnedBlob { blob, .. } = outcome {
                    self.blob_keep(blob);
                }
                self.end(key, number + known, calls_left, outcome);
            }
            number += u64::from(*calls);
        }
        if !carries.is_empty() && has_returned && self.is_referred_to(key) {
            let carried: Vec<Pin> = carries.iter().filter_map(|&id| self.pin(id)).collect();
            self.batch_at(key).carried.extend(carried);
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

    /// Learns from so many calls of a range that end now how long a call takes.
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
        let running = batch.running.remove(range).expect("the caller found the range");
        batch.granted -= u64::from(running.calls);
        batch.begun -= u64::from(running.since.is_some());
        let session = self.sessions.get_mut(&running.session);
        if let Some(grants) = session.and_then(|session| session.grants.as_mut()) {
            grants.remove(running.order);
        }
        if let Some(deadline) = running.deadline {
            self.deadlines.remove(&(deadline, Due::Call { batch: key, range }));
        }
        self.stored_bytes -= running.arguments.stored_bytes();
        running
    }

    /// Takes back from a session the calls of a range from this one on, which it has not begun.
    pub(crate) fn calls_take_back(&mut self, key: Key, range: u64, number: u64) {
        let running = self.batch(key).range(range);
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
    fn calls_not_begun(&mut self, key: Key, chunk: Option<WaitingChunk>, cancelled_from: Option<u64>) {
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
    fn wait_again(&mut self, key: Key, chunk: WaitingChunk) {
        self.stored_bytes += chunk.stored_bytes();
        self.batch_at(key).waiting.push_front(chunk);
    }

    /// Handles a range whose session has ended. What had begun starts again or has failed, and the others go back to
    /// their batch. If it is not known what had begun, all of them had.
    pub(crate) fn calls_left_behind(
        &mut self,
        Granted { batch: key, range }: Granted,
        found: Option<&FoundRecord>,
        is_known: bool,
        process: &str,
    ) {
        let id = self.catalog.at(key).id;
        let running = self.stop_running(key, range);
        let (first, cancelled_from, is_signalled) =
            (running.first, running.cancelled_from, running.is_signalled);
        let has_begun = match found {
            Some(found) => found.has_begun(id, &running),
            None => running.since.is_some(),
        };
        let begun = if is_known { u32::from(has_begun) } else { running.calls };
        let mut lost = running.rest_from(first).expect("a range has calls that have not ended");
        // Backwards, as each part goes to the front of the batch.
        let rest = lost.split_off(first + u64::from(begun));
        self.calls_not_begun(key, rest, cancelled_from);
        if begun > 0 {
            let cancelled = cancelled_from.filter(|&from| from > first).and_then(|from| lost.split_off(from));
            let is_cancelled = cancelled_from.is_some_and(|from| from <= first);
            if let Some(cancelled) = cancelled {
                self.calls_lost(key, cancelled, true, is_signalled, process);
            }
            self.calls_lost(key, lost, is_cancelled, is_signalled, process);
        }
        self.batch_offer(key);
        self.batch_moved_on(key);
    }

    /// Handles calls that had begun in a session that has ended: they start again, or have failed.
    fn calls_lost(
        &mut self,
        key: Key,
        mut chunk: WaitingChunk,
        is_cancelled: bool,
        is_signalled: bool,
        process: &str,
    ) {
        let batch = self.batch(key);
        let retries = if batch.is_stopped() || is_cancelled { 0 } else { batch.options.retries };
        if chunk.retry < retries && !is_signalled {
            chunk.retry += 1;
            return self.wait_again(key, chunk);
        }
        let (kind, what) = match is_signalled {
            true => (FailureKind::Stopped, "to stop the task it ran"),
            false => (FailureKind::WorkerDied, "while it ran the task"),
        };
        let again = match chunk.retry {
            0 => "",
            _ => ", as before",
        };
        let text = format!("the worker {process} {what}{again}");
        self.end_chunk(key, &chunk, failed(kind, text));
    }

    pub(crate) fn batch_signal(&mut self, id: ObjectId, signal: StopSignal) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        let mut count = 0;
        let mut sessions = Vec::new();
        for running in self.batch_at(key).running.values_mut() {
            running.is_signalled = true;
            sessions.push(running.session);
        }
        self.step(sessions.len() as u64);
        sessions.sort_unstable();
        sessions.dedup();
        for session in sessions {
            self.terminate_worker(session, signal);
            count += 1;
        }
        Ok(Reply::Count(count))
    }

    /// Has a signal sent to a worker, which gets no more calls, not even by a wait that has begun.
    fn terminate_worker(&mut self, session: SessionId, signal: StopSignal) {
        self.session_at(session).is_terminating = true;
        self.effects.push(Effect::Signal { session, signal });
        let waits_for_calls =
            |waiter: &Waiter| waiter.targets.iter().any(|entry| matches!(entry.want, Want::Tasks { .. }));
        let waiters = self.sessions[&session].waiters();
        let waiters: Vec<Key> = waiters.filter(|&key| waits_for_calls(&self.waiters[key])).collect();
        for key in waiters {
            self.refuse_waiter(key, terminating());
        }
    }

    /// Ends a call that has run longer than its batch allows, and the worker with it.
    pub(crate) fn call_overdue(&mut self, key: Key, range: u64) {
        let batch = self.batch(key);
        let limit = Duration::from_nanos(batch.options.time_limit_ns.unwrap_or_default());
        let running = batch.range(range);
        let (session, number) = (running.session, running.first);
        let text =
            format!("it ran longer than the {limit:?} that its batch allows, and its worker was killed");
        self.end(key, number, 1, failed(FailureKind::TimeLimit, text));
        self.advance(key, range, 1);
        self.terminate_worker(session, StopSignal::Kill);
        self.batch_moved_on(key);
    }

    /// Refuses calls to a process that is marked for termination.
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

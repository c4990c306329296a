//! What becomes of calls when the session that has them ends, or its process is to end.
//!
//! A process that was sent a signal to stop a call is *marked for termination*: it gets no other call, since it may end
//! in the middle of it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem::replace;
use core::time::Duration;

use protocol::{Code, FailureKind, Kind, ObjectId, Refusal, Reply, RequestId, SessionId, StopSignal};

use crate::pools::call_record::FoundRecord;
use crate::pools::calls::{BatchWorker, Granted};
use crate::pools::chunk::WaitingChunk;
use crate::pools::outcomes::failed;
use crate::store::memory::GRANT_BYTES;
use crate::store::slab::Key;
use crate::work::LongWork;
use crate::{Effect, State};

/// How many steps it counts to end a call that runs too long, whose worker gets a signal.
const STEPS_PER_OVERDUE_CALL: u64 = 32;

impl State {
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
        let batch = self.batch(key);
        let is_signalled = batch.is_signalled(batch.range(range).session);
        let running = self.stop_running(key, range);
        let (first, cancelled_from) = (running.first, running.cancelled_from);
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
            0 => String::new(),
            retry => format!(", in the last of {} attempts", retry.saturating_add(1)),
        };
        let text = format!("the worker {process} {what}{again}");
        self.end_chunk(key, &chunk, failed(kind, text));
    }

    pub(crate) fn batch_signal(&mut self, id: ObjectId, signal: StopSignal) -> Result<Reply, Refusal> {
        let key = self.catalog.find(id, Kind::Batch)?;
        let mark = |worker: &mut BatchWorker| {
            worker.is_signalled = true;
            worker.session
        };
        let sessions: Vec<SessionId> = self.batch_at(key).workers.values_mut().map(mark).collect();
        self.effects.reserve(sessions.len());
        for &session in &sessions {
            self.terminate_worker(session, signal);
        }
        Ok(Reply::Count(sessions.len() as u64))
    }

    /// Has a signal sent to a worker, which gets no more calls, not even by a wait that has begun.
    fn terminate_worker(&mut self, session: SessionId, signal: StopSignal) {
        self.step(1);
        self.effects.push(Effect::Signal { session, signal });
        let worker = self.session_at(session);
        if !replace(&mut worker.is_terminating, true) && worker.waits() > 0 {
            self.refuse_waits_for_calls(session, RequestId(0));
        }
    }

    /// Refuses the waits for calls of a process that is to end, from this request on: all of them, or as many as this
    /// input may.
    pub(crate) fn refuse_waits_for_calls(&mut self, id: SessionId, from: RequestId) {
        let mut next = from;
        while let Some((request, key)) = self.sessions.get(&id).and_then(|session| session.wait_from(next)) {
            next = RequestId(request.0.saturating_add(1));
            let waiter = &self.waiters[key];
            self.step(1 + waiter.targets.len() as u64);
            if waiter.wants_calls() && !self.is_decided(key) {
                self.refuse_waiter(key, terminating());
            }
            if self.is_over() {
                return self.go_on_later(LongWork::RefuseWaitsForCalls(id, next));
            }
        }
    }

    /// Ends a call that has run longer than its batch allows, and the worker with it.
    pub(crate) fn call_overdue(&mut self, key: Key, range: u64) {
        self.step(STEPS_PER_OVERDUE_CALL);
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

    /// Refuses calls to a process that is marked for termination, or runs some already if there is no room for more. A
    /// process that runs none always gets some, so that they end and make room.
    pub(crate) fn check_may_work(&self, session: SessionId) -> Result<(), Refusal> {
        let session = &self.sessions[&session];
        match (session.is_terminating, session.calls_begun()) {
            (true, _) => Err(terminating()),
            (false, 0) => Ok(()),
            (false, _) => self.check_memory(GRANT_BYTES),
        }
    }
}

fn terminating() -> Refusal {
    Refusal::new(Code::Cancelled, "this worker was told to end, and gets no more tasks")
}

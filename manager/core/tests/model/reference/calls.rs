//! Calls: from the moment a worker gets them to the moment they have ended ("Pools, batches and calls", "Stopping",
//! "The call record").
//!
//! The page leaves to the manager how long it takes a call to be. The model guesses as the manager does, so that it
//! knows how many calls each grant brings.

use std::ops::Range;

use manager_core::{CallRecord, DeathCause, SessionEnd};
use protocol::limits::{CALLS_PER_GRANT_MAX, GRANT_BYTES_MAX};
use protocol::{
    BlobCallGrant, CallsGrant, CallsOutcome, Code, FailureKind, Grant, ObjectId, Outcome, Payload, Reply,
    SessionId, StopSignal,
};

use super::batches::{Batch, CANCELLED, failed};
use super::blobs::Content;
use super::effects::Expected;
use super::reports::without_first;
use super::waits::{Wait, Want};
use super::{Body, Model, ModelAnswer};

/// Calls that wait and follow one another: what is left of a chunk, or what came back from a worker.
pub(crate) struct WaitingCalls {
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// How often they were begun before.
    pub(crate) retry: u32,
    /// The bytes that they keep, together with those of them that were granted: a chunk stays whole until then.
    pub(crate) kept: usize,
}

/// The calls of one grant that have not ended. Those behind the first are prefetched.
pub(crate) struct GrantedCalls {
    pub(crate) session: SessionId,
    /// The number of the grant.
    number: u64,
    /// The first that was granted.
    from: u64,
    /// The first that has not ended.
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) retry: u32,
    /// When the first began, if it has begun.
    pub(crate) begun_at: Option<u64>,
    pub(crate) deadline: Option<u64>,
    /// Whether its process was sent a signal because of its calls.
    is_signalled: bool,
    /// The first call that had not begun when the batch was cancelled, and so does not begin anywhere else.
    cancelled_from: Option<u64>,
    /// The bytes of all of their arguments, until all have ended.
    pub(crate) kept: usize,
}

/// What the record of a session says: the batch, the first call of which it has the result, and the first that has not
/// begun.
pub(crate) type Recorded = (ObjectId, u64, u64);

impl WaitingCalls {
    pub(crate) fn count(&self) -> u64 {
        self.end - self.first
    }
}

impl GrantedCalls {
    pub(crate) fn count(&self) -> u64 {
        self.end - self.first
    }

    pub(crate) fn cancel(&mut self) {
        let prefetched = if self.begun_at.is_some() { self.first + 1 } else { self.first };
        self.cancelled_from.get_or_insert(prefetched);
    }
}

impl Batch {
    fn bytes_of(&self, calls: Range<u64>) -> usize {
        calls.map(|call| self.arguments[call as usize].bytes().len()).sum()
    }

    /// How many calls one grant may bring: a quarter of those that wait, and no more than take a millisecond.
    fn share(&self) -> u64 {
        let in_time = self.call_ns.map_or(1, |call_ns| 1_000_000 / call_ns.max(1));
        (self.waiting_calls() / 4).min(in_time).min(CALLS_PER_GRANT_MAX as u64)
    }

    /// Learns that these calls ran for so long. Longer ones count at once, shorter ones little by little.
    fn learn(&mut self, took_ns: u64, calls: u64) {
        let each_ns = took_ns / calls;
        let mut call_ns = self.call_ns.unwrap_or(each_ns);
        for _ in 0..calls.min(16) {
            call_ns = call_ns - call_ns / 4 + each_ns / 4;
        }
        self.call_ns = Some(call_ns.max(each_ns));
    }

    /// Takes the first of the waiting calls: one, and those behind it up to this number and to `GRANT_BYTES_MAX`, from
    /// other chunks only if it joins them; a call whose arguments are a blob comes alone. Returns them and how often
    /// they were begun before.
    fn take_first(&mut self, most: u64, joins: bool) -> (Range<u64>, u32) {
        let (first, retry) = (self.waiting[0].first, self.waiting[0].retry);
        let mut end = first;
        let mut is_in_chunk = true;
        while let Some(front) = self.waiting.first_mut() {
            let fits = || {
                let arguments = &self.arguments[first as usize..=end as usize];
                let bytes: usize = arguments.iter().map(|call| call.bytes().len()).sum();
                bytes <= GRANT_BYTES_MAX && !arguments.iter().any(Content::is_blob)
            };
            let follows = (front.first, front.retry) == (end, retry) && (is_in_chunk || joins);
            if end > first && !(follows && end - first < most && fits()) {
                break;
            }
            end += 1;
            front.first += 1;
            if front.count() == 0 {
                self.waiting.remove(0);
                is_in_chunk = false;
            }
        }
        (first..end, retry)
    }

    pub(crate) fn granted_at(&mut self, number: u64) -> &mut GrantedCalls {
        self.granted.iter_mut().find(|granted| granted.number == number).expect("it is there")
    }
}

impl Model {
    /// Grants calls of a pool to a session, and begins the first.
    pub(crate) fn take_calls(&mut self, pool: ObjectId, session: SessionId, most: u32) -> Grant {
        let waits = |wait: &Wait| {
            wait.targets.iter().any(|want| matches!(want, Want::Calls { pool: other, .. } if *other == pool))
        };
        let is_awaited = self.waits.values().any(waits);
        let id = self.pool(pool).unwrap().take_turn();
        let joins = !is_awaited && self.pool(pool).unwrap().has_nothing_to_begin();
        self.grants += 1;
        let number = self.grants;
        let batch = self.batch(id).unwrap();
        let (calls, retry) = batch.take_first(batch.share().min(most.into()).max(1), joins);
        let arguments: Vec<u8> = batch.arguments[calls.start as usize..calls.end as usize]
            .iter()
            .flat_map(Content::bytes)
            .copied()
            .collect();
        batch.granted.push(GrantedCalls {
            session,
            number,
            from: calls.start,
            first: calls.start,
            end: calls.end,
            retry,
            begun_at: None,
            deadline: None,
            is_signalled: false,
            cancelled_from: None,
            kept: arguments.len(),
        });
        let first = batch.arguments[calls.start as usize].clone();
        let call = CallsGrant {
            batch: id,
            function: batch.function.clone(),
            stop: batch.options.stop,
            first: calls.start,
            calls: (calls.end - calls.start) as u32,
            retry,
            report_each: batch.options.time_limit_ns.is_some(),
            arguments: Payload::from(arguments.as_slice()),
        };
        self.begin_call(id, number);
        self.offer(id);
        match first {
            Content::Bytes(_) => Grant::Calls(call),
            Content::Blob(blob) => {
                let bytes = self.give_blob(session, blob);
                Grant::BlobCall(Box::new(BlobCallGrant { call, blob, bytes }))
            }
        }
    }

    /// Begins the first call of a grant that has not ended.
    fn begin_call(&mut self, id: ObjectId, number: u64) {
        let now = self.now;
        let batch = self.batch(id).unwrap();
        let limit = batch.options.time_limit_ns;
        let granted = batch.granted_at(number);
        granted.begun_at = Some(now);
        granted.deadline = limit.map(|limit_ns| now.saturating_add(limit_ns).min(u64::MAX - 1));
    }

    /// The number of the grant of a session that brought a call, even if that call has ended.
    fn grant_with(&mut self, session: SessionId, id: ObjectId, call: u64) -> Option<u64> {
        let is_it = |granted: &&GrantedCalls| {
            granted.session == session && (granted.from..granted.end).contains(&call)
        };
        self.batch(id).ok()?.granted.iter().find(is_it).map(|granted| granted.number)
    }

    pub(crate) fn calls_end(
        &mut self,
        session: SessionId,
        id: ObjectId,
        first: u64,
        ends: &[CallsOutcome<&[u8], &str>],
        carries: &[ObjectId],
    ) -> ModelAnswer {
        self.batch(id)?;
        let fits = |end: &CallsOutcome<&[u8], &str>| match end.outcome {
            Outcome::Returned(results) => protocol::calls::fit(results, end.calls.into()),
            Outcome::Failed(_) => true,
            Outcome::ReturnedBlob { .. } => end.calls == 1,
        };
        if ends.is_empty() || !ends.iter().all(|end| end.calls > 0 && fits(end)) {
            return Err(Code::BadArgument);
        }
        for end in ends {
            if let Outcome::ReturnedBlob { blob, .. } = end.outcome {
                self.check_blob(session, blob)?;
            }
        }
        let reported: u64 = ends.iter().map(|end| u64::from(end.calls)).sum();
        let number = self.grant_with(session, id, first).ok_or(Code::BadArgument)?;
        let granted = self.batch(id)?.granted_at(number);
        let (next, end) = (granted.first, first.saturating_add(reported));
        if first > next || end > granted.end {
            return Err(Code::BadArgument);
        }
        if end <= next {
            // They ended otherwise. But whoever reports the last of them goes on with the next.
            if end == next && granted.begun_at.is_none() {
                self.begin_call(id, number);
            }
            return Err(Code::BadArgument);
        }
        self.learn(id, number, end - next);
        let mut call = first;
        let mut has_returned = false;
        for CallsOutcome { calls, outcome } in ends {
            let behind = call + u64::from(*calls);
            if behind > next {
                let from = call.max(next);
                let outcome = without_first(outcome, from - call);
                has_returned |= self.end_reported((id, number), from..behind, &outcome, carries.len());
            }
            call = behind;
        }
        if has_returned && self.references(id) > 0 {
            let carried: Vec<_> = carries.iter().filter_map(|&carried| self.pin(carried)).collect();
            self.batch(id)?.carried.extend(carried);
        }
        if self.advance(id, number, end) {
            self.begin_call(id, number);
        }
        Ok(Reply::Done)
    }

    fn learn(&mut self, id: ObjectId, number: u64, calls: u64) {
        let now = self.now;
        let batch = self.batch(id).unwrap();
        if let Some(begun_at) = batch.granted_at(number).begun_at {
            batch.learn(now - begun_at, calls);
        }
    }

    /// Notes that the calls of a grant before this one have ended. Returns whether there is another.
    fn advance(&mut self, id: ObjectId, number: u64, next: u64) -> bool {
        self.note_if_unused = true;
        let batch = self.batch(id).unwrap();
        let granted = batch.granted_at(number);
        granted.first = next;
        granted.begun_at = None;
        granted.deadline = None;
        let is_over = granted.count() == 0;
        batch.granted.retain(|granted| granted.count() > 0);
        !is_over
    }

    pub(crate) fn calls_give_back(&mut self, session: SessionId, id: ObjectId, first: u64) -> ModelAnswer {
        self.batch(id)?;
        let number = self.grant_with(session, id, first).ok_or(Code::BadArgument)?;
        let batch = self.batch(id)?;
        let granted = batch.granted_at(number);
        if first < granted.first {
            return Err(Code::BadArgument);
        }
        let (end, retry, cancelled_from) = (granted.end, granted.retry, granted.cancelled_from);
        granted.end = first;
        batch.granted.retain(|granted| granted.count() > 0);
        self.return_calls(id, first..end, retry, cancelled_from);
        self.offer(id);
        self.note_if_unused = true;
        Ok(Reply::Done)
    }

    /// Puts calls that have not begun to the front of their batch. Those that were cancelled meanwhile end.
    fn return_calls(&mut self, id: ObjectId, calls: Range<u64>, retry: u32, cancelled_from: Option<u64>) {
        let batch = self.batch(id).unwrap();
        let cancelled_from = if batch.is_stopped { Some(0) } else { cancelled_from };
        let middle = cancelled_from.map_or(calls.end, |from| from.clamp(calls.start, calls.end));
        if middle < calls.end {
            self.end(id, middle..calls.end, failed(FailureKind::Cancelled, CANCELLED), None);
        }
        self.wait_again(id, calls.start..middle, retry);
    }

    fn wait_again(&mut self, id: ObjectId, calls: Range<u64>, retry: u32) {
        let batch = self.batch(id).unwrap();
        let kept = batch.bytes_of(calls.clone());
        if !calls.is_empty() {
            batch.waiting.insert(0, WaitingCalls { first: calls.start, end: calls.end, retry, kept });
        }
    }

    /// The manager has read the record of a session that may be about to end.
    pub(crate) fn calls_found(&mut self, session: SessionId, is_last: bool, record: &CallRecord<'_>) {
        let CallRecord { batch: id, first, ended, begun, results } = *record;
        if is_last {
            self.sessions.get_mut(&session).unwrap().recorded = Some((id, first, begun));
        }
        let Some(number) = self.grant_with(session, id, first) else { return };
        let granted = self.batch(id).unwrap().granted_at(number);
        let next = granted.first;
        if first > next || ended <= next || ended > granted.end {
            return;
        }
        // What was reported before may still be there.
        let unreported = protocol::calls::split(results, next - first);
        let found = unreported.and_then(|(_, rest)| protocol::calls::split(rest, ended - next));
        if let Some((results, _)) = found {
            self.learn(id, number, ended - next);
            self.end_reported((id, number), next..ended, &Outcome::Returned(results), 0);
            self.advance(id, number, ended);
        }
    }

    /// Deals with the calls that were granted to a session that has ended.
    pub(crate) fn leave_calls(&mut self, session: SessionId, ending: &SessionEnd, what: &str) {
        let recorded = self.sessions[&session].recorded;
        // A process that lives on without its connection may go on, so nobody knows what it has begun.
        let lives_on = matches!(ending, SessionEnd::Died(DeathCause::Disconnected | DeathCause::Dropped(_)));
        let mut left: Vec<(u64, ObjectId)> = Vec::new();
        for id in self.batches_where(|batch| batch.granted.iter().any(|granted| granted.session == session)) {
            let its = self.batch(id).unwrap().granted.iter().filter(|granted| granted.session == session);
            left.extend(its.map(|granted| (granted.number, id)));
        }
        left.sort_unstable();
        // The last grant first, as what goes back goes to the front.
        for (number, id) in left.into_iter().rev() {
            let granted = &mut self.batch(id).unwrap().granted;
            let position = granted.iter().position(|granted| granted.number == number).unwrap();
            let granted = granted.remove(position);
            let has_begun = match recorded {
                Some((batch, from, begun)) => batch == id && (from..begun).contains(&granted.first),
                None => granted.begun_at.is_some(),
            };
            let begun = match (lives_on, has_begun) {
                (true, _) => granted.end,
                (false, true) => granted.first + 1,
                (false, false) => granted.first,
            };
            self.return_calls(id, begun..granted.end, granted.retry, granted.cancelled_from);
            let cancelled_from = granted.cancelled_from.unwrap_or(granted.end).clamp(granted.first, begun);
            self.lose_calls(id, cancelled_from..begun, &granted, true, what);
            self.lose_calls(id, granted.first..cancelled_from, &granted, false, what);
            self.offer(id);
        }
    }

    /// Calls that had begun in a session that has ended begin again, or have failed.
    fn lose_calls(
        &mut self,
        id: ObjectId,
        calls: Range<u64>,
        granted: &GrantedCalls,
        is_cancelled: bool,
        what: &str,
    ) {
        if calls.is_empty() {
            return;
        }
        let batch = self.batch(id).unwrap();
        let may_begin = !batch.is_stopped && !is_cancelled && !granted.is_signalled;
        if may_begin && granted.retry < batch.options.retries {
            return self.wait_again(id, calls, granted.retry + 1);
        }
        let (kind, when) = match granted.is_signalled {
            true => (FailureKind::Stopped, "to stop the task it ran"),
            false => (FailureKind::WorkerDied, "while it ran the task"),
        };
        let again = match granted.retry {
            0 => String::new(),
            retry => format!(", in the last of {} attempts", retry.saturating_add(1)),
        };
        self.end(id, calls, failed(kind, &format!("the worker {what} {when}{again}")), None);
    }

    /// The calls that were granted to a session and have not ended, by batch: the first, and the number after the last.
    pub(crate) fn granted_to(&self, session: SessionId) -> Vec<(ObjectId, u64, u64)> {
        let batches = self.objects.iter().filter_map(|(&id, object)| match &object.body {
            Body::Batch(batch) => Some((id, batch)),
            _ => None,
        });
        let granted = batches.flat_map(|(id, batch)| batch.granted.iter().map(move |granted| (id, granted)));
        let its = granted.filter(|(_, granted)| granted.session == session);
        its.map(|(id, granted)| (id, granted.first, granted.end)).collect()
    }

    /// How many grants of a session have calls that have not ended.
    pub(crate) fn grants_of(&self, session: SessionId) -> u32 {
        self.granted_to(session).len() as u32
    }

    pub(crate) fn signal_batch(&mut self, id: ObjectId, signal: StopSignal) -> ModelAnswer {
        let batch = self.batch(id)?;
        let mut sessions = Vec::new();
        for granted in &mut batch.granted {
            granted.is_signalled = true;
            sessions.push(granted.session);
        }
        sessions.sort_unstable();
        sessions.dedup();
        sessions.iter().for_each(|&session| self.end_worker(session, signal));
        Ok(Reply::Count(sessions.len() as u64))
    }

    /// Marks a process for termination, and sends it a signal.
    fn end_worker(&mut self, session: SessionId, signal: StopSignal) {
        self.sessions.get_mut(&session).unwrap().is_terminating = true;
        self.effects.push(Expected::Signal { session, signal });
        let is_for_calls = |want: &Want| matches!(want, Want::Calls { .. });
        let is_its = |wait: &Wait| wait.caller.session == session && wait.targets.iter().any(is_for_calls);
        let its: Vec<u64> = self.waits.iter().filter(|(_, wait)| is_its(wait)).map(|(&key, _)| key).collect();
        its.into_iter().for_each(|key| self.refuse_wait(key, Code::Cancelled));
    }

    /// The call that is due first, if one is due by now: when, its batch and its grant. Calls of a batch that are due
    /// at the same time end in their order.
    pub(crate) fn next_call_due(&mut self) -> Option<(u64, ObjectId, u64)> {
        let now = self.now;
        let due = self.batches_where(|batch| {
            batch.granted.iter().any(|granted| granted.deadline.is_some_and(|due| due <= now))
        });
        let mut calls = Vec::new();
        for id in due {
            for granted in &self.batch(id).unwrap().granted {
                let due = granted.deadline.filter(|due| *due <= now);
                calls.extend(due.map(|due| (due, id, granted.first, granted.number)));
            }
        }
        calls.into_iter().min().map(|(due, id, _, number)| (due, id, number))
    }

    /// Ends a call that has run for too long, and its worker.
    pub(crate) fn expire_call(&mut self, id: ObjectId, number: u64) {
        let batch = self.batch(id).unwrap();
        let limit = std::time::Duration::from_nanos(batch.options.time_limit_ns.unwrap());
        let granted = batch.granted_at(number);
        let (session, call) = (granted.session, granted.first);
        let text =
            format!("it ran longer than the {limit:?} that its batch allows, and its worker was killed");
        self.end(id, call..call + 1, failed(FailureKind::TimeLimit, &text), None);
        self.advance(id, number, call + 1);
        self.end_worker(session, StopSignal::Kill);
    }
}

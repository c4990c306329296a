//! Runs: the core and the model take the same inputs, and must do the same.

use std::panic::{AssertUnwindSafe, catch_unwind};

use manager_core::{BlobArrival, CallRecord, Effect, Holding, Input, Peer, State, Time};
use protocol::limits::BLOB_BYTES_MIN;
use protocol::{
    BlobId, Code, Envelope, Epoch, Kind, Limits, ObjectId, OpenMode, Outcome, Refusal, Reply, Request,
    RequestId, SessionId, Signal, Spec, Target, ThreadId, WaitMode,
};
use uuid::Uuid;

use super::counting::Counts;
use super::step::{CURRENT, End, PLACES, SimulatedRecord, SimulatedStep};
use crate::reference::{Body, Model};

pub(crate) const EPOCH: Epoch = Epoch(Uuid::from_u128(0xe0));

/// As many bytes as a manager of a small limit stores.
static ZEROS: [u8; 400] = [0; 400];

/// So many slots of waits count nothing.
const SLOTS: usize = 64;

/// A budget that runs reach has fewer bytes.
const MEMORY_SMALL: usize = 1 << 30;

/// A core and its model.
pub(crate) struct SimulatedRun {
    core: State,
    pub(crate) model: Model,
    now: u64,
    effects: Vec<Effect>,
    /// How many inputs both have taken.
    pub(crate) inputs: u64,
    /// The sessions that the core wants dropped.
    pub(crate) dropped: Vec<SessionId>,
    /// A holding that may have been released in memory.
    pub(crate) wanted: Option<Holding>,
    /// How often each thing came, if that is wanted.
    pub(crate) counts: Option<Counts>,
    /// The most waits that were blocked at one time.
    waits_most: usize,
    /// After how many inputs what they count of memory is compared.
    memory_every: u64,
    /// The most steps of one input, if not as many as a manager allows.
    steps_max: Option<u64>,
}

/// Takes the steps of a trace. Returns after which of them the core and the model differ, and how.
pub(crate) fn replay(limits: &Limits, steps: &[SimulatedStep]) -> Option<(usize, String)> {
    let mut run = SimulatedRun::new(limits.clone());
    run.memory_every = 1;
    let mut taken = 0;
    let result = catch_unwind(AssertUnwindSafe(|| {
        for step in steps {
            taken += 1;
            run.take(step)?;
            if run.model.is_open {
                return Ok(());
            }
        }
        run.finish(limits)
    }));
    match result {
        Ok(Ok(())) => None,
        Ok(Err(what)) => Some((taken, what)),
        Err(panic) => Some((taken, panic_text(&*panic))),
    }
}

/// Whether a request has the same effects in slices. A wait for a lock begins before a long search for a deadlock ends,
/// one that only asks goes on for a moment if it may yet be served, and results come in parts as calls end.
fn is_same_in_slices(request: &Request<'_>, kind_of: impl Fn(ObjectId) -> Option<Kind>) -> bool {
    let is_for_lock = |target: &Target<'_>| matches!(target, Target::Lock { .. } | Target::RLock { .. });
    match request {
        Request::Wait { targets, timeout_ns, .. } => {
            *timeout_ns != Some(0) && !targets.iter().any(is_for_lock)
        }
        Request::Remove { id } => kind_of(*id) != Some(Kind::Pool),
        Request::Notify { .. }
        | Request::Cancel { .. }
        | Request::Release { .. }
        | Request::ForceRelease { .. }
        | Request::SemaphoreRelease { .. }
        | Request::LatchCountDown { .. }
        | Request::QueueClose { .. }
        | Request::BarrierPass { .. }
        | Request::BarrierAbort { .. }
        | Request::BarrierReset { .. } => true,
        _ => false,
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("of no text"))
}

impl SimulatedRun {
    pub(crate) fn new(limits: Limits) -> SimulatedRun {
        let memory_every = if limits.memory_bytes_max < MEMORY_SMALL { 1 } else { 16 };
        SimulatedRun {
            core: State::new(EPOCH, limits.clone(), 1),
            model: Model::new(EPOCH, limits, 1),
            now: 0,
            effects: Vec::new(),
            inputs: 0,
            dropped: Vec::new(),
            wanted: None,
            counts: None,
            waits_most: 0,
            memory_every,
            steps_max: None,
        }
    }

    /// Takes a step, unless it means nothing because others were left out.
    pub(crate) fn take(&mut self, step: &SimulatedStep) -> Result<(), String> {
        let has_begun = |session: &SessionId| self.model.sessions.contains_key(session);
        let lives = |session: &SessionId| {
            self.model.sessions.get(session).is_some_and(|session| session.ending.is_none())
        };
        match step {
            SimulatedStep::Begin { session } if !has_begun(session) => {
                let process = session.0 as u32 % 100_000 * 100;
                let peer = Peer { process, program: format!("program {session}") };
                self.apply(&Input::SessionBegan { session: *session, peer })
            }
            SimulatedStep::Request { session, request, unread, body } if lives(session) => {
                let received = self.model.sessions[session].answers.saturating_sub(*unread);
                self.request(*session, *request, received, body)
            }
            SimulatedStep::Overcount { session, request, body } if lives(session) => {
                let received = self.model.sessions[session].answers + 1;
                self.request(*session, *request, received, body)
            }
            SimulatedStep::Arrive { session, request, unread, overcounts, blob, bytes, refusal }
                if lives(session) && !self.dropped.contains(session) =>
            {
                let answers = self.model.sessions[session].answers;
                let received = if *overcounts { answers + 1 } else { answers.saturating_sub(*unread) };
                let blob = self.blob_of(*session, *blob);
                let refusal = refusal.map(|code| Refusal::new(code, "no memory"));
                let arrival = BlobArrival { request: *request, received, blob, bytes: *bytes, refusal };
                self.apply(&Input::BlobArrived { session: *session, arrival })
            }
            SimulatedStep::Ending { session, ending, found, bound } if lives(session) => {
                self.dropped.retain(|dropped| dropped != session);
                found.map_or(Ok(()), |found| self.found(*session, true, found))?;
                let (ending, bound) = ((*ending).into(), (1..=*bound).collect());
                self.apply(&Input::SessionEnding { session: *session, ending, bound })
            }
            SimulatedStep::End { session, ending, found } if has_begun(session) => {
                self.dropped.retain(|dropped| dropped != session);
                found.map_or(Ok(()), |found| self.found(*session, true, found))?;
                self.apply(&Input::SessionEnded { session: *session, ending: (*ending).into() })
            }
            SimulatedStep::Deferred { session, lock } if lives(session) => {
                let holding = self.holding_of(*lock);
                self.apply(&Input::DeferredRelease(Holding {
                    session: *session,
                    lock: *lock,
                    number: holding,
                }))
            }
            SimulatedStep::Found { session, found } if lives(session) => self.found(*session, false, *found),
            SimulatedStep::Slices { steps } => {
                self.steps_max = Some(*steps);
                self.model.is_sliced = true;
                Ok(())
            }
            SimulatedStep::Pass { nanoseconds } => {
                self.now = self.now.saturating_add(*nanoseconds);
                self.apply(&Input::TimePassed)
            }
            SimulatedStep::Due => {
                if let Some(due) = self.model.next_deadline().filter(|&due| due < self.now + 1_000_000) {
                    self.now = self.now.max(due);
                }
                self.apply(&Input::TimePassed)
            }
            _ => Ok(()),
        }
    }

    fn request(
        &mut self,
        session: SessionId,
        request: RequestId,
        received: u64,
        body: &Request<'static>,
    ) -> Result<(), String> {
        if self.dropped.contains(&session) {
            return Ok(());
        }
        let body = self.resolved(session, body);
        let uncertain = self.core.uncertain_holdings(&body);
        let expected = self.model.uncertain(&body);
        if uncertain[..] != expected[..] {
            return Err(format!("the core is uncertain of {uncertain:?}, the model of {expected:?}"));
        }
        self.apply(&Input::Request { session, envelope: Envelope { request, received, body } })
    }

    fn apply(&mut self, input: &Input<'_>) -> Result<(), String> {
        if self.model.is_open {
            return Ok(());
        }
        self.inputs += 1;
        self.effects.clear();
        let now = Time::from_nanoseconds(self.now);
        if let Some(steps_max) = self.steps_max {
            // All that is due ends before the input takes effect. In slices, a wait may go on for a moment longer.
            self.core.set_steps_max(u64::MAX);
            while self.core.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.core.apply(now, Input::TimePassed, &mut self.effects);
            }
            let is_whole = match input {
                Input::Request { envelope, .. } => {
                    !is_same_in_slices(&envelope.body, |id| self.model.kind_of(id))
                }
                _ => true,
            };
            self.core.set_steps_max(if is_whole { u64::MAX } else { steps_max });
        }
        self.core.apply(now, input.clone(), &mut self.effects);
        // The model knows no slices.
        while !self.core.is_idle() {
            self.core.apply(now, Input::TimePassed, &mut self.effects);
        }
        if self.inputs.is_multiple_of(16) {
            self.core.assert_settled();
        }
        let result = self.model.apply(self.now, input, &self.effects);
        if result.is_err() && self.is_another_way_out(input) {
            self.core.assert_no_deadlock();
            self.model.is_open = true;
            return Ok(());
        }
        result.map_err(|what| format!("{what}\nafter the input {input:?} at {} ns", self.now))?;
        let due = self.core.next_deadline();
        let expected = self.model.next_deadline().map(Time::from_nanoseconds);
        if due != expected {
            return Err(format!(
                "the core is next due at {due:?}, the model at {expected:?}, after {input:?}"
            ));
        }
        self.compare_memory()?;
        if let Some(counts) = &mut self.counts {
            counts.note(input, &self.effects);
        }
        self.wanted = None;
        for effect in &self.effects {
            match effect {
                Effect::Drop { session, .. } => self.dropped.push(*session),
                Effect::LocksWanted { holding: Some(holding), .. } => self.wanted = Some(*holding),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the core may have broken other cycles than the model. If a notification in slices closes several that
    /// share a thread, the page does not say which comes first.
    fn is_another_way_out(&self, input: &Input<'_>) -> bool {
        let notifies = |body: &Request<'_>| matches!(body, Request::Notify { .. });
        let is_deadlock = |effect: &Effect| match effect {
            Effect::Reply { reply: Reply::Refused(refusal), .. } => refusal.code == Code::Deadlock,
            _ => false,
        };
        self.steps_max.is_some()
            && matches!(input, Input::Request { envelope, .. } if notifies(&envelope.body))
            && self.effects.iter().any(is_deadlock)
    }

    /// Compares what the core counts for all that it keeps with what the model counts.
    fn compare_memory(&mut self) -> Result<(), String> {
        self.waits_most = self.waits_most.max(self.model.waits.len());
        // Slots of more waits than that count, too, even when they are empty; and a wait may have had one within an
        // input.
        if self.waits_most >= SLOTS || self.model.is_open || !self.inputs.is_multiple_of(self.memory_every) {
            return Ok(());
        }
        let (charged, expected) = (self.core.charged_bytes(), self.model.charged());
        match charged == expected {
            true => Ok(()),
            false => Err(format!("the core counts {charged} bytes of memory, the model {expected}")),
        }
    }

    /// Ends all sessions, removes every object, and looks whether there is as much room as at first.
    pub(crate) fn finish(&mut self, limits: &Limits) -> Result<(), String> {
        let sessions: Vec<SessionId> = self.model.sessions.keys().copied().collect();
        for session in sessions {
            self.take(&SimulatedStep::End { session, ending: End::Killed, found: None })?;
        }
        let last = SessionId(1_000_000);
        self.take(&SimulatedStep::Begin { session: last })?;
        let mut number = 0;
        let mut ask = |run: &mut SimulatedRun, body: Request<'static>| {
            number += 1;
            run.take(&SimulatedStep::Request { session: last, request: RequestId(number), unread: 0, body })
        };
        ask(self, Request::ListObjects { after: None })?;
        while let Some((&id, _)) = self.model.objects.iter().find(|(_, object)| object.name.is_some()) {
            if self.model.is_open {
                return Ok(());
            }
            ask(self, Request::Remove { id })?;
        }
        ask(self, Request::ListObjects { after: None })?;
        if !self.model.objects.is_empty() {
            // What carries itself stays.
            return Ok(());
        }
        let queue = ObjectId(Uuid::from_u128(1));
        let spec = Spec::Queue { capacity: None, is_joinable: false };
        ask(self, Request::Open { id: queue, name: None, spec, mode: OpenMode::OpenOrCreate })?;
        if !self.model.blobs.is_empty() {
            return Err("a blob is left".into());
        }
        let bytes = limits.stored_bytes_max as u64;
        if bytes >= BLOB_BYTES_MIN {
            ask(self, Request::BlobOpen { bytes: bytes + 1 })?;
            ask(self, Request::BlobOpen { bytes })?;
        }
        let full = [&ZEROS[..limits.stored_bytes_max.min(ZEROS.len())], &[0]];
        for item in
            full.into_iter().chain(std::iter::repeat_n([].as_slice(), limits.calls_and_items_max.min(20)))
        {
            let put = Target::Put { queue, item, carries: Vec::new() };
            let targets = [put].into_iter().collect();
            ask(self, Request::Wait { mode: WaitMode::Any, targets, timeout_ns: None, thread: ThreadId(1) })?;
        }
        Ok(())
    }

    fn found(&mut self, session: SessionId, is_last: bool, found: SimulatedRecord) -> Result<(), String> {
        let next = self.call_of(session, found.batch);
        let first = next.saturating_sub(found.reported);
        let ended = next + found.ended;
        let results = found.result.repeat((ended - first).min(found.results) as usize);
        let (batch, begun) = (found.batch, ended + found.begun);
        let record = CallRecord { batch, first, ended, begun, results: &results };
        self.apply(&Input::CallsFound { session, is_last, record })
    }

    /// The first call of a batch that a session has and that has not ended.
    fn call_of(&self, session: SessionId, batch: ObjectId) -> u64 {
        let mut granted = self.model.granted_to(session).into_iter();
        granted.find(|(other, ..)| *other == batch).map_or(0, |(_, first, _)| first)
    }

    /// The number of the holding of a lock, or of the lock of a condition.
    fn holding_of(&self, id: ObjectId) -> u64 {
        match self.model.objects.get(&id).map(|object| &object.body) {
            Some(Body::Lock(lock)) => lock.holder.as_ref().map_or(0, |holder| holder.holding),
            Some(Body::Condition(condition)) => self.holding_of(condition.lock),
            _ => 0,
        }
    }

    /// A request that has numbers where its step says what there is.
    fn resolved(&self, session: SessionId, body: &Request<'static>) -> Request<'static> {
        let mut body = body.clone();
        self.resolve_blobs(session, &mut body);
        let holding_now = |id: ObjectId, holding: &mut Option<u64>| {
            if *holding == Some(CURRENT) {
                *holding = Some(self.holding_of(id));
            }
        };
        match &mut body {
            Request::Release { id, holding, .. } | Request::Notify { id, holding, .. } => {
                holding_now(*id, holding);
            }
            Request::SignalAndWait { signal, targets, .. } => {
                if let Signal::Release { id, holding } = signal {
                    holding_now(*id, holding);
                }
                for target in targets {
                    if let Target::Condition { id, holding } = target {
                        holding_now(*id, holding);
                    }
                }
            }
            Request::Wait { targets, .. } => {
                for target in targets {
                    if let Target::Condition { id, holding } = target {
                        holding_now(*id, holding);
                    }
                }
            }
            Request::CallsEnd { batch, first, .. } | Request::CallsGiveBack { batch, first }
                if *first == CURRENT =>
            {
                *first = self.call_of(session, *batch);
            }
            Request::BarrierPass { id, turn } if *turn == CURRENT => *turn = self.turn_of(*id),
            Request::BarrierAbort { id, turn: Some(turn), .. } if *turn == CURRENT => {
                *turn = self.turn_of(*id);
            }
            Request::QueueItemDone { id, item: Some(item), .. } if *item == CURRENT => {
                *item = self.item_of(session, *id);
            }
            _ => {}
        }
        body
    }

    /// Puts the numbers of blobs where a step says which of the session's.
    fn resolve_blobs(&self, session: SessionId, body: &mut Request<'static>) {
        match body {
            Request::BlobSend { blob, .. }
            | Request::BlobFetch { blob }
            | Request::BlobRead { blob, .. }
            | Request::BlobClose { blob }
            | Request::BatchAddBlob { blob, .. } => *blob = self.blob_of(session, *blob),
            Request::BlobWrite { blob, offset, .. } => {
                *blob = self.blob_of(session, *blob);
                if *offset == CURRENT {
                    *offset = self.model.blobs.get(blob).map_or(0, |blob| blob.written);
                }
            }
            Request::CallsEnd { ends, .. } => {
                for end in ends.iter_mut() {
                    if let Outcome::ReturnedBlob { blob, .. } = &mut end.outcome {
                        *blob = self.blob_of(session, *blob);
                    }
                }
            }
            Request::Wait { targets, .. } | Request::SignalAndWait { targets, .. } => {
                for target in targets {
                    if let Target::PutBlob { blob, .. } = target {
                        *blob = self.blob_of(session, *blob);
                    }
                }
            }
            _ => {}
        }
    }

    /// The number of a blob, which may be said by its place among those of the session.
    fn blob_of(&self, session: SessionId, blob: BlobId) -> BlobId {
        let place = CURRENT - blob.0;
        let its = &self.model.sessions[&session].blobs;
        match place < PLACES {
            true => its.keys().nth(place as usize).copied().unwrap_or(BlobId(0)),
            false => blob,
        }
    }

    fn turn_of(&self, id: ObjectId) -> u64 {
        match self.model.objects.get(&id).map(|object| &object.body) {
            Some(Body::Barrier(barrier)) => barrier.acting.map_or(0, |(_, turn)| turn),
            _ => 0,
        }
    }

    fn item_of(&self, session: SessionId, id: ObjectId) -> u64 {
        match self.model.objects.get(&id).map(|object| &object.body) {
            Some(Body::Queue(queue)) => {
                let items = queue.unfinished.as_ref().and_then(|unfinished| unfinished.get(&session));
                items.and_then(|items| items.last()).map_or(0, |(number, _, _)| *number)
            }
            _ => 0,
        }
    }
}

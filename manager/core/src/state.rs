//! The state and its one way in.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use protocol::{
    Envelope, Epoch, Limits, Refusal, Reply, Request, RequestId, SessionId, SharedMemory, Signal, Targets,
    WaitMode,
};
use serde::{Deserialize, Serialize};

use crate::objects::mirror::MirrorPlaces;
use crate::pools::batch::BatchSpec;
use crate::sessions::session::Session;
use crate::sessions::teardown::Teardowns;
use crate::store::blob::Blobs;
use crate::store::catalog::Catalog;
use crate::store::memory::Memory;
use crate::store::slab::{Key, Slab};
use crate::waiting::agenda::Agenda;
use crate::waiting::deadlock::Searches;
use crate::waiting::ticket_queue::Ticket;
use crate::waiting::unfinished::UnfinishedWork;
use crate::waiting::wait::{Caller, Waiter};
use crate::work::Meter;
use crate::{BlobArrival, Effect, Input, Time};

/// Everything that a manager knows.
///
/// It changes by [`apply`](State::apply) alone. Between two inputs it can be serialized: a state that is restored from
/// such a snapshot has the same effects from then on as the original. A snapshot must be genuine: a state restored from
/// anything else may panic.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// The life of the manager whose state this is.
    pub(crate) epoch: Epoch,
    pub(crate) limits: Limits,
    /// The time of the input that is being applied.
    pub(crate) now: Time,
    pub(crate) sessions: BTreeMap<SessionId, Box<Session>>,
    pub(crate) catalog: Catalog,
    pub(crate) waiters: Slab<Waiter>,
    /// What is due and when, the nearest first.
    pub(crate) deadlines: BTreeSet<(Time, Due)>,
    /// The blocked requests of each thread, to find deadlocks.
    pub(crate) blocked: BTreeSet<(Caller, Key)>,
    /// The sessions that have ended and leave much behind.
    pub(crate) teardowns: Teardowns,
    /// The searches for deadlocks that take long.
    pub(crate) searches: Searches,
    /// The places where events are published.
    pub(crate) mirror: MirrorPlaces,
    /// Large payloads.
    pub(crate) blobs: Blobs,
    /// The token of the next lock grant.
    pub(crate) token: u64,
    /// The number of the last holding of a lock that began.
    pub(crate) last_holding: u64,
    /// How many waiters there were; their numbers come from this.
    pub(crate) arrivals: u64,
    /// The objects whose waiters are to be examined before this input ends.
    pub(crate) touched: VecDeque<Key>,
    /// What else is to be done before this input ends.
    pub(crate) agenda: Agenda,
    /// Whether something is touched or on the agenda.
    pub(crate) is_unsettled: bool,
    /// Whether something is on the agenda.
    pub(crate) has_agenda: bool,
    /// Whether a wait queue may seek the waiter in it that comes before those behind it.
    pub(crate) seeks_claimants: bool,
    /// Whether some waits and calls go on that are overdue, since they were too many for one input.
    pub(crate) is_behind: bool,
    /// The number of the current input or, while the work of an earlier one goes on, of that.
    pub(crate) ticket: Ticket,
    /// What earlier inputs have left of their agendas.
    pub(crate) unfinished: UnfinishedWork,
    /// Whether they have left something.
    pub(crate) has_unfinished: bool,
    /// Calls that wait, run, or have ended and were not fetched, and items of queues.
    pub(crate) stored_calls_and_items: usize,
    /// Bytes of arguments and outcomes that are stored.
    pub(crate) stored_bytes: usize,
    /// How much memory everything takes.
    pub(crate) memory: Memory,
    /// How much the current input has done.
    pub(crate) meter: Meter,
    /// The effects of the input that is being applied; none between inputs.
    #[serde(skip)]
    pub(crate) effects: Vec<Effect>,
}

/// What is due at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Due {
    /// A waiter gives up. Of those that are due at one time, the one that came first does so first.
    Waiter { arrival: u64, key: Key },
    /// The time of a running call is over: the first one of this range.
    Call { batch: Key, range: u64 },
}

impl State {
    /// An empty state for this life of a manager.
    ///
    /// Lock grants are numbered from `first_token` on. For tokens to grow from one life to the next, pass a number that
    /// grows faster than a manager can grant, such as the nanoseconds of the system's clock.
    pub fn new(epoch: Epoch, limits: Limits, first_token: u64) -> State {
        let memory = Memory::new(&limits);
        State {
            epoch,
            limits,
            now: Time::ZERO,
            sessions: BTreeMap::new(),
            catalog: Catalog::new(),
            waiters: Slab::new(),
            deadlines: BTreeSet::new(),
            blocked: BTreeSet::new(),
            teardowns: Teardowns::default(),
            searches: Searches::default(),
            mirror: MirrorPlaces::default(),
            blobs: Blobs::default(),
            token: first_token,
            last_holding: 0,
            arrivals: 0,
            touched: VecDeque::new(),
            agenda: Agenda::default(),
            is_unsettled: false,
            has_agenda: false,
            seeks_claimants: false,
            is_behind: false,
            ticket: Ticket::default(),
            unfinished: UnfinishedWork::default(),
            has_unfinished: false,
            stored_calls_and_items: 0,
            stored_bytes: 0,
            memory,
            meter: Meter::new(),
            effects: Vec::new(),
        }
    }

    /// Takes one input and appends its effects to `effects`.
    ///
    /// `now` must not go back. Waits whose deadline `now` has reached time out before the input takes effect; if they
    /// are many, or something is left of earlier inputs, with the [`Input::TimePassed`] that follow. A driver that asks
    /// [`holds_back`](State::holds_back) applies one when [`next_deadline`](State::next_deadline) is reached, and then
    /// asks.
    ///
    /// ```
    /// use manager_core::{Effect, Input, Peer, State, Time};
    /// use protocol::{Envelope, Epoch, Limits, ObjectId, OpenMode, Reply, Request, RequestId, SessionId, Spec};
    ///
    /// let mut state = State::new(Epoch(uuid::Uuid::from_u128(1)), Limits::default(), 1);
    /// let mut effects = Vec::new();
    /// let session = SessionId(1);
    /// let peer = Peer { process: 4711, program: "example".into() };
    /// state.apply(Time::ZERO, Input::SessionBegan { session, peer }, &mut effects);
    ///
    /// let id = ObjectId(uuid::Uuid::from_u128(2));
    /// let spec = Spec::Event { auto_reset: false };
    /// let body = Request::Open { id, name: Some("stop"), spec, mode: OpenMode::OpenOrCreate };
    /// let envelope = Envelope { request: RequestId(1), received: 0, body };
    /// state.apply(Time::ZERO, Input::Request { session, envelope }, &mut effects);
    ///
    /// let reply = Reply::Opened { id, created: true };
    /// assert_eq!(effects, [Effect::Reply { session, request: RequestId(1), reply }]);
    /// ```
    pub fn apply(&mut self, now: Time, input: Input<'_>, effects: &mut Vec<Effect>) {
        assert!(now >= self.now, "time does not go back");
        self.now = now;
        self.ticket = self.ticket.next();
        match &input {
            // Nobody asked for these, and there may be many of them in a row. So they share the steps of what came
            // before.
            Input::DeferredRelease(_)
            | Input::SessionEnding { .. }
            | Input::CallsFound { .. }
            | Input::SessionEnded { .. } => {}
            _ => self.meter.begin_input(),
        }
        core::mem::swap(&mut self.effects, effects);
        if self.is_something_due() {
            match input {
                Input::TimePassed => self.expire(if self.has_unfinished { 2 } else { 1 }),
                _ if self.is_idle() && !self.is_behind => self.expire(16),
                // It may free a wait queue that this input must not come before, and that was not asked.
                _ => {}
            }
        }
        match &input {
            Input::SessionBegan { session, peer } => self.session_began(*session, peer),
            Input::Request { session, envelope } => self.request(*session, envelope),
            Input::BlobArrived { session, arrival } => self.blob_arrived(*session, arrival),
            Input::DeferredRelease(holding) => self.apply_deferred_release(*holding),
            Input::SessionEnding { session, ending, bound } => self.session_ending(*session, ending, bound),
            Input::CallsFound { session, is_last, record } => self.calls_found(*session, *is_last, record),
            Input::SessionEnded { session, ending } => self.session_ended(*session, ending),
            Input::TimePassed => self.work_on(),
        }
        self.settle();
        core::mem::swap(&mut self.effects, effects);
    }

    /// When to apply [`Input::TimePassed`] if no other input comes before. It is at once while something is left of
    /// earlier inputs, since no input takes long.
    pub fn next_deadline(&self) -> Option<Time> {
        match self.is_idle() {
            true => self.deadlines.first().map(|(deadline, _)| *deadline),
            false => Some(self.now),
        }
    }

    /// Carries out one request. A wait answers itself, now or later. Every other request is answered at once, but after
    /// the waiters that it serves: when `set` returns, the answers to the waiters that it woke are on their way.
    fn request(&mut self, session: SessionId, envelope: &Envelope<'_>) {
        let Envelope { request, received, ref body } = *envelope;
        if self.has_unfinished {
            self.finish_earlier_work(session, body);
        }
        if let Err(refusal) = self.confirm(session, received) {
            return self.effects.push(Effect::Drop { session, refusal });
        }
        let begun = match *body {
            Request::Wait { mode, ref targets, timeout_ns, thread } => {
                self.wait(Caller { session, thread }, request, mode, targets, timeout_ns)
            }
            Request::SignalAndWait { ref signal, mode, ref targets, timeout_ns, thread } => {
                let caller = Caller { session, thread };
                self.signal_and_wait(caller, request, signal, mode, targets, timeout_ns)
            }
            Request::BatchRun { id, pool, function, options, ref chunks, timeout_ns, thread } => {
                let spec = BatchSpec { id, pool, function, options };
                self.batch_run(Caller { session, thread }, request, spec, chunks, timeout_ns)
            }
            Request::Share { memory } => return self.share(session, request, memory),
            Request::BindProcesses { leader } => return self.bind_processes(session, request, leader),
            Request::BlobOpen { .. } | Request::BlobFetch { .. } | Request::BlobRead { .. } => {
                self.blob_ask(session, request, body)
            }
            _ => {
                let result = self.simple_request(session, body);
                return self.reply_when_done(session, request, result.unwrap_or_else(Reply::Refused));
            }
        };
        if let Err(refusal) = begun {
            self.reply_when_done(session, request, Reply::Refused(refusal));
        }
    }

    /// Signals, and begins a wait that could begin before.
    fn signal_and_wait(
        &mut self,
        caller: Caller,
        request: RequestId,
        signal: &Signal<'_>,
        mode: WaitMode,
        targets: &Targets<'_>,
        timeout_ns: Option<u64>,
    ) -> Result<(), Refusal> {
        self.check_wait(request, mode, targets)?;
        self.find_targets(caller, targets)?;
        self.signal(caller, signal)?;
        self.settle();
        self.wait(caller, request, mode, targets, timeout_ns)
    }

    /// A request to give a blob its bytes arrived, with or without memory.
    #[cold]
    fn blob_arrived(&mut self, session: SessionId, sent: &BlobArrival) {
        if let Err(refusal) = self.confirm(session, sent.received) {
            return self.effects.push(Effect::Drop { session, refusal });
        }
        let result = self.blob_send(session, sent.blob, sent.bytes, sent.refusal.as_ref());
        self.reply_when_done(session, sent.request, result.unwrap_or_else(Reply::Refused));
    }

    /// Has memory shared with a session that wants an answer, since the answer brings it.
    fn share(&mut self, session: SessionId, request: RequestId, memory: SharedMemory) {
        if request.wants_answer() {
            self.session_at(session).answers += 1;
            self.effects.push(Effect::Share { session, request, memory });
            match memory {
                SharedMemory::DeferredReleases => self.deferred_releases_shared(session),
                SharedMemory::CallRecord => self.session_at(session).has_call_record = true,
                SharedMemory::Mirror => {}
            }
        }
    }

    /// Has processes bound to a session that wants an answer, since the processes may run only after it.
    fn bind_processes(&mut self, session: SessionId, request: RequestId, leader: u32) {
        if request.wants_answer() {
            self.session_at(session).answers += 1;
            self.effects.push(Effect::Bind { session, request, leader });
        }
    }

    /// Answers a request, unless its sender wants no answer or is gone.
    pub(crate) fn reply(&mut self, session: SessionId, request: RequestId, reply: Reply) {
        if !request.wants_answer() {
            return;
        }
        if let Some(receiver) = self.sessions.get_mut(&session).filter(|receiver| !receiver.has_ended) {
            receiver.answers += 1;
            self.effects.push(Effect::Reply { session, request, reply });
        }
    }

    /// A session that sent the input, or that is known to live for another reason.
    pub(crate) fn session_at(&mut self, session: SessionId) -> &mut Session {
        self.sessions.get_mut(&session).expect("the session has begun and not ended")
    }

    /// A session, for people.
    pub(crate) fn describe_session(&self, session: SessionId) -> String {
        match self.sessions.get(&session) {
            Some(session) => format!("process {} ({})", session.process, session.program),
            None => format!("session {session}, which has ended"),
        }
    }

    /// One thread of a session, for people.
    pub(crate) fn describe_caller(&self, caller: Caller) -> String {
        format!("{}, thread {}", self.describe_session(caller.session), caller.thread)
    }
}

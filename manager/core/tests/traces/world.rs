//! A state with a clock that the test moves, and short words for what sessions do and the answers that they get.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use manager_core::{
    BlobEffect, DeathCause, Effect, Holding, Input, Peer, Publication, SessionEnd, State, Time,
};
use protocol::{
    BatchOptions, Code, Envelope, Epoch, Kind, Limits, ObjectId, OpenMode, Reply, Request, RequestId,
    SessionId, SharedMemory, Spec, StopSignal,
};
use uuid::Uuid;

pub(crate) const EPOCH: Epoch = Epoch(Uuid::from_u128(0xe0));

/// A state, its clock, and the answers that the test has not taken.
pub(crate) struct World {
    state: State,
    now: Time,
    /// The most steps of one input.
    steps_most: u64,
    sessions: u64,
    requests: u64,
    objects: u128,
    /// How many answers each session has read, as it tells the manager.
    received: Vec<u64>,
    /// Answers that were sent and not taken.
    answers: Vec<(SessionId, RequestId, Reply)>,
    /// Sessions that the core wants dropped.
    pub(crate) dropped: Vec<(SessionId, Code)>,
    /// What the core has published, and the test has not taken.
    pub(crate) published: Vec<Publication>,
    /// What the core has reported for deferred releases: how many locks are wanted, and which holding to look for.
    pub(crate) wants: Vec<(SessionId, u64, Option<Holding>)>,
    /// Memory that the core has shared.
    pub(crate) shared: Vec<(SessionId, RequestId, SharedMemory)>,
    /// The process sessions that the core had bound.
    pub(crate) bound: Vec<(SessionId, RequestId, u32)>,
    /// The process sessions whose binding ended.
    pub(crate) unbound: Vec<(SessionId, u32)>,
    /// What the core has asked for with the memory of blobs, and the test has not taken.
    pub(crate) blobs: Vec<BlobEffect>,
    /// Signals that the core has sent.
    pub(crate) signals: Vec<(SessionId, StopSignal)>,
    /// Whose call records are to be read.
    pub(crate) records_wanted: Vec<SessionId>,
    /// The stop events of batches.
    stops: BTreeMap<ObjectId, ObjectId>,
    /// Everything that the core did, a line for each input, if the test wants it.
    pub(crate) trace: Option<String>,
}

impl World {
    pub(crate) fn new() -> World {
        World::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> World {
        World {
            state: State::new(EPOCH, limits, 1),
            now: Time::ZERO,
            steps_most: 0,
            sessions: 0,
            requests: 0,
            objects: 0,
            received: vec![0],
            answers: Vec::new(),
            dropped: Vec::new(),
            blobs: Vec::new(),
            published: Vec::new(),
            wants: Vec::new(),
            shared: Vec::new(),
            bound: Vec::new(),
            unbound: Vec::new(),
            signals: Vec::new(),
            records_wanted: Vec::new(),
            stops: BTreeMap::new(),
            trace: None,
        }
    }

    /// Begins a session of a program; its process id is a hundred times its number.
    pub(crate) fn session(&mut self, program: &str) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        self.received.push(0);
        let peer = Peer { process: 100 * self.sessions as u32, program: program.into() };
        self.apply(Input::SessionBegan { session, peer });
        session
    }

    /// Ends a session as by SIGKILL.
    pub(crate) fn kill(&mut self, session: SessionId) {
        self.end(session, SessionEnd::Died(DeathCause::Signal(9)));
    }

    /// Ends a session.
    pub(crate) fn end(&mut self, session: SessionId, ending: SessionEnd) {
        self.apply(Input::SessionEnded { session, ending });
    }

    /// Ends a session in order.
    pub(crate) fn leave(&mut self, session: SessionId) {
        self.apply(Input::SessionEnded { session, ending: SessionEnd::Goodbye });
    }

    /// Lets time pass and applies what is due, in steps, as an event loop would.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.after_ns(time.as_nanos() as u64);
        while let Some(deadline) = self.state.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = deadline;
            self.apply(Input::TimePassed);
        }
        self.now = end;
    }

    /// Lets time pass, and applies nothing meanwhile, as a driver that comes late.
    pub(crate) fn jump(&mut self, time: Duration) {
        self.now = self.now.after_ns(time.as_nanos() as u64);
    }

    /// How much memory the core has charged.
    pub(crate) fn charged_bytes(&self) -> usize {
        self.state.charged_bytes()
    }

    /// The most steps that one input has taken so far.
    pub(crate) fn steps_most(&self) -> u64 {
        self.steps_most
    }

    /// Forgets how many steps earlier inputs have taken.
    pub(crate) fn forget_steps(&mut self) {
        self.steps_most = 0;
    }

    /// Has each input take about this many steps at most, for slices of little work.
    pub(crate) fn set_steps_max(&mut self, steps_max: u64) {
        self.state.set_steps_max(steps_max);
    }

    /// Has the core do one slice of what it has left.
    pub(crate) fn slice(&mut self) {
        assert!(self.has_work(), "something is left");
        self.apply(Input::TimePassed);
    }

    /// Has the core do all that it has left. Returns in how many slices.
    pub(crate) fn work(&mut self) -> usize {
        let mut slices = 0;
        while self.has_work() {
            self.slice();
            slices += 1;
        }
        slices
    }

    fn has_work(&self) -> bool {
        self.state.next_deadline().is_some_and(|deadline| deadline <= self.now)
    }

    /// Whether the core asks to be woken at some time.
    pub(crate) fn has_deadline(&self) -> bool {
        self.state.next_deadline().is_some()
    }

    /// The id of another request.
    pub(crate) fn fresh_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// Sends a request, whatever its answer.
    pub(crate) fn send(&mut self, session: SessionId, body: Request<'_>) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.send_as(session, request, body);
        request
    }

    /// Sends a request of a session that has read no answers.
    pub(crate) fn send_unread(&mut self, session: SessionId, body: Request<'_>) {
        let received = std::mem::take(&mut self.received[session.0 as usize]);
        self.send(session, body);
        self.received[session.0 as usize] = received;
    }

    pub(crate) fn send_as(&mut self, session: SessionId, request: RequestId, body: Request<'_>) {
        let received = self.received[session.0 as usize];
        self.apply(Input::Request { session, envelope: Envelope { request, received, body } });
    }

    /// Sends a request and takes its answer, which must come at once, or when the core has done all that follows.
    pub(crate) fn ask(&mut self, session: SessionId, body: Request<'_>) -> Reply {
        let request = self.send(session, body);
        let at_once = self.answer(session, request);
        at_once
            .or_else(|| {
                self.work();
                self.answer(session, request)
            })
            .expect("the request must be answered")
    }

    /// Whether a request has to wait until the core has done what is left.
    pub(crate) fn holds_back(&self, session: SessionId, body: &Request<'_>) -> bool {
        self.state.holds_back(session, body)
    }

    /// Sends a request that must be refused, and takes the code and text.
    pub(crate) fn refused(&mut self, session: SessionId, body: Request<'_>) -> (Code, String) {
        match self.ask(session, body) {
            Reply::Refused(refusal) => (refusal.code, refusal.text),
            other => panic!("it must be refused, not {other:?}"),
        }
    }

    /// Sends a request that must be refused at once, even if the core has something left, and takes the code.
    pub(crate) fn refused_at_once(&mut self, session: SessionId, body: Request<'_>) -> Code {
        let request = self.send(session, body);
        match self.answer(session, request) {
            Some(Reply::Refused(refusal)) => refusal.code,
            other => panic!("it must be refused, not {other:?}"),
        }
    }

    /// Sends a request that must block.
    pub(crate) fn block(&mut self, session: SessionId, body: Request<'_>) -> RequestId {
        let request = self.send(session, body);
        assert_eq!(self.answer(session, request), None, "it must block");
        request
    }

    /// Takes the answer to a request, if it was sent; the session has read it then.
    pub(crate) fn answer(&mut self, session: SessionId, request: RequestId) -> Option<Reply> {
        let is_it = |(to, of, _): &(SessionId, RequestId, Reply)| (*to, *of) == (session, request);
        let position = self.answers.iter().position(is_it)?;
        self.received[session.0 as usize] += 1;
        Some(self.answers.remove(position).2)
    }

    /// Makes a session claim one answer more than it has read.
    pub(crate) fn overcount(&mut self, session: SessionId) {
        self.received[session.0 as usize] += 1;
    }

    /// Takes the requests that were answered with a grant, in the order of the answers.
    pub(crate) fn granted(&mut self) -> Vec<RequestId> {
        let answers = std::mem::take(&mut self.answers);
        let mut granted = Vec::new();
        for (session, request, reply) in answers {
            self.received[session.0 as usize] += 1;
            match reply {
                Reply::Taken(_) => granted.push(request),
                other => panic!("{request:?} was answered with {other:?}"),
            }
        }
        granted
    }

    /// Takes all answers, whatever they are.
    pub(crate) fn forget_answers(&mut self) {
        for (session, ..) in std::mem::take(&mut self.answers) {
            self.received[session.0 as usize] += 1;
        }
    }

    /// Asserts that the test has taken all answers.
    pub(crate) fn silent(&self) {
        assert_eq!(self.answers, []);
    }

    pub(crate) fn apply(&mut self, input: Input<'_>) {
        let mut effects = Vec::new();
        self.state.apply(self.now, input, &mut effects);
        self.steps_most = self.steps_most.max(self.state.steps());
        if let Some(trace) = &mut self.trace {
            writeln!(trace, "{effects:?}, next at {:?}", self.state.next_deadline()).unwrap();
        }
        for effect in effects {
            match effect {
                Effect::Reply { session, request, reply } => self.answers.push((session, request, reply)),
                Effect::Share { session, request, memory } => self.shared.push((session, request, memory)),
                Effect::Bind { session, request, leader } => self.bound.push((session, request, leader)),
                Effect::Unbind { session, leader } => self.unbound.push((session, leader)),
                Effect::Blob(effect) => self.blobs.push(effect),
                Effect::LocksWanted { session, wanted, holding } => {
                    self.wants.push((session, wanted, holding));
                }
                Effect::Publish(publication) => self.published.push(publication),
                Effect::Signal { session, signal } => self.signals.push((session, signal)),
                Effect::ReadCallRecord { session } => self.records_wanted.push(session),
                Effect::Drop { session, refusal } => self.dropped.push((session, refusal.code)),
            }
        }
    }

    /// The holdings on which the answer to a request depends.
    pub(crate) fn uncertain_holdings(&self, body: &Request<'_>) -> Vec<Holding> {
        self.state.uncertain_holdings(body).into_vec()
    }

    /// The lock that a session holds in the holding of this number.
    pub(crate) fn holding(&self, session: SessionId, number: u64) -> Option<Holding> {
        self.state.holding(session, number)
    }

    pub(crate) fn fresh_id(&mut self) -> ObjectId {
        self.objects += 1;
        ObjectId(Uuid::from_u128(self.objects))
    }

    pub(crate) fn open(&mut self, session: SessionId, name: Option<&str>, spec: Spec) -> ObjectId {
        let id = self.fresh_id();
        match self.ask(session, Request::Open { id, name, spec, mode: OpenMode::OpenOrCreate }) {
            Reply::Opened { id, .. } => id,
            other => panic!("not opened: {other:?}"),
        }
    }

    /// Opens or makes a named manual-reset event.
    pub(crate) fn event(&mut self, session: SessionId, name: &str) -> ObjectId {
        self.open(session, Some(name), Spec::Event { auto_reset: false })
    }

    /// Makes an anonymous auto-reset event.
    pub(crate) fn auto_event(&mut self, session: SessionId) -> ObjectId {
        self.open(session, None, Spec::Event { auto_reset: true })
    }

    pub(crate) fn set(&mut self, session: SessionId, id: ObjectId) {
        assert_eq!(self.ask(session, Request::EventSet { id, reason: None }), Reply::Done);
    }

    pub(crate) fn clear(&mut self, session: SessionId, id: ObjectId) {
        assert_eq!(self.ask(session, Request::EventClear { id }), Reply::Done);
    }

    pub(crate) fn is_set(&mut self, session: SessionId, id: ObjectId) -> bool {
        match self.ask(session, Request::EventIsSet { id }) {
            Reply::Flag(is_set) => is_set,
            other => panic!("not a flag: {other:?}"),
        }
    }

    pub(crate) fn attach(&mut self, session: SessionId, id: ObjectId, kind: Kind) {
        assert_eq!(self.ask(session, Request::Attach { id, kind, epoch: EPOCH }), Reply::Done);
    }

    /// Opens a pool and a batch in it.
    pub(crate) fn batch(&mut self, session: SessionId, pool: ObjectId) -> ObjectId {
        let id = self.fresh_id();
        let options = self.batch_options();
        self.stops.insert(id, options.stop);
        assert_eq!(self.ask(session, Request::BatchOpen { id, pool, function: "f", options }), Reply::Done);
        id
    }

    /// The options of a plain batch, with a stop event of its own.
    pub(crate) fn batch_options(&mut self) -> BatchOptions {
        BatchOptions { stop: self.fresh_id(), parent: None, priority: 0, retries: 0, time_limit_ns: None }
    }

    /// The stop event of a batch.
    pub(crate) fn stop_of(&self, batch: ObjectId) -> ObjectId {
        self.stops[&batch]
    }
}

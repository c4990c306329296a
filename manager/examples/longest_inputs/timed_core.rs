//! A core whose inputs are timed.

use std::time::Duration;

use manager_core::{BlobEffect, DeathCause, Effect, Input, Peer, SessionEnd, State, Time};
use protocol::limits::CHUNKS_PER_REQUEST_MAX;
use protocol::{
    BatchOptions, Chunk, Envelope, Epoch, Limits, ObjectId, OpenMode, Reply, Request, RequestId, SessionId,
    Spec, Target,
};
use rustix::time::{ClockId, clock_gettime};
use sys::heap::FreedPieces;
use uuid::Uuid;

use crate::requests::any;

/// The most waits of one session.
const WAITS_MAX: u64 = 65_536;

/// Prepares something that is large, calls [`TimedCore::begin`], and does what takes long.
pub(crate) type TimedScenario = fn(&mut TimedCore);

/// A core with default limits, and the longest of its inputs.
pub(crate) struct TimedCore {
    state: State,
    freed: FreedPieces,
    pub(crate) now: Time,
    effects: Vec<Effect>,
    /// How many ids were given to objects.
    objects: u128,
    requests: u64,
    /// How many answers each session was sent, counted from session 1.
    answers: Vec<u64>,
    /// Whether sessions say that they have read their answers.
    pub(crate) confirms: bool,
    /// The last reply.
    pub(crate) last: Option<Reply>,
    longest: Duration,
    /// The steps of the longest input.
    steps: u64,
    inputs: u64,
}

/// The time that this thread has had of a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl TimedCore {
    pub(crate) fn new() -> TimedCore {
        TimedCore {
            state: State::new(Epoch(Uuid::from_u128(1)), Limits::default(), 1),
            freed: FreedPieces::default(),
            now: Time::ZERO,
            effects: Vec::new(),
            objects: 0,
            requests: 0,
            answers: Vec::new(),
            confirms: true,
            last: None,
            longest: Duration::ZERO,
            steps: 0,
            inputs: 0,
        }
    }

    /// Forgets how long the preparations took.
    pub(crate) fn begin(&mut self) {
        (self.longest, self.steps, self.inputs) = (Duration::ZERO, 0, 0);
    }

    /// How long the longest input took, how many steps that were, and how many inputs there were.
    pub(crate) fn longest(&self) -> (Duration, u64, u64) {
        (self.longest, self.steps, self.inputs)
    }

    pub(crate) fn apply(&mut self, input: Input<'_>) {
        let before = processor_time();
        self.state.apply(self.now, input, &mut self.effects);
        self.freed.note_work(self.state.steps());
        let took = processor_time() - before;
        self.inputs += 1;
        if took > self.longest {
            (self.longest, self.steps) = (took, self.state.steps());
        }
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Reply { session, reply, .. } => {
                    self.answers[session.0 as usize - 1] += 1;
                    self.last = Some(reply);
                }
                Effect::Blob(BlobEffect::Opened { session, blob, .. }) => {
                    self.answers[session.0 as usize - 1] += 1;
                    self.last = Some(Reply::BlobOpened { blob, takes_descriptor: true });
                }
                Effect::Drop { refusal, .. } => panic!("{refusal}"),
                _ => {}
            }
        }
    }

    /// How many answers a session has read, as it says.
    pub(crate) fn received(&self, session: SessionId) -> u64 {
        if self.confirms { self.answers[session.0 as usize - 1] } else { 0 }
    }

    pub(crate) fn session(&mut self) -> SessionId {
        self.answers.push(0);
        let session = SessionId(self.answers.len() as u64);
        self.apply(Input::SessionBegan { session, peer: Peer { process: 1, program: "program".into() } });
        session
    }

    pub(crate) fn send(&mut self, session: SessionId, body: Request<'_>) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.send_as(session, request, body);
        request
    }

    pub(crate) fn send_one_way(&mut self, session: SessionId, body: Request<'_>) {
        self.send_as(session, RequestId::ONE_WAY, body);
    }

    fn send_as(&mut self, session: SessionId, request: RequestId, body: Request<'_>) {
        let received = self.received(session);
        self.apply(Input::Request { session, envelope: Envelope { request, received, body } });
    }

    /// Does the slices that an input has left.
    pub(crate) fn work(&mut self) {
        while self.state.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.apply(Input::TimePassed);
        }
    }

    /// Sends a request, and does the slices that it leaves.
    pub(crate) fn carry_out(&mut self, session: SessionId, body: Request<'_>) {
        self.send(session, body);
        self.work();
    }

    pub(crate) fn kill(&mut self, session: SessionId) {
        self.apply(Input::SessionEnded { session, ending: SessionEnd::Died(DeathCause::Signal(9)) });
        self.work();
    }

    pub(crate) fn fresh_id(&mut self) -> ObjectId {
        self.objects += 1;
        // Spread, as random ids are.
        ObjectId(Uuid::from_u128(self.objects.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
    }

    pub(crate) fn open(&mut self, session: SessionId, spec: Spec) -> ObjectId {
        let id = self.fresh_id();
        self.send(session, Request::Open { id, name: None, spec, mode: OpenMode::OpenOrCreate });
        id
    }

    /// Opens this many alike.
    pub(crate) fn open_many(&mut self, session: SessionId, count: u64, spec: Spec) -> Vec<ObjectId> {
        (0..count).map(|_| self.open(session, spec)).collect()
    }

    pub(crate) fn event(&mut self, session: SessionId) -> ObjectId {
        self.open(session, Spec::Event { auto_reset: false })
    }

    /// A lock that a thread holds.
    pub(crate) fn held_lock(&mut self, session: SessionId, thread: u64) -> ObjectId {
        let id = self.open(session, Spec::Lock);
        self.send(session, any(thread, [Target::Lock { id }]));
        id
    }

    pub(crate) fn batch(&mut self, session: SessionId, pool: ObjectId) -> ObjectId {
        self.batch_with(session, pool, None, None)
    }

    pub(crate) fn batch_with(
        &mut self,
        session: SessionId,
        pool: ObjectId,
        parent: Option<ObjectId>,
        time_limit_ns: Option<u64>,
    ) -> ObjectId {
        let (id, stop) = (self.fresh_id(), self.fresh_id());
        let options = BatchOptions { stop, parent, priority: 0, retries: 0, time_limit_ns };
        self.send(session, Request::BatchOpen { id, pool, function: "f", options });
        id
    }

    /// Adds this many calls without arguments, a chunk for each.
    pub(crate) fn add(&mut self, session: SessionId, batch: ObjectId, calls: usize) {
        let mut left = calls;
        while left > 0 {
            let now = left.min(CHUNKS_PER_REQUEST_MAX);
            self.add_at_once(session, batch, now);
            left -= now;
        }
        self.work();
    }

    /// The same in one request.
    pub(crate) fn add_at_once(&mut self, session: SessionId, batch: ObjectId, calls: usize) {
        let chunk = Chunk { arguments: &[0], carries: Vec::new(), calls: 1 };
        self.send(session, Request::BatchAdd { id: batch, chunks: vec![chunk; calls], last: false });
    }

    /// Has a session take this many calls, each by a grant of its own.
    pub(crate) fn take_calls(&mut self, session: SessionId, pool: ObjectId, calls: u64) {
        for _ in 0..calls {
            self.send(session, any(1, [Target::Calls { pool, most: 1 }]));
        }
    }

    /// Sessions in which this many waits block together.
    pub(crate) fn block(&mut self, waits: u64, wait: impl Fn() -> Request<'static>) -> Vec<SessionId> {
        let mut sessions = Vec::new();
        for number in 0..waits {
            if number % WAITS_MAX == 0 {
                sessions.push(self.session());
            }
            self.send(*sessions.last().expect("the first wait has one"), wait());
        }
        sessions
    }
}

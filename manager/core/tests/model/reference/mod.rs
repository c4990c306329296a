//! A manager as `PROTOCOL.md` describes it, in the plainest code: ordered maps, and a scan of everything after each
//! input. It says what a manager answers, so that the simulator can compare it with what the core does.
//!
//! It knows nothing of the core's structures. Each file is the chapter of the page that it is named after.

use std::collections::BTreeMap;

use manager_core::{BlobArrival, DeathCause, Effect, Holding, Input, Publication, SessionEnd};
use protocol::{
    Abandonment, BlobId, Code, Envelope, Epoch, Kind, Limits, ObjectId, Refusal, Reply, Request, RequestId,
    SessionId, SharedMemory, Signal,
};

use self::barriers::Barrier;
use self::batches::{Batch, Opening};
use self::blobs::Blob;
use self::conditions::Condition;
use self::effects::{Expected, Known};
use self::events::Event;
use self::latches::Latch;
use self::locks::Lock;
use self::pools::Pool;
use self::queues::Queue;
use self::semaphores::Semaphore;
use self::sessions::Session;
use self::waits::Wait;

mod barriers;
mod batches;
pub(crate) mod blobs;
mod calls;
mod comparing;
mod conditions;
mod deadlocks;
mod deferred_releases;
pub(crate) mod effects;
mod events;
mod inspection;
mod latches;
mod locks;
mod memory;
mod objects;
mod pools;
mod queues;
mod reports;
mod semaphores;
mod serving;
mod sessions;
mod waits;

/// Everything that a manager knows.
pub(crate) struct Model {
    pub(crate) epoch: Epoch,
    pub(crate) limits: Limits,
    pub(crate) now: u64,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) objects: BTreeMap<ObjectId, Object>,
    pub(crate) blobs: BTreeMap<BlobId, Blob>,
    /// The largest number of a blob so far.
    last_blob: BlobId,
    /// The waits that are blocked, in the order in which they came.
    pub(crate) waits: BTreeMap<u64, Wait>,
    /// How many waits have blocked. The count is the number of the last one.
    arrivals: u64,
    /// How many objects were made.
    made: u64,
    /// The number of the last holding of a lock.
    pub(crate) last_holding: u64,
    /// The token of the next grant of a lock.
    pub(crate) token: u64,
    /// How many grants of calls there were, and how often several calls ended for one reason.
    grants: u64,
    joints: u64,
    /// How many objects have places in the mirror.
    mirrored: usize,
    /// The waits that wait for their lock again since this input.
    relocking: Vec<u64>,
    /// The deadlocked waits of which the manager may refuse one, if it has a choice.
    pub(crate) choices: Vec<(SessionId, RequestId)>,
    /// The reasons for which events were set in this input: whether there was room for each, and for much more.
    pub(crate) reasons: Vec<(bool, bool)>,
    /// Whether the page leaves open what the manager knows now.
    pub(crate) is_open: bool,
    /// Whether an object may have lost what kept it.
    note_if_unused: bool,
    /// What the input has as its effects.
    pub(crate) effects: Vec<Expected>,
    /// Whether the core goes on in slices, so that it may refuse a deadlocked wait after the answer.
    pub(crate) is_sliced: bool,
    /// The request of this input, if its answer is the last effect.
    answers_last: Option<(SessionId, RequestId)>,
    /// How many locks of a session were wanted before this input, if that changed.
    wanted_before: BTreeMap<SessionId, u64>,
    /// The locks that became wanted in this input and whose releases the core must look for.
    looked_for: Vec<Holding>,
    /// What was last published of each event in the mirror.
    mirror: BTreeMap<ObjectId, Publication>,
    /// The numbers of locks before this input.
    known: Known,
}

/// An object of any kind.
pub(crate) struct Object {
    /// Tells it from other objects that had its id.
    pub(crate) serial: u64,
    pub(crate) name: Option<String>,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Event(Event),
    Lock(Lock),
    Condition(Condition),
    Semaphore(Semaphore),
    Barrier(Barrier),
    Latch(Latch),
    Queue(Queue),
    Pool(Pool),
    Batch(Box<Batch>),
}

/// One thread of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller {
    pub(crate) session: SessionId,
    pub(crate) thread: u64,
}

/// One object and no other, even if a later one has its id.
pub(crate) type Pin = (ObjectId, u64);

/// A number of a code, if the request is refused.
pub(crate) type ModelAnswer = Result<Reply, Code>;

/// Defines a function that finds the body of an object of one kind.
macro_rules! find {
    ($name:ident, $kind:ident, $body:ty) => {
        pub(crate) fn $name(&mut self, id: ObjectId) -> Result<&mut $body, Code> {
            match self.objects.get_mut(&id) {
                None => Err(Code::NoSuchObject),
                Some(Object { body: Body::$kind(body), .. }) => Ok(body),
                Some(_) => Err(Code::WrongKind),
            }
        }
    };
}

impl Model {
    find!(event, Event, Event);
    find!(lock, Lock, Lock);
    find!(condition, Condition, Condition);
    find!(semaphore, Semaphore, Semaphore);
    find!(barrier, Barrier, Barrier);
    find!(latch, Latch, Latch);
    find!(queue, Queue, Queue);
    find!(pool, Pool, Pool);
    find!(batch, Batch, Batch);

    pub(crate) fn new(epoch: Epoch, limits: Limits, first_token: u64) -> Model {
        Model {
            epoch,
            limits,
            now: 0,
            sessions: BTreeMap::new(),
            objects: BTreeMap::new(),
            blobs: BTreeMap::new(),
            last_blob: BlobId(0),
            waits: BTreeMap::new(),
            arrivals: 0,
            made: 0,
            last_holding: 0,
            token: first_token,
            grants: 0,
            joints: 0,
            mirrored: 0,
            relocking: Vec::new(),
            choices: Vec::new(),
            reasons: Vec::new(),
            is_open: false,
            note_if_unused: false,
            effects: Vec::new(),
            is_sliced: false,
            answers_last: None,
            wanted_before: BTreeMap::new(),
            looked_for: Vec::new(),
            mirror: BTreeMap::new(),
            known: Known { holding: 0, token: first_token - 1 },
        }
    }

    /// Takes one input, and compares what follows with what the core did.
    pub(crate) fn apply(&mut self, now: u64, input: &Input<'_>, effects: &[Effect]) -> Result<(), String> {
        self.choices.clear();
        self.choices.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Reply { session, request, reply: Reply::Refused(refusal) } => {
                (refusal.code == Code::Deadlock).then_some((*session, *request))
            }
            _ => None,
        }));
        self.answers_last = None;
        self.reasons.clear();
        self.follow(now, input);
        self.is_open |= self.is_left_open(matches!(input, Input::SessionEnded { .. }));
        if self.is_open { Ok(()) } else { self.compare(effects) }
    }

    fn follow(&mut self, now: u64, input: &Input<'_>) {
        self.now = now;
        self.expire();
        self.serve();
        match input {
            Input::SessionBegan { session, peer } => {
                self.sessions.insert(*session, Session::new(peer, now));
            }
            Input::Request { session, envelope } => self.request(*session, envelope),
            Input::DeferredRelease(Holding { session, lock, number: holding }) => {
                let caller = Caller { session: *session, thread: 0 };
                let _ = self.release_lock(caller, *lock, Some(*holding));
            }
            Input::BlobArrived { session, arrival } => self.blob_arrived(*session, arrival),
            Input::CallsFound { session, is_last, record } => self.calls_found(*session, *is_last, record),
            Input::SessionEnding { session, ending, bound } => self.session_ending(*session, ending, bound),
            Input::SessionEnded { session, ending } => self.session_ended(*session, ending),
            Input::TimePassed => {}
        }
        self.serve();
    }

    /// When the next thing is due.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let calls = self.objects.values().filter_map(|object| match &object.body {
            Body::Batch(batch) => batch.granted.iter().filter_map(|granted| granted.deadline).min(),
            _ => None,
        });
        self.waits.values().filter_map(|wait| wait.deadline).chain(calls).min()
    }

    fn request(&mut self, session: SessionId, envelope: &Envelope<'_>) {
        let Envelope { request, received, body } = envelope;
        if !self.confirm(session, *received) {
            return self.effects.push(Expected::Drop { session, code: Code::Protocol });
        }
        let begun = match body {
            Request::Wait { mode, targets, timeout_ns, thread } => {
                self.wait(Caller { session, thread: thread.0 }, *request, *mode, targets, *timeout_ns)
            }
            Request::SignalAndWait { signal, mode, targets, timeout_ns, thread } => {
                let caller = Caller { session, thread: thread.0 };
                let checked = self.check_wait(*request, *mode, targets).and_then(|()| {
                    self.check_targets(caller, targets)?;
                    self.signal(caller, signal)
                });
                checked.and_then(|_| {
                    // Nothing comes between the signal and the wait but those that the signal serves.
                    self.serve();
                    self.wait(caller, *request, *mode, targets, *timeout_ns)
                })
            }
            Request::BatchRun { id, pool, function, options, chunks, timeout_ns, thread } => {
                let caller = Caller { session, thread: thread.0 };
                let opening = Opening { id: *id, pool: *pool, function, options: *options };
                self.run_batch(caller, *request, opening, chunks, *timeout_ns)
            }
            Request::Share { memory } => return self.share(session, *request, *memory),
            Request::BindProcesses { leader } => return self.bind(session, *request, *leader),
            Request::BlobOpen { .. } | Request::BlobFetch { .. } | Request::BlobRead { .. } => {
                self.ask_for_blob(session, *request, body)
            }
            _ => {
                let answer = self.simple_request(session, body);
                return self.answer_last(session, *request, answer);
            }
        };
        if let Err(code) = begun {
            self.serve();
            self.reply(session, *request, refused(code));
        }
    }

    /// Answers a request that does not wait. The answer is decided after those of all waits that the request ended.
    fn answer_last(&mut self, session: SessionId, request: RequestId, answer: ModelAnswer) {
        self.serve();
        self.answers_last = Some((session, request));
        self.reply(session, request, answer.unwrap_or_else(refused));
    }

    fn blob_arrived(&mut self, session: SessionId, arrival: &BlobArrival) {
        if !self.confirm(session, arrival.received) {
            return self.effects.push(Expected::Drop { session, code: Code::Protocol });
        }
        let answer = self.blob_send(session, arrival);
        self.answer_last(session, arrival.request, answer);
    }

    fn bind(&mut self, session: SessionId, request: RequestId, leader: u32) {
        if request.wants_answer() {
            self.effects.push(Expected::Bind { session, request, leader });
        }
    }

    fn simple_request(&mut self, session: SessionId, body: &Request<'_>) -> ModelAnswer {
        let caller = |thread: protocol::ThreadId| Caller { session, thread: thread.0 };
        match *body {
            Request::Open { id, name, spec, mode } => self.open(session, id, name, spec, mode),
            Request::Attach { id, kind, epoch } => self.attach(session, id, kind, epoch),
            Request::Detach { id } => self.detach(session, id),
            Request::Remove { id } => self.remove(session, id),
            Request::Cancel { request } => Ok(self.cancel(session, request)),
            Request::EventSet { id, reason } => self.event_set(session, id, reason),
            Request::EventClear { id } => self.event_clear(id),
            Request::EventIsSet { id } => self.event(id).map(|event| Reply::Flag(event.set_by.is_some())),
            Request::EventCause { id } => self.event_cause(id),
            Request::EventMirror { id } => self.event_mirror(id),
            Request::Release { id, holding, thread } => self.release_lock(caller(thread), id, holding),
            Request::ForceRelease { id } => self.force_release(session, id),
            Request::ConditionLock { id } => self.condition_lock(id),
            Request::Notify { id, count, holding, thread } => self.notify(caller(thread), id, count, holding),
            Request::SemaphoreRelease { id, permits } => self.semaphore_release(session, id, permits),
            Request::SemaphoreForget { id, permits } => self.semaphore_forget(session, id, permits),
            Request::SemaphoreAvailable { id } => {
                self.semaphore(id).map(|semaphore| Reply::Count(semaphore.available()))
            }
            Request::BarrierPass { id, turn } => self.barrier_pass(session, id, turn),
            Request::BarrierAbort { id, turn, reason } => self.barrier_abort(session, id, turn, reason),
            Request::BarrierReset { id } => self.barrier_reset(id),
            Request::BarrierStatus { id } => self.barrier_status(id),
            Request::LatchCountDown { id, count } => self.latch_count_down(id, count),
            Request::LatchCount { id } => self.latch(id).map(|latch| Reply::Count(latch.count)),
            Request::QueueLength { id } => self.queue(id).map(|queue| Reply::Count(queue.items.len() as u64)),
            Request::QueueItemDone { id, item, thread } => self.queue_item_done(caller(thread), id, item),
            Request::QueueClose { id } => self.queue_close(id),
            Request::BatchOpen { id, pool, function, options } => {
                self.open_batch(session, Opening { id, pool, function, options })
            }
            Request::BatchAdd { id, ref chunks, last } => self.add_calls(session, id, chunks, last),
            Request::BatchCancel { id } => self.cancel_batch(id),
            Request::BatchSignal { id, signal } => self.signal_batch(id, signal),
            Request::BatchProgress { id } => self.batch(id).map(|batch| Reply::Progress(batch.progress())),
            Request::CallsEnd { batch, first, ref ends, ref carries } => {
                self.calls_end(session, batch, first, ends, carries)
            }
            Request::CallsGiveBack { batch, first } => self.calls_give_back(session, batch, first),
            Request::PoolClose { id } => self.pool_close(id),
            Request::PoolTerminate { id, reason } => self.pool_terminate(session, id, reason),
            Request::ListSessions { after } => Ok(self.list_sessions(after)),
            Request::ListObjects { after } => Ok(self.list_objects(after)),
            Request::Inspect { object } => self.inspect(object),
            Request::BlobWrite { blob, offset, bytes, last } => {
                self.blob_write(session, blob, offset, bytes, last)
            }
            Request::BlobClose { blob } => self.blob_close(session, blob),
            Request::BatchAddBlob { id, blob, ref carries } => self.add_blob_call(session, id, blob, carries),
            Request::UnbindProcesses { leader } => {
                self.effects.push(Expected::Unbind { session, leader });
                Ok(Reply::Done)
            }
            Request::Goodbye => Ok(Reply::Done),
            // It arrives with what came beside it.
            Request::BlobSend { .. }
            | Request::Wait { .. }
            | Request::SignalAndWait { .. }
            | Request::BatchRun { .. }
            | Request::Share { .. }
            | Request::BindProcesses { .. }
            | Request::BlobOpen { .. }
            | Request::BlobFetch { .. }
            | Request::BlobRead { .. } => unreachable!("they are no simple requests"),
        }
    }

    /// Does what the request that a signal is named after does.
    fn signal(&mut self, caller: Caller, signal: &Signal<'_>) -> ModelAnswer {
        match *signal {
            Signal::EventSet { id, reason } => self.event_set(caller.session, id, reason),
            Signal::Release { id, holding } => self.release_lock(caller, id, holding),
            Signal::SemaphoreRelease { id, permits } => self.semaphore_release(caller.session, id, permits),
            Signal::LatchCountDown { id, count } => self.latch_count_down(id, count),
        }
    }

    fn share(&mut self, session: SessionId, request: RequestId, memory: SharedMemory) {
        if request.wants_answer() {
            self.effects.push(Expected::Share { session, request, memory });
            match memory {
                SharedMemory::DeferredReleases => self.deferred_releases_shared(session),
                SharedMemory::CallRecord => self.sessions.get_mut(&session).unwrap().has_call_record = true,
                SharedMemory::Mirror => {}
            }
        }
    }

    /// Answers a request, unless nobody wants or can read the answer.
    pub(crate) fn reply(&mut self, session: SessionId, request: RequestId, reply: Reply) {
        self.reply_with(session, request, reply, Vec::new());
    }

    pub(crate) fn kind_of(&self, id: ObjectId) -> Option<Kind> {
        Some(match &self.objects.get(&id)?.body {
            Body::Event(_) => Kind::Event,
            Body::Lock(lock) if lock.is_reentrant => Kind::RLock,
            Body::Lock(_) => Kind::Lock,
            Body::Condition(_) => Kind::Condition,
            Body::Semaphore(_) => Kind::Semaphore,
            Body::Barrier(_) => Kind::Barrier,
            Body::Latch(_) => Kind::Latch,
            Body::Queue(_) => Kind::Queue,
            Body::Pool(_) => Kind::Pool,
            Body::Batch(_) => Kind::Batch,
        })
    }

    /// Whether an object of this id has this kind.
    pub(crate) fn find(&self, id: ObjectId, kind: Kind) -> Result<(), Code> {
        match self.kind_of(id) {
            None => Err(Code::NoSuchObject),
            Some(found) if found != kind => Err(Code::WrongKind),
            Some(_) => Ok(()),
        }
    }

    pub(crate) fn pin(&self, id: ObjectId) -> Option<Pin> {
        self.objects.get(&id).map(|object| (id, object.serial))
    }

    pub(crate) fn exists(&self, (id, serial): Pin) -> bool {
        self.objects.get(&id).is_some_and(|object| object.serial == serial)
    }
}

/// A refusal, of which only the code is compared.
pub(crate) fn refused(code: Code) -> Reply {
    Reply::Refused(Refusal { code, text: String::new() })
}

/// How a session ended, to follow "process 12 (deploy)".
pub(crate) fn how(ending: &SessionEnd) -> String {
    match ending {
        SessionEnd::Goodbye => "left".into(),
        SessionEnd::Died(DeathCause::Signal(9)) => "was ended by signal 9 (SIGKILL)".into(),
        SessionEnd::Died(DeathCause::Signal(signal)) => format!("was ended by signal {signal}"),
        SessionEnd::Died(DeathCause::Exit(status)) => format!("exited with status {status}"),
        SessionEnd::Died(DeathCause::Ended) => "ended".into(),
        SessionEnd::Died(DeathCause::Disconnected) => "closed its connection".into(),
        SessionEnd::Died(DeathCause::Dropped(reason)) => format!("was disconnected: {reason}"),
    }
}

/// What the next taker learns of a session that has left something behind.
pub(crate) fn abandonment(session: &Session, how: &str, held_ns: u64) -> Abandonment {
    Abandonment { process: session.process, program: session.program.clone(), how: how.into(), held_ns }
}

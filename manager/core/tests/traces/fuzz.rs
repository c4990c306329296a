//! Runs of many requests that a seed chooses, and what must hold after each of them and at the end.

use std::collections::BTreeMap;
use std::fmt::Write;

use manager_core::{
    BlobEffect, CallRecord, DeathCause, Effect, Input, Peer, Publication, SessionEnd, State, Time,
};
use protocol::{
    Envelope, Limits, ObjectId, OpenMode, Reply, Request, RequestId, SessionId, SharedMemory, Spec, Target,
    ThreadId, WaitMode,
};
use uuid::Uuid;

use crate::random::Random;
use crate::snapshots::Snapshots;
use crate::world::EPOCH;

/// Runs a manager for clients that send what `choose` chooses, and come, leave and die at random.
///
/// After each input nothing may be left undone. Every request gets at most one answer. When all clients have left,
/// nothing of theirs may remain. In an orderly run, the first client begins with what `setup` says, and a thread sends
/// nothing while it waits.
///
/// It all happens twice, and the second manager does what the first one did, byte for byte.
pub(crate) fn run(
    seed: u64,
    steps: u64,
    setup: Option<fn() -> Vec<Request<'static>>>,
    choose: fn(&mut Random) -> Request<'static>,
) {
    let [once, twice] = [(); 2].map(|()| run_once(FuzzRun::new(seed, setup.is_some()), steps, setup, choose));
    assert_same(seed, &once, &twice);
}

/// The same with a manager that now and then serializes its state and restores it. Both the original and the restored
/// state must do what a manager without snapshots does.
pub(crate) fn run_with_snapshots(
    seed: u64,
    steps: u64,
    setup: Option<fn() -> Vec<Request<'static>>>,
    choose: fn(&mut Random) -> Request<'static>,
) {
    let run = || FuzzRun::new(seed, setup.is_some());
    let kept = run_once(run(), steps, setup, choose);
    let restored = FuzzRun { snapshots: Some(Snapshots::new(seed)), ..run() };
    assert_same(seed, &kept, &run_once(restored, steps, setup, choose));
}

/// The same with clients that may defer releases, and never do. They must get the same answers.
pub(crate) fn run_with_deferred_releases(
    seed: u64,
    steps: u64,
    setup: Option<fn() -> Vec<Request<'static>>>,
    choose: fn(&mut Random) -> Request<'static>,
) {
    let run = || FuzzRun::new(seed, setup.is_some());
    let sent = run_once(run(), steps, setup, choose);
    let deferring = FuzzRun { defers_releases: true, ..run() };
    assert_same(seed, &sent, &run_once(deferring, steps, setup, choose));
}

/// The same with a manager that does at most a few steps for each input, and goes on with the rest between the inputs.
/// With another number of steps, the same requests may be refused to break a deadlock at another moment; so only what
/// holds for every run must hold, with snapshots in the middle.
pub(crate) fn run_in_slices(
    seed: u64,
    steps: u64,
    setup: Option<fn() -> Vec<Request<'static>>>,
    choose: fn(&mut Random) -> Request<'static>,
) {
    let run = || FuzzRun { steps_max: Some(1 + seed % 20), ..FuzzRun::new(seed, setup.is_some()) };
    let kept = run_once(run(), steps, setup, choose);
    let restored = FuzzRun { snapshots: Some(Snapshots::new(seed)), ..run() };
    assert_same(seed, &kept, &run_once(restored, steps, setup, choose));
}

/// Asserts that two runs of one seed had the same effects; names the first that differ.
pub(crate) fn assert_same(seed: u64, once: &str, twice: &str) {
    let mut pairs = once.lines().zip(twice.lines());
    if let Some((one, other)) = pairs.find(|(one, other)| one != other) {
        panic!("the same inputs had other effects, seed {seed}:\n{one}\n{other}");
    }
    assert_eq!(once.len(), twice.len(), "seed {seed}");
    assert!(!once.is_empty(), "seed {seed}");
}

/// One run, and everything that the manager did in it.
fn run_once(
    mut run: FuzzRun,
    steps: u64,
    setup: Option<fn() -> Vec<Request<'static>>>,
    choose: fn(&mut Random) -> Request<'static>,
) -> String {
    run.steps_max.into_iter().for_each(|steps_max| run.state.set_steps_max(steps_max));
    run.begin(SessionId(1));
    let setup = setup.into_iter().flat_map(|setup| setup());
    setup.zip(1..).for_each(|(body, number)| run.request(number, body));
    (100..steps).for_each(|step| run.step(step, choose));
    run.finish()
}

/// A manager and its clients, as they see it.
struct FuzzRun {
    seed: u64,
    random: Random,
    /// Whether a thread sends nothing while it waits, as real ones do.
    is_orderly: bool,
    state: State,
    /// The snapshots, if the run restores its state from them.
    snapshots: Option<Snapshots>,
    /// Whether each client begins by sharing memory for deferred releases, which the trace does not show.
    defers_releases: bool,
    now: Time,
    /// The most steps of one input, if not as many as a manager allows.
    steps_max: Option<u64>,
    /// The sessions that live, and how many answers each was sent.
    sessions: Vec<(SessionId, u64)>,
    /// The requests that were not answered, with the threads that sent them.
    open: BTreeMap<(SessionId, RequestId), Option<ThreadId>>,
    /// The serials in the mirror.
    published: BTreeMap<u32, u32>,
    /// Everything that the manager did, a line for each input.
    trace: String,
}

impl FuzzRun {
    fn new(seed: u64, is_orderly: bool) -> FuzzRun {
        let limits = Limits {
            objects_max: if is_orderly { 16 } else { 6 },
            session_waits_max: 5,
            mirrored_events_max: 2,
            calls_and_items_max: ITEMS_MAX,
            stored_bytes_max: BYTES_MAX,
            ..Limits::default()
        };
        FuzzRun {
            seed,
            random: Random(seed),
            is_orderly,
            state: State::new(EPOCH, limits, 1),
            snapshots: None,
            defers_releases: false,
            now: Time::ZERO,
            steps_max: None,
            sessions: Vec::new(),
            open: BTreeMap::new(),
            published: BTreeMap::new(),
            trace: String::new(),
        }
    }

    fn step(&mut self, step: u64, choose: impl Fn(&mut Random) -> Request<'static>) {
        if self.random.chance(4) {
            self.now = self.now.after_ns(self.random.below(500));
        }
        // What earlier inputs have left comes first, more often than not.
        while self.steps_max.is_some()
            && self.state.next_deadline().is_some_and(|deadline| deadline <= self.now)
            && !self.random.chance(3)
        {
            self.apply(Input::TimePassed);
        }
        if self.sessions.is_empty() || (self.sessions.len() < 4 && self.random.chance(10)) {
            self.begin(SessionId(step + 1));
        } else if self.random.chance(40) {
            let chosen = self.random.below(self.sessions.len() as u64) as usize;
            let ending = self.random.pick(&[SessionEnd::Goodbye, SessionEnd::Died(DeathCause::Signal(9))]);
            self.end(chosen, ending);
        } else {
            let body = choose(&mut self.random);
            self.request(step + 1, body);
        }
    }

    fn begin(&mut self, session: SessionId) {
        self.sessions.push((session, 0));
        let peer = Peer { process: session.0 as u32, program: "p".into() };
        self.apply(Input::SessionBegan { session, peer });
        if self.defers_releases {
            let body = Request::Share { memory: SharedMemory::DeferredReleases };
            let envelope = Envelope { request: RequestId(u64::MAX), received: 0, body };
            self.state.apply(self.now, Input::Request { session, envelope }, &mut Vec::new());
        }
    }

    fn end(&mut self, chosen: usize, ending: SessionEnd) {
        if self.random.chance(2) {
            let (session, record) = (self.sessions[chosen].0, record(&mut self.random));
            self.apply(Input::CallsFound { session, is_last: true, record });
        }
        let (session, _) = self.sessions.swap_remove(chosen);
        self.open.retain(|(of, _), _| *of != session);
        self.apply(Input::SessionEnded { session, ending });
    }

    fn request(&mut self, number: u64, body: Request<'_>) {
        let (session, answers) = self.random.pick(&self.sessions);
        let thread = thread_of(&body);
        let is_waiting = |((of, _), other): (&(SessionId, RequestId), &Option<ThreadId>)| {
            *of == session && thread.is_some() && *other == thread
        };
        if self.is_orderly && self.open.iter().any(is_waiting) {
            return;
        }
        let request = RequestId(if self.random.chance(5) { 0 } else { number });
        if request.wants_answer() {
            self.open.insert((session, request), thread);
        }
        let received = self.random.below(answers + 1) + u64::from(self.defers_releases);
        self.apply(Input::Request { session, envelope: Envelope { request, received, body } });
    }

    fn apply(&mut self, input: Input<'_>) {
        let seed = self.seed;
        let ended = match &input {
            Input::SessionEnded { session, .. } => Some(*session),
            _ => None,
        };
        let mut effects = Vec::new();
        let same = self.snapshots.as_mut().and_then(|snapshots| snapshots.follow(self.now, &input));
        self.state.apply(self.now, input, &mut effects);
        if let Some(same) = same {
            assert_eq!(same, effects, "a restored state goes on differently, seed {seed}");
        }
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.restore(&mut self.state, seed);
        }
        if self.defers_releases {
            effects.retain(|effect| !matches!(effect, Effect::LocksWanted { .. }));
        }
        writeln!(self.trace, "{effects:?}, next at {:?}", self.state.next_deadline()).unwrap();
        let is_settled = self.state.next_deadline().is_none_or(|deadline| deadline > self.now);
        if is_settled {
            self.state.assert_settled();
        }
        if is_settled && self.is_orderly {
            self.state.assert_no_deadlock();
        }
        for effect in effects {
            let Some((session, request)) = self.answered(effect, ended) else { continue };
            if ended == Some(session) {
                // Its waits that were due time out first, and nobody reads those answers.
                continue;
            }
            let was_open = self.open.remove(&(session, request)).is_some();
            assert!(was_open, "{request:?} was answered twice, seed {seed}");
            let live = self.sessions.iter_mut().find(|(live, _)| *live == session);
            live.unwrap_or_else(|| panic!("an answer to the dead, seed {seed}")).1 += 1;
        }
    }

    /// The request that an effect answers, if it answers one. Panics if the effect must not be; `ended` is the session
    /// that ends now.
    fn answered(&mut self, effect: Effect, ended: Option<SessionId>) -> Option<(SessionId, RequestId)> {
        let seed = self.seed;
        let lives = |session| self.sessions.iter().any(|(live, _)| *live == session);
        match effect {
            Effect::Reply { session, request, reply } => {
                if let Reply::Mirrored { number, serial } = reply {
                    assert_eq!(self.published.get(&number), Some(&serial), "seed {seed}");
                }
                Some((session, request))
            }
            Effect::Share { session, request, .. }
            | Effect::Bind { session, request, .. }
            | Effect::Blob(
                BlobEffect::Opened { session, request, .. }
                | BlobEffect::Fetched { session, request, .. }
                | BlobEffect::Read { session, request, .. },
            ) => Some((session, request)),
            Effect::Unbind { .. }
            | Effect::Blob(BlobEffect::Sent { .. } | BlobEffect::Written { .. } | BlobEffect::Freed { .. }) => {
                None
            }
            Effect::LocksWanted { session, wanted, holding } => {
                let lives = lives(session);
                assert!(lives || ended == Some(session), "deferred releases of the dead, seed {seed}");
                assert!(
                    holding.is_none_or(|holding| holding.session == session && wanted > 0),
                    "seed {seed}"
                );
                None
            }
            Effect::Publish(Publication { number, serial, .. }) => {
                self.published.insert(number, serial);
                None
            }
            Effect::Signal { session, .. } | Effect::ReadCallRecord { session } => {
                let lives = lives(session);
                let may_depart = self.steps_max.is_some();
                assert!(lives || ended == Some(session) || may_depart, "a signal to the dead, seed {seed}");
                None
            }
            Effect::Drop { .. } => panic!("{effect:?}, seed {seed}"),
        }
    }

    /// Ends every session, and checks that nothing is left but named objects and what they keep. Returns everything
    /// that the manager did.
    fn finish(mut self) -> String {
        let seed = self.seed;
        self.now = self.now.after_ns(1_000_000_000);
        self.apply(Input::TimePassed);
        self.work();
        while !self.sessions.is_empty() {
            self.end(0, SessionEnd::Goodbye);
        }
        self.work();
        assert_eq!(self.state.next_deadline(), None, "a deadline was left, seed {seed}");
        let last = SessionId(u64::MAX);
        self.begin(last);
        let Reply::Objects { objects, .. } = self.ask(Request::ListObjects { after: None }) else {
            panic!("objects, seed {seed}");
        };
        for object in objects.iter().filter(|object| object.name.is_some()) {
            self.ask(Request::Remove { id: object.id });
        }
        let nothing = Reply::Objects { objects: vec![], more: false };
        assert_eq!(self.ask(Request::ListObjects { after: None }), nothing, "seed {seed}");
        let mut fresh = FuzzRun::new(seed, self.is_orderly);
        fresh.begin(last);
        assert_eq!(self.state.charged_bytes(), fresh.state.charged_bytes(), "memory was lost, seed {seed}");
        self.fill();
        self.trace
    }

    /// Has the manager do what it has left.
    fn work(&mut self) {
        while self.state.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.apply(Input::TimePassed);
        }
    }

    /// Checks that there is room for as much as at first.
    fn fill(&mut self) {
        let queue = ObjectId(Uuid::from_u128(1));
        let spec = Spec::Queue { capacity: None, is_joinable: false };
        self.ask(Request::Open { id: queue, name: None, spec, mode: OpenMode::CreateNew });
        for number in 0..=ITEMS_MAX {
            let bytes = if number == 0 { BYTES_MAX } else { 0 };
            let put = Target::Put { queue, item: &vec![0; bytes], carries: vec![] };
            let targets = [put].into_iter().collect();
            let wait = Request::Wait { mode: WaitMode::Any, targets, timeout_ns: None, thread: ThreadId(1) };
            let has_room = matches!(self.ask(wait), Reply::Taken(_));
            assert_eq!(has_room, number < ITEMS_MAX, "item {number}, seed {}", self.seed);
        }
    }

    /// Asks as the last session.
    fn ask(&mut self, body: Request<'_>) -> Reply {
        let (session, request) = (SessionId(u64::MAX), RequestId(u64::MAX));
        let mut effects = Vec::new();
        let envelope = Envelope { request, received: 0, body };
        self.state.apply(self.now, Input::Request { session, envelope }, &mut effects);
        while !self.state.is_idle() {
            self.state.apply(self.now, Input::TimePassed, &mut effects);
        }
        match effects.pop() {
            Some(Effect::Reply { reply, .. }) => reply,
            other => panic!("no answer but {other:?}, seed {}", self.seed),
        }
    }
}

/// The limits of a run: small, so that the run reaches them.
const ITEMS_MAX: usize = 12;
const BYTES_MAX: usize = 1000;

/// The thread that a request names as its own.
fn thread_of(request: &Request<'_>) -> Option<ThreadId> {
    match request {
        Request::Wait { thread, .. }
        | Request::SignalAndWait { thread, .. }
        | Request::BatchRun { thread, .. }
        | Request::Release { thread, .. }
        | Request::Notify { thread, .. } => Some(*thread),
        _ => None,
    }
}

/// What a session may leave in its call record.
fn record(random: &mut Random) -> CallRecord<'static> {
    let call = |random: &mut Random| random.pick(&[0, 0, 1, 2, 3, 4, 5, 8, u64::MAX]);
    let results: &[u8] = random.pick(&[[1, 7, 0, 0].as_slice(), &[1, 7], &[0x80], &[]]);
    let batch = ObjectId(Uuid::from_u128(random.below(8).into()));
    CallRecord { batch, first: call(random), ended: call(random), begun: call(random), results }
}

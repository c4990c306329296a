//! Clients that send anything: no input reaches an assertion, and every request is answered at most once.

use std::collections::BTreeSet;
use std::time::Duration;

use manager_core::{Cause, Effect, Ending, Input, Peer, State, Time};
use protocol::{
    Envelope, Failure, FailureKind, Kind, Limits, ObjectId, OpenMode, Outcome, Request, RequestId, SessionId,
    Spec, Target, TaskInput, ThreadId, WaitMode,
};
use uuid::Uuid;

use crate::world::EPOCH;

/// A small generator of numbers that look random (splitmix64); the same seed gives the same run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
}

/// Few ids, so that they collide in every way: used again, of another kind, removed in between.
fn id(random: &mut Random) -> ObjectId {
    ObjectId(Uuid::from_u128(u128::from(random.below(8))))
}

fn target(random: &mut Random) -> Target {
    match random.below(3) {
        0 => Target::Event { id: id(random) },
        1 => Target::Task { pool: id(random) },
        _ => Target::Results { batch: id(random) },
    }
}

fn request(random: &mut Random) -> Request<'static> {
    let id = id(random);
    match random.below(20) {
        0..=2 => Request::Open {
            id,
            name: random.pick(&[None, None, Some("x"), Some("y"), Some("")]),
            spec: random.pick(&[
                Spec::Event { auto_reset: false },
                Spec::Event { auto_reset: true },
                Spec::Pool,
                Spec::Pool,
            ]),
            mode: random.pick(&[OpenMode::OpenOrCreate, OpenMode::CreateNew, OpenMode::Open]),
        },
        3 => Request::Attach { id, kind: random.pick(&[Kind::Event, Kind::Pool, Kind::Batch]), epoch: EPOCH },
        4 | 5 => Request::Detach { id },
        6 => Request::Remove { id },
        7..=9 => Request::Wait {
            mode: random.pick(&[WaitMode::Any, WaitMode::All]),
            targets: (0..random.below(4)).map(|_| target(random)).collect(),
            timeout_ns: random.pick(&[None, Some(0), Some(5), Some(1000), Some(u64::MAX)]),
            thread: ThreadId(random.below(2)),
        },
        10 => Request::Cancel { request: RequestId(random.below(2000)) },
        11 => Request::EventSet { id, reason: random.pick(&[None, Some("because")]) },
        12 => Request::EventClear { id },
        13 => Request::EventIsSet { id },
        14 => Request::BatchOpen { id, pool: self::id(random), function: "f" },
        15 => Request::BatchAdd {
            id,
            tasks: (0..random.below(3))
                .map(|_| TaskInput { arguments: b"abc", carries: vec![self::id(random)] })
                .collect(),
            last: random.chance(2),
        },
        16 => Request::BatchProgress { id },
        17 | 18 => Request::TaskEnd {
            batch: id,
            task: random.below(4) as u32,
            outcome: if random.chance(3) {
                Outcome::Failed(Failure { kind: FailureKind::Panicked, text: "no" })
            } else {
                Outcome::Returned(b"result")
            },
            carries: vec![self::id(random)],
        },
        _ if random.chance(2) => Request::PoolClose { id },
        _ => Request::PoolTerminate { id, reason: "enough" },
    }
}

/// One run of clients that send anything, and die and come as they like.
fn run(seed: u64, steps: usize) {
    let mut random = Random(seed);
    let limits = Limits { objects_max: 6, session_waits_max: 5, tasks_max: 12, ..Limits::default() };
    let mut state = State::new(EPOCH, limits);
    let mut now = Time::ZERO;
    let mut sessions: Vec<(SessionId, u64)> = Vec::new();
    let mut open: BTreeSet<(SessionId, RequestId)> = BTreeSet::new();
    let mut effects = Vec::new();
    for step in 0..steps as u64 {
        if random.chance(4) {
            now = now.after_ns(random.below(500));
        }
        if sessions.is_empty() || (sessions.len() < 4 && random.chance(10)) {
            let session = SessionId(step + 1);
            sessions.push((session, 0));
            let peer = Peer { process: step as u32, program: "p".into() };
            state.apply(now, Input::SessionBegan { session, peer }, &mut effects);
        } else if random.chance(40) {
            let (session, _) = sessions.swap_remove(random.below(sessions.len() as u64) as usize);
            open.retain(|(of, _)| *of != session);
            let ending = random.pick(&[Ending::Goodbye, Ending::Died(Cause::Signal(9))]);
            state.apply(now, Input::SessionEnded { session, ending }, &mut effects);
            // Its waits that were due time out first, which nobody reads.
            effects.retain(|effect| !matches!(effect, Effect::Reply { session: to, .. } if *to == session));
        } else {
            let (session, answers) = random.pick(&sessions);
            let request_id = RequestId(if random.chance(5) { 0 } else { step + 1 });
            if request_id.wants_answer() {
                open.insert((session, request_id));
            }
            let received = random.below(answers + 1);
            let envelope = Envelope { request: request_id, received, body: request(&mut random) };
            state.apply(now, Input::Request { session, envelope }, &mut effects);
        }
        for effect in effects.drain(..) {
            let Effect::Reply { session, request, .. } = effect else { panic!("{effect:?}, seed {seed}") };
            assert!(open.remove(&(session, request)), "{request:?} was answered twice, seed {seed}");
            let live = sessions.iter_mut().find(|(live, _)| *live == session);
            live.unwrap_or_else(|| panic!("an answer to the dead, seed {seed}")).1 += 1;
        }
    }
    // Every wait without a timeout goes with its session, and every other by time.
    state.apply(now.after_ns(Duration::from_secs(1).as_nanos() as u64), Input::TimePassed, &mut effects);
    for (session, _) in sessions {
        effects.clear();
        state.apply(
            Time::from_nanoseconds(u64::MAX),
            Input::SessionEnded { session, ending: Ending::Goodbye },
            &mut effects,
        );
    }
    assert_eq!(state.next_deadline(), None, "a deadline was left, seed {seed}");
}

#[test]
fn anything_may_be_sent() {
    for seed in 0..2_000 {
        run(seed, 400);
    }
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let trace = |seed: u64| {
        let mut random = Random(seed);
        let mut state = State::new(EPOCH, Limits::default());
        let mut effects = Vec::new();
        let session = SessionId(1);
        let peer = Peer { process: 1, program: "p".into() };
        state.apply(Time::ZERO, Input::SessionBegan { session, peer }, &mut effects);
        for step in 1..500 {
            let envelope = Envelope { request: RequestId(step), received: 0, body: request(&mut random) };
            state.apply(Time::from_nanoseconds(step), Input::Request { session, envelope }, &mut effects);
        }
        format!("{effects:?}")
    };
    assert_eq!(trace(7), trace(7));
}

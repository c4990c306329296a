//! What the core charges for memory, against what it takes from the allocator: nobody gets more than is charged.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use manager_core::{DeathCause, Effect, Input, Peer, SessionEnd, State, Time};
use protocol::limits::{NAME_BYTES_MAX, PROGRAM_BYTES_MAX, REASON_BYTES_MAX};
use protocol::{
    BatchOptions, CallsOutcome, Chunk, Envelope, Epoch, Failure, FailureKind, Kind, Limits, ObjectId,
    OpenMode, Outcome, Reply, Request, RequestId, SessionId, Spec, Target, ThreadId, WaitMode,
};
use uuid::Uuid;

/// Counts the bytes that are taken, as an allocator with headers and steps of sixteen bytes gives them.
struct CountedHeap;

static TAKEN: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: CountedHeap = CountedHeap;

fn given(bytes: usize) -> isize {
    (bytes + 8).next_multiple_of(16).max(32).cast_signed()
}

// SAFETY: each call goes on unchanged to the system's allocator, which keeps what this trait promises. Counting neither
// allocates nor fails.
unsafe impl GlobalAlloc for CountedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(given(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(given(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        TAKEN.fetch_add(given(bytes) - given(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

const EPOCH: Epoch = Epoch(Uuid::from_u128(1));

/// The memory of the core in an attack: three quarters of this.
const MEMORY: usize = 16 << 20;

/// How many times what is charged may be taken.
const FACTOR: f64 = 1.05;

/// A core that is attacked.
struct AttackedCore {
    state: State,
    sessions: u64,
    requests: u64,
    objects: u128,
    effects: Vec<Effect>,
}

impl AttackedCore {
    fn new() -> AttackedCore {
        let limits = Limits { memory_bytes_max: MEMORY, ..Limits::default() };
        let state = State::new(EPOCH, limits, 1);
        AttackedCore { state, sessions: 0, requests: 0, objects: 0, effects: Vec::new() }
    }

    fn session(&mut self) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let peer = Peer { process: 1, program: "p".repeat(PROGRAM_BYTES_MAX) };
        self.apply(Input::SessionBegan { session, peer });
        session
    }

    fn kill(&mut self, session: SessionId) {
        let why = DeathCause::Dropped("x".repeat(200));
        self.apply(Input::SessionEnded { session, ending: SessionEnd::Died(why) });
        while self.state.next_deadline() == Some(Time::ZERO) {
            self.apply(Input::TimePassed);
        }
    }

    fn apply(&mut self, input: Input<'_>) -> Option<Reply> {
        self.state.apply(Time::ZERO, input, &mut self.effects);
        let reply = |effect| match effect {
            Effect::Reply { reply, .. } => Some(reply),
            _ => None,
        };
        self.effects.drain(..).rev().find_map(reply)
    }

    /// Sends a request. Returns false if it is refused.
    fn send(&mut self, session: SessionId, body: Request<'_>) -> bool {
        self.requests += 1;
        let envelope = Envelope { request: RequestId(self.requests), received: 0, body };
        !matches!(self.apply(Input::Request { session, envelope }), Some(Reply::Refused(_)))
    }

    fn open(&mut self, session: SessionId, name: Option<&str>, spec: Spec) -> Option<ObjectId> {
        self.objects += 1;
        let id =
            ObjectId(Uuid::from_u128(self.objects.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)));
        self.send(session, Request::Open { id, name, spec, mode: OpenMode::CreateNew }).then_some(id)
    }
}

fn wait<'a>(
    targets: impl IntoIterator<Item = Target<'a>>,
    timeout_ns: Option<u64>,
    thread: u64,
) -> Request<'a> {
    let targets = targets.into_iter().collect();
    Request::Wait { mode: WaitMode::Any, targets, timeout_ns, thread: ThreadId(thread) }
}

/// An attack: takes more memory each time that it is called, until it returns false.
type Attack = Box<dyn FnMut(&mut AttackedCore) -> bool>;

/// An attack whose every step is a request of the same session, made by `next`.
fn each(mut next: impl FnMut(&mut AttackedCore, SessionId, u64) -> bool + 'static) -> Attack {
    let (mut session, mut count) = (None, 0);
    Box::new(move |attacked| {
        let session = *session.get_or_insert_with(|| attacked.session());
        count += 1;
        next(attacked, session, count)
    })
}

/// An attack that first makes an object.
fn on(
    spec: Spec,
    mut next: impl FnMut(&mut AttackedCore, SessionId, ObjectId, u64) -> bool + 'static,
) -> Attack {
    let mut object = None;
    each(move |attacked, session, count| {
        let object = *object.get_or_insert_with(|| attacked.open(session, None, spec).unwrap());
        next(attacked, session, object, count)
    })
}

const EVENT: Spec = Spec::Event { auto_reset: false };
const AUTO: Spec = Spec::Event { auto_reset: true };
const JOINABLE: Spec = Spec::Queue { capacity: None, is_joinable: true };
const PLAIN: Spec = Spec::Queue { capacity: None, is_joinable: false };

fn attacks() -> Vec<(&'static str, Attack)> {
    let mut attacks = objects();
    attacks.extend(waits());
    attacks.extend(items());
    attacks.extend(calls());
    attacks
}

/// Objects, and what refers to them or is kept with them.
fn objects() -> Vec<(&'static str, Attack)> {
    let kinds = [
        ("events", EVENT),
        ("pools", Spec::Pool),
        ("locks", Spec::Lock),
        ("semaphores", Spec::Semaphore { permits: 1, is_bounded: false }),
        ("barriers", Spec::Barrier { parties: 2 }),
        ("latches", Spec::Latch { count: 1 }),
        ("queues", PLAIN),
    ];
    let mut attacks: Vec<(&'static str, Attack)> = Vec::new();
    for (name, spec) in kinds {
        attacks.push((name, each(move |attacked, session, _| attacked.open(session, None, spec).is_some())));
    }
    attacks.push((
        "names",
        each(|attacked, session, count| {
            let name = format!("{count:0>NAME_BYTES_MAX$}");
            attacked.open(session, Some(&name), Spec::Latch { count: 1 }).is_some()
        }),
    ));
    attacks.push((
        "reasons",
        each(|attacked, session, _| {
            let Some(id) = attacked.open(session, None, EVENT) else { return false };
            attacked.send(session, Request::EventSet { id, reason: Some(&"r".repeat(REASON_BYTES_MAX)) })
        }),
    ));
    attacks.push((
        "proxies",
        on(EVENT, |attacked, _, id, _| {
            let session = attacked.session();
            attacked.send(session, Request::Attach { id, kind: Kind::Event, epoch: EPOCH })
        }),
    ));
    attacks.push((
        "locks of the dead",
        each(|attacked, session, count| {
            let name = format!("{count}");
            let Some(id) = attacked.open(session, Some(&name), Spec::Lock) else { return false };
            let holder = attacked.session();
            let taken = attacked.send(holder, wait([Target::Lock { id }], Some(0), 1));
            attacked.kill(holder);
            taken
        }),
    ));
    attacks.push((
        "permits of many",
        on(Spec::Semaphore { permits: u64::MAX, is_bounded: false }, |attacked, _, id, _| {
            let holder = attacked.session();
            attacked.send(holder, wait([Target::Semaphore { id, permits: 1 }], Some(0), 1))
        }),
    ));
    attacks
}

/// Requests that wait in a queue, and grants.
fn waits() -> Vec<(&'static str, Attack)> {
    let mut attacks: Vec<(&'static str, Attack)> = Vec::new();
    for (name, timeout_ns, threads) in
        [("waits", None, 1), ("waits of threads", None, u64::MAX), ("waits with timeouts", Some(1 << 60), 1)]
    {
        let attack = on(EVENT, move |attacked, session, id, count| {
            // Each time with another deadline.
            let timeout_ns = timeout_ns.map(|timeout_ns| timeout_ns + count);
            attacked.send(session, wait([Target::Event { id }], timeout_ns, count % threads))
        });
        attacks.push((name, attack));
    }
    attacks.push((
        "waits with many targets",
        on(EVENT, |attacked, session, id, _| {
            attacked.send(session, wait(std::iter::repeat_n(Target::Event { id }, 1000), None, 1))
        }),
    ));
    attacks.push((
        "unconfirmed grants",
        on(AUTO, |attacked, session, id, count| {
            let reason = format!("{count:0>REASON_BYTES_MAX$}");
            attacked.send(session, Request::EventSet { id, reason: Some(&reason) })
                && attacked.send(session, wait([Target::Event { id }], Some(0), 1))
        }),
    ));
    attacks
}

/// Items of queues.
fn items() -> Vec<(&'static str, Attack)> {
    let mut attacks: Vec<(&'static str, Attack)> = Vec::new();
    for (name, spec) in [("items", PLAIN), ("items to be finished", JOINABLE)] {
        let put = move |attacked: &mut AttackedCore, session, queue, carries| {
            attacked.send(session, wait([Target::Put { queue, item: b"", carries }], Some(0), 1))
        };
        attacks.push((name, on(spec, move |attacked, session, id, _| put(attacked, session, id, vec![]))));
        let carrying = on(spec, move |attacked, session, id, _| put(attacked, session, id, vec![id; 100]));
        attacks.push((name, carrying));
        let handed_out = on(spec, move |attacked, session, queue, _| {
            let receiver = attacked.session();
            put(attacked, session, queue, vec![])
                && attacked.send(receiver, wait([Target::Get { queue }], Some(0), 1))
        });
        attacks.push((name, handed_out));
    }
    attacks.push((
        "items that wait for room",
        on(Spec::Queue { capacity: Some(1), is_joinable: false }, |attacked, session, queue, count| {
            let put = Target::Put { queue, item: b"", carries: vec![] };
            attacked.send(session, wait([put], None, count))
        }),
    ));
    attacks
}

/// A batch in a pool, whose calls a worker may take.
fn batch(attacked: &mut AttackedCore, session: SessionId, pool: ObjectId) -> Option<ObjectId> {
    attacked.objects += 2;
    let [id, stop] = [1, 2].map(|more| ObjectId(Uuid::from_u128((attacked.objects << 64) + more)));
    let options = BatchOptions { stop, parent: None, priority: 0, retries: 0, time_limit_ns: Some(1 << 60) };
    attacked.send(session, Request::BatchOpen { id, pool, function: "f", options }).then_some(id)
}

fn calls() -> Vec<(&'static str, Attack)> {
    let add = |attacked: &mut AttackedCore, session, id, carries: usize| {
        let chunk = Chunk { arguments: b"\0", carries: vec![id; carries], calls: 1 };
        attacked.send(session, Request::BatchAdd { id, chunks: vec![chunk], last: false })
    };
    let mut attacks: Vec<(&'static str, Attack)> = Vec::new();
    attacks.push((
        "batches",
        on(Spec::Pool, |attacked, session, pool, _| batch(attacked, session, pool).is_some()),
    ));
    for (name, carries) in [("tasks", 0), ("tasks that carry", 1000)] {
        let mut the_batch = None;
        let attack = on(Spec::Pool, move |attacked, session, pool, _| {
            let id = *the_batch.get_or_insert_with(|| batch(attacked, session, pool).unwrap());
            add(attacked, session, id, carries)
        });
        attacks.push((name, attack));
    }
    attacks.push((
        "tasks that run",
        on(Spec::Pool, move |attacked, session, pool, _| {
            let Some(id) = batch(attacked, session, pool) else { return false };
            add(attacked, session, id, 0)
                && attacked.send(session, wait([Target::Calls { pool, most: 1 }], Some(0), 1))
        }),
    ));
    for (name, carries) in [("results", 0), ("results that carry", 100)] {
        let mut the_batch = None;
        let mut number = 0;
        let attack = on(Spec::Pool, move |attacked, session, pool, _| {
            let id = *the_batch.get_or_insert_with(|| batch(attacked, session, pool).unwrap());
            if !add(attacked, session, id, 0)
                || !attacked.send(session, wait([Target::Calls { pool, most: 1 }], Some(0), 1))
            {
                return false;
            }
            let carries = vec![pool; carries];
            let outcome = match number % 2 {
                0 => Outcome::Returned(b"\x01r".as_slice()),
                _ => Outcome::Failed(Failure { kind: FailureKind::Panicked, text: "it failed" }),
            };
            let ends = vec![CallsOutcome { calls: 1, outcome }];
            let end = Request::CallsEnd { batch: id, first: number, ends: ends.into(), carries };
            number += 1;
            attacked.send(session, end)
        });
        attacks.push((name, attack));
    }
    attacks
}

#[test]
fn no_client_takes_more_than_it_is_charged_for() {
    for (name, mut attack) in attacks() {
        let mut attacked = AttackedCore::new();
        let before = TAKEN.load(Ordering::Relaxed);
        let (mut steps, mut most): (u64, f64) = (0, 0.0);
        while attack(&mut attacked) {
            steps += 1;
            assert!(steps < 1_000_000, "{name} goes on and on");
            // Empty trees and vectors have their price at first.
            if attacked.state.charged_bytes() > MEMORY / 16 {
                let taken = TAKEN.load(Ordering::Relaxed) - before;
                most = most.max(taken as f64 / attacked.state.charged_bytes() as f64);
            }
        }
        assert!(attacked.state.charged_bytes() > MEMORY / 2, "{name} filled it");
        let each = attacked.state.charged_bytes() as u64 / steps;
        println!("{name}: {steps} times, {each} bytes each, {most:.2} of what is charged");
        assert!(most < FACTOR, "{name}: {most:.2} times what is charged");
    }
}

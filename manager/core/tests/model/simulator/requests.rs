//! Requests of every sort, of which most make sense.

use protocol::{
    Epoch, Kind, LockChoice, ObjectId, OpenMode, Request, RequestId, Selector, SessionId, Signal, Spec,
    Target, Targets, ThreadId, WaitMode,
};
use uuid::Uuid;

use super::choosing::{Choices, KINDS, weighted};
use super::running::{EPOCH, SimulatedRun};
use super::step::CURRENT;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// A reason that takes more memory than most things.
const LONG: &str = match std::str::from_utf8(&[b'x'; 900]) {
    Ok(text) => text,
    Err(_) => "",
};

const ITEMS: [&[u8]; 5] = [b"", b"1", b"item", b"a longer item", b"an item of thirty bytes, or so"];

impl Choices {
    /// A request of one session.
    pub(crate) fn request(&mut self, run: &SimulatedRun, session: SessionId) -> Request<'static> {
        let living = run.model.objects.len() as u64;
        if living == 0 || (living < self.objects && self.random.chance(3)) {
            return self.open(run);
        }
        if self.random.chance(self.follows)
            && let Some(next) = self.follow_up(run, session)
        {
            return next;
        }
        let sorts = self.sorts;
        match weighted(&mut self.random, &sorts) {
            0 => self.open(run),
            1 => self.refer(run),
            2 => match self.random.chance(3) {
                true => Request::Remove { id: self.object(run) },
                false => Request::Detach { id: self.object(run) },
            },
            3 => {
                let (mode, targets) = self.targets(run, session);
                let (timeout_ns, thread) = (self.timeout(), self.thread());
                Request::Wait { mode, targets, timeout_ns, thread }
            }
            4 => match self.signal(run) {
                Some(signal) => {
                    let (mode, targets) = self.targets(run, session);
                    let (timeout_ns, thread) = (self.timeout(), self.thread());
                    Request::SignalAndWait { signal, mode, targets, timeout_ns, thread }
                }
                None => self.of_kind(run, session),
            },
            5 => self.cancel(run, session),
            6 => self.of_kind(run, session),
            7 => self.look(run),
            9 => self.of_blob(run, session),
            _ => match self.object_of(run, &[Kind::Event]) {
                Some(id) if self.random.chance(2) => {
                    Request::EventMirror { id: if self.mistake() { self.any_id() } else { id } }
                }
                _ => self.share(),
            },
        }
    }

    pub(super) fn thread(&mut self) -> ThreadId {
        ThreadId(1 + self.random.below(self.threads))
    }

    pub(super) fn timeout(&mut self) -> Option<u64> {
        match self.random.below(10) {
            0..5 => None,
            5..7 => Some(0),
            7 => Some(u64::MAX),
            _ => Some(self.random.below(1000)),
        }
    }

    /// An object, or by mistake any id.
    pub(super) fn object(&mut self, run: &SimulatedRun) -> ObjectId {
        if self.mistake() {
            return self.any_id();
        }
        let kind = self.kind();
        let found = self.object_of(run, &[kind]).or_else(|| self.object_of(run, &KINDS));
        found.unwrap_or_else(|| self.any_id())
    }

    fn open(&mut self, run: &SimulatedRun) -> Request<'static> {
        let id = self.fresh_id(run);
        let name = match self.random.below(20) {
            0..8 => None,
            8 if self.mistake() => Some(self.random.pick(&["", "line\n"])),
            _ => Some(self.random.pick(&NAMES)),
        };
        let mode = self.random.pick(&[
            OpenMode::OpenOrCreate,
            OpenMode::OpenOrCreate,
            OpenMode::OpenOrCreate,
            OpenMode::CreateNew,
            OpenMode::Open,
        ]);
        let spec = match self.kind() {
            Kind::Batch => match self.object_of(run, &[Kind::Pool]) {
                Some(pool) => return self.batch_open(run, pool),
                None if self.mistake() => {
                    let pool = self.any_id();
                    return self.batch_open(run, pool);
                }
                None => Spec::Pool,
            },
            Kind::Pool => Spec::Pool,
            Kind::Lock => Spec::Lock,
            Kind::RLock => Spec::RLock,
            Kind::Condition => {
                let over = match self.object_of(run, &[Kind::Lock, Kind::RLock]) {
                    Some(id) if self.random.chance(2) => LockChoice::Given { id },
                    _ if self.mistake() => LockChoice::Given { id: self.any_id() },
                    _ => {
                        let is_reentrant = self.random.chance(2);
                        let id = if self.mistake() { id } else { self.fresh_id(run) };
                        LockChoice::Own { id, is_reentrant }
                    }
                };
                Spec::Condition { over }
            }
            Kind::Semaphore => Spec::Semaphore {
                permits: if self.mistake() { u64::MAX - 1 } else { self.random.below(4) },
                is_bounded: self.random.chance(2),
            },
            Kind::Barrier => {
                let parties = self.random.pick(&[1, 2, 2, 2, 3, 3]);
                Spec::Barrier { parties: if self.mistake() { 0 } else { parties } }
            }
            Kind::Latch => Spec::Latch { count: self.random.below(4) },
            Kind::Queue => {
                let capacity = self.random.pick(&[None, Some(1), Some(1), Some(2)]);
                let capacity = if self.mistake() { Some(0) } else { capacity };
                Spec::Queue { capacity, is_joinable: self.random.chance(2) }
            }
            Kind::Event => Spec::Event { auto_reset: self.random.chance(2) },
        };
        Request::Open { id, name, spec, mode }
    }

    fn refer(&mut self, run: &SimulatedRun) -> Request<'static> {
        let id = self.object(run);
        let kind = run.model.kind_of(id).unwrap_or(Kind::Event);
        let kind = if self.mistake() { self.kind() } else { kind };
        let epoch = if self.mistake() { Epoch(Uuid::from_u128(1)) } else { EPOCH };
        Request::Attach { id, kind, epoch }
    }

    fn targets(&mut self, run: &SimulatedRun, session: SessionId) -> (WaitMode, Targets<'static>) {
        let count = match self.random.below(20) {
            0..11 => 1,
            11..16 => 2,
            16..19 => 3,
            _ if self.mistake() => self.random.below(6),
            _ => 4,
        };
        let mode = self.random.pick(&[WaitMode::Any, WaitMode::All]);
        let mut targets = Targets::new();
        for _ in 0..count {
            let target = self.target(run, session);
            // Most clients name an object once in a wait for all.
            let is_named = targets.iter().any(|other: &Target<'_>| other.object().0 == target.object().0);
            if !(is_named && mode == WaitMode::All) || self.mistake() {
                targets.push(target);
            }
        }
        (mode, targets)
    }

    fn target(&mut self, run: &SimulatedRun, session: SessionId) -> Target<'static> {
        let id = self.object(run);
        let kind = run.model.kind_of(id).unwrap_or(Kind::Lock);
        let kind = if self.mistake() { self.kind() } else { kind };
        match kind {
            Kind::Lock => Target::Lock { id },
            Kind::RLock => Target::RLock { id },
            Kind::Condition => Target::Condition { id, holding: self.holding() },
            Kind::Semaphore => Target::Semaphore { id, permits: self.permits() },
            Kind::Barrier => Target::Barrier { id, has_action: self.random.chance(3) },
            Kind::Latch => Target::Latch { id },
            Kind::Queue => match self.random.below(9) {
                0..4 => Target::Get { queue: id },
                4 => Target::Join { queue: id },
                _ => {
                    let carries = match self.random.chance(4) {
                        true => vec![self.object(run)],
                        false => Vec::new(),
                    };
                    match self.blob_to_use(run, session) {
                        Some(blob) => Target::PutBlob { queue: id, blob, carries },
                        None => Target::Put { queue: id, item: self.random.pick(&ITEMS), carries },
                    }
                }
            },
            Kind::Pool => self.calls_target(id),
            Kind::Batch => self.results_target(id),
            Kind::Event => Target::Event { id },
        }
    }

    pub(super) fn holding(&mut self) -> Option<u64> {
        match self.random.below(6) {
            0..3 => None,
            3 if self.mistake() => Some(self.random.below(30)),
            _ => Some(CURRENT),
        }
    }

    pub(super) fn notify(&mut self, id: ObjectId, thread: ThreadId) -> Request<'static> {
        let count = self.random.pick(&[None, Some(0), Some(1), Some(1), Some(2)]);
        Request::Notify { id, count, holding: self.holding(), thread }
    }

    fn permits(&mut self) -> u64 {
        match self.random.below(20) {
            0 if self.mistake() => self.random.pick(&[0, u64::MAX, u64::MAX - 1]),
            0..12 => 1,
            _ => 1 + self.random.below(3),
        }
    }

    fn reason(&mut self) -> Option<&'static str> {
        if self.mistake() {
            Some("line\n")
        } else {
            self.random.pick(&[None, None, Some("why"), Some("why"), Some(LONG)])
        }
    }

    fn signal(&mut self, run: &SimulatedRun) -> Option<Signal<'static>> {
        let kinds = [Kind::Event, Kind::Lock, Kind::RLock, Kind::Semaphore, Kind::Latch];
        let id = self.object_of(run, &kinds)?;
        Some(match run.model.kind_of(id)? {
            Kind::Event => Signal::EventSet { id, reason: self.reason() },
            Kind::Semaphore => Signal::SemaphoreRelease { id, permits: self.permits() },
            Kind::Latch => Signal::LatchCountDown { id, count: self.random.below(3) },
            _ => Signal::Release { id, holding: self.holding() },
        })
    }

    fn cancel(&mut self, run: &SimulatedRun, session: SessionId) -> Request<'static> {
        let blocked = run.model.waits.values().filter(|wait| wait.caller.session == session);
        let blocked: Vec<RequestId> = blocked.map(|wait| wait.request).collect();
        match blocked.is_empty() || self.mistake() {
            true => Request::Cancel { request: RequestId(self.random.below(30)) },
            false => Request::Cancel { request: self.random.pick(&blocked) },
        }
    }

    fn look(&mut self, run: &SimulatedRun) -> Request<'static> {
        match self.random.below(6) {
            0 => Request::ListSessions { after: None },
            1 => Request::ListSessions { after: Some(SessionId(self.random.below(6))) },
            2 => Request::ListObjects { after: self.random.chance(2).then(|| self.any_id()) },
            3 if self.mistake() => Request::Inspect { object: Selector::Name("") },
            3 => Request::Inspect { object: Selector::Name(self.random.pick(&NAMES)) },
            _ => Request::Inspect { object: Selector::Id(self.object(run)) },
        }
    }

    /// A request that some kind of object has for itself.
    fn of_kind(&mut self, run: &SimulatedRun, session: SessionId) -> Request<'static> {
        let id = self.object(run);
        let kind = run.model.kind_of(id).unwrap_or(Kind::Lock);
        let kind = if self.mistake() { self.kind() } else { kind };
        let thread = self.thread();
        match kind {
            Kind::Lock | Kind::RLock => match self.random.below(10) {
                0 => Request::ForceRelease { id },
                _ => match self.as_holder(run, session, id) {
                    Some(thread) => Request::Release { id, holding: self.holding(), thread },
                    None => self.acquire(run, id),
                },
            },
            Kind::Condition => match self.random.below(8) {
                0 => Request::ConditionLock { id },
                _ => match self.as_holder(run, session, id) {
                    Some(thread) => self.notify(id, thread),
                    None => self.acquire(run, id),
                },
            },
            Kind::Semaphore => match self.random.below(8) {
                0 => Request::SemaphoreAvailable { id },
                1 => Request::SemaphoreForget { id, permits: self.permits() },
                _ => Request::SemaphoreRelease { id, permits: self.permits() },
            },
            Kind::Barrier => match self.random.below(8) {
                0 => Request::BarrierStatus { id },
                1 => Request::BarrierReset { id },
                2 => Request::BarrierAbort { id, turn: None, reason: self.reason().unwrap_or("") },
                3 => Request::BarrierAbort { id, turn: Some(CURRENT), reason: "why" },
                4 => Request::BarrierPass { id, turn: self.random.below(4) },
                _ => Request::BarrierPass { id, turn: CURRENT },
            },
            Kind::Latch => match self.random.below(4) {
                0 => Request::LatchCount { id },
                _ => Request::LatchCountDown { id, count: self.random.below(3) },
            },
            Kind::Queue => match self.random.below(12) {
                0 => Request::QueueClose { id },
                1 | 2 => Request::QueueLength { id },
                3..6 => Request::QueueItemDone { id, item: Some(CURRENT), thread },
                6 => Request::QueueItemDone { id, item: Some(self.random.below(9)), thread },
                _ => Request::QueueItemDone { id, item: None, thread },
            },
            Kind::Pool => match self.random.below(24) {
                0 => Request::PoolClose { id },
                1 => Request::PoolTerminate { id, reason: self.reason().unwrap_or("") },
                _ => self.of_worker(run, session, id),
            },
            Kind::Batch => self.of_batch(run, session, id),
            Kind::Event => match self.random.below(8) {
                0 => Request::EventIsSet { id },
                1 => Request::EventCause { id },
                2 | 3 => Request::EventClear { id },
                _ => Request::EventSet { id, reason: self.reason() },
            },
        }
    }
}

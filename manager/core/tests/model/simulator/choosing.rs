//! Choices: what happens next. Each seed draws its own limits, and how likely everything is: so some runs are all
//! locks, and in some nobody dies.

use protocol::limits::BLOB_BYTES_MIN;
use protocol::{Kind, Limits, ObjectId, Request, RequestId, SessionId, SharedMemory};

use super::random::Random;
use super::running::SimulatedRun;
use super::step::{End, SimulatedStep, id};

/// The kinds of objects.
pub(crate) const KINDS: [Kind; 10] = [
    Kind::Event,
    Kind::Lock,
    Kind::RLock,
    Kind::Condition,
    Kind::Semaphore,
    Kind::Barrier,
    Kind::Latch,
    Kind::Queue,
    Kind::Pool,
    Kind::Batch,
];

/// What a seed has chosen for its whole run.
pub(crate) struct Choices {
    pub(crate) random: Random,
    /// How likely each kind is, in the order of `KINDS`.
    pub(crate) kinds: [u64; KINDS.len()],
    /// How likely each sort of request is: see `requests`.
    pub(crate) sorts: [u64; 10],
    sessions_max: u64,
    /// One input in this many ends a session.
    ends: u64,
    /// One input in this many of a session that has calls ends it.
    ends_at_work: u64,
    /// One request in this many goes on with what the session has begun.
    pub(crate) follows: u64,
    /// One input in this many is time.
    times: u64,
    /// Out of how many requests one is sent by a client that makes a mistake.
    pub(crate) mistakes: u64,
    /// How many threads each session has.
    pub(crate) threads: u64,
    /// How many objects there should be.
    pub(crate) objects: u64,
    /// How many ids there are.
    pub(crate) ids: u64,
    /// Whether the clients tell at once how many answers they have read.
    confirms: u64,
    /// For how many nanoseconds nothing happens at most.
    pause_max: u64,
    /// Whether some arguments and results are large.
    pub(crate) is_large: bool,
    /// Whether sessions bind processes.
    pub(crate) binds: bool,
    next_session: u64,
    requests: Vec<(SessionId, u64)>,
    /// The sessions to which processes are bound that have not ended, and how they ended.
    ending: Vec<(SessionId, End)>,
}

/// The limits of a seed: often so small that it reaches them.
pub(crate) fn limits(random: &mut Random) -> Limits {
    let mut small = |smallest: u64, span: u64, large: usize| match random.chance(3) {
        true => (smallest + random.below(span)) as usize,
        false => large,
    };
    let mut limits = Limits {
        objects_max: small(2, 10, 1000),
        mirrored_events_max: small(0, 3, 1000),
        wait_targets_max: small(1, 4, 1000),
        session_waits_max: small(0, 5, 1000),
        calls_and_items_max: small(0, 10, 100),
        stored_bytes_max: match random.below(6) {
            0 => random.below(60) as usize,
            1 => random.below(400) as usize,
            // Few blobs, and little besides.
            2 | 3 => {
                BLOB_BYTES_MIN as usize * (1 + random.below(4) as usize) + random.pick(&[0, 0, 1, 20, 100])
            }
            _ => 4_000_000,
        },
        ..Limits::default()
    };
    if random.chance(3) {
        // A few objects and waits; slots of waits count only if there are more of them.
        limits.session_waits_max = limits.session_waits_max.min(15);
        let blobs = if random.chance(2) { BLOB_BYTES_MIN * random.below(4) } else { 0 };
        limits.memory_bytes_max = (2_000 + random.below(18_000) + blobs) as usize;
    }
    limits
}

impl Choices {
    pub(crate) fn new(mut random: Random, limits: &Limits) -> Choices {
        let mut kinds = [0; KINDS.len()];
        kinds.iter_mut().for_each(|weight| *weight = random.pick(&[0, 0, 1, 4]));
        let most = random.below(KINDS.len() as u64 + 4) as usize;
        // Pools and batches get far only if there is little else; so do conditions.
        let theme: &[(usize, u64)] = match most {
            0..10 => &[],
            10 | 11 => &[(0, 1), (8, 3), (9, 8)],
            12 => &[(0, 1), (7, 4), (8, 3), (9, 8)],
            _ => &[(0, 2), (1, 2), (2, 2), (3, 8), (7, 2)],
        };
        if theme.is_empty() {
            kinds[most] = 8;
        } else {
            kinds = [0; KINDS.len()];
            theme.iter().for_each(|&(kind, weight)| kinds[kind] = weight);
        }
        // A condition needs a lock, and a batch a pool.
        if kinds[9] > 0 {
            kinds[8] += 1;
        }
        if kinds[3] > 0 {
            kinds[1] += 1;
            kinds[2] += 1;
        }
        let mut sorts = [2, 2, 1, 12, 2, 2, 12, 1, 1, random.pick(&[0, 0, 2, 6])];
        if most == 12 {
            sorts[9] = 8;
        }
        if limits.stored_bytes_max.min(limits.memory_bytes_max * 3 / 4) < BLOB_BYTES_MIN as usize {
            // None would have room.
            sorts[9] /= 6;
        }
        for weight in &mut sorts {
            *weight *= random.pick(&[1, 1, 2, 5]);
        }
        Choices {
            kinds,
            sorts,
            sessions_max: 1 + random.below(4),
            ends: random.pick(&[20, 60, 300, 100_000]),
            ends_at_work: random.pick(&[8, 8, 30, 100_000]),
            follows: random.pick(&[2, 2, 4, 20]),
            times: random.pick(&[3, 10, 30]),
            mistakes: random.pick(&[5, 50, 500]),
            threads: 1 + random.below(3),
            objects: 1 + random.below(6) + if theme.is_empty() { 0 } else { 3 },
            ids: 6 + random.below(20),
            confirms: random.pick(&[1, 2, 10]),
            pause_max: random.pick(&[400, 400, 3_000_000]),
            is_large: random.chance(12),
            binds: random.chance(3),
            next_session: 1,
            requests: Vec::new(),
            ending: Vec::new(),
            random,
        }
    }

    /// The next step of a run.
    pub(crate) fn next(&mut self, run: &SimulatedRun) -> SimulatedStep {
        if let Some(&session) = run.dropped.first() {
            return self.end(run, session, End::Dropped);
        }
        if !self.ending.is_empty() && self.random.chance(8) {
            let gone = self.random.below(self.ending.len() as u64) as usize;
            let (session, ending) = self.ending.remove(gone);
            return SimulatedStep::End { session, ending, found: None };
        }
        if let Some(holding) = run.wanted
            && self.random.chance(2)
        {
            return SimulatedStep::Deferred { session: holding.session, lock: holding.lock };
        }
        let living = self.requests.len() as u64;
        if living == 0 || (living < self.sessions_max && self.random.chance(8)) {
            let session = SessionId(self.next_session);
            self.next_session += 1;
            self.requests.push((session, 0));
            return SimulatedStep::Begin { session };
        }
        if self.random.chance(self.times) {
            return match self.random.chance(2) {
                true => SimulatedStep::Due,
                false => SimulatedStep::Pass { nanoseconds: self.random.below(self.pause_max) },
            };
        }
        let chosen = self.random.below(living) as usize;
        let session = self.requests[chosen].0;
        // Workers that die in a call are rare otherwise.
        let dies_at_work = self.random.chance(self.ends_at_work) && run.model.grants_of(session) > 0;
        if dies_at_work || self.random.chance(self.ends) {
            let end =
                self.random.pick(&[End::Goodbye, End::Killed, End::Exited, End::Ended, End::Disconnected]);
            return self.end(run, session, end);
        }
        let body = self.request(run, session);
        if self.random.chance(200)
            && let Some(lock) = self.object_of(run, &[Kind::Lock, Kind::RLock])
        {
            return SimulatedStep::Deferred { session, lock };
        }
        if self.random.chance(200)
            && let Some(found) = self.found(run, session)
        {
            return SimulatedStep::Found { session, found };
        }
        // A client may leave out ids. A hostile one uses one again.
        let last = &mut self.requests[chosen].1;
        *last += if self.random.chance(20) { 2 } else { 1 };
        let last = *last;
        let request = match self.random.below(40) {
            0..4 => RequestId::ONE_WAY,
            4 if self.mistake() => RequestId(last.saturating_sub(1 + self.random.below(3)).max(1)),
            _ => RequestId(last),
        };
        if self.random.chance(40) && self.mistake() && !matches!(body, Request::BlobSend { .. }) {
            return SimulatedStep::Overcount { session, request, body };
        }
        let unread = match self.random.chance(self.confirms) {
            true => 0,
            false => self.random.below(6),
        };
        if let Request::BlobSend { blob, bytes } = body {
            return self.arrival(session, request, unread, (blob, bytes));
        }
        SimulatedStep::Request { session, request, unread, body }
    }

    fn end(&mut self, run: &SimulatedRun, session: SessionId, ending: End) -> SimulatedStep {
        self.requests.retain(|(other, _)| *other != session);
        let found = self.found(run, session);
        if self.binds && self.random.chance(2) {
            self.ending.push((session, ending));
            let bound = self.random.pick(&[1, 2, 8, 9]);
            return SimulatedStep::Ending { session, ending, found, bound };
        }
        SimulatedStep::End { session, ending, found }
    }

    /// Whether a client makes a mistake now.
    pub(crate) fn mistake(&mut self) -> bool {
        self.random.chance(self.mistakes)
    }

    /// An id, of an object or not.
    pub(crate) fn any_id(&mut self) -> ObjectId {
        id(u128::from(1 + self.random.below(self.ids)))
    }

    /// An id of no object, if there is one.
    pub(crate) fn fresh_id(&mut self, run: &SimulatedRun) -> ObjectId {
        for _ in 0..8 {
            let id = self.any_id();
            if !run.model.objects.contains_key(&id) || self.mistake() {
                return id;
            }
        }
        self.any_id()
    }

    /// An object of one of these kinds, or none.
    pub(crate) fn object_of(&mut self, run: &SimulatedRun, kinds: &[Kind]) -> Option<ObjectId> {
        let count = run.model.objects.len() as u64;
        if count == 0 {
            return None;
        }
        let first = self.random.below(count) as usize;
        let ids = run.model.objects.keys();
        let mut ids = ids.clone().skip(first).chain(ids.take(first));
        ids.find(|&&id| run.model.kind_of(id).is_some_and(|kind| kinds.contains(&kind))).copied()
    }

    /// A kind, as likely as the seed says.
    pub(crate) fn kind(&mut self) -> Kind {
        KINDS[weighted(&mut self.random, &self.kinds)]
    }

    /// Whether there are blobs in this run.
    pub(crate) fn has_blobs(&self) -> bool {
        self.sorts[9] > 0
    }

    pub(crate) fn share(&mut self) -> Request<'static> {
        if self.binds && self.random.chance(2) {
            let leader = self.random.below(3) as u32;
            return match self.random.chance(2) {
                true => Request::BindProcesses { leader },
                false => Request::UnbindProcesses { leader },
            };
        }
        let memory = self.random.pick(&[
            SharedMemory::Mirror,
            SharedMemory::DeferredReleases,
            SharedMemory::CallRecord,
        ]);
        Request::Share { memory }
    }
}

/// The position of one of these weights, each as likely as it is large. One of them is not zero.
pub(super) fn weighted(random: &mut Random, weights: &[u64]) -> usize {
    let mut left = random.below(weights.iter().sum());
    for (position, weight) in weights.iter().enumerate() {
        if left < *weight {
            return position;
        }
        left -= weight;
    }
    unreachable!("the weights are more than what is left")
}

//! Requests of the owners of batches and of workers, and what workers leave in their call records.

use protocol::{
    BatchOptions, CallsOutcome, Chunk, Failure, FailureKind, Kind, ObjectId, Outcome, Request, SessionId,
    StopSignal, Target,
};

use super::choosing::Choices;
use super::running::SimulatedRun;
use super::step::{CURRENT, SimulatedRecord};

/// Arguments of this many calls, or results.
type EncodedCalls = (&'static [u8], u32);

const SMALL: [EncodedCalls; 7] = [
    (b"\x00", 1),
    (b"\x01a", 1),
    (b"\x01a\x02bc", 2),
    (b"\x05apple\x00\x04pear", 3),
    (&[0; 8], 8),
    (&[0; 40], 40),
    (b"\x1fa result of thirty bytes, or so", 1),
];

/// Two of them are as large as one grant may be, or one answer.
static LARGE_ARGUMENTS: [u8; 32_768] = large();
static LARGE_RESULT: [u8; 524_272] = large();

/// How calls may fail, as their workers say.
const FAILURES: [FailureKind; 5] = [
    FailureKind::UnknownFunction,
    FailureKind::BadEncoding,
    FailureKind::StaleEpoch,
    FailureKind::NoSuchObject,
    FailureKind::WrongKind,
];

const WRONG: [EncodedCalls; 5] = [(b"", 0), (b"", 1), (b"\x02a", 1), (b"\x00\x00", 1), (b"\x80", 1)];

/// One call of this many bytes, together with its length.
const fn large<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let length = BYTES - 3;
    bytes[0] = length as u8 | 0x80;
    bytes[1] = (length >> 7) as u8 | 0x80;
    bytes[2] = (length >> 14) as u8;
    bytes
}

impl Choices {
    pub(super) fn batch_open(&mut self, run: &SimulatedRun, pool: ObjectId) -> Request<'static> {
        let (id, stop) = (self.fresh_id(run), self.fresh_id(run));
        let parent = match self.random.chance(3) {
            true => self.object_of(run, &[Kind::Event]),
            false => None,
        };
        let options = BatchOptions {
            stop,
            parent: if self.mistake() { Some(self.any_id()) } else { parent },
            priority: self.random.pick(&[0, 0, 0, 1, -1]),
            retries: self.random.pick(&[0, 0, 1, 2]),
            time_limit_ns: match self.random.below(8) {
                0 => Some(self.random.below(500)),
                1 => Some(u64::MAX),
                _ => None,
            },
        };
        let function = if self.mistake() { "" } else { self.random.pick(&["f", "work"]) };
        match self.random.chance(3) {
            true => {
                let (chunks, timeout_ns, thread) = (self.chunks(run), self.timeout(), self.thread());
                Request::BatchRun { id, pool, function, options, chunks, timeout_ns, thread }
            }
            false => Request::BatchOpen { id, pool, function, options },
        }
    }

    fn chunks(&mut self, run: &SimulatedRun) -> Vec<Chunk<'static>> {
        let count = self.random.pick(&[0, 1, 1, 1, 2, 2, 3]);
        (0..count)
            .map(|_| {
                let (arguments, calls) = self.calls(&LARGE_ARGUMENTS);
                let carries = if self.random.chance(6) { vec![self.object(run)] } else { Vec::new() };
                Chunk { arguments, carries, calls }
            })
            .collect()
    }

    fn calls(&mut self, large: &'static [u8]) -> EncodedCalls {
        if self.random.chance(8) && self.mistake() {
            return self.random.pick(&WRONG);
        }
        match self.is_large && self.random.chance(3) {
            true => (large, 1),
            false => self.random.pick(&SMALL),
        }
    }

    /// A request of the owner of a batch, or about it.
    pub(super) fn of_batch(
        &mut self,
        run: &SimulatedRun,
        session: SessionId,
        id: ObjectId,
    ) -> Request<'static> {
        match self.random.below(12) {
            0 => Request::BatchCancel { id },
            1 => Request::BatchSignal {
                id,
                signal: self.random.pick(&[StopSignal::Terminate, StopSignal::Kill]),
            },
            2 | 3 => Request::BatchProgress { id },
            4..8 => {
                let its = run.model.batches_where(|batch| batch.owner == session && !batch.is_sealed);
                match self.object_of(run, &[Kind::Pool]) {
                    _ if self.mistake() => self.addition(run, session, id),
                    _ if !its.is_empty() => {
                        let id = self.random.pick(&its);
                        self.addition(run, session, id)
                    }
                    Some(pool) => self.batch_open(run, pool),
                    None => Request::BatchProgress { id },
                }
            }
            _ => self.of_worker(run, session, id),
        }
    }

    /// Calls for a batch.
    pub(super) fn addition(
        &mut self,
        run: &SimulatedRun,
        session: SessionId,
        id: ObjectId,
    ) -> Request<'static> {
        if let Some(blob) = self.blob_to_use(run, session) {
            let carries = if self.random.chance(6) { vec![self.object(run)] } else { Vec::new() };
            return Request::BatchAddBlob { id, blob, carries };
        }
        Request::BatchAdd { id, chunks: self.chunks(run), last: self.random.chance(3) }
    }

    /// A request of a worker that has calls, or by mistake of one that has not.
    pub(super) fn of_worker(
        &mut self,
        run: &SimulatedRun,
        session: SessionId,
        id: ObjectId,
    ) -> Request<'static> {
        let its = run.model.granted_to(session);
        if its.is_empty() && !self.mistake() {
            return match self.object_of(run, &[Kind::Pool]) {
                Some(pool) => {
                    let (target, thread) = (self.calls_target(pool), self.thread());
                    self.wait_for(target, thread)
                }
                None => Request::BatchProgress { id },
            };
        }
        let (batch, next, end) = match its.is_empty() || self.mistake() {
            true => (id, self.random.below(5), 5),
            false => self.random.pick(&its),
        };
        if self.random.chance(4) {
            let first = match self.random.chance(2) {
                true => CURRENT,
                false => next.saturating_sub(1) + self.random.below(5),
            };
            return Request::CallsGiveBack { batch, first };
        }
        let (first, mut left) = match self.random.chance(8) {
            true => (next.saturating_sub(1), end.saturating_sub(next) + 1),
            false => (CURRENT, end.saturating_sub(next)),
        };
        let mut ends = Vec::new();
        for _ in 0..self.random.pick(&[1, 1, 1, 2, 3]) {
            let end = self.call_end(run, session);
            if u64::from(end.calls) <= left || self.mistake() {
                left = left.saturating_sub(end.calls.into());
                ends.push(end);
            }
        }
        if ends.is_empty() && !self.mistake() {
            ends.push(CallsOutcome { calls: 1, outcome: Outcome::Returned(b"\x00") });
        }
        let carries = if self.random.chance(6) { vec![self.object(run)] } else { Vec::new() };
        Request::CallsEnd { batch, first, ends: ends.into(), carries }
    }

    fn call_end(
        &mut self,
        run: &SimulatedRun,
        session: SessionId,
    ) -> CallsOutcome<&'static [u8], &'static str> {
        if let Some(blob) = self.blob_to_use(run, session) {
            let calls = if self.mistake() { 2 } else { 1 };
            return CallsOutcome { calls, outcome: Outcome::ReturnedBlob { blob, bytes: 0 } };
        }
        if self.random.chance(5) {
            let kind = match self.random.chance(2) {
                true => FailureKind::Panicked,
                false => self.random.pick(&FAILURES),
            };
            let failure = Failure { kind, text: self.random.pick(&["", "it panicked"]) };
            return CallsOutcome {
                calls: self.random.pick(&[1, 1, 1, 2]),
                outcome: Outcome::Failed(failure),
            };
        }
        let (results, calls) = self.calls(&LARGE_RESULT);
        CallsOutcome { calls, outcome: Outcome::Returned(results) }
    }

    /// What the record of a session says, if it has one.
    pub(super) fn found(&mut self, run: &SimulatedRun, session: SessionId) -> Option<SimulatedRecord> {
        if self.random.chance(3) {
            return None;
        }
        let its = run.model.granted_to(session);
        let (batch, next, end) = match its.is_empty() || self.mistake() {
            true => (self.any_id(), 0, 3),
            false => self.random.pick(&its),
        };
        let left = end - next;
        let ended = if self.mistake() { self.random.below(9) } else { self.random.below(left + 1) };
        Some(SimulatedRecord {
            batch,
            reported: self.random.pick(&[0, 0, 0, 1, 2]),
            ended,
            begun: self.random.pick(&[0, 1, 1, 1, 2]),
            result: self.random.pick(&[b"\x00".as_slice(), b"\x01r", b"\x06record"]),
            results: if self.mistake() { self.random.below(4) } else { 100 },
        })
    }

    /// What a wait can want of a pool.
    pub(super) fn calls_target(&mut self, pool: ObjectId) -> Target<'static> {
        let most = self.random.pick(&[1, 2, 5, 64, 4096]);
        Target::Calls { pool, most: if self.mistake() { 0 } else { most } }
    }

    /// What a wait can want of a batch.
    pub(super) fn results_target(&mut self, batch: ObjectId) -> Target<'static> {
        match self.random.chance(3) {
            true => Target::ManyResults { batch, least: self.random.below(6) as u32 },
            false => Target::Results { batch },
        }
    }
}

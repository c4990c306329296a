//! Calls that came in one chunk: how many of them a grant brings, and how each ends on its own.

use protocol::limits::{CALLS_PER_CHUNK_MAX, CALLS_PER_GRANT_MAX, CALLS_PER_REQUEST_MAX, GRANT_BYTES_MAX};
use protocol::{
    BatchOptions, CallsGrant, CallsOutcome, Chunk, Code, Failure, FailureKind, Grant, Limits, ObjectId,
    Outcome, Payload, Reply, Request, SessionId, Spec, Target,
};

use crate::call_messages::{calls_of, empty_calls, endings, input, returned, returned_all};
use crate::requests::wait_for;
use crate::world::World;

pub(crate) const DIED: Option<FailureKind> = Some(FailureKind::WorkerDied);
pub(crate) const CANCELLED: Option<FailureKind> = Some(FailureKind::Cancelled);

/// A worker, and a batch that takes chunks.
pub(crate) struct ChunkFixture {
    pub(crate) world: World,
    pub(crate) owner: SessionId,
    pub(crate) worker: SessionId,
    pub(crate) pool: ObjectId,
    pub(crate) batch: ObjectId,
    pub(crate) stop: ObjectId,
}

impl ChunkFixture {
    pub(crate) fn new() -> ChunkFixture {
        ChunkFixture::with(Limits::default(), |_| {})
    }

    pub(crate) fn with(limits: Limits, change: impl FnOnce(&mut BatchOptions)) -> ChunkFixture {
        let mut world = World::with_limits(limits);
        let (owner, worker) = (world.session("owner"), world.session("worker"));
        let pool = world.open(owner, None, Spec::Pool);
        let mut options = world.batch_options();
        change(&mut options);
        let batch = world.fresh_id();
        world.done(owner, Request::BatchOpen { id: batch, pool, function: "f", options });
        ChunkFixture { world, owner, worker, pool, batch, stop: options.stop }
    }

    /// A batch of which the first call has shown that its calls take no time, and a chunk of this many more.
    pub(crate) fn with_short_calls(calls: u8, change: impl FnOnce(&mut BatchOptions)) -> ChunkFixture {
        ChunkFixture::with_short_calls_within(Limits::default(), calls, change)
    }

    pub(crate) fn with_short_calls_within(
        limits: Limits,
        calls: u8,
        change: impl FnOnce(&mut BatchOptions),
    ) -> ChunkFixture {
        let mut fixture = ChunkFixture::with(limits, change);
        fixture.add(&[b"first"]);
        fixture.take(1);
        fixture.end(0, &[b"FIRST"]);
        assert_eq!(fixture.endings(), [(0, None)]);
        if calls == 0 {
            return fixture;
        }
        let calls: Vec<u8> = (1..=calls).collect();
        fixture.add(&calls.iter().map(std::slice::from_ref).collect::<Vec<_>>());
        fixture
    }

    pub(crate) fn add_chunks(&mut self, chunks: Vec<Chunk<'_>>) {
        let add = Request::BatchAdd { id: self.batch, chunks, last: false };
        assert_eq!(self.world.ask(self.owner, add), Reply::Done);
    }

    /// Adds a chunk of calls with these arguments.
    pub(crate) fn add(&mut self, calls: &[&[u8]]) {
        self.add_chunks(vec![input(&calls_of(calls), calls.len() as u32)]);
    }

    pub(crate) fn take_in(&mut self, worker: SessionId, most: u32) -> CallsGrant {
        match self.world.take(worker, Target::Calls { pool: self.pool, most }) {
            Grant::Calls(grant) => grant,
            other => panic!("not calls: {other:?}"),
        }
    }

    pub(crate) fn take(&mut self, most: u32) -> CallsGrant {
        self.take_in(self.worker, most)
    }

    /// The numbers of the calls that the worker gets.
    pub(crate) fn numbers(&mut self, worker: SessionId) -> std::ops::Range<u64> {
        let grant = self.take_in(worker, u32::MAX);
        grant.first..grant.first + u64::from(grant.calls)
    }

    pub(crate) fn end(&mut self, first: u64, results: &[&[u8]]) {
        assert_eq!(self.world.end_calls(self.worker, self.batch, first, results), Reply::Done);
    }

    pub(crate) fn report(&mut self, first: u64, ends: Vec<CallsOutcome<&[u8], &str>>) -> Reply {
        let (batch, carries) = (self.batch, Vec::new());
        self.world.ask(self.worker, Request::CallsEnd { batch, first, ends: ends.into(), carries })
    }

    pub(crate) fn endings(&mut self) -> Vec<(u64, Option<FailureKind>)> {
        endings(self.world.results(self.owner, self.batch).results)
    }

    /// How many calls wait, run, have returned and have failed.
    pub(crate) fn progress(&mut self) -> [u64; 4] {
        match self.world.ask(self.owner, Request::BatchProgress { id: self.batch }) {
            Reply::Progress(progress) => {
                [progress.waiting, progress.running, progress.returned, progress.failed]
            }
            other => panic!("not progress: {other:?}"),
        }
    }
}

pub(crate) fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(refusal) if refusal.code == Code::BadArgument)
}

pub(crate) fn ended(calls: u32, results: &[u8]) -> CallsOutcome<&[u8], &str> {
    CallsOutcome { calls, outcome: Outcome::Returned(results) }
}

pub(crate) fn failed(calls: u32) -> CallsOutcome<&'static [u8], &'static str> {
    CallsOutcome { calls, outcome: Outcome::Failed(Failure { kind: FailureKind::Panicked, text: "no" }) }
}

#[test]
fn a_chunk_is_granted_in_parts_and_ends_in_runs() {
    let mut fixture = ChunkFixture::new();
    fixture.add(&[b"a", b"bb", b"", b"d", b"e", b"f", b"g", b"h", b"i"]);
    assert_eq!(fixture.progress(), [9, 0, 0, 0]);
    let first = fixture.take(64);
    assert_eq!((first.first, first.calls, first.retry, first.report_each), (0, 1, 0, false));
    assert_eq!(first.arguments.as_bytes(), calls_of(&[b"a"]));
    fixture.end(0, &[b"A"]);
    let next = fixture.take(64);
    assert_eq!((next.first, next.calls), (1, 2), "a quarter of the eight calls that wait");
    assert_eq!(next.arguments.as_bytes(), calls_of(&[b"bb", b""]));
    assert_eq!(fixture.progress(), [7, 1, 1, 0], "the second has not begun");
    fixture.end(1, &[b"BB", b""]);
    let results = fixture.world.results(fixture.owner, fixture.batch).results;
    assert_eq!(results, [returned(0, b"A"), returned_all(1, &[b"BB", b""])]);
    assert_eq!(fixture.take(1).arguments.as_bytes(), calls_of(&[b"d"]), "no more than were asked for");
    assert_eq!(fixture.progress(), [5, 1, 3, 0]);
}

#[test]
fn calls_of_a_grant_end_in_different_ways() {
    let mut fixture = ChunkFixture::with_short_calls(16, |_| {});
    assert_eq!(fixture.numbers(fixture.worker), 1..5);
    let (one, two) = (calls_of(&[b"A"]), calls_of(&[b"C", b"D"]));
    assert_eq!(fixture.report(1, vec![ended(1, &one), failed(1), ended(2, &two)]), Reply::Done);
    let results = fixture.world.results(fixture.owner, fixture.batch).results;
    assert_eq!(results[0], returned(1, b"A"));
    assert_eq!(results[2], returned_all(3, &[b"C", b"D"]));
    assert_eq!(endings(results), [(1, None), (2, Some(FailureKind::Panicked)), (3, None), (4, None)]);
    assert_eq!(fixture.progress(), [12, 0, 4, 1]);
}

#[test]
fn small_chunks_come_together_if_nobody_loses_and_large_ones_in_parts_at_any_time() {
    let mut fixture = ChunkFixture::with_short_calls(0, |_| {});
    fixture.add_chunks([empty_calls(10), vec![input(&[0; 30], 30)]].concat());
    let grant = fixture.take(64);
    assert_eq!((grant.first, grant.calls, grant.arguments.as_bytes()), (1, 10, &[0; 10][..]));
    let grant = fixture.take(64);
    assert_eq!((grant.first, grant.calls), (11, 7));

    // While another batch has calls to begin, chunks do not come together.
    let mut fixture = ChunkFixture::with_short_calls(0, |_| {});
    fixture.add_chunks([empty_calls(2), vec![input(&[0; 38], 38)]].concat());
    let other = fixture.world.batch(fixture.owner, fixture.pool);
    fixture.world.fill(fixture.owner, other, &[b"other".as_slice(); 9]);
    let granted: Vec<(ObjectId, u32)> =
        (0..6).map(|_| fixture.take(64)).map(|grant| (grant.batch, grant.calls)).collect();
    let batch = fixture.batch;
    assert_eq!(granted, [(batch, 1), (other, 1), (batch, 1), (other, 1), (batch, 9), (other, 1)]);
}

#[test]
fn what_starts_again_does_not_come_together_with_what_starts_for_the_first_time() {
    let mut fixture = ChunkFixture::with_short_calls(40, |options| options.retries = 1);
    let (worker, second) = (fixture.worker, fixture.world.session("second"));
    assert_eq!(fixture.numbers(worker), 1..11);
    fixture.world.kill(worker);
    let grants: Vec<_> = (0..2).map(|_| fixture.take_in(second, 64)).collect();
    assert_eq!((grants[0].first, grants[0].calls, grants[0].retry), (1, 1, 1));
    assert_eq!((grants[1].first, grants[1].calls, grants[1].retry), (2, 9, 0));
    assert_eq!(grants[1].arguments.as_bytes(), (2..11).flat_map(|call| [1, call]).collect::<Vec<u8>>());
}

#[test]
fn a_grant_has_not_too_many_calls_or_bytes() {
    let mut fixture = ChunkFixture::with_short_calls(0, |_| {});
    for _ in 0..2 {
        fixture.add_chunks(vec![input(&vec![0; CALLS_PER_CHUNK_MAX], CALLS_PER_CHUNK_MAX as u32)]);
    }
    assert_eq!(fixture.take(u32::MAX).calls, CALLS_PER_GRANT_MAX as u32);

    let mut fixture = ChunkFixture::with_short_calls(0, |_| {});
    let quarter = vec![7; GRANT_BYTES_MAX / 4 - 2];
    fixture.add(&[&quarter[..]; 40]);
    let grant = fixture.take(u32::MAX);
    assert_eq!((grant.calls, grant.arguments.as_bytes().len()), (4, GRANT_BYTES_MAX));

    let mut fixture = ChunkFixture::with_short_calls(0, |_| {});
    let large = vec![7; GRANT_BYTES_MAX];
    fixture.add(&[b"", &large, b"", b"", b"", b"", b"", b""]);
    let sizes: Vec<u32> = (0..3).map(|_| fixture.take(u32::MAX).calls).collect();
    assert_eq!(sizes, [1, 1, 1], "a large call comes alone, and what stands behind it comes later");
}

#[test]
fn a_chunk_that_is_none_is_refused() {
    let mut fixture = ChunkFixture::new();
    let add = |chunk: Chunk<'static>| Request::BatchAdd {
        id: ObjectId(uuid::Uuid::nil()),
        chunks: vec![chunk],
        last: false,
    };
    let batch = fixture.batch;
    let mut refused = |arguments: &'static [u8], calls| {
        let mut request = add(input(arguments, calls));
        let Request::BatchAdd { id, .. } = &mut request else { unreachable!("it is one") };
        *id = batch;
        fixture.world.refused(fixture.owner, request)
    };
    for (arguments, calls) in
        [(&[][..], 0), (&[], 1), (&[0], 0), (&[0, 0], 1), (&[0], 2), (&[2, 7], 1), (&[0x80], 1), (b"\x01", 1)]
    {
        assert_eq!(refused(arguments, calls).0, Code::BadArgument, "{arguments:?} for {calls} calls");
    }
    let (most, zeros) = (CALLS_PER_CHUNK_MAX as u32, vec![0; CALLS_PER_CHUNK_MAX + 1].leak());
    let (code, text) = refused(zeros, most + 1);
    assert_eq!((code, text.contains("65536")), (Code::LimitReached, true), "{text}");
    let mut chunks = vec![input(&zeros[1..], most); CALLS_PER_REQUEST_MAX / CALLS_PER_CHUNK_MAX];
    chunks.push(input(&[0], 1));
    let (code, text) =
        fixture.world.refused(fixture.owner, Request::BatchAdd { id: batch, chunks, last: false });
    assert_eq!((code, text.contains("262144")), (Code::LimitReached, true), "{text}");
    assert_eq!(fixture.progress(), [0; 4]);
}

#[test]
fn a_report_is_of_calls_that_the_session_runs_and_counts_once() {
    let mut fixture = ChunkFixture::with_short_calls(16, |_| {});
    assert_eq!(fixture.numbers(fixture.worker), 1..5);
    let three = calls_of(&[b"A", b"B", b"C"]);
    for (first, ends) in [
        (1, vec![]),
        (1, vec![ended(0, b"")]),
        (1, vec![failed(0)]),
        (1, vec![ended(2, &three)]),
        (1, vec![ended(4, &three)]),
        (1, vec![ended(1, b"\x05A")]),
        (2, vec![failed(1)]),
        (0, vec![failed(2)]),
        (1, vec![failed(5)]),
        (1, vec![failed(1), failed(u32::MAX)]),
        (5, vec![failed(1)]),
        (u64::MAX, vec![failed(1)]),
    ] {
        assert!(is_refused(&fixture.report(first, ends.clone())), "{first}: {ends:?}");
    }
    assert_eq!(fixture.progress(), [15, 1, 1, 0], "nothing has changed");
    assert_eq!(fixture.report(1, vec![ended(2, &three[..4])]), Reply::Done);
    assert!(is_refused(&fixture.report(1, vec![ended(2, &three[..4])])), "they have ended");
    // A report that overlaps with one before it.
    assert_eq!(fixture.report(2, vec![failed(1), ended(1, &three[4..])]), Reply::Done);
    assert_eq!(fixture.report(3, vec![ended(2, &three[2..])]), Reply::Done);
    let results = fixture.world.results(fixture.owner, fixture.batch).results;
    assert_eq!(results, [returned_all(1, &[b"A", b"B"]), returned(3, b"C"), returned(4, b"C")]);
}

#[test]
fn what_a_chunk_carries_lives_until_its_last_call_has_ended() {
    let mut fixture = ChunkFixture::with_short_calls(0, |_| {});
    let carried = fixture.world.open(fixture.owner, None, Spec::Lock);
    let chunk = Chunk { arguments: &[0; 8], carries: vec![carried], calls: 8 };
    fixture.add_chunks([empty_calls(2), vec![chunk], empty_calls(9)].concat());
    fixture.world.done(fixture.owner, Request::Detach { id: carried });
    let lives = |fixture: &mut ChunkFixture| {
        let inspect = Request::Inspect { object: protocol::Selector::Id(carried) };
        !matches!(fixture.world.ask(fixture.owner, inspect), Reply::Refused(_))
    };
    // One run may end calls of several chunks.
    let mut next = 1;
    while next < 11 {
        assert!(lives(&mut fixture), "call {next} has not ended");
        let calls = fixture.take(3).calls;
        fixture.end(next, &vec![b"".as_slice(); calls as usize]);
        next += u64::from(calls);
    }
    assert!(!lives(&mut fixture));
}

#[test]
fn a_manager_has_room_for_so_many_calls_and_no_bytes_of_theirs_are_left_behind() {
    let limits = Limits { calls_and_items_max: 20, stored_bytes_max: 1_000, ..Limits::default() };
    let mut fixture = ChunkFixture::with(limits, |options| options.retries = 2);
    let second = fixture.world.session("second");
    let chunk = |bytes: usize| input(calls_of(&vec![vec![7_u8; bytes].as_slice(); 20]).leak(), 20);
    let add = |id, bytes| Request::BatchAdd { id, chunks: vec![chunk(bytes)], last: false };
    assert_eq!(fixture.world.refused(fixture.owner, add(fixture.batch, 50)).0, Code::LimitReached);
    // Whatever becomes of the calls, in the end there is room for as many again.
    for round in 0..5_u64 {
        fixture.add_chunks(vec![chunk(49)]);
        let (code, text) = fixture.world.refused(fixture.owner, add(fixture.batch, 0));
        assert_eq!((code, text.contains("20 of at most 20")), (Code::LimitReached, true), "{text}");
        let (first, worker) = (20 * round, fixture.world.session("worker"));
        if round > 0 {
            let grant = fixture.take_in(worker, 64);
            assert_eq!((grant.first, grant.calls), (first, 5));
            fixture.world.end_calls(worker, fixture.batch, first, &[b"".as_slice(); 2]);
            match round {
                1 => fixture.world.kill(worker),
                2 => {
                    let give_back = Request::CallsGiveBack { batch: fixture.batch, first: first + 3 };
                    fixture.world.done(worker, give_back);
                }
                3 => {
                    fixture.world.ask(fixture.owner, Request::BatchCancel { id: fixture.batch });
                    fixture.world.kill(worker);
                }
                _ => {}
            }
        }
        while fixture.progress()[0] > 5 {
            let grant = fixture.take_in(second, 64);
            let results = vec![b"".as_slice(); grant.calls as usize];
            fixture.world.end_calls(second, fixture.batch, grant.first, &results);
        }
        if ![1, 3].contains(&round) {
            fixture.world.end_calls(worker, fixture.batch, first + 2, &[b"".as_slice(); 3]);
            fixture.world.end_calls(worker, fixture.batch, first + 2, &[b"".as_slice(); 1]);
            fixture.world.leave(worker);
        }
        while fixture.progress()[0] > 0 {
            let grant = fixture.take_in(second, 1);
            fixture.world.end_calls(second, fixture.batch, grant.first, &[b""]);
        }
        let mut count = 0;
        while count < 20 {
            count += fixture.endings().len();
        }
        assert_eq!((count, fixture.progress()[0]), (20, 0), "round {round}");
    }
    let payload = Payload::from(&calls_of(&[&[7; 998]])[..]);
    fixture.add_chunks(vec![input(payload.as_bytes(), 1)]);
}

#[test]
fn the_owner_waits_for_as_many_calls_however_they_come() {
    let mut fixture = ChunkFixture::with_short_calls(16, |_| {});
    assert_eq!(fixture.numbers(fixture.worker), 1..5);
    let many = wait_for(Target::ManyResults { batch: fixture.batch, least: 3 });
    let wait = fixture.world.block(fixture.owner, many);
    fixture.end(1, &[b"A", b"B"]);
    assert_eq!(fixture.world.answer(fixture.owner, wait), None);
    fixture.end(3, &[b"C"]);
    assert!(matches!(fixture.world.answer(fixture.owner, wait), Some(Reply::Taken(_))));
}

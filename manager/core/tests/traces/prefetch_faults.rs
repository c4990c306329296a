//! Workers that keep to the rules of prefetched calls, die and are cut off at any moment, with messages still on
//! their way: no call begins twice unless it may start again, none is lost, and every report of one is true. Those that
//! keep a call record report several calls at a time, and lose nothing but the call that they died in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use manager_core::{CallRecord, DeathCause, Input, SessionEnd};
use protocol::{
    BatchOptions, Chunk, FailureKind, Grant, ObjectId, Reply, Request, RequestId, SessionId, Spec,
    StopSignal, Target, ThreadId,
};
use uuid::Uuid;

use crate::call_messages::{empty_calls, endings, input};
use crate::fuzz::assert_same;
use crate::random::{Random, seeds};
use crate::requests::wait_for;
use crate::world::World;

/// What a worker has said and the manager has not read.
enum WorkerMessage {
    /// How many have ended, from this call on.
    Ended(ObjectId, u64, usize),
    GaveBack(ObjectId, u64),
    Waits,
}

/// A worker, as it sees itself.
struct FaultyWorker {
    session: SessionId,
    /// The batch of its last grant, and the calls that have not begun.
    granted: Option<(ObjectId, VecDeque<u64>)>,
    /// The call that it runs.
    runs: Option<u64>,
    /// The first call that has ended and was not reported, and the first that has not ended.
    unreported: (u64, u64),
    on_its_way: VecDeque<WorkerMessage>,
    /// Its wait, once the manager has read it.
    wait: Option<RequestId>,
    is_waiting: bool,
    /// Whether it keeps a call record.
    has_record: bool,
}

/// What the test knows about one call.
#[derive(Default)]
struct CallHistory {
    begun: u32,
    /// Whether the manager may report it as lost though it never began: it was next in a worker that died, or granted
    /// to one that was cut off.
    may_be_lost: bool,
    ended: Option<Option<FailureKind>>,
}

struct Workload {
    random: Random,
    world: World,
    owner: SessionId,
    pool: ObjectId,
    batches: Vec<(ObjectId, BatchOptions, u64)>,
    /// The batches that were made with all of their calls.
    sealed: BTreeSet<ObjectId>,
    workers: Vec<FaultyWorker>,
    histories: BTreeMap<(ObjectId, u64), CallHistory>,
}

impl FaultyWorker {
    /// Sends what it has not reported.
    fn report(&mut self, batch: ObjectId) {
        let (first, ended) = self.unreported;
        if first < ended {
            self.on_its_way.push_back(WorkerMessage::Ended(batch, first, (ended - first) as usize));
            self.unreported.0 = ended;
        }
    }

    /// What its record says, if it has one: the batch, and the first call that was not reported, that has not ended and
    /// that has not begun.
    fn record(&self) -> Option<(ObjectId, u64, u64, u64)> {
        let batch = self.granted.as_ref().map_or(ObjectId(Uuid::nil()), |(batch, _)| *batch);
        let (first, ended) = self.unreported;
        self.has_record.then_some((batch, first, ended, self.runs.map_or(ended, |call| call + 1)))
    }
}

impl Workload {
    fn new(seed: u64) -> Workload {
        let mut world = World::new();
        world.trace = Some(String::new());
        let owner = world.session("owner");
        let pool = world.open(owner, None, Spec::Pool);
        let (random, sealed, histories) = (Random(seed), BTreeSet::new(), BTreeMap::new());
        Workload { random, world, owner, pool, batches: Vec::new(), sealed, workers: Vec::new(), histories }
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0 if self.batches.len() < 4 => self.open_batch(),
            1 | 2 if !self.batches.is_empty() => self.add_chunks(),
            3 if !self.batches.is_empty() => self.disturb(),
            4 if self.workers.len() < 4 => self.hire(),
            5 if !self.workers.is_empty() => self.lose(),
            6 => {
                let time = Duration::from_nanos(self.random.below(3000));
                self.world.pass(time);
            }
            _ if !self.workers.is_empty() => {
                let chosen = self.random.below(self.workers.len() as u64) as usize;
                match self.random.below(3) {
                    0 => self.deliver(chosen),
                    _ => self.work(chosen),
                }
            }
            _ => self.hire(),
        }
        self.collect();
    }

    fn open_batch(&mut self) {
        let options = BatchOptions {
            retries: self.random.pick(&[0, 0, 2]),
            priority: self.random.pick(&[0, 0, 1]),
            ..self.world.batch_options()
        };
        let (id, pool, function) = (self.world.fresh_id(), self.pool, "f");
        self.batches.push((id, options, 0));
        if self.random.chance(2) {
            return self.world.done(self.owner, Request::BatchOpen { id, pool, function, options });
        }
        let chunks = self.chunks_for(self.batches.len() - 1);
        let (timeout_ns, thread) = (Some(0), ThreadId(7));
        let run = Request::BatchRun { id, pool, function, options, chunks, timeout_ns, thread };
        assert!(matches!(self.world.ask(self.owner, run), Reply::TimedOut { .. }));
        self.sealed.insert(id);
    }

    fn add_chunks(&mut self) {
        let chosen = self.random.below(self.batches.len() as u64) as usize;
        let id = self.batches[chosen].0;
        if !self.sealed.contains(&id) {
            let chunks = self.chunks_for(chosen);
            self.world.done(self.owner, Request::BatchAdd { id, chunks, last: false });
        }
    }

    /// Calls to add to a batch now.
    fn chunks_for(&mut self, chosen: usize) -> Vec<Chunk<'static>> {
        let count = self.random.pick(&[1, 5, 40]);
        let (id, _, added) = &mut self.batches[chosen];
        for _ in 0..count {
            self.histories.insert((*id, *added), CallHistory::default());
            *added += 1;
        }
        if self.random.chance(2) {
            return empty_calls(count);
        }
        vec![input(&[0; 40][..count], count as u32)]
    }

    fn disturb(&mut self) {
        let (id, options, _) = self.random.pick(&self.batches);
        match self.random.below(8) {
            0 => self.world.set(self.owner, options.stop),
            1 => {
                self.world.ask(self.owner, Request::BatchSignal { id, signal: StopSignal::Kill });
            }
            _ => {
                self.world.ask(self.owner, Request::BatchCancel { id });
            }
        }
    }

    fn hire(&mut self) {
        let session = self.world.session("worker");
        let has_record = self.random.chance(2);
        self.workers.push(FaultyWorker {
            session,
            granted: None,
            runs: None,
            unreported: (0, 0),
            on_its_way: VecDeque::new(),
            wait: None,
            is_waiting: false,
            has_record,
        });
    }

    /// A worker dies, and the manager reads all that it sent, then its record; or the manager cuts it off, and it goes
    /// on unheard.
    fn lose(&mut self) {
        let chosen = self.random.below(self.workers.len() as u64) as usize;
        let cut_off = self.random.chance(4);
        if !cut_off {
            while !self.workers[chosen].on_its_way.is_empty() {
                self.deliver(chosen);
            }
        }
        let known = (!cut_off || self.random.chance(2)).then(|| self.workers[chosen].record()).flatten();
        // A grant that it has not read counts as prefetched.
        self.read(chosen);
        let FaultyWorker { session, granted, runs, on_its_way, .. } = self.workers.swap_remove(chosen);
        for said in on_its_way {
            if let WorkerMessage::GaveBack(batch, first) = said {
                let behind = self.histories.range_mut((batch, first)..);
                behind
                    .take_while(|((of, _), _)| *of == batch)
                    .for_each(|(_, history)| history.may_be_lost = true);
            }
        }
        let (batch, prefetched) = granted.unwrap_or((self.pool, VecDeque::new()));
        let uncertain = match known {
            _ if cut_off => prefetched.len(),
            Some(_) => 0,
            None => usize::from(runs.is_none()),
        };
        for &call in prefetched.iter().take(uncertain) {
            self.histories.get_mut(&(batch, call)).unwrap().may_be_lost = true;
        }
        if let Some((batch, first, ended, begun)) = known {
            let results = vec![0; (ended - first) as usize];
            let record = CallRecord { batch, first, ended, begun, results: &results };
            self.world.apply(Input::CallsFound { session, is_last: true, record });
        }
        let cause =
            if cut_off { DeathCause::Dropped("it was slow".to_owned()) } else { DeathCause::Signal(9) };
        self.world.end(session, SessionEnd::Died(cause));
    }

    /// The manager reads the next message of a worker.
    fn deliver(&mut self, chosen: usize) {
        let worker = &mut self.workers[chosen];
        let session = worker.session;
        match worker.on_its_way.pop_front() {
            None => {}
            Some(WorkerMessage::Ended(batch, first, calls)) => {
                self.world.end_calls(session, batch, first, &vec![b"".as_slice(); calls]);
            }
            Some(WorkerMessage::GaveBack(batch, first)) => {
                self.world.ask(session, Request::CallsGiveBack { batch, first });
            }
            Some(WorkerMessage::Waits) => {
                let target = Target::Calls { pool: self.pool, most: 1 + self.random.below(9) as u32 };
                let wait = self.world.send(session, wait_for(target));
                self.workers[chosen].wait = Some(wait);
            }
        }
    }

    /// A worker reads the answer to its wait, if it has come.
    fn read(&mut self, chosen: usize) {
        let worker = &mut self.workers[chosen];
        let Some(wait) = worker.wait else { return };
        match self.world.answer(worker.session, wait) {
            None => return,
            Some(Reply::Taken(mut taken)) => match taken.grants.pop() {
                Some(Grant::Calls(granted)) => {
                    let calls = granted.first..granted.first + u64::from(granted.calls);
                    worker.granted = Some((granted.batch, calls.collect()));
                    worker.unreported = (granted.first, granted.first);
                    worker.is_waiting = false;
                }
                other => panic!("not calls: {other:?}"),
            },
            // It was told to end, and asks for no more.
            Some(Reply::Refused(_)) => {}
            Some(other) => panic!("not an answer to a wait for calls: {other:?}"),
        }
        worker.wait = None;
    }

    fn work(&mut self, chosen: usize) {
        self.read(chosen);
        let (gives_back, reports) = (self.random.chance(6), self.random.chance(3));
        let worker = &mut self.workers[chosen];
        let Some((batch, calls)) = &mut worker.granted else {
            if !worker.is_waiting {
                worker.is_waiting = true;
                worker.on_its_way.push_back(WorkerMessage::Waits);
            }
            return;
        };
        let batch = *batch;
        if gives_back && let Some(&first) = calls.front() {
            calls.clear();
            worker.on_its_way.push_back(WorkerMessage::GaveBack(batch, first));
        } else if let Some(call) = worker.runs.take() {
            worker.unreported.1 = call + 1;
        } else if let Some(call) = calls.pop_front() {
            worker.runs = Some(call);
            self.histories.get_mut(&(batch, call)).unwrap().begun += 1;
        }
        let is_over = worker.runs.is_none() && worker.granted.as_ref().unwrap().1.is_empty();
        if reports || is_over || !worker.has_record {
            worker.report(batch);
        }
        if is_over {
            worker.granted = None;
        }
    }

    /// Checks what the owner learns.
    fn collect(&mut self) {
        for (batch, options, _) in self.batches.clone() {
            let none = Request::Wait {
                mode: protocol::WaitMode::Any,
                targets: [Target::ManyResults { batch, least: 1 }].into_iter().collect(),
                timeout_ns: Some(0),
                thread: ThreadId(7),
            };
            let Reply::Taken(mut taken) = self.world.ask(self.owner, none) else { continue };
            let Some(Grant::Results(results)) = taken.grants.pop() else { panic!("results") };
            for (call, kind) in endings(results.results) {
                let history = self.histories.get_mut(&(batch, call)).expect("the call was added");
                assert!(history.ended.replace(kind).is_none(), "it ended twice");
                match kind {
                    None => assert!((1..=1 + options.retries).contains(&history.begun)),
                    Some(FailureKind::Cancelled) if options.retries == 0 => assert_eq!(history.begun, 0),
                    Some(FailureKind::Cancelled) => {}
                    Some(FailureKind::WorkerDied | FailureKind::Stopped) => {
                        assert!(history.begun >= 1 || history.may_be_lost);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        for ((batch, _), history) in &self.histories {
            let retries = self.batches.iter().find(|(id, ..)| id == batch).unwrap().1.retries;
            assert!(history.begun <= 1 + retries, "begun {} times with {retries} retries", history.begun);
        }
    }

    /// Has one worker that lives do the rest of the work. Returns everything that the manager did.
    fn finish(mut self) -> String {
        while !self.workers.is_empty() {
            self.lose();
        }
        for (id, ..) in self.batches.clone().into_iter().filter(|(id, ..)| !self.sealed.contains(id)) {
            self.world.done(self.owner, Request::BatchAdd { id, chunks: vec![], last: true });
        }
        self.world.done(self.owner, Request::PoolClose { id: self.pool });
        self.hire();
        let is_at_work = |worker: &FaultyWorker| {
            !worker.is_waiting || worker.wait.is_some() || !worker.on_its_way.is_empty()
        };
        while is_at_work(&self.workers[0]) {
            self.work(0);
            self.deliver(0);
            self.collect();
        }
        let open = self.histories.values().filter(|history| history.ended.is_none()).count();
        assert_eq!(open, 0, "{open} calls never ended");
        self.world.trace.unwrap()
    }
}

#[test]
fn workers_that_keep_to_the_rules_lose_nothing_and_begin_nothing_twice() {
    for seed in seeds(100) {
        let [once, twice] = [(); 2].map(|()| {
            let mut workload = Workload::new(seed);
            (0..600).for_each(|_| workload.step());
            workload.finish()
        });
        assert_same(seed, &once, &twice);
    }
}

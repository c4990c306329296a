//! Limits of tasks, results and items.

use std::process::Command;

use protocol::limits::{
    BOUND_PROCESSES_MAX, CARRIES_MAX, FAILURE_BYTES_MAX, PAYLOAD_BYTES_MAX, PROCESSES_MAX, RESULTS_BYTES_MAX,
    TASKS_BYTES_MAX, TASKS_PER_GRANT_MAX, TASKS_PER_REQUEST_MAX,
};
use protocol::{
    BatchOptions, Failure, FailureKind, Grant, ObjectId, Outcome, Reply, Request, Results, Spec, Target,
    TaskInput, TasksGrant, ThreadId,
};
use sys::process_session;

use super::consequence::Consequence::{self, ComesLater, Cut, NotCounted, Refused, TaskFails};
use crate::tests::manager_process::ManagerProcess;
use crate::tests::raw_client::{
    RawClient, add_tasks, done, object, open_anonymous, open_batch, refused, refused_alike, wait_for,
};

const POOL: u128 = 1;
pub(super) const BATCH: u128 = 2;
const STOP: u128 = 3;
pub(super) const QUEUE: u128 = 4;

/// What one result counts with beside its bytes.
const AROUND_RESULT: usize = 16;

/// Makes a session the owner of a pool, a batch and a queue, and the pool's only worker.
pub(super) fn worker_and_owner(mut peer: RawClient) -> RawClient {
    done(&mut peer, open_anonymous(POOL, Spec::Pool));
    done(&mut peer, open_batch(BATCH, POOL, STOP, "f"));
    done(&mut peer, open_anonymous(QUEUE, Spec::Queue { capacity: None, is_joinable: false }));
    peer
}

/// The only grant of an answer.
fn grant(reply: Reply) -> Grant {
    match reply {
        Reply::Taken(mut taken) if taken.grants.len() == 1 => taken.grants.remove(0),
        other => panic!("not taken: {other:?}"),
    }
}

/// Ends the next task of the pool like this.
fn end_next_task(peer: &mut RawClient, outcome: Outcome<&[u8], &str>, carries: &[ObjectId]) {
    let Grant::Task(task) = grant(peer.call(wait_for(Target::Task { pool: object(POOL) }, Some(0)))) else {
        panic!("not a task");
    };
    let (batch, task, carries) = (task.batch, task.task, carries.to_vec());
    done(peer, Request::TaskEnd { batch, task, outcome, carries });
}

fn results(peer: &mut RawClient) -> Results {
    match grant(peer.call(wait_for(Target::Results { batch: object(BATCH) }, Some(0)))) {
        Grant::Results(results) => results,
        other => panic!("not results: {other:?}"),
    }
}

/// How a task ends whose worker reports this.
pub(super) fn outcome(peer: &mut RawClient, reported: Outcome<&[u8], &str>, carries: &[ObjectId]) -> Outcome {
    done(peer, add_tasks(BATCH, b"", 1));
    end_next_task(peer, reported, carries);
    results(peer).results.remove(0).outcome
}

pub(super) fn fails(outcome: &Outcome) -> Consequence {
    match outcome {
        Outcome::Failed(Failure { kind, .. }) => TaskFails(*kind),
        Outcome::Returned(_) => panic!("it has not failed"),
    }
}

/// A batch and its tasks in one request, which only asks for results.
fn run(number: u128, tasks: Vec<TaskInput<'_>>) -> Request<'_> {
    let stop = object(number + 1);
    let options = BatchOptions { stop, parent: None, priority: 0, retries: 0, time_limit_ns: None };
    let (id, pool) = (object(number), object(POOL));
    Request::BatchRun { id, pool, function: "f", options, tasks, timeout_ns: Some(0), thread: ThreadId(1) }
}

pub(super) fn put(item: &[u8], carries: Vec<ObjectId>) -> Request<'_> {
    wait_for(Target::Put { queue: object(QUEUE), item, carries }, None)
}

/// What brings these arguments and this item.
fn bring(number: u128, bytes: &[u8], carries: Vec<ObjectId>) -> [Request<'_>; 3] {
    let tasks = vec![TaskInput { arguments: bytes, carries: carries.clone() }];
    let add = Request::BatchAdd { id: object(BATCH), tasks: tasks.clone(), last: false };
    [add, run(number, tasks), put(bytes, carries)]
}

pub(super) fn payload_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    let bytes = vec![0; PAYLOAD_BYTES_MAX + 1];
    let (large, largest) = (&bytes[..], &bytes[1..]);
    let code = refused_alike(peer, PAYLOAD_BYTES_MAX, bring(10, large, Vec::new()));
    let returned = outcome(peer, Outcome::Returned(largest), &[]);
    assert!(matches!(returned, Outcome::Returned(payload) if payload.as_bytes().len() == PAYLOAD_BYTES_MAX));
    let failed = outcome(peer, Outcome::Returned(large), &[]);
    bring(20, largest, Vec::new()).into_iter().for_each(|request| done(peer, request));
    vec![Refused(code), fails(&failed)]
}

pub(super) fn carries() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    let many = vec![object(QUEUE); CARRIES_MAX + 1];
    let most = &many[1..];
    let code = refused_alike(peer, CARRIES_MAX, bring(10, b"", many.clone()));
    assert!(matches!(outcome(peer, Outcome::Returned(b""), most), Outcome::Returned(_)));
    let failed = outcome(peer, Outcome::Returned(b""), &many);
    bring(20, b"", most.to_vec()).into_iter().for_each(|request| done(peer, request));
    vec![Refused(code), fails(&failed)]
}

pub(super) fn failure_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    for bytes in [FAILURE_BYTES_MAX, FAILURE_BYTES_MAX + 1] {
        let text = "t".repeat(bytes);
        let reported = Outcome::Failed(Failure { kind: FailureKind::Panicked, text: text.as_str() });
        let Outcome::Failed(failure) = outcome(peer, reported, &[]) else { panic!("it has failed") };
        assert_eq!(failure.text.len(), FAILURE_BYTES_MAX);
    }
    vec![Cut]
}

pub(super) fn results_bytes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    let half = vec![0; RESULTS_BYTES_MAX / 2 - AROUND_RESULT + 1];
    let mut counts = Vec::new();
    for second in [&half[1..], &half] {
        done(peer, add_tasks(BATCH, b"", 2));
        end_next_task(peer, Outcome::Returned(&half[1..]), &[]);
        end_next_task(peer, Outcome::Returned(second), &[]);
        counts.push(results(peer).results.len());
    }
    assert_eq!(counts, [2, 1]);
    assert_eq!(results(peer).results.len(), 1);
    // One that is larger comes alone.
    let Outcome::Returned(_) = outcome(peer, Outcome::Returned(&vec![0; RESULTS_BYTES_MAX]), &[]) else {
        panic!("it has returned");
    };
    vec![ComesLater]
}

pub(super) fn tasks_per_request() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    let task = TaskInput { arguments: b"", carries: Vec::new() };
    let requests =
        |count: usize, number| [add_tasks(BATCH, b"", count), run(number, vec![task.clone(); count])];
    let (most, more) = (requests(TASKS_PER_REQUEST_MAX, 10), requests(TASKS_PER_REQUEST_MAX + 1, 20));
    most.into_iter().for_each(|request| done(peer, request));
    vec![Refused(refused_alike(peer, TASKS_PER_REQUEST_MAX, more))]
}

/// Adds short tasks with arguments of this size, and takes as many at once as the manager gives.
fn grant_of_short_tasks(peer: &mut RawClient, count: usize, bytes: usize, most: u32) -> TasksGrant {
    let arguments = vec![0; bytes];
    done(peer, add_tasks(BATCH, &arguments, count));
    let wait = |most| wait_for(Target::Tasks { pool: object(POOL), most }, Some(0));
    // The first task begins and ends in one turn, as both requests come at once: it takes no time at all.
    let outcome = Outcome::Returned(b"".as_slice());
    let end = Request::TaskEnd { batch: object(BATCH), task: 0, outcome, carries: Vec::new() };
    let frames: Vec<u8> = [wait(1), end, wait(most)].into_iter().flat_map(|body| peer.frame(body)).collect();
    peer.send_bytes(&frames);
    assert!(matches!(grant(peer.answer().unwrap().body), Grant::Tasks(first) if first.tasks.len() == 1));
    assert_eq!(peer.answer().unwrap().body, Reply::Done);
    match grant(peer.answer().unwrap().body) {
        Grant::Tasks(grant) => grant,
        other => panic!("not tasks: {other:?}"),
    }
}

pub(super) fn tasks_per_grant() -> Vec<Consequence> {
    let all = 10 * TASKS_PER_GRANT_MAX;
    for most in [TASKS_PER_GRANT_MAX, TASKS_PER_GRANT_MAX + 1] {
        let manager = ManagerProcess::start();
        let peer = &mut worker_and_owner(manager.session());
        let grant = grant_of_short_tasks(peer, all, 0, most as u32);
        assert_eq!(grant.tasks.len(), TASKS_PER_GRANT_MAX);
        let tasks = grant.tasks.iter().map(|task| task.task).collect();
        done(peer, Request::TasksGiveBack { batch: object(BATCH), tasks });
    }
    let manager = ManagerProcess::start();
    let peer = &mut worker_and_owner(manager.session());
    let tasks = (0..=TASKS_PER_GRANT_MAX as u32).collect();
    let refusal = refused(peer, Request::TasksGiveBack { batch: object(BATCH), tasks });
    assert!(refusal.text.contains(&TASKS_PER_GRANT_MAX.to_string()), "{refusal}");
    vec![ComesLater, Refused(refusal.code)]
}

pub(super) fn bound_processes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut command = Command::new("sleep");
    command.arg("1000");
    let mut child = process_session::spawn(command, |_| Ok(())).unwrap();
    let leader = child.id();
    let mut peer = manager.session();
    for _ in 0..BOUND_PROCESSES_MAX {
        done(&mut peer, Request::BindProcesses { leader });
    }
    let refusal = refused(&mut peer, Request::BindProcesses { leader });
    assert!(refusal.text.contains(&BOUND_PROCESSES_MAX.to_string()), "{refusal}");
    done(&mut peer, Request::UnbindProcesses { leader });
    done(&mut peer, Request::BindProcesses { leader });
    // The end of the session ends what is bound to it.
    drop(peer);
    assert!(!child.wait().unwrap().success());
    vec![Refused(refusal.code)]
}

pub(super) fn tasks_bytes() -> Vec<Consequence> {
    let mut counts = Vec::new();
    for bytes in [TASKS_BYTES_MAX / 4, TASKS_BYTES_MAX / 4 + 1, TASKS_BYTES_MAX + 1] {
        let manager = ManagerProcess::start();
        let peer = &mut worker_and_owner(manager.session());
        counts.push(grant_of_short_tasks(peer, 40, bytes, 10).tasks.len());
    }
    assert_eq!(counts, [4, 3, 1]);
    vec![ComesLater]
}

pub(super) fn processes() -> Vec<Consequence> {
    let manager = ManagerProcess::start();
    let mut owner = worker_and_owner(manager.session());
    // Each of these stands for the wait of a process: whose wait it is makes no difference to a pool.
    for _ in 0..=PROCESSES_MAX {
        owner.send(wait_for(Target::Task { pool: object(POOL) }, None));
    }
    let inspect = Request::Inspect { object: protocol::Selector::Id(object(POOL)) };
    let Reply::Object(pool) = owner.call(inspect) else { panic!("the pool is there") };
    assert_eq!(pool.waiting as usize, PROCESSES_MAX + 1);
    vec![NotCounted]
}

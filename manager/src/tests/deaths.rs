//! Workers that end in every possible way, and what the owner of their call learns.

use std::path::Path;
use std::process::Command;

use protocol::{
    BatchOptions, Chunk, Failure, FailureKind, Grant, OpenMode, Outcome, Reply, Request, Spec, Target,
};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};

use super::helper::HelperProcess;
use super::raw_client::{EMPTY_CALL, RawClient, object, wait_for};
use super::running_manager::RunningManager;

const POOL: u128 = 1;
const BATCH: u128 = 2;
const STOP: u128 = 3;

fn open_pool() -> Request<'static> {
    Request::Open { id: object(POOL), name: Some("pool"), spec: Spec::Pool, mode: OpenMode::OpenOrCreate }
}

/// Takes a call, and then does something other than ending it.
pub(super) fn run_worker(name: &str, socket: &Path) {
    let mut peer = RawClient::connect(socket);
    peer.begin_session();
    peer.call(open_pool());
    peer.call(wait_for(Target::Calls { pool: object(POOL), most: 1 }, None));
    println!("worker: runs the task");
    match name {
        "worker that is killed" => std::thread::park(),
        "worker that exits" => std::process::exit(7),
        "worker that disconnects" => {
            drop(peer);
            std::thread::park();
        }
        "worker whose child holds the socket" => {
            fcntl_setfd(&peer.stream, FdFlags::empty()).unwrap();
            let mut child = Command::new("sleep").arg("60").spawn().unwrap();
            println!("child: {}", child.id());
            child.wait().unwrap();
        }
        name => panic!("no helper is called {name:?}"),
    }
}

/// Gives a call to a worker, has something happen to the worker, and returns what the owner of the call learns.
fn failure(name: &str, happens: impl FnOnce(&mut HelperProcess)) -> String {
    failure_after(|manager| {
        let mut worker = HelperProcess::start(name, manager.socket());
        worker.wait_for("worker: ");
        happens(&mut worker);
        worker
    })
}

/// Has a call lost, and returns what its owner learns. Keeps what `work` returns until then.
fn failure_after<Worker>(work: impl FnOnce(&RunningManager) -> Worker) -> String {
    let manager = RunningManager::start();
    let mut owner = manager.session();
    owner.call(open_pool());
    let (id, pool) = (object(BATCH), object(POOL));
    let options =
        BatchOptions { stop: object(STOP), parent: None, priority: 0, retries: 0, time_limit_ns: None };
    assert_eq!(owner.call(Request::BatchOpen { id, pool, function: "f", options }), Reply::Done);
    let chunks = vec![Chunk { arguments: EMPTY_CALL, carries: Vec::new(), calls: 1 }];
    assert_eq!(owner.call(Request::BatchAdd { id, chunks, last: true }), Reply::Done);

    let _worker = work(&manager);
    let reply = owner.call(wait_for(Target::Results { batch: id }, None));
    let Reply::Taken(taken) = reply else { panic!("not taken: {reply:?}") };
    let Grant::Results(results) = &taken.grants[0] else { panic!("not results: {taken:?}") };
    match &results.results[0].outcome {
        Outcome::Failed(Failure { kind: FailureKind::WorkerDied, text }) => text.to_string(),
        outcome => panic!("not the death of a worker: {outcome:?}"),
    }
}

#[test]
fn a_signal_is_named() {
    let text = failure("worker that is killed", |worker| worker.signal(Signal::KILL));
    assert!(text.contains("signal 9"), "{text}");
}

#[test]
fn a_signal_is_named_even_if_the_process_is_reaped_at_once() {
    let text = failure("worker that is killed", |worker| {
        worker.signal(Signal::TERM);
        worker.child.wait().unwrap();
    });
    assert!(text.contains("signal 15"), "{text}");
}

#[test]
fn an_exit_without_goodbye_is_told_with_its_status() {
    let text = failure("worker that exits", |_| {});
    assert!(text.contains('7'), "{text}");
}

#[test]
fn a_connection_that_breaks_off_in_a_living_process_is_an_end_too() {
    let text = failure("worker that disconnects", |_| {});
    assert!(text.contains("connection"), "{text}");
}

#[test]
fn a_death_shows_even_if_a_child_holds_the_socket() {
    let mut child = None;
    let text = failure("worker whose child holds the socket", |worker| {
        child = worker.wait_for("child: ").parse().ok().and_then(Pid::from_raw);
        worker.signal(Signal::KILL);
    });
    kill_process(child.unwrap(), Signal::KILL).unwrap();
    assert!(text.contains("signal 9"), "{text}");
}

#[test]
fn a_goodbye_is_heard_from_a_peer_that_is_gone_before_its_answers_are_sent() {
    let text = failure_after(|manager| {
        let mut peer = manager.session();
        peer.call(open_pool());
        peer.call(wait_for(Target::Calls { pool: object(POOL), most: 1 }, None));
        // More than the manager reads in one turn, so that it sends answers to a closed socket before it is through.
        let requests = (0..20_000).flat_map(|_| peer.frame(Request::EventIsSet { id: object(9) }));
        let mut bytes: Vec<u8> = requests.collect();
        bytes.extend(peer.frame(Request::Goodbye));
        let reader = peer.stream.try_clone().unwrap();
        let drain = std::thread::spawn(move || std::io::copy(&mut &reader, &mut std::io::sink()));
        peer.send_bytes(&bytes);
        peer.stream.shutdown(std::net::Shutdown::Both).unwrap();
        drop(drain);
    });
    assert!(text.contains("left"), "{text}");
}

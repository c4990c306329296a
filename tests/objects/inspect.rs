//! What `inspect` shows of a manager, in words: its sessions, the holders and the waiters.

use std::collections::BTreeSet;
use std::time::Duration;

use client::inspect::{Kind, ObjectState};
use client::{Lock, Manager, Result};

use crate::support::observation::until_waiting_by_id;
use crate::support::remote_client::{ClientReport, LatchOrder, LockOrder, QueueOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, eventually, test};

/// Longer than any test, and not forever.
const LONG: Duration = Duration::from_secs(1000);

#[apply(test)]
fn sessions_are_listed_while_they_live() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    let mut client = RemoteClient::with(QueueOrder::Use(queue.clone()));
    client.tell(QueueOrder::Get);
    until_waiting_by_id(&manager, queue.reference().id(), 1);

    let sessions = manager.sessions().unwrap();
    let [own, other] = &sessions[..] else { panic!("{sessions:?}") };
    assert_eq!((own.process, own.objects, own.waits), (std::process::id(), 1, 0));
    assert_eq!((other.process, other.objects, other.waits, other.calls), (client.process(), 1, 1, 0));
    let name = std::env::current_exe().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let text = other.to_string();
    assert!(text.starts_with(&format!("pid {} ({name}), connected ", client.process())), "{text}");
    assert!(text.ends_with(" ago, 1 object, 1 wait, 0 calls"), "{text}");

    client.kill();
    eventually("the dead are not listed", || manager.sessions().unwrap().len() == 1);
}

#[apply(test)]
fn objects_are_listed_however_many() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let events = (0..2100).map(|_| manager.anonymous_event()).collect::<Result<Vec<_>>>().unwrap();
    let named = manager.latch("named", 1).unwrap();
    let mut client = RemoteClient::with(LatchOrder::Use(named.clone()));
    client.tell(LatchOrder::Open(None));
    until_waiting_by_id(&manager, named.reference().id(), 1);

    let objects = manager.objects().unwrap();
    assert!(objects.is_sorted_by_key(|object| object.id));
    let ids: BTreeSet<_> = objects.iter().map(|object| object.id).collect();
    let expected: BTreeSet<_> = events.iter().map(|event| event.reference().id()).collect();
    assert!(expected.is_subset(&ids) && ids.len() == objects.len() && objects.len() == 2101);
    let found = objects.iter().find(|object| object.name.is_some()).unwrap();
    assert_eq!((found.name.as_deref(), found.kind), (Some("named"), Kind::Latch));
    assert_eq!(found.to_string(), "latch \"named\", awaited");
    assert!(objects.iter().filter(|object| object.kind == Kind::Event).all(|event| !event.is_awaited));
    drop(events);
    eventually("they are freed", || manager.objects().unwrap().len() == 1);
}

/// A client that holds a lock.
fn holding(program: &ManagerProgram, lock: Lock) -> RemoteClient {
    let mut client = RemoteClient::start(program);
    client.takes(LockOrder::Acquire(lock, None));
    client
}

#[apply(test)]
fn a_lock_shows_its_holder_and_its_waiters_in_order() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let lock = manager.lock("deploy").unwrap();
    let holder = holding(&program, lock.clone());
    let waits = |count| eventually("they wait", || manager.inspect("deploy").unwrap().waiting == count);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| lock.acquire().unwrap().release());
        waits(1);
        let second = scope.spawn(|| lock.acquire_timeout(LONG).unwrap().unwrap().release());
        waits(2);

        let info = manager.inspect("deploy").unwrap();
        let ObjectState::Lock { is_reentrant: false, holder: Some(found), abandoned: None } = &info.state
        else {
            panic!("{info:?}")
        };
        assert_eq!((found.process, found.depth), (holder.process(), 1));
        let [one, two] = &info.waiters[..] else { panic!("{info:?}") };
        assert_eq!((one.process, one.remaining), (std::process::id(), None));
        assert!(two.remaining.is_some_and(|remaining| remaining <= LONG) && one.waited >= two.waited);
        assert_ne!(one.thread, two.thread);
        let text = info.to_string();
        let lines: Vec<&str> = text.lines().collect();
        let held = format!("lock \"deploy\": held by pid {} (", holder.process());
        assert!(lines.len() == 3 && lines[0].starts_with(&held), "{text}");
        assert!(lines[1].starts_with("  1. pid ") && lines[2].contains(", gives up in 16 min "), "{text}");

        holder.kill();
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
    });
    assert_eq!(manager.inspect("deploy").unwrap().to_string(), "lock \"deploy\": free");
    holding(&program, lock).kill();
    let shown = || manager.inspect("deploy").unwrap().to_string();
    eventually("it shows which process left it behind", || shown().contains("free, left behind by pid"));
    assert!(shown().contains("SIGKILL"), "{}", shown());
}

/// The object of this name in words, without its name.
fn text(manager: &Manager, name: &str) -> String {
    let text = manager.inspect(name).unwrap().to_string();
    text.split_once(": ").unwrap().1.to_owned()
}

#[apply(test)]
fn every_kind_shows_its_state() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let event = manager.event("event").unwrap();
    assert_eq!(text(&manager, "event"), "not set");
    event.set_because("disk full").unwrap();
    let shown = text(&manager, "event");
    assert!(shown.starts_with("set by pid ") && shown.ends_with(" ago: disk full"), "{shown}");

    let barrier = manager.barrier("barrier", 3).unwrap();
    assert_eq!(text(&manager, "barrier"), "0 of 3 parties wait");
    barrier.abort("by client").unwrap();
    assert!(text(&manager, "barrier").starts_with("broken: "));

    manager.latch("latch", 2).unwrap().count_down().unwrap();
    assert_eq!(text(&manager, "latch"), "1 left to count down");

    let queue = manager.queue_options::<u64>().capacity(2).joinable(true).create_new("queue").unwrap();
    let mut client = RemoteClient::with(QueueOrder::Use(queue.clone()));
    queue.put(&1).unwrap();
    queue.put(&2).unwrap();
    assert_eq!(client.ask(QueueOrder::Get), Ok(ClientReport::Item(Some(1))));
    queue.close().unwrap();
    let shown = text(&manager, "queue");
    assert!(shown.starts_with("1 item of at most 2, 2 unfinished, closed, 1 with pid "), "{shown}");

    let semaphore = manager.bounded_semaphore("semaphore", 3).unwrap();
    let permit = semaphore.acquire(2).unwrap();
    let shown = text(&manager, "semaphore");
    assert!(shown.starts_with("1 of 3 available, 2 held by pid "), "{shown}");
    drop(permit);

    let _condition = manager.condition("condition").unwrap();
    assert!(text(&manager, "condition").starts_with("over lock "));
    let _pool = client::Pool::builder(&manager).processes(1).name("pool").start().unwrap();
    assert_eq!(text(&manager, "pool"), "0 open batches");
}

#[apply(test)]
fn a_missing_object_is_an_error() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let error = manager.inspect("nothing").unwrap_err();
    assert!(error.is_no_such_object() && error.to_string().contains("\"nothing\""), "{error:?}");
    let event = manager.anonymous_event().unwrap();
    let id = event.reference().id();
    assert_eq!(manager.inspect_id(id).unwrap().references, 1);
    drop(event);
    assert!(manager.inspect_id(id).unwrap_err().is_no_such_object());
}

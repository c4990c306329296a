//! Proxies that cannot be attached to their objects: wherever they arrive, a predicate of the error says why.

use client::task::named;
use client::{Error, Event, Lock, Manager, Pool, Queue, decode, encode, take_decode_error};
use protocol::{Epoch, ObjectId};

use crate::pool::task::{hold, set};
use crate::support::remote_client::{ClientReport, EventOrder, RemoteClient};
use crate::support::{ManagerProgram, PATIENCE, apply, test};

/// The tuple that a proxy travels as, for callers that know its bytes and have no proxy.
type ProxyParts = (String, Epoch, ObjectId);

/// The bytes of a proxy, put together here.
fn forged(manager: &Manager, epoch: Epoch, id: ObjectId) -> Vec<u8> {
    encode(&(manager.address().to_string(), epoch, id)).unwrap()
}

/// An id that no object ever had.
fn nothing() -> ObjectId {
    decode(&[9; 16]).unwrap()
}

/// A life of a manager that no manager ever had.
fn other_life() -> Epoch {
    decode(&[7; 16]).unwrap()
}

#[apply(test)]
fn a_proxy_from_an_earlier_life_of_the_manager_is_stale() {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let event = manager.event("same name").unwrap();
    let bytes = encode(&event).unwrap();
    program.restart();

    // It is stale wherever it is decoded: in its own process, before and after that has met the new manager, and in
    // another.
    for _ in 0..2 {
        let error = decode::<Event>(&bytes).unwrap_err();
        assert!(error.is_stale() && error.to_string().contains("earlier life"), "{error:?}");
        program.connect().event("same name").unwrap();
    }
    let mut client = RemoteClient::with_event(&program, "same name", false);
    assert!(client.ask(EventOrder::Take(bytes.clone())).unwrap_err().is_stale());
    assert_eq!(client.ask(EventOrder::IsSet), Ok(ClientReport::Flag(false)));

    // For a value in another format, `take_decode_error` says so.
    assert!(postcard::from_bytes::<Event>(&bytes).is_err());
    assert!(take_decode_error().is_some_and(|error| error.is_stale()));
    assert_eq!(take_decode_error(), None);
    assert!(event.is_set().unwrap_err().is_manager_gone());
}

#[apply(test)]
fn a_proxy_of_a_manager_that_has_ended_is_refused() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let bytes = encode(&manager.event("short").unwrap()).unwrap();
    drop((manager, program));
    let error = decode::<Event>(&bytes).unwrap_err();
    assert!(error.is_not_running() || error.is_manager_gone(), "{error:?}");
}

#[apply(test)]
fn a_proxy_of_nothing_is_refused() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let bytes = forged(&manager, manager.link().epoch(), nothing());
    for error in [
        decode::<Event>(&bytes).unwrap_err(),
        decode::<Lock>(&bytes).unwrap_err(),
        decode::<Queue<u8>>(&bytes).unwrap_err(),
    ] {
        assert!(error.is_no_such_object() && !error.is_bad_encoding(), "{error:?}");
    }
    let other = forged(&manager, other_life(), nothing());
    assert!(decode::<Event>(&other).unwrap_err().is_stale());
    assert!(decode::<Event>(&[0xff; 20]).unwrap_err().is_bad_encoding());
}

#[apply(test)]
fn a_proxy_of_a_removed_or_freed_object_is_refused() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let named = manager.lock("short").unwrap();
    let (bytes, freed) = (encode(&named).unwrap(), encode(&manager.anonymous_event().unwrap()).unwrap());
    named.remove().unwrap();
    assert!(decode::<Lock>(&bytes).unwrap_err().is_no_such_object());
    assert!(decode::<Vec<Event>>(&[&[1], &freed[..]].concat()).unwrap_err().is_no_such_object());
}

#[apply(test)]
fn a_proxy_of_another_kind_is_refused() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let lock = manager.lock("a lock").unwrap();
    let error = decode::<Event>(&encode(&lock).unwrap()).unwrap_err();
    assert!(error.is_wrong_kind() && error.to_string().contains("lock, not event"), "{error:?}");
    drop(decode::<Lock>(&encode(&lock).unwrap()).unwrap().acquire().unwrap());
}

/// Whether an error says that a value did not decode, and that a proxy in it is the reason.
fn is_caused_by(error: &Error, why: fn(&Error) -> bool) -> bool {
    error.is_bad_encoding() && why(error)
}

#[apply(test)]
fn an_item_with_a_bad_proxy_tells_why_and_is_finished() {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let old = forged(&manager, manager.link().epoch(), nothing());
    program.restart();
    let manager = program.connect();
    let events: Queue<Event> = manager.queue_options().joinable(true).create_new("items").unwrap();
    let locks: Queue<Lock> = manager.queue_options().joinable(true).open("items").unwrap();
    // Somebody who knows the bytes of a proxy can put them without having a proxy.
    let bytes: Queue<ProxyParts> = manager.queue_options().joinable(true).open("items").unwrap();

    let gone = manager.event("gone").unwrap();
    let good = manager.event("good").unwrap();
    events.put(&gone).unwrap();
    gone.remove().unwrap();
    locks.put(&manager.lock("a lock").unwrap()).unwrap();
    bytes.put(&decode(&old).unwrap()).unwrap();
    bytes.put(&decode(&forged(&manager, manager.link().epoch(), nothing())).unwrap()).unwrap();
    events.put(&good).unwrap();
    events.close().unwrap();

    let items: Vec<_> = events.iter().collect();
    let [removed, kind, stale, never, last] = &items[..] else { panic!("{items:?}") };
    assert!(is_caused_by(removed.as_ref().unwrap_err(), Error::is_no_such_object), "{removed:?}");
    assert!(is_caused_by(kind.as_ref().unwrap_err(), Error::is_wrong_kind), "{kind:?}");
    assert!(is_caused_by(stale.as_ref().unwrap_err(), Error::is_stale), "{stale:?}");
    assert!(is_caused_by(never.as_ref().unwrap_err(), Error::is_no_such_object), "{never:?}");
    last.as_ref().unwrap().set().unwrap();
    assert!(good.is_set().unwrap());
    events.task_done().unwrap();
    assert_eq!(events.join(PATIENCE), Ok(true), "the bad ones are finished");
    events.remove().unwrap();
    let error = events.get().unwrap_err();
    assert!(error.is_no_such_object() && !error.is_bad_encoding(), "here the queue is missing: {error:?}");
}

/// The name of the function `set` for programs that were built apart.
const SET: &str = "integration::pool::task::set";

#[apply(test)]
fn arguments_with_a_bad_proxy_tell_why() {
    let program = ManagerProgram::start();
    let (manager, other) = (program.connect(), ManagerProgram::start());
    let pool = Pool::new(&manager, 1).unwrap();
    let call = |home: &Manager, epoch: Epoch| {
        let bytes: ProxyParts = decode(&forged(home, epoch, nothing())).unwrap();
        pool.apply(named::<(ProxyParts,), client::Result<()>>(SET), (bytes,)).unwrap_err()
    };
    let error = call(&manager, other_life());
    assert!(
        is_caused_by(&error, Error::is_stale) && error.to_string().contains("its arguments"),
        "{error:?}"
    );
    // Nor does another manager have such an object.
    let other = other.connect();
    let error = call(&other, other.link().epoch());
    assert!(is_caused_by(&error, Error::is_no_such_object), "{error:?}");
    let lock = other.lock("a lock").unwrap();
    let bytes: ProxyParts = decode(&encode(&lock).unwrap()).unwrap();
    let error = pool.apply(named::<(ProxyParts,), client::Result<()>>(SET), (bytes,)).unwrap_err();
    assert!(is_caused_by(&error, Error::is_wrong_kind), "{error:?}");
    let event = manager.anonymous_event().unwrap();
    pool.apply(set, (event.clone(),)).unwrap().unwrap();
    assert!(event.is_set().unwrap(), "the worker has taken no harm");
}

#[apply(test)]
fn a_task_learns_what_became_of_its_argument() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pool = Pool::new(&manager, 1).unwrap();
    let (running, end) = (manager.anonymous_event().unwrap(), manager.anonymous_event().unwrap());
    let first = pool.apply_async(hold, (running.clone(), end.clone())).unwrap();
    running.wait(None).unwrap();
    // The first event is removed while its task is queued, and the second object is of another kind than the task
    // takes.
    let event = manager.event("short").unwrap();
    let removed = pool.apply_async(set, (event.clone(),)).unwrap();
    let lock = manager.lock("a lock").unwrap();
    let mistaken = pool.apply_async(named::<(Lock,), client::Result<()>>(SET), (lock,)).unwrap();
    event.remove().unwrap();
    end.set().unwrap();
    first.get(None).unwrap().unwrap();
    let error = removed.get(None).unwrap().unwrap_err();
    assert!(error.is_no_such_object(), "{error:?}");
    let error = mistaken.get(None).unwrap().unwrap_err();
    assert!(error.is_wrong_kind(), "{error:?}");
}

//! Tasks: what travels to them and back, and the error of a call that does not return.

use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use client::task::named;
use client::{Bytes, Event, Manager, Pool};
use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::pool::large_payloads;
use crate::support::tasks::MarkedTask;
use crate::support::{apply, task_function, test};

// A function can have a second name, by which programs without it call it.
inventory::submit! { MarkedTask(|registry| registry.named("add", add)) }

#[apply(task_function)]
pub(crate) fn add(left: u32, right: u32) -> u32 {
    left + right
}

#[apply(task_function)]
fn divide(dividend: u32, divisor: u32) -> Result<u32, String> {
    dividend.checked_div(divisor).ok_or_else(|| format!("{dividend} divided by zero"))
}

#[apply(task_function)]
pub(crate) fn fail_at(number: u32, bad: u32) -> u32 {
    assert!(number != bad, "{number} is bad");
    number
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Figure {
    Point,
    Polygon { corners: Vec<(f64, f64)>, name: Option<String> },
}

#[apply(task_function)]
fn turn(shapes: Vec<Figure>) -> Vec<Figure> {
    shapes.into_iter().rev().collect()
}

/// The process that runs it.
#[apply(task_function)]
pub(crate) fn process() -> u32 {
    std::process::id()
}

/// Sets one event when it runs, and returns when the other is set.
#[apply(task_function)]
pub(crate) fn hold(running: Event, end: Event) -> client::Result<u32> {
    running.set()?;
    end.wait(None)?;
    Ok(process())
}

#[apply(task_function)]
pub(crate) fn sleep_long() {
    sleep(Duration::from_secs(1000));
}

/// Counts down as in the example, but looks more often.
#[apply(task_function)]
pub(crate) fn count_down(identifier: u32, running: Event, stop: Event) -> client::Result<()> {
    println!("Task {identifier} running");
    running.set()?;
    for _ in 0..1000 {
        sleep(Duration::from_millis(10));
        if stop.is_set()? {
            println!("Task {identifier} stopping...");
            break;
        }
    }
    println!("Task {identifier} Done");
    Ok(())
}

#[apply(task_function)]
pub(crate) fn set(event: Event) -> client::Result<()> {
    event.set_because("a task did")
}

/// Returns as many of this worker's events. The first call makes them, which takes long.
#[apply(task_function)]
fn events_of_worker((socket, count): (String, usize)) -> Vec<Event> {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    let make = || {
        let manager = Manager::connect_to(socket).unwrap();
        (0..1_100).map(|_| manager.anonymous_event().unwrap()).collect()
    };
    EVENTS.get_or_init(make)[..count].to_vec()
}

#[apply(task_function)]
fn make_event(socket: String) -> client::Result<Event> {
    let event = Manager::connect_to(socket)?.anonymous_event()?;
    event.set()?;
    Ok(event)
}

#[apply(task_function)]
pub(crate) fn repeat(text: String, times: usize) -> String {
    text.repeat(times)
}

#[apply(task_function)]
pub(crate) fn length(text: String) -> usize {
    text.len()
}

/// A value that does not encode.
struct Secret;

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        Err(S::Error::custom("it is a secret"))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Secret, D::Error> {
        <()>::deserialize(deserializer).map(|()| Secret)
    }
}

#[apply(task_function)]
fn keep_secret() -> Secret {
    Secret
}

#[apply(task_function)]
fn hear_secret(_: Secret) {}

#[apply(test)]
fn arguments_and_results_are_any_values() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let square = vec![(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
    let shapes = vec![Figure::Point, Figure::Polygon { corners: square, name: Some("Quadrat ▢".to_owned()) }];
    let turned = pool.apply(turn, (shapes.clone(),)).unwrap();
    assert_eq!(turned, shapes.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(pool.apply(named::<(u32, u32), u32>("add"), (2, 3)).unwrap(), 5);
}

#[apply(test)]
fn an_err_is_a_value() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let result = pool.starmap_async(divide, [(6, 3), (1, 0)]).unwrap();
    assert_eq!(result.get(None).unwrap(), [Ok(2), Err("1 divided by zero".to_owned())]);
    assert!(result.successful().unwrap());
}

#[apply(test)]
fn a_panic_is_an_error_with_its_text_and_costs_no_worker() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let before = pool.apply(process, ()).unwrap();

    let result = pool.apply_async(fail_at, (3, 3)).unwrap();
    let error = result.get(None).unwrap_err();
    assert!(error.is_panicked(), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("fail_at` panicked: ") && text.contains("3 is bad (at tests/pool/task.rs:"),
        "{text}"
    );
    assert!(!result.successful().unwrap());

    assert_eq!(pool.apply(process, ()).unwrap(), before);
}

#[apply(test)]
fn the_first_failure_in_the_order_of_the_input_is_reported() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let calls = |bad: fn(u32) -> u32| (0..20).map(move |number| (number, bad(number)));
    let error = pool.batch(fail_at).chunk_size(1).starmap(calls(|number| number / 7 * 7)).unwrap_err();
    assert!(error.to_string().contains("panicked in call 1 of 20"), "{error}");
    let error = pool.batch(fail_at).chunk_size(1).starmap(calls(|_| 14)).unwrap_err();
    assert!(error.to_string().contains("panicked in call 15 of 20"), "{error}");
    let error = pool.batch(fail_at).chunk_size(10).starmap(calls(|_| 14)).unwrap_err();
    assert!(error.to_string().contains("panicked in call 15 of 20"), "{error}");
}

#[apply(test)]
fn a_function_that_is_not_registered_is_refused_at_once() {
    fn nobody_knows_this() {}

    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let error = pool.apply_async(nobody_knows_this, ()).unwrap_err();
    assert!(error.is_unknown_function(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("nobody_knows_this` is not registered"), "{text}");
    assert!(text.contains("`integration::pool::task::divide`"), "{text}");

    let error = pool.map_async(|number: u32| number, 0..3).unwrap_err();
    assert!(error.is_unknown_function() && error.to_string().contains("is a closure"), "{error:?}");
}

#[apply(test)]
fn an_unknown_name_is_reported_with_the_known_ones() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let error = pool.apply(named::<(), ()>("no such thing"), ()).unwrap_err();
    assert!(error.is_unknown_function(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("no such thing") && text.contains("`add`, `integration::"), "{text}");

    let error = pool.apply(named::<(), ()>("a\nb"), ()).unwrap_err();
    assert!(error.to_string().contains("control characters"), "{error}");
}

#[apply(test)]
fn arguments_that_do_not_decode_are_reported() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let before = pool.apply(process, ()).unwrap();
    let fewer = pool.apply(named::<(u32,), u32>("add"), (1,)).unwrap_err();
    assert!(fewer.is_bad_encoding() && fewer.to_string().contains("its arguments"), "{fewer:?}");
    let more = pool.apply(named::<(u32, u32, u32), u32>("add"), (1, 2, 3)).unwrap_err();
    assert!(more.is_bad_encoding() && more.to_string().contains("left over"), "{more:?}");
    assert_eq!(pool.apply(process, ()).unwrap(), before);
}

#[apply(test)]
fn results_that_do_not_decode_are_reported() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let error = pool.apply(named::<(u32, u32), String>("add"), (1, 2)).unwrap_err();
    assert!(error.is_bad_encoding() && error.to_string().contains("the result of `add`"), "{error:?}");
}

#[apply(test)]
fn values_that_do_not_encode_are_reported() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let before = pool.apply(process, ()).unwrap();
    let error = pool.apply(keep_secret, ()).map(drop).unwrap_err();
    assert!(error.is_bad_encoding() && error.to_string().contains("keep_secret"), "{error:?}");
    assert!(error.to_string().contains("its result"), "{error}");
    let error = pool.apply_async(hear_secret, (Secret,)).unwrap_err();
    assert!(error.is_bad_encoding() && error.to_string().contains("the arguments of a task"), "{error:?}");
    let mut results = pool.imap(hear_secret, [Secret]).unwrap();
    assert!(results.next().unwrap().unwrap_err().is_bad_encoding());
    assert!(results.next().is_none());
    assert_eq!(pool.apply(process, ()).unwrap(), before);
}

#[apply(test)]
fn a_proxy_of_another_manager_does_not_travel() {
    let manager = Manager::start().unwrap();
    let other = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let (own, foreign) = (manager.anonymous_event().unwrap(), other.anonymous_event().unwrap());
    let error = pool.apply_async(set, (foreign.clone(),)).unwrap_err();
    assert!(error.is_bad_target() && error.to_string().contains("another manager"), "{error:?}");
    assert!(pool.map_async(set, [own.clone(), foreign.clone()]).unwrap_err().is_bad_target());
    assert!(!own.is_set().unwrap(), "nothing was submitted");

    let mut results = pool.imap(set, [own.clone(), foreign.clone(), own.clone()]).unwrap();
    results.next().unwrap().unwrap().unwrap();
    assert!(results.next().unwrap().unwrap_err().is_bad_target());
    assert!(results.next().is_none() && own.is_set().unwrap());

    let builder = Pool::builder(&manager).processes(1).initializer(set, (foreign.clone(),));
    assert!(builder.start().unwrap_err().is_bad_target());
    assert!(!foreign.is_set().unwrap());

    let before = pool.apply(process, ()).unwrap();
    let socket = other.address().to_string();
    let error = pool.apply(make_event, (socket,)).unwrap_err();
    assert!(
        error.is_bad_encoding() && error.to_string().contains("its result: a proxy of another manager"),
        "{error:?}"
    );
    assert_eq!(pool.apply(process, ()).unwrap(), before);
}

#[apply(test)]
fn values_that_are_too_large_to_travel_are_reported() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let too_large = Bytes::from(vec![0; 5 << 30]);
    let error = pool.apply_async(large_payloads::length, (too_large,)).unwrap_err();
    assert!(error.is_limit() && error.to_string().contains("the arguments of a task"), "{error:?}");
    let error = pool.apply(large_payloads::fill, (5 << 30,)).unwrap_err();
    assert!(error.is_limit() && error.to_string().contains("returned too much"), "{error:?}");
    assert_eq!(pool.apply(length, ("x".repeat(15 << 20),)).unwrap(), 15 << 20);
    let texts = pool.starmap(repeat, (0..6).map(|_| ("y".repeat(1 << 20), 1))).unwrap();
    assert!(texts.len() == 6 && texts.iter().all(|text| text.len() == 1 << 20));
}

#[apply(test)]
fn proxies_travel_as_arguments() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let events: Vec<Event> = (0..50).map(|_| manager.anonymous_event().unwrap()).collect();
    for outcome in pool.map(set, events.iter().cloned()).unwrap() {
        outcome.unwrap();
    }
    for event in &events {
        let cause = event.cause().unwrap().expect("a task has set it");
        assert_eq!(cause.reason.as_deref(), Some("a task did"));
    }
}

#[apply(test)]
fn a_chunk_is_cut_where_it_would_carry_too_many_proxies() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let events: Vec<Event> = (0..2_500).map(|_| manager.anonymous_event().unwrap()).collect();
    let outcomes = pool.batch(set).chunk_size(2_500).map(events.iter().cloned()).unwrap();
    assert!(outcomes.len() == events.len() && outcomes.iter().all(Result::is_ok));
    assert!(events.iter().all(|event| event.is_set().unwrap()));
}

#[apply(test)]
fn a_proxy_that_only_a_task_has_keeps_its_object() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let (running, end) = (manager.anonymous_event().unwrap(), manager.anonymous_event().unwrap());
    let first = pool.apply_async(hold, (running.clone(), end.clone())).unwrap();
    running.wait(None).unwrap();
    // It stays queued while no process has a proxy of its event.
    let second = pool.apply_async(set, (manager.anonymous_event().unwrap(),)).unwrap();
    end.set().unwrap();
    first.get(None).unwrap().unwrap();
    second.get(None).unwrap().unwrap();
}

/// Results that returned before it, and are reported with it as a rule, are not lost with it.
#[apply(test)]
fn a_result_with_too_many_proxies_fails_alone() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 1).unwrap();
    let socket = manager.address().to_string();
    pool.apply(events_of_worker, ((socket.clone(), 0),)).unwrap();
    // Short calls come first, so that several are granted together. Two neighbours carry too many only together.
    let count = |call| match call {
        700..705 => 600,
        900 => 1_100,
        _ => 0,
    };
    let counts: Vec<usize> = (0..1_000).map(count).collect();
    let calls: Vec<_> = counts.iter().map(|&count| (socket.clone(), count)).collect();
    let results = pool.batch(events_of_worker).chunk_size(counts.len()).imap(calls).unwrap();
    for (count, result) in counts.into_iter().zip(results) {
        match result.map(|events| events.len()) {
            Ok(length) => assert!(length == count && count < 1_100, "{length} of {count}"),
            Err(error) => assert!(count == 1_100 && error.to_string().contains("proxies"), "{error:?}"),
        }
    }
}

#[apply(test)]
fn proxies_travel_as_results() {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    let socket = manager.address().to_string();
    let result = pool.map_async(make_event, (0..20).map(|_| socket.clone())).unwrap();
    assert!(result.wait(None).unwrap());
    for event in result.get(None).unwrap() {
        assert!(event.unwrap().is_set().unwrap());
    }
}

//! Deadlocks across processes, through reentrant locks and through conditions; `lock.rs` tests those of plain locks.

use client::Error;

use crate::support::observation::until_waiting;
use crate::support::remote_client::{ClientReport, ConditionOrder, LockOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, test};

/// Asserts that the text of a deadlock has these parts in this order.
fn assert_cycle(error: &Error, parts: &[&str]) {
    assert!(error.is_deadlock(), "{error:?}");
    let text = error.to_string();
    let mut rest = text.as_str();
    for part in parts {
        let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("no {part} in its place: {text}"));
        rest = after;
    }
}

/// The words for a client's process in an error.
fn name(client: &RemoteClient) -> String {
    format!("process {} ", client.process())
}

#[apply(test)]
fn through_a_reentrant_lock_is_reported_with_its_cycle() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let [mut one, mut other] = [(); 2].map(|()| RemoteClient::start(&program));
    let (deep, flat) = (manager.rlock("deep").unwrap(), manager.lock("flat").unwrap());
    for _ in 0..2 {
        one.takes(LockOrder::AcquireAgain(deep.clone(), None));
    }
    other.takes(LockOrder::Acquire(flat.clone(), None));
    one.tell(LockOrder::Acquire(flat, None));
    until_waiting(&manager, "flat", 1);
    let error = other.ask(LockOrder::AcquireAgain(deep.clone(), None)).unwrap_err();
    let (one_name, other_name) = (name(&one), name(&other));
    let cycle = ["never end", &other_name, "\"deep\", held by", &one_name, "\"flat\", held by", &other_name];
    assert_cycle(&error, &cycle);
    // When it gives way, everything goes on.
    other.does(LockOrder::Drop);
    one.has_taken();
    other.tell(LockOrder::AcquireAgain(deep, None));
    until_waiting(&manager, "deep", 1);
    for _ in 0..3 {
        one.does(LockOrder::Drop);
    }
    other.has_taken();
}

#[apply(test)]
fn through_the_lock_that_a_notified_thread_waits_for_is_reported() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let [mut waiter, mut notifier] = [(); 2].map(|()| RemoteClient::start(&program));
    let (base, outer) = (manager.lock("base").unwrap(), manager.lock("outer").unwrap());
    let news = manager.condition_options().over_lock(&base).create_new("news").unwrap();
    waiter.takes(LockOrder::Acquire(outer.clone(), None));
    waiter.takes(ConditionOrder::Enter(news.clone()));
    waiter.tell(ConditionOrder::Wait(news.clone(), None));
    until_waiting(&manager, "news", 1);
    // A thread that waits for a notification is not in a deadlock: somebody else may notify it.
    notifier.takes(ConditionOrder::Enter(news.clone()));
    notifier.tell(LockOrder::Acquire(outer.clone(), Some(std::time::Duration::ZERO)));
    assert_eq!(notifier.report(), Ok(ClientReport::Held(None)));
    // Once notified, it waits for the lock that its notifier holds, and keeps the one that its notifier wants.
    assert_eq!(notifier.ask(ConditionOrder::Notify(news, None)), Ok(ClientReport::Count(1)));
    let error = notifier.ask(LockOrder::Acquire(outer.clone(), None)).unwrap_err();
    let (waiter_name, notifier_name) = (name(&waiter), name(&notifier));
    let cycle = [
        "never end",
        &notifier_name,
        "\"outer\", held by",
        &waiter_name,
        "\"base\", held by",
        &notifier_name,
    ];
    assert_cycle(&error, &cycle);
    notifier.does(LockOrder::Drop);
    assert!(matches!(waiter.report(), Ok(ClientReport::Notified(_))));
    waiter.does(LockOrder::Drop);
    waiter.does(LockOrder::Drop);
    notifier.takes(LockOrder::Acquire(outer, None));
}

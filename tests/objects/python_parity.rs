//! What the page for users of Python promises and no other file tests.

use std::time::Duration;

use client::{Event, wait_all, wait_any};

use crate::support::observation::until_waiting_by_id;
use crate::support::remote_client::{ClientReport, EventOrder, LatchOrder, QueueOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, test};

#[apply(test)]
fn a_set_that_is_cleared_at_once_wakes_all_who_waited() {
    let program = ManagerProgram::start();
    let event = program.connect().event("flag").unwrap();
    let mut waiters = [(); 4].map(|()| RemoteClient::with_event(&program, "flag", false));
    for _ in 0..50 {
        waiters.iter_mut().for_each(RemoteClient::begin_wait);
        event.set().unwrap();
        event.clear().unwrap();
        for waiter in &mut waiters {
            assert!(matches!(waiter.report(), Ok(ClientReport::Waited(Some(_)))));
            assert_eq!(waiter.ask(EventOrder::IsSet), Ok(ClientReport::Flag(false)));
        }
    }
}

#[apply(test)]
fn a_timeout_can_be_centuries() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    let mut getter = RemoteClient::with(QueueOrder::Use(queue.clone()));
    for time in [Duration::from_secs(300 * 365 * 86_400), Duration::MAX] {
        getter.tell(QueueOrder::GetTimeout(time));
        until_waiting_by_id(&manager, queue.reference().id(), 1);
        queue.put(&1).unwrap();
        assert_eq!(getter.report(), Ok(ClientReport::Item(Some(1))));
    }
    let latch = manager.anonymous_latch(1).unwrap();
    let mut waiter = RemoteClient::with(LatchOrder::Use(latch.clone()));
    waiter.tell(LatchOrder::Open(Some(Duration::MAX)));
    until_waiting_by_id(&manager, latch.reference().id(), 1);
    latch.count_down().unwrap();
    assert_eq!(waiter.report(), Ok(ClientReport::Flag(true)));
}

#[apply(test)]
fn a_timeout_of_zero_only_looks() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let [event, other]: [Event; 2] = [(); 2].map(|()| manager.anonymous_event().unwrap());
    assert!(event.wait(Duration::ZERO).unwrap().is_none());
    assert!(wait_any(&[&event, &other], Duration::ZERO).unwrap().is_none());
    other.set().unwrap();
    assert!(wait_any(&[&event, &other], Duration::ZERO).unwrap().is_some());
    assert!(wait_all(&[&event, &other], Duration::ZERO).unwrap().is_none());
    let queue = manager.queue_options::<u64>().joinable(true).anonymous().unwrap();
    assert_eq!(queue.join(Duration::ZERO), Ok(true));
    assert_eq!(queue.get_timeout(Duration::ZERO), Ok(None));
    assert_eq!(manager.anonymous_latch(1).unwrap().wait(Duration::ZERO), Ok(false));
}

//! Pipelines through real managers: what they do, as other processes see it, and what a death leaves behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use client::{Later, Manager, Result, Taken};
use rustix::process::Signal;

use crate::support::remote_client::{ClientReport, EventOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, eventually, kill, state, test};

/// More requests than may be sent without an answer, and more than one write takes.
const MANY: usize = 20_000;

#[apply(test)]
fn all_kinds_of_requests_are_carried_out_in_order() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let event = manager.event("event").unwrap();
    let latch = manager.latch("latch", 5).unwrap();
    let semaphore = manager.semaphore("semaphore", 1).unwrap();
    let queue = manager.queue_options().capacity(2).joinable(true).open_or_create("queue").unwrap();
    let condition = manager.condition("condition").unwrap();
    let guard = condition.acquire().unwrap();
    let answers = manager
        .pipeline(|pipeline| {
            let before = pipeline.is_set(&event);
            pipeline.set_because(&event, "all is there");
            let flags = [before, pipeline.is_set(&event)];
            let cause = pipeline.cause(&event);
            pipeline.clear(&event);
            let counts = [
                pipeline.count_down(&latch),
                pipeline.count_down_by(&latch, 3),
                pipeline.count(&latch),
                pipeline.available(&semaphore),
            ];
            pipeline.release(&semaphore, 6);
            let available = pipeline.available(&semaphore);
            let puts = [(); 3].map(|()| pipeline.try_put(&queue, &7_u32));
            let item = pipeline.try_take(&queue);
            pipeline.task_done(&queue);
            let length = pipeline.len(&queue);
            pipeline.close(&queue);
            (flags, cause, counts, available, puts, item, length, pipeline.notify_all(&condition))
        })
        .unwrap();
    let (flags, cause, counts, available, puts, item, length, woken) = answers;
    assert_eq!(flags.map(Later::get), [Ok(false), Ok(true)]);
    assert_eq!(cause.get().unwrap().unwrap().reason.as_deref(), Some("all is there"));
    assert_eq!(counts.map(Later::get), [Ok(4), Ok(1), Ok(1), Ok(1)]);
    assert_eq!(available.get(), Ok(7));
    assert_eq!(puts.map(Later::get), [Ok(true), Ok(true), Ok(false)]);
    let Ok(Some(Taken::Item(item))) = item.get() else { panic!("no item") };
    assert_eq!(item.decode(), Ok(7_u32));
    assert_eq!((length.get(), woken.get()), (Ok(1), Ok(0)));
    drop(guard);
    assert!(!event.is_set().unwrap());
    assert!(queue.put(&8).unwrap_err().is_closed());
}

#[apply(test)]
fn what_is_set_in_one_is_seen_in_other_processes() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let names = ["one", "two", "three"];
    let mut clients = names.map(|name| RemoteClient::with_event(&program, name, false));
    for client in &mut clients {
        client.begin_wait();
    }
    let opened =
        manager.pipeline(|pipeline| names.map(|name| pipeline.open_or_create(manager.event_options(), name)));
    let events = opened.unwrap().map(|event| event.get().unwrap());
    manager
        .pipeline(|pipeline| {
            for event in &events {
                pipeline.set_because(event, "together");
            }
        })
        .unwrap();
    for mut client in clients {
        let Ok(ClientReport::Waited(Some(setter))) = client.report() else { panic!("it was not woken") };
        assert_eq!((setter.process, setter.reason.as_deref()), (std::process::id(), Some("together")));
        assert_eq!(client.ask(EventOrder::IsSet), Ok(ClientReport::Flag(true)));
    }
}

#[apply(test)]
fn of_any_length_comes_to_its_end() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue("queue").unwrap();
    let latch = manager.latch("latch", MANY as u64).unwrap();
    let item = "x".repeat(100);
    let counts = manager
        .pipeline(|pipeline| {
            let one = |_| {
                pipeline.try_put(&queue, &item);
                pipeline.count_down(&latch)
            };
            (0..MANY).map(one).collect::<Vec<_>>()
        })
        .unwrap();
    for (count, left) in counts.into_iter().zip((0..MANY as u64).rev()) {
        assert_eq!(count.get(), Ok(left));
    }
    assert_eq!(queue.len(), Ok(MANY as u64));
}

#[apply(test)]
fn what_was_taken_and_is_not_wanted_is_given_back() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let (lock, semaphore) = (manager.lock("lock").unwrap(), manager.semaphore("semaphore", 3).unwrap());
    let two = semaphore.permits(2);
    let (kept, too_many) = manager
        .pipeline(|pipeline| {
            pipeline.try_take(&lock);
            let kept = pipeline.try_take(&two);
            (kept, pipeline.try_take(&two))
        })
        .unwrap();
    assert!(lock.try_acquire().unwrap().is_some(), "nobody wanted it");
    let Ok(Some(Taken::Permit(permit))) = kept.get() else { panic!("no permits") };
    assert!(too_many.get().unwrap().is_none());
    assert_eq!((permit.permits(), semaphore.available()), (2, Ok(1)));
    drop(permit);
    assert_eq!(semaphore.available(), Ok(3));
}

#[apply(test)]
fn a_panic_in_the_closure_loses_nothing() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let (event, lock) = (manager.event("event").unwrap(), manager.lock("lock").unwrap());
    let outcome: thread::Result<Result<()>> = catch_unwind(AssertUnwindSafe(|| {
        manager.pipeline(|pipeline| {
            pipeline.set(&event);
            pipeline.try_take(&lock);
            panic!("the closure is wrong");
        })
    }));
    assert!(outcome.is_err());
    assert!(event.is_set().unwrap());
    assert!(lock.try_acquire().unwrap().is_some(), "it was given back");
}

#[apply(test)]
fn every_request_learns_that_the_manager_has_died() {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let event = manager.event("event").unwrap();
    program.running.signal(Signal::STOP);
    let folder = format!("/proc/{}", program.running.process());
    eventually("the manager is stopped", || state(folder.as_ref()) == Some('T'));
    let asking = thread::spawn(move || {
        let laters = manager.pipeline(|pipeline| [(); 100].map(|()| pipeline.set(&event)));
        let outcomes = laters.unwrap().map(Later::get);
        let dropped = manager.pipeline(|pipeline| drop(pipeline.set(&event)));
        (outcomes, dropped)
    });
    kill(program.running.process(), Signal::KILL);
    program.running.wait();
    let (outcomes, dropped) = asking.join().unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(client::Error::is_manager_gone)));
    assert!(dropped.unwrap_err().is_manager_gone());
}

#[apply(test)]
fn a_client_that_dies_has_done_what_reached_the_manager() {
    let program = ManagerProgram::start();
    let manager: Manager = program.connect();
    let latch = manager.latch("latch", 1_000_000).unwrap();
    let mut client = RemoteClient::with_event(&program, "event", false);
    client.tell(EventOrder::CountDown { latch: latch.clone() });
    eventually("it counts", || latch.count().unwrap() < 900_000);
    client.kill();
    // The manager carried out what had reached it, and nothing comes after that: the session is gone.
    eventually("its session has ended", || manager.sessions().unwrap().len() == 1);
    let left = latch.count().unwrap();
    assert!(left < 900_000);
    let counts = manager.pipeline(|pipeline| [pipeline.count_down(&latch), pipeline.count(&latch)]).unwrap();
    assert_eq!(counts.map(Later::get), [Ok(left - 1), Ok(left - 1)]);
}

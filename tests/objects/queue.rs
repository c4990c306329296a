//! Queues across processes: items arrive in order, each at one consumer.

use std::time::{Duration, Instant};

use client::{Manager, Queue, Taken, wait_all, wait_any};
use rustix::process::Signal;

use crate::support::observation::until_waiting_by_id;
use crate::support::remote_client::{ClientReport, QueueOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, eventually, kill, test};

/// A timeout that ends well before its test does.
const SHORT: Duration = Duration::from_millis(50);

/// The time within which everybody knows that the manager is gone.
const SOON: Duration = Duration::from_secs(1);

pub(crate) fn item(item: u64) -> client::Result<ClientReport> {
    Ok(ClientReport::Item(Some(item)))
}

pub(crate) fn put_all(queue: &Queue<u64>, items: impl IntoIterator<Item = u64>) {
    items.into_iter().for_each(|item| queue.put(&item).unwrap());
}

pub(crate) fn waiting(manager: &Manager, queue: &Queue<u64>, count: u32) {
    until_waiting_by_id(manager, queue.reference().id(), count);
}

#[apply(test)]
fn items_arrive_in_order_each_at_one_consumer() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    let [mut producer, mut first, mut second] =
        [(); 3].map(|()| RemoteClient::with(QueueOrder::Use(queue.clone())));
    for number in 1..=4 {
        assert_eq!(producer.ask(QueueOrder::Put(number)), Ok(ClientReport::Done));
    }
    assert_eq!((queue.len().unwrap(), queue.is_empty().unwrap()), (4, false));
    for (consumer, number) in [(&mut first, 1), (&mut second, 2)] {
        assert_eq!(consumer.ask(QueueOrder::Get), item(number));
    }
    assert_eq!((queue.try_get().unwrap(), queue.get().unwrap()), (Some(3), 4));
    assert_eq!((queue.try_get().unwrap(), queue.is_empty().unwrap()), (None, true));

    // Waiters get items in the order in which they came.
    for (consumer, count) in [(&mut second, 1), (&mut first, 2)] {
        consumer.tell(QueueOrder::Get);
        waiting(&manager, &queue, count);
    }
    put_all(&queue, [5, 6]);
    assert_eq!((second.report(), first.report()), (item(5), item(6)));

    let started = Instant::now();
    assert_eq!(queue.get_timeout(SHORT), Ok(None));
    assert!(started.elapsed() >= SHORT);
}

#[apply(test)]
fn producers_at_a_full_queue_wait_in_order() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue_options::<u64>().capacity(2).create_new("bounded").unwrap();
    let [mut first, mut second] = [(); 2].map(|()| RemoteClient::with(QueueOrder::Use(queue.clone())));
    assert!(queue.try_put(&1).unwrap() && queue.put_timeout(&2, SHORT).unwrap());
    assert!(!queue.try_put(&3).unwrap());
    let started = Instant::now();
    assert!(!queue.put_timeout(&3, SHORT).unwrap());
    assert!(started.elapsed() >= SHORT);
    assert_eq!(queue.len(), Ok(2));

    for (producer, number) in [(&mut first, 3), (&mut second, 4)] {
        producer.tell(QueueOrder::Put(number));
        waiting(&manager, &queue, number as u32 - 2);
    }
    assert_eq!(queue.get(), Ok(1));
    assert_eq!(first.report(), Ok(ClientReport::Done));
    assert_eq!(queue.len(), Ok(2));
    assert_eq!(queue.get(), Ok(2));
    assert_eq!(second.report(), Ok(ClientReport::Done));
    assert_eq!((queue.get(), queue.get()), (Ok(3), Ok(4)));
}

#[apply(test)]
fn a_closed_queue_gives_what_is_left_and_then_says_so() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue_options::<u64>().capacity(3).anonymous().unwrap();
    let [mut putter, mut drainer] = [(); 2].map(|()| RemoteClient::with(QueueOrder::Use(queue.clone())));
    put_all(&queue, [1, 2, 3]);
    putter.tell(QueueOrder::Put(4));
    waiting(&manager, &queue, 1);
    queue.close().unwrap();
    assert!(putter.report().unwrap_err().is_closed());
    assert!(queue.put(&5).unwrap_err().is_closed() && queue.try_put(&5).unwrap_err().is_closed());
    assert_eq!(drainer.ask(QueueOrder::Drain), Ok(ClientReport::Items(vec![1, 2, 3])));
    assert!(queue.get().unwrap_err().is_closed() && queue.try_get().unwrap_err().is_closed());
    assert!(queue.iter().next().is_none());

    // A waiter learns that no item will come.
    let queue = manager.anonymous_queue::<u64>().unwrap();
    assert_eq!(drainer.ask(QueueOrder::Use(queue.clone())), Ok(ClientReport::Done));
    drainer.tell(QueueOrder::Drain);
    waiting(&manager, &queue, 1);
    queue.close().unwrap();
    assert_eq!(drainer.report(), Ok(ClientReport::Items(vec![])));
}

#[apply(test)]
fn joiners_go_on_when_all_items_are_finished() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue_options::<u64>().joinable(true).anonymous().unwrap();
    assert_eq!(queue.join(None), Ok(true), "nothing was put");
    put_all(&queue, [1, 2]);
    assert_eq!(queue.join(SHORT), Ok(false));
    let [mut worker, mut joiner] = [(); 2].map(|()| RemoteClient::with(QueueOrder::Use(queue.clone())));
    joiner.tell(QueueOrder::Join);
    waiting(&manager, &queue, 1);
    for number in [1, 2] {
        assert_eq!(worker.ask(QueueOrder::Get), item(number));
        assert_eq!(queue.join(Duration::ZERO), Ok(false), "an item was handed out and is not finished");
        assert!(queue.task_done().unwrap_err().is_not_owner());
        assert_eq!(worker.ask(QueueOrder::TaskDone), Ok(ClientReport::Done));
    }
    assert_eq!(joiner.report(), Ok(ClientReport::Flag(true)));
    assert!(worker.ask(QueueOrder::TaskDone).unwrap_err().is_not_owner());

    let plain = manager.anonymous_queue::<u64>().unwrap();
    assert!(plain.join(SHORT).unwrap_err().is_bad_target());
    assert!(plain.task_done().unwrap_err().is_bad_target());
}

#[apply(test)]
fn a_stopped_consumer_delays_nobody() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    let mut sleeper = RemoteClient::with(QueueOrder::Use(queue.clone()));
    sleeper.tell(QueueOrder::Get);
    waiting(&manager, &queue, 1);
    sleeper.stop();
    put_all(&queue, 0..1000);
    for number in 1..1000 {
        assert_eq!(queue.try_get(), Ok(Some(number)));
    }
    kill(sleeper.process(), Signal::CONT);
    assert_eq!(sleeper.report(), item(0), "it missed nothing, either");
}

#[apply(test)]
fn all_waiters_learn_that_the_manager_was_killed() {
    let mut program = ManagerProgram::start();
    let manager = program.connect();
    let empty = manager.anonymous_queue::<u64>().unwrap();
    let full = manager.queue_options::<u64>().capacity(1).joinable(true).anonymous().unwrap();
    full.put(&0).unwrap();
    let waits = [(&empty, QueueOrder::Get, 1), (&full, QueueOrder::Put(1), 1), (&full, QueueOrder::Join, 2)];
    let mut clients = waits.map(|(queue, order, count)| {
        let mut client = RemoteClient::with(QueueOrder::Use(queue.clone()));
        client.tell(order);
        waiting(&manager, queue, count);
        client
    });
    program.running.signal(Signal::KILL);
    let killed = Instant::now();
    for client in &mut clients {
        assert!(client.report().unwrap_err().is_manager_gone());
        assert!(killed.elapsed() < SOON, "it took {:?}", killed.elapsed());
    }
    program.running.wait();
    assert!(empty.try_get().unwrap_err().is_manager_gone());
    let mut items = empty.iter();
    assert!(items.next().unwrap().unwrap_err().is_manager_gone());
    assert!(items.next().is_none(), "the iterator ends after the error");
}

#[apply(test)]
fn all_waiters_learn_that_the_queue_was_removed() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue_options::<u64>().capacity(1).joinable(true).create_new("short").unwrap();
    queue.put(&0).unwrap();
    let [mut putter, mut joiner] = [(); 2].map(|()| RemoteClient::with(QueueOrder::Use(queue.clone())));
    putter.tell(QueueOrder::Put(1));
    joiner.tell(QueueOrder::Join);
    waiting(&manager, &queue, 2);
    queue.remove().unwrap();
    for client in [&mut putter, &mut joiner] {
        assert!(client.report().unwrap_err().is_removed());
    }
    assert!(queue.len().unwrap_err().is_no_such_object());
}

#[apply(test)]
fn a_thread_finishes_what_it_got_itself() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue_options::<u64>().joinable(true).anonymous().unwrap();
    put_all(&queue, [1, 2]);
    // One thread of the client takes the slow item, and another takes and finishes the quick one.
    let mut consumer = RemoteClient::with(QueueOrder::Use(queue.clone()));
    assert_eq!(consumer.ask(QueueOrder::Get), item(1));
    assert_eq!(consumer.ask(QueueOrder::GetAndFinishInThread), item(2));
    consumer.kill();
    eventually("the slow one is back", || queue.len() == Ok(1));
    assert_eq!(queue.get(), Ok(1));
}

#[apply(test)]
fn impossible_parameters_are_refused() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let error = manager.queue_options::<u64>().capacity(0).anonymous().unwrap_err();
    assert!(error.is_bad_argument(), "{error:?}");
    manager.queue_options::<u64>().capacity(5).create_new("five").unwrap();
    let error = manager.queue::<u64>("five").unwrap_err();
    assert!(error.is_wrong_parameters() && error.to_string().contains("at most 5 items"), "{error:?}");
    assert!(manager.event("five").unwrap_err().is_wrong_kind());
}

#[apply(test)]
fn a_wait_for_any_takes_one_and_leaves_the_others() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let stop = manager.anonymous_event().unwrap();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    let full = manager.queue_options::<u64>().capacity(1).joinable(true).anonymous().unwrap();
    full.put(&0).unwrap();
    let (putting, joined) = (full.putting(&1).unwrap(), full.joined());
    assert!(wait_any(&[&stop, &queue, &putting, &joined], SHORT).unwrap().is_none());
    // A wait that timed out has left nothing in the wait queues.
    waiting(&manager, &queue, 0);
    waiting(&manager, &full, 0);

    put_all(&queue, [7]);
    let Ok(Some((1, Taken::Item(item)))) = wait_any(&[&stop, &queue, &putting], None) else { panic!() };
    assert_eq!(item.decode::<u64>(), Ok(7));
    assert_eq!(full.get(), Ok(0));
    let taken = wait_any(&[&stop, &queue, &putting, &joined], None).unwrap();
    assert!(matches!(taken, Some((2, Taken::Put))), "{taken:?}");
    full.task_done().unwrap();
    assert_eq!(full.get(), Ok(1));
    full.task_done().unwrap();
    let taken = wait_any(&[&stop, &queue, &joined], None).unwrap();
    assert!(matches!(taken, Some((2, Taken::Joined))), "{taken:?}");
    // The wait takes the first in the list that is ready.
    stop.set().unwrap();
    put_all(&queue, [8]);
    let taken = wait_any(&[&stop, &queue], None).unwrap();
    assert!(matches!(taken, Some((0, Taken::Event(_)))), "{taken:?}");
    assert_eq!(queue.len(), Ok(1));
}

#[apply(test)]
fn a_wait_for_all_takes_all_or_nothing() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let [from, to] = [(); 2].map(|()| manager.queue_options::<u64>().capacity(1).anonymous().unwrap());
    let turn = manager.event_options().auto_reset(true).anonymous().unwrap();
    let permits = manager.anonymous_semaphore(1).unwrap();
    let putting = to.putting(&9).unwrap();
    put_all(&from, [1]);
    assert!(wait_all(&[&from, &turn, &putting, &permits], SHORT).unwrap().is_none());
    assert_eq!((from.len(), to.len(), permits.available()), (Ok(1), Ok(0), Ok(1)), "nothing was taken");

    turn.set().unwrap();
    let taken = wait_all(&[&from, &turn, &putting, &permits], None).unwrap().unwrap();
    let [Taken::Item(item), Taken::Event(_), Taken::Put, Taken::Permit(permit)] =
        <[Taken; 4]>::try_from(taken).unwrap()
    else {
        panic!("each gives its own")
    };
    assert_eq!((permits.available(), from.len(), to.len()), (Ok(0), Ok(0), Ok(1)));
    assert_eq!((item.decode::<u64>(), to.get()), (Ok(1), Ok(9)));
    drop(permit);
    assert!(wait_all(&[&from, &to], None).unwrap_err().is_bad_target());
}

#[apply(test)]
fn nothing_is_lost_or_doubled_among_many() {
    const ITEMS: u64 = 500;
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue_options::<u64>().capacity(3).anonymous().unwrap();
    let mut consumers = [(); 3].map(|()| RemoteClient::with(QueueOrder::Use(queue.clone())));
    consumers.iter_mut().for_each(|consumer| consumer.tell(QueueOrder::Drain));
    std::thread::scope(|scope| {
        for producer in 0..4 {
            let queue = &queue;
            scope.spawn(move || put_all(queue, (0..ITEMS).map(|number| producer * ITEMS + number)));
        }
    });
    queue.close().unwrap();
    let mut got = Vec::new();
    for consumer in &mut consumers {
        let Ok(ClientReport::Items(items)) = consumer.report() else { panic!("a consumer failed") };
        for producer in 0..4 {
            let of_one = items.iter().filter(|&item| item / ITEMS == producer);
            assert!(of_one.is_sorted(), "items of one producer come in its order");
        }
        got.extend(items);
    }
    got.sort_unstable();
    assert!(got.into_iter().eq(0..4 * ITEMS));
}

//! Items of a queue whose consumer or producer ends: what was not acknowledged comes back, in order.

use std::time::Duration;

use crate::objects::queue::{item, put_all, waiting};
use crate::support::remote_client::{ClientReport, QueueOrder, RemoteClient};
use crate::support::{ManagerProgram, apply, eventually, test};

#[apply(test)]
fn what_a_killed_process_did_not_acknowledge_comes_back_first() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    let mut consumer = RemoteClient::with(QueueOrder::Use(queue.clone()));
    put_all(&queue, [1, 2, 3]);
    assert_eq!((consumer.ask(QueueOrder::Get), consumer.ask(QueueOrder::Get)), (item(1), item(2)));
    assert_eq!(queue.len(), Ok(1));
    consumer.kill();
    // Its request for the second item acknowledged the first.
    eventually("the second is back", || queue.len() == Ok(2));
    assert_eq!((queue.get(), queue.get()), (Ok(2), Ok(3)));
}

#[apply(test)]
fn what_a_killed_process_did_not_finish_comes_back_in_order() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue_options::<u64>().capacity(5).joinable(true).anonymous().unwrap();
    let mut consumer = RemoteClient::with(QueueOrder::Use(queue.clone()));
    put_all(&queue, 1..=5);
    for number in 1..=4 {
        assert_eq!(consumer.ask(QueueOrder::Get), item(number));
    }
    assert_eq!(consumer.ask(QueueOrder::TaskDone), Ok(ClientReport::Done));
    put_all(&queue, 6..=9);
    consumer.kill();
    // The queue holds more than its capacity now, and takes nothing until there is room.
    eventually("three are back", || queue.len() == Ok(8));
    assert_eq!(queue.try_put(&10), Ok(false));
    for number in 2..=9 {
        assert_eq!(queue.get(), Ok(number));
        assert_eq!(queue.join(Duration::ZERO), Ok(false));
        queue.task_done().unwrap();
    }
    assert_eq!(queue.join(None), Ok(true));
}

#[apply(test)]
fn an_item_on_its_way_to_a_killed_process_goes_to_the_next() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    for joinable in [false, true] {
        let queue = manager.queue_options::<u64>().joinable(joinable).anonymous().unwrap();
        let [mut first, mut second] = [(); 2].map(|()| RemoteClient::with(QueueOrder::Use(queue.clone())));
        for (consumer, count) in [(&mut first, 1), (&mut second, 2)] {
            consumer.tell(QueueOrder::Get);
            waiting(&manager, &queue, count);
        }
        first.stop();
        queue.put(&1).unwrap();
        waiting(&manager, &queue, 1);
        assert_eq!(queue.len(), Ok(0), "it was granted to the first waiter");
        first.kill();
        assert_eq!(second.report(), item(1));
    }
}

#[apply(test)]
fn a_consumer_that_ends_in_order_has_acknowledged_what_it_got() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let plain = manager.anonymous_queue::<u64>().unwrap();
    let joinable = manager.queue_options::<u64>().joinable(true).anonymous().unwrap();
    for (queue, left) in [(plain, vec![2]), (joinable, vec![1, 2])] {
        put_all(&queue, [1, 2]);
        let mut consumer = RemoteClient::with(QueueOrder::Use(queue.clone()));
        assert_eq!(consumer.ask(QueueOrder::Get), item(1));
        consumer.end();
        eventually("its session has ended", || manager.sessions().unwrap().len() == 1);
        queue.close().unwrap();
        assert_eq!(queue.iter().collect::<client::Result<Vec<u64>>>(), Ok(left));
    }
}

#[apply(test)]
fn what_a_killed_process_waited_to_put_is_never_put() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue_options::<u64>().capacity(1).anonymous().unwrap();
    let [mut first, mut second] = [(); 2].map(|()| RemoteClient::with(QueueOrder::Use(queue.clone())));
    queue.put(&0).unwrap();
    for (producer, number) in [(&mut first, 1), (&mut second, 2)] {
        producer.tell(QueueOrder::Put(number));
        waiting(&manager, &queue, number as u32);
    }
    first.kill();
    waiting(&manager, &queue, 1);
    assert_eq!(queue.get(), Ok(0));
    assert_eq!(second.report(), Ok(ClientReport::Done));
    assert_eq!((queue.get(), queue.try_get()), (Ok(2), Ok(None)));
}

#[apply(test)]
fn what_a_consumer_panics_over_comes_back() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    queue.put(&1).unwrap();
    let mut consumer = RemoteClient::with(QueueOrder::Use(queue.clone()));
    assert_eq!(consumer.ask(QueueOrder::Get), item(1));
    consumer.panic();
    eventually("it is back", || queue.len() == Ok(1));
    assert_eq!(queue.get(), Ok(1));
}

//! Items of queues across processes: how values become items and come back, and what they carry.

use client::{Event, Manager, Queue, Taken, wait_any};

use crate::support::remote_client::{ClientReport, QueueOrder, RemoteClient};
use crate::support::{ManagerProgram, PATIENCE, apply, eventually, test};

/// A queue of numbers, and the same queue as one of pairs.
fn two_types(manager: &Manager, joinable: bool) -> (Queue<u64>, Queue<(u64, u64)>) {
    let name = if joinable { "joinable" } else { "plain" };
    let numbers = manager.queue_options().joinable(joinable).create_new(name).unwrap();
    let pairs = manager.queue_options().joinable(joinable).open(name).unwrap();
    (numbers, pairs)
}

#[apply(test)]
fn an_item_of_another_type_fails_once_at_one_consumer() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let (numbers, pairs) = two_types(&manager, false);
    let mut consumer = RemoteClient::with(QueueOrder::Use(numbers.clone()));
    pairs.put(&(1, 2)).unwrap();
    numbers.put(&3).unwrap();
    let error = consumer.ask(QueueOrder::Get).unwrap_err();
    assert!(error.is_bad_encoding() && error.to_string().contains("u64"), "{error:?}");
    // Nobody else gets the bad item, even if its first consumer dies.
    consumer.kill();
    eventually("its session has ended", || manager.sessions().unwrap().len() == 1);
    assert_eq!(numbers.get(), Ok(3));
    assert_eq!(numbers.try_get(), Ok(None));

    // Only the first item is wrong, and not those behind it.
    numbers.put(&4).unwrap();
    pairs.put(&(5, 6)).unwrap();
    pairs.close().unwrap();
    let items: Vec<client::Result<(u64, u64)>> = pairs.iter().collect();
    assert!(items[0].as_ref().is_err_and(client::Error::is_bad_encoding), "{items:?}");
    assert_eq!(items[1..], [Ok((5, 6))]);
}

#[apply(test)]
fn an_item_of_another_type_is_finished() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let (numbers, pairs) = two_types(&manager, true);
    pairs.put(&(1, 2)).unwrap();
    let mut consumer = RemoteClient::with(QueueOrder::Use(numbers.clone()));
    assert!(consumer.ask(QueueOrder::Get).unwrap_err().is_bad_encoding());
    assert_eq!(numbers.join(PATIENCE), Ok(true));
    assert!(consumer.ask(QueueOrder::TaskDone).unwrap_err().is_not_owner());
    consumer.kill();
    assert_eq!(numbers.try_get(), Ok(None));
}

#[apply(test)]
fn a_bad_item_finishes_no_other() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let (numbers, pairs) = two_types(&manager, true);
    let mut consumer = RemoteClient::with(QueueOrder::Use(numbers.clone()));
    numbers.put(&1).unwrap();
    pairs.put(&(2, 3)).unwrap();
    assert_eq!(consumer.ask(QueueOrder::Get), Ok(ClientReport::Item(Some(1))));
    assert!(consumer.ask(QueueOrder::Get).unwrap_err().is_bad_encoding());
    consumer.kill();
    eventually("the good one is back", || numbers.len() == Ok(1));
    assert_eq!(numbers.get(), Ok(1));
    numbers.task_done().unwrap();
    assert_eq!(numbers.join(PATIENCE), Ok(true));
}

#[apply(test)]
fn an_item_that_is_too_large_is_refused_before_it_is_sent() {
    let program = ManagerProgram::start();
    let queue = program.connect().anonymous_queue::<Vec<u8>>().unwrap();
    // More than a manager stores. The system gives no memory for zeroes that nobody reads.
    let too_large = vec![0; 5 << 30];
    let error = queue.put(&too_large).unwrap_err();
    assert!(error.is_limit() && error.to_string().contains("bytes"), "{error:?}");
    assert!(queue.putting(&too_large).unwrap_err().is_limit());
    assert_eq!(queue.len(), Ok(0));
    let large = vec![7; (16 << 20) - 4100];
    queue.put(&large).unwrap();
    assert!(queue.get().unwrap() == large);
}

#[apply(test)]
fn proxies_in_items_keep_their_objects() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let pairs = manager.anonymous_queue::<(Event, Event)>().unwrap();
    let numbers = manager.anonymous_queue::<u64>().unwrap();
    let mut consumer = RemoteClient::with(QueueOrder::Use(numbers));
    for _ in 0..20 {
        let pair = [(); 2].map(|()| manager.anonymous_event().unwrap());
        let copies = pair.each_ref().map(|event| postcard::to_allocvec(event).unwrap());
        pairs.put(&pair.into()).unwrap();
        // The item alone keeps both events until the consumer has both proxies.
        assert_eq!(consumer.ask(QueueOrder::GetPair(pairs.clone())), Ok(ClientReport::Done));
        for bytes in copies {
            assert!(postcard::from_bytes::<Event>(&bytes).unwrap().is_set().unwrap());
        }
    }
    // A proxy of a removed object spoils its item, and no other.
    let gone = manager.event("gone").unwrap();
    pairs.put(&(gone.clone(), gone.clone())).unwrap();
    gone.remove().unwrap();
    let error = pairs.get().unwrap_err();
    assert!(error.is_bad_encoding() && error.to_string().contains("there is no object"), "{error:?}");
}

#[apply(test)]
fn an_item_that_is_not_decoded_is_not_acknowledged() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.anonymous_queue::<(Event, Event)>().unwrap();
    let pair = [(); 2].map(|()| manager.anonymous_event().unwrap());
    queue.put(&pair.into()).unwrap();
    let Ok(Some((0, Taken::Item(item)))) = wait_any(&[&queue], None) else { panic!("there was an item") };
    // Whatever this process requests meanwhile, the manager keeps what the item carries.
    for _ in 0..3 {
        assert_eq!(queue.len(), Ok(0));
    }
    let (first, second) = item.decode::<(Event, Event)>().unwrap();
    first.set().unwrap();
    assert!(first.is_set().unwrap() && !second.is_set().unwrap());
}

#[apply(test)]
fn an_item_without_proxies_is_kept_for_any_time() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.anonymous_queue::<u64>().unwrap();
    queue.put(&0).unwrap();
    let Ok(Some((0, Taken::Item(item)))) = wait_any(&[&queue], None) else { panic!("there was an item") };
    for number in 0..100 {
        queue.put(&number).unwrap();
        assert_eq!(queue.get(), Ok(number));
    }
    assert_eq!(item.decode::<u64>(), Ok(0));

    // An item with a proxy makes later waits fail after a while, and nothing else.
    let queue = manager.anonymous_queue::<Option<Event>>().unwrap();
    queue.put(&Some(manager.anonymous_event().unwrap())).unwrap();
    let Ok(Some((0, Taken::Item(item)))) = wait_any(&[&queue], None) else { panic!("there was an item") };
    let error = (0..40_000).find_map(|_| queue.put(&None).and_then(|()| queue.get()).err()).unwrap();
    assert!(error.is_limit(), "{error:?}");
    assert!(queue.len().is_ok(), "a request that does not wait succeeds");
    assert!(!item.decode::<Option<Event>>().unwrap().unwrap().is_set().unwrap());
    queue.put(&None).unwrap();
}

#[apply(test)]
fn a_proxy_of_another_manager_is_refused() {
    let [here, there] = [(); 2].map(|()| ManagerProgram::start());
    let queue = here.connect().anonymous_queue::<Event>().unwrap();
    let event = there.connect().anonymous_event().unwrap();
    assert!(queue.put(&event).unwrap_err().is_bad_target());
    assert!(queue.putting(&event).unwrap_err().is_bad_target());
    assert_eq!(queue.len(), Ok(0));
}

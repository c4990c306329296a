//! Items of queues that are larger than a frame: they travel as memory.

use client::{Bytes, Event, Manager, Taken, wait_any};

use crate::support::{ManagerProgram, apply, resident_kib, test};

const MIB: usize = 1 << 20;

/// Bytes of which each tells its place.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place / 7 + place) as u8).collect()
}

#[apply(test)]
fn an_item_of_any_size_comes_back() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue::<(String, Vec<u8>, u8)>("large").unwrap();
    let around = [100, 64 << 10, 255 << 10, 256 << 10, 257 << 10, 16 * MIB, 17 * MIB, 40 * MIB];
    for bytes in around {
        let item = ("before".to_owned(), pattern(bytes), 7);
        queue.put(&item).unwrap();
        assert!(queue.get().unwrap() == item, "{bytes} bytes");
    }
}

#[apply(test)]
fn values_without_vectors_of_bytes_can_be_large_too() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue::<Vec<u32>>("numbers").unwrap();
    let numbers: Vec<u32> = (0..6_000_000).collect();
    queue.put(&numbers).unwrap();
    assert!(queue.get().unwrap() == numbers);
    let queue = manager.queue::<Vec<String>>("texts").unwrap();
    let texts: Vec<String> = (0..100_000).map(|number| "text ".repeat(number % 20)).collect();
    queue.put(&texts).unwrap();
    assert!(queue.get().unwrap() == texts);
}

#[apply(test)]
fn the_manager_does_not_copy_what_passes_through_it() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue::<Bytes>("large").unwrap();
    let item = Bytes::from(pattern(64 * MIB));
    queue.put(&item).unwrap();
    let before = resident_kib(program.running.process());
    for _ in 0..8 {
        queue.put(&item).unwrap();
    }
    let after = resident_kib(program.running.process());
    assert!(after < before + (8 << 10), "the manager had {before} KiB before and {after} KiB after");
    for _ in 0..9 {
        assert!(queue.get().unwrap() == item);
    }
}

#[apply(test)]
fn a_view_outlives_its_manager() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue::<(Bytes, Bytes)>("views").unwrap();
    let halves = (Bytes::from(pattern(2 * MIB)), Bytes::from(b"small".as_slice()));
    queue.put(&halves).unwrap();
    let views = queue.get().unwrap();
    drop(program);
    assert!(views == halves);
}

#[apply(test)]
fn a_large_item_keeps_alive_what_it_carries() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue::<(Event, Vec<u8>)>("carrying").unwrap();
    let event = manager.anonymous_event().unwrap();
    event.set().unwrap();
    queue.put(&(event, pattern(MIB))).unwrap();
    let (event, _) = queue.get().unwrap();
    assert!(event.is_set().unwrap());
}

#[apply(test)]
fn waits_for_several_objects_put_and_take_large_items() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue_options::<Vec<u8>>().capacity(1).create_new("large").unwrap();
    let event = manager.event("event").unwrap();
    let item = pattern(MIB);
    let putting = queue.putting(&item).unwrap();
    assert!(matches!(wait_any(&[&event, &putting], None).unwrap(), Some((1, Taken::Put))));
    assert!(wait_any(&[&event, &putting], std::time::Duration::ZERO).unwrap().is_none());
    let Some((1, Taken::Item(taken))) = wait_any(&[&event, &queue], None).unwrap() else { panic!("no item") };
    assert!(taken.decode::<Vec<u8>>().unwrap() == item);
    assert!(matches!(wait_any(&[&putting], None).unwrap(), Some((0, Taken::Put))));
    // One that is dropped unread is gone, like any other.
    assert!(matches!(wait_any(&[&queue], None).unwrap(), Some((0, Taken::Item(_)))));
    assert!(queue.is_empty().unwrap());
}

#[apply(test)]
fn a_manager_that_may_have_few_descriptors_takes_pieces() {
    let folder = crate::support::private_folder();
    let socket = folder.path().join("own/manager.sock");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 24; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_manager")]);
    let _running = crate::support::serve_by(&mut command, &socket);
    let manager = Manager::connect_to(&socket).unwrap();
    let queue = manager.queue::<Vec<u8>>("large").unwrap();
    let item = pattern(MIB + 12_345);
    for _ in 0..12 {
        queue.put(&item).unwrap();
    }
    for _ in 0..12 {
        assert!(queue.get().unwrap() == item);
    }
}

#[apply(test)]
fn an_item_without_room_is_refused_before_it_is_copied() {
    let program = ManagerProgram::start();
    let manager = program.connect();
    let queue = manager.queue::<Bytes>("large").unwrap();
    // The system gives no memory for zeroes that nobody reads.
    let begun = std::time::Instant::now();
    let error = queue.put(&Bytes::from(vec![0; 5 << 30])).unwrap_err();
    assert!(error.is_limit() && error.to_string().contains("4294967296"), "{error:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "nothing was copied");
    queue.put(&Bytes::from(vec![0; MIB])).unwrap();
}

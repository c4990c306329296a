//! Arguments and results of calls that are larger than a frame.

use std::process::Command;

use client::{Bytes, Error, Event, Manager, Pool, Queue};
use rustix::process::{Signal, getpid, kill_process};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Serialize, Serializer};

use crate::support::{
    ManagerProgram, apply, eventually, private_folder, resident_kib, serve_by, task_function, test,
};

const MIB: usize = 1 << 20;

#[apply(task_function)]
fn reverse(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

#[apply(task_function)]
pub(crate) fn length(bytes: Bytes) -> usize {
    bytes.len()
}

#[apply(task_function)]
fn twice(bytes: Bytes) -> (Bytes, Bytes) {
    (bytes.clone(), bytes)
}

#[apply(task_function)]
pub(crate) fn fill(bytes: usize) -> Vec<u8> {
    // The system gives no memory for zeroes that nobody reads.
    vec![0; bytes]
}

/// Kills its process, unless another has died here before.
#[apply(task_function)]
fn die_once_with(bytes: Bytes, marker: String) -> usize {
    if std::fs::File::create_new(marker).is_ok() {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
    bytes.len()
}

#[apply(task_function)]
fn set_and_return(event: Event, bytes: Vec<u8>) -> (Event, Vec<u8>) {
    event.set().unwrap();
    (event, bytes)
}

/// Gets an item, and kills its process before it has acknowledged it.
#[apply(task_function)]
fn get_and_die(queue: Queue<Bytes>) {
    assert!(queue.get().unwrap().len() > MIB);
    kill_process(getpid(), Signal::KILL).unwrap();
}

/// The first and the last mebibyte.
#[apply(task_function)]
fn ends(bytes: Bytes) -> (Bytes, Bytes) {
    (bytes.slice(..MIB), bytes.slice(bytes.len() - MIB..))
}

/// Bytes that kill the process that has encoded them.
#[derive(Debug, Deserialize)]
struct Deadly(Vec<u8>);

impl Serialize for Deadly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&self.0)?;
        kill_process(getpid(), Signal::KILL).unwrap();
        tuple.end()
    }
}

#[apply(task_function)]
fn upload_and_die(bytes: usize) -> Deadly {
    Deadly(vec![1; bytes])
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place / 5 + place) as u8).collect()
}

fn pool() -> (Manager, Pool) {
    let manager = Manager::start().unwrap();
    let pool = Pool::new(&manager, 2).unwrap();
    (manager, pool)
}

#[apply(test)]
fn arguments_and_results_of_any_size_travel() {
    let (_manager, pool) = pool();
    for bytes in [0, 200 << 10, 300 << 10, 16 * MIB, 40 * MIB] {
        let mut expected = pattern(bytes);
        let reversed = pool.apply(reverse, (expected.clone(),)).unwrap();
        expected.reverse();
        assert!(reversed == expected, "{bytes} bytes");
    }
    let bytes = Bytes::from(pattern(20 * MIB));
    assert_eq!(pool.apply(length, (bytes.clone(),)).unwrap(), 20 * MIB);
    let (first, second) = pool.apply(twice, (bytes.clone(),)).unwrap();
    assert!(first == bytes && second == bytes);
}

#[apply(test)]
fn small_and_large_calls_mix_in_one_batch() {
    let (_manager, pool) = pool();
    let sizes: Vec<usize> = (0..60).map(|number| if number % 7 == 3 { MIB } else { number }).collect();
    let arguments: Vec<Bytes> = sizes.iter().map(|&size| pattern(size).into()).collect();
    assert_eq!(pool.map(length, arguments.clone()).unwrap(), sizes);
    assert_eq!(pool.batch(length).chunk_size(9).map(arguments.clone()).unwrap(), sizes);
    let lengths: Result<Vec<usize>, Error> = pool.batch(length).imap(arguments).unwrap().collect();
    assert_eq!(lengths.unwrap(), sizes);
    let filled = pool.map(fill, sizes.clone()).unwrap();
    assert!(filled.iter().map(Vec::len).eq(sizes.iter().copied()));
    let mut unordered: Vec<usize> =
        pool.batch(fill).imap_unordered(sizes.clone()).unwrap().map(|result| result.unwrap().len()).collect();
    unordered.sort_unstable();
    let mut expected = sizes;
    expected.sort_unstable();
    assert_eq!(unordered, expected);
}

#[apply(test)]
fn a_result_can_be_asked_for_again() {
    let (_manager, pool) = pool();
    let result = pool.apply_async(fill, (2 * MIB,)).unwrap();
    for _ in 0..3 {
        assert_eq!(result.get(None).unwrap().len(), 2 * MIB);
    }
}

#[apply(test)]
fn a_call_begins_again_with_the_same_large_arguments() {
    let (_manager, pool) = pool();
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("died").to_str().unwrap().to_owned();
    let bytes = Bytes::from(pattern(5 * MIB));
    assert_eq!(pool.batch(die_once_with).retries(1).apply((bytes.clone(), marker)).unwrap(), 5 * MIB);
    let marker = folder.path().join("died too").to_str().unwrap().to_owned();
    let error = pool.apply(die_once_with, (bytes.clone(), marker)).unwrap_err();
    assert!(error.is_worker_died(), "{error:?}");
    assert_eq!(pool.apply(length, (bytes,)).unwrap(), 5 * MIB);
}

#[apply(test)]
fn a_large_item_of_a_dead_consumer_goes_to_the_next() {
    let (manager, pool) = pool();
    for joinable in [false, true] {
        let queue = manager.queue_options::<Bytes>().joinable(joinable).anonymous().unwrap();
        let item = Bytes::from(pattern(3 * MIB));
        queue.put(&item).unwrap();
        assert!(pool.apply(get_and_die, (queue.clone(),)).unwrap_err().is_worker_died());
        assert!(queue.get().unwrap() == item);
        assert!(queue.is_empty().unwrap());
    }
}

#[apply(test)]
fn large_arguments_and_results_carry_proxies() {
    let (manager, pool) = pool();
    let event = manager.anonymous_event().unwrap();
    let (same, bytes) = pool.apply(set_and_return, (event.clone(), pattern(MIB))).unwrap();
    assert!(event.is_set().unwrap() && same.is_set().unwrap() && bytes == pattern(MIB));
}

#[apply(test)]
fn a_gibibyte_passes_and_the_manager_does_not_grow() {
    let program = ManagerProgram::start();
    let pool = Pool::new(&program.connect(), 1).unwrap();
    assert_eq!(pool.apply(length, (Bytes::from(vec![1; MIB]),)).unwrap(), MIB);
    let before = resident_kib(program.running.process());
    // The system gives no memory for zeroes that nobody reads.
    let bytes = Bytes::from(vec![0; 1 << 30]);
    assert_eq!(pool.apply(length, (bytes.clone(),)).unwrap(), 1 << 30);
    let (first, second) = pool.apply(ends, (bytes,)).unwrap();
    assert_eq!((first.len(), second.len()), (MIB, MIB));
    let after = resident_kib(program.running.process());
    assert!(after < before + (16 << 10), "the manager had {before} KiB before and {after} KiB after");
}

/// How many descriptors a process has open.
fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

#[apply(test)]
fn whoever_dies_in_the_middle_of_an_upload_leaves_nothing_behind() {
    for (limit, what) in [("unlimited", "a descriptor is awaited"), ("24", "pieces have come")] {
        let folder = private_folder();
        let socket = folder.path().join("own/manager.sock");
        let mut command = Command::new("sh");
        let script = format!("[ {limit} = unlimited ] || ulimit -n {limit}; exec \"$@\"");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_manager")]);
        let running = serve_by(&mut command, &socket);
        let manager = Manager::connect_to(&socket).unwrap();
        let pool = Pool::new(&manager, 1).unwrap();
        assert_eq!(pool.apply(length, (Bytes::from(vec![1; MIB]),)).unwrap(), MIB);
        let open = descriptors(running.process());
        let before = resident_kib(running.process());
        for _ in 0..3 {
            assert!(pool.apply(upload_and_die, (48 * MIB,)).unwrap_err().is_worker_died(), "{what}");
        }
        assert_eq!(pool.apply(length, (Bytes::from(vec![1; MIB]),)).unwrap(), MIB);
        // The memory of a blob is freed by a thread of its own.
        eventually("the memory goes back", || resident_kib(running.process()) < before + (16 << 10));
        eventually("the descriptors go back", || descriptors(running.process()) <= open);
    }
}

#[apply(test)]
fn a_result_without_room_fails_and_the_pool_goes_on() {
    let (_manager, pool) = pool();
    let error = pool.apply(fill, (5 << 30,)).unwrap_err();
    assert!(error.is_limit(), "{error:?}");
    assert_eq!(pool.apply(fill, (MIB,)).unwrap().len(), MIB);
}

//! The page's limits and versions against the crate's.

use std::collections::BTreeMap;

use protocol::{Limits, endpoint, limits};

use crate::page::SpecificationPage;

/// The numbers of the crate under the names that the page has for them.
fn numbers() -> BTreeMap<&'static str, u64> {
    // Naming every field makes the compiler ask for one that is missing.
    let Limits {
        sessions_max,
        objects_max,
        mirrored_events_max,
        wait_targets_max,
        session_waits_max,
        calls_and_items_max,
        stored_bytes_max,
        output_bytes_max,
        memory_bytes_max,
    } = Limits::default();
    let numbers = [
        ("VERSION_OLDEST", usize::from(protocol::VERSION_OLDEST)),
        ("VERSION_NEWEST", usize::from(protocol::VERSION_NEWEST)),
        ("HELLO_BYTES_MAX", protocol::HELLO_BYTES_MAX),
        ("SOCKET_PATH_BYTES_MAX", endpoint::SOCKET_PATH_BYTES_MAX),
        ("FRAME_BYTES_MAX", limits::FRAME_BYTES_MAX),
        ("BLOB_BYTES_MIN", limits::BLOB_BYTES_MIN as usize),
        ("BLOB_BYTES_MAX", limits::BLOB_BYTES_MAX as usize),
        ("PIECE_BYTES_MAX", limits::PIECE_BYTES_MAX),
        ("PAYLOAD_BYTES_MAX", limits::PAYLOAD_BYTES_MAX),
        ("NAME_BYTES_MAX", limits::NAME_BYTES_MAX),
        ("REASON_BYTES_MAX", limits::REASON_BYTES_MAX),
        ("PROGRAM_BYTES_MAX", limits::PROGRAM_BYTES_MAX),
        ("FAILURE_BYTES_MAX", limits::FAILURE_BYTES_MAX),
        ("CHUNKS_PER_REQUEST_MAX", limits::CHUNKS_PER_REQUEST_MAX),
        ("CALLS_PER_CHUNK_MAX", limits::CALLS_PER_CHUNK_MAX),
        ("CALLS_PER_REQUEST_MAX", limits::CALLS_PER_REQUEST_MAX),
        ("CALLS_PER_GRANT_MAX", limits::CALLS_PER_GRANT_MAX),
        ("GRANT_BYTES_MAX", limits::GRANT_BYTES_MAX),
        ("WAIT_TARGETS_MAX", limits::WAIT_TARGETS_MAX),
        ("CARRIES_MAX", limits::CARRIES_MAX),
        ("CARRIES_PER_REQUEST_MAX", limits::CARRIES_PER_REQUEST_MAX),
        ("CONDITIONS_PER_LOCK_MAX", limits::CONDITIONS_PER_LOCK_MAX),
        ("PROCESSES_MAX", limits::PROCESSES_MAX),
        ("UNCONFIRMED_MAX", limits::UNCONFIRMED_MAX),
        ("RESULTS_BYTES_MAX", limits::RESULTS_BYTES_MAX),
        ("BOUND_PROCESSES_MAX", limits::BOUND_PROCESSES_MAX),
        ("HELLO_TIME_MAX", limits::HELLO_TIME_MAX.as_secs() as usize),
        ("sessions_max", sessions_max),
        ("objects_max", objects_max),
        ("mirrored_events_max", mirrored_events_max),
        ("wait_targets_max", wait_targets_max),
        ("session_waits_max", session_waits_max),
        ("calls_and_items_max", calls_and_items_max),
        ("stored_bytes_max", stored_bytes_max),
        ("output_bytes_max", output_bytes_max),
        ("memory_bytes_max", memory_bytes_max),
    ];
    numbers.into_iter().map(|(name, value)| (name, value as u64)).collect()
}

#[test]
fn the_page_has_every_number_and_the_right_one() {
    let page = SpecificationPage::read();
    let documented: BTreeMap<_, _> =
        page.numbers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(documented, numbers());
}

#[test]
fn no_limit_is_forgotten_here() {
    let known = numbers();
    for line in include_str!("../../src/limits.rs").lines() {
        if let Some((name, _)) = line.strip_prefix("pub const ").and_then(|rest| rest.split_once(':')) {
            assert!(known.contains_key(name), "{name} is missing in numbers()");
        }
    }
}

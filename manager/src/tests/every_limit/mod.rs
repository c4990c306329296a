//! A walk over all limits: each is met without harm, and exceeded by one.
//!
//! The table says what happens beyond each limit. It has a line for every limit in `protocol/src/limits.rs`, and is
//! compared with what stands there, with `PROTOCOL.md`, and with what a running manager does. `HELLO_TIME_MAX`,
//! `output_bytes_max` and `memory_bytes_max` are met exactly in turns that are taken by hand (`server/tests.rs`): no
//! peer sees when a turn begins, and how much the kernel takes. The limits of a manager are set to a few here: the
//! usual ones would need more memory, descriptors and time than a test has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use protocol::{Code, FailureKind};

use self::consequence::Consequence::{self, CallFails, ComesLater, Cut, Ended, NotCounted, Refused};

mod calls;
mod consequence;
mod messages;
mod settings;

/// A limit, what happens beyond it, and the function that meets it, exceeds it by one, and tells what happened.
type LimitLine = (&'static str, &'static [Consequence], fn() -> Vec<Consequence>);

const LIMIT_REACHED: Consequence = Refused(Code::LimitReached);
const TOO_LARGE: Consequence = CallFails(FailureKind::TooLarge);

const TABLE: &[LimitLine] = &[
    ("HELLO_BYTES_MAX", &[Ended(Code::Protocol)], messages::hello_bytes),
    ("HELLO_TIME_MAX", &[Ended(Code::Protocol)], messages::hello_time),
    ("PROGRAM_BYTES_MAX", &[Cut], messages::program_bytes),
    ("FRAME_BYTES_MAX", &[Ended(Code::Protocol), LIMIT_REACHED], messages::frame_bytes),
    ("NAME_BYTES_MAX", &[Refused(Code::BadName)], messages::name_bytes),
    ("REASON_BYTES_MAX", &[Refused(Code::BadArgument)], messages::reason_bytes),
    ("UNCONFIRMED_MAX", &[Ended(Code::LimitReached)], messages::unconfirmed_grants),
    ("PAYLOAD_BYTES_MAX", &[LIMIT_REACHED, TOO_LARGE], calls::payload_bytes),
    ("BLOB_BYTES_MIN", &[Refused(Code::BadArgument)], messages::blob_bytes_min),
    ("BLOB_BYTES_MAX", &[LIMIT_REACHED], settings::blob_bytes_max),
    ("PIECE_BYTES_MAX", &[LIMIT_REACHED], messages::piece_bytes),
    ("CARRIES_MAX", &[LIMIT_REACHED, TOO_LARGE], calls::carries),
    ("CARRIES_PER_REQUEST_MAX", &[LIMIT_REACHED], calls::carries_per_request),
    ("FAILURE_BYTES_MAX", &[Cut], calls::failure_bytes),
    ("RESULTS_BYTES_MAX", &[ComesLater], calls::results_bytes),
    ("CHUNKS_PER_REQUEST_MAX", &[LIMIT_REACHED], calls::chunks_per_request),
    ("CALLS_PER_CHUNK_MAX", &[LIMIT_REACHED], calls::calls_per_chunk),
    ("CALLS_PER_REQUEST_MAX", &[LIMIT_REACHED], calls::calls_per_request),
    ("CALLS_PER_GRANT_MAX", &[ComesLater], calls::calls_per_grant),
    ("GRANT_BYTES_MAX", &[ComesLater], calls::grant_bytes),
    ("WAIT_TARGETS_MAX", &[LIMIT_REACHED], settings::wait_targets_of_any_manager),
    ("CONDITIONS_PER_LOCK_MAX", &[LIMIT_REACHED], messages::conditions_per_lock),
    ("BOUND_PROCESSES_MAX", &[LIMIT_REACHED], calls::bound_processes),
    ("PROCESSES_MAX", &[NotCounted], calls::processes),
    ("sessions_max", &[Ended(Code::LimitReached)], settings::sessions),
    ("objects_max", &[LIMIT_REACHED], settings::objects),
    ("mirrored_events_max", &[LIMIT_REACHED], settings::mirrored_events),
    ("wait_targets_max", &[LIMIT_REACHED], settings::wait_targets),
    ("session_waits_max", &[LIMIT_REACHED], settings::session_waits),
    ("calls_and_items_max", &[LIMIT_REACHED], settings::calls),
    ("stored_bytes_max", &[LIMIT_REACHED, TOO_LARGE], settings::stored_bytes),
    ("output_bytes_max", &[Ended(Code::LimitReached)], settings::output_bytes),
    ("memory_bytes_max", &[LIMIT_REACHED, TOO_LARGE, Ended(Code::LimitReached)], settings::memory_bytes),
];

#[test]
fn each_limit_is_met_without_harm_and_exceeded_by_one_with_what_the_table_says() {
    // Side by side, as most of the time is spent waiting for managers.
    std::thread::scope(|scope| {
        let walks = TABLE.iter().map(|(name, beyond, walk)| (name, beyond, scope.spawn(walk)));
        let walks: Vec<_> = walks.collect();
        for (name, beyond, walk) in walks {
            let seen = walk.join().unwrap_or_else(|_| panic!("the walk over {name} has panicked"));
            assert_eq!(seen, *beyond, "{name}");
        }
    });
}

#[test]
fn every_limit_is_in_the_table_with_what_its_documentation_says() {
    let Some(source) = file_of_protocol("src/limits.rs") else { return };
    let documented = documented_limits(&source);
    let names: BTreeSet<&str> = documented.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), documented.len(), "each has its own name");
    let walked: BTreeSet<&str> = TABLE.iter().map(|(name, ..)| *name).collect();
    assert_eq!(walked, names);
    for (name, text) in &documented {
        let beyond = TABLE.iter().find(|(walked, ..)| walked == name).map(|(_, beyond, _)| *beyond).unwrap();
        assert_says(&format!("limits.rs at {name}"), text, beyond, &quoted_after(text, "[`Code::"));
    }
}

#[test]
fn the_page_says_of_every_limit_what_the_table_says() {
    let Some(page) = file_of_protocol("PROTOCOL.md") else { return };
    for (name, beyond, _) in TABLE {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let text = row.unwrap_or_else(|| panic!("the page has no row for {name}"));
        assert_says(&format!("the page at {name}"), text, beyond, &quoted_after(text, "(`"));
    }
}

/// A file of the package `protocol`, which stands beside this one in the repository. A published package has no other
/// beside it: there, what its tests compare was compared before it was packed.
fn file_of_protocol(path: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Cargo writes this file when it packs a package.
    if root.join("Cargo.toml.orig").exists() {
        println!(
            "not compared with {path}: this is a published package, which was compared before it was packed"
        );
        return None;
    }
    let path = root.join("../protocol").join(path);
    Some(fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Asserts that a text says what happens beyond a limit, and names these codes.
fn assert_says(place: &str, text: &str, beyond: &[Consequence], codes: &BTreeSet<String>) {
    let mut expected = BTreeSet::new();
    for beyond in beyond {
        let words = match beyond {
            Refused(code) => {
                expected.insert(format!("{code:?}"));
                ""
            }
            Ended(code) => {
                expected.insert(format!("{code:?}"));
                " ends"
            }
            CallFails(kind) => {
                assert!(text.contains(&format!("`{kind:?}`")), "{place}: {text}");
                " as "
            }
            Cut => "cut",
            ComesLater => " later",
            NotCounted => "does not count",
        };
        assert!(text.contains(words), "{place} does not say {words:?}: {text}");
    }
    let ends = beyond.iter().any(|beyond| matches!(beyond, Ended(_)));
    assert_eq!(text.contains(" ends"), ends, "{place}: {text}");
    assert_eq!(*codes, expected, "{place}: {text}");
}

/// What stands after each of these marks, up to the next backtick.
fn quoted_after(text: &str, mark: &str) -> BTreeSet<String> {
    text.split(mark)
        .skip(1)
        .filter_map(|rest| rest.split_once('`'))
        .map(|(word, _)| word.to_owned())
        .collect()
}

/// The constants and fields of the file of limits, each with its documentation.
fn documented_limits(source: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut text = String::new();
    for line in source.lines().map(str::trim_start) {
        if let Some(more) = line.strip_prefix("///") {
            text.push_str(more);
            continue;
        }
        let item = line.strip_prefix("pub ").map(|rest| rest.strip_prefix("const ").unwrap_or(rest));
        if let Some((name, _)) = item.and_then(|item| item.split_once(": ")) {
            found.push((name, text.clone()));
        }
        text.clear();
    }
    found
}

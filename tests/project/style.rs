//! The style of the project, as far as a program can check it. Each test names every place that offends it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::project::sources::{SourceFile, rule};
use crate::support::{apply, test};

/// The most lines of a source file: one subject, read from the top.
const LINES_MAX: usize = 500;

/// The most columns of a line. Code is held to fewer by rustfmt, which leaves comments alone.
const COLUMNS_MAX: usize = 120;

/// The files in which `unsafe` is allowed. Each of them says why nothing else will do.
const UNSAFE_FILES: &[&str] = &[
    "bench/src/shared.rs",
    "manager/core/tests/memory.rs",
    "sys/src/bulk_copy.rs",
    "sys/src/fork_mark.rs",
    "sys/src/heap.rs",
    "sys/src/inherited.rs",
    "sys/src/poll.rs",
    "sys/src/process.rs",
    "sys/src/process_session.rs",
    "sys/src/robust_list.rs",
    "sys/src/same_type.rs",
    "sys/src/sealed_memory.rs",
    "sys/src/shared_memory.rs",
    "sys/src/signals.rs",
    "tests/faults/fork.rs",
    "tests/faults/misbehaving_tasks.rs",
    "tests/support/counting_allocator.rs",
];

/// Where streams are made, and where they arrive. Everything else uses what carries them through one interface.
const PLACE_FILES: &[&str] =
    &["protocol/transport/src/address.rs", "protocol/transport/src/connect.rs", "manager/src/listen/mod.rs"];

/// Where descriptors are waited for. The event loop of the manager waits by mio, and the benchmark is no part of it.
const POLLING_FILES: &[&str] = &["sys/src/poll.rs"];

/// The files of clients that name the messages of the protocol: a manager for their tests. All others use operations.
const MESSAGE_FILES: &[&str] = &["client/src/connection/fake_manager.rs"];

/// Where the manager's core tells the kinds of objects apart, by their bodies and by the targets of waits.
const KIND_PLACES: &[&str] = &[
    "manager/core/src/objects/",
    "manager/core/src/pools/",
    "manager/core/src/sessions/deferred_release.rs",
];

/// The files of libraries that may print: their process ends right after that, or printing is their job.
const PRINTING_FILES: &[&str] = &[
    "client/src/pool/workers/assignment.rs",
    "client/src/pool/workers/worker_process.rs",
    "client/src/pool/workers/stderr_tail.rs",
    "client/src/process/role.rs",
    "manager/src/lib.rs",
    "worker/src/supervised_command/supervisor.rs",
    "worker/src/lib.rs",
    "worker/src/isolation/streams.rs",
    "worker/src/tasks/countdown.rs",
];

/// Marks of unfinished work. They are in two parts here, so that this file does not offend itself.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("#[ig", "nore"),
];

/// Parts of names that are to be spelled out.
const ABBREVIATIONS: &[&str] = &["cnt", "conn", "ctx", "evt", "idx", "mgr", "msg", "mtx", "req", "resp"];

/// Phrases that the Rust standard library's documentation does not use, in two parts as well.
const PHRASES: &[&str] = &[
    concat!("can ", "not "),
    concat!("can_", "not_"),
    concat!("is told", " of"),
    concat!("for", " ever "),
    concat!("for", " ever."),
    concat!("is looked", " at"),
    concat!("to be looked", " at"),
    concat!("is looked", " for"),
    concat!("was said", " of"),
    concat!("of its own", " accord"),
    concat!("so", " many "),
    concat!("so", " many,"),
    concat!("so", " many."),
    concat!("such that", " it be"),
    concat!("who", " waits is"),
];

#[apply(rule)]
fn every_source_file_begins_by_saying_what_it_is(sources: &[SourceFile]) -> Vec<String> {
    let rust = sources.iter().filter(|source| source.is_rust());
    let undescribed = rust.filter(|source| !source.text.starts_with("//! "));
    undescribed.map(|source| format!("{} must begin with `//!` and what it is", source.path)).collect()
}

#[apply(rule)]
fn no_source_file_is_longer_than_a_subject(sources: &[SourceFile]) -> Vec<String> {
    let rust = sources.iter().filter(|source| source.is_rust());
    let lengths = rust.map(|source| (&source.path, source.text.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(path, lines)| format!("{path} has {lines} lines, over {LINES_MAX}")).collect()
}

#[apply(rule)]
fn no_line_is_too_long_to_read(sources: &[SourceFile]) -> Vec<String> {
    offending_lines(sources, |source, line| {
        let columns = line.chars().count();
        // Tables and addresses cannot be broken.
        let is_whole = line.contains("://") || (!source.is_rust() && line.starts_with('|'));
        (columns > COLUMNS_MAX && !is_whole).then(|| format!("has {columns} columns, over {COLUMNS_MAX}"))
    })
}

#[apply(rule)]
fn an_empty_line_follows_each_heading_of_a_documentation(sources: &[SourceFile]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
        for (index, pair) in lines.windows(2).enumerate() {
            let is_heading = ["/// # Errors", "/// # Panics", "/// # Safety"].contains(&pair[0]);
            if is_heading && pair[1] != "///" {
                offences.push(format!("{}:{} is followed by no empty line", source.path, index + 1));
            }
        }
    }
    offences
}

#[apply(rule)]
fn no_line_ends_in_white_space(sources: &[SourceFile]) -> Vec<String> {
    offending_lines(sources, |_, line| (line.trim_end() != line).then(|| "ends in white space".to_string()))
}

#[apply(rule)]
fn what_is_logged_is_english_and_no_debug_form(sources: &[SourceFile]) -> Vec<String> {
    offending_lines(sources, |source, line| {
        // A name in quotes and a duration read well; whoever asks for every message gets it as it is.
        let fine = ["{name:?}", "{line:?}", "{PATIENCE:?}", "{KILL_PATIENCE:?}"];
        let rest = fine.iter().fold(line.to_owned(), |line, fine| line.replace(fine, ""));
        let is_log = source.is_rust() && rest.contains("log::") && !rest.contains("log::trace!");
        (is_log && rest.contains(":?}")).then(|| "logs a debug form".to_string())
    })
}

#[apply(rule)]
fn nothing_is_left_unfinished_or_ignored(sources: &[SourceFile]) -> Vec<String> {
    offending_lines(sources, |_, line| {
        let mark = UNFINISHED.iter().find(|mark| line.contains(**mark))?;
        Some(format!("says {mark}"))
    })
}

#[apply(rule)]
fn sentences_are_english(sources: &[SourceFile]) -> Vec<String> {
    offending_lines(sources, |_, line| {
        let phrase = PHRASES.iter().find(|phrase| line.contains(**phrase))?;
        Some(format!("says “{phrase}”"))
    })
}

#[apply(rule)]
fn the_map_names_every_folder_and_no_other(sources: &[SourceFile]) -> Vec<String> {
    let page = sources.iter().find(|source| source.path == "ARCHITECTURE.md").expect("the page with the map");
    let map = page.text.split("\n## ").find(|section| section.starts_with("The map")).unwrap_or_default();
    let named: BTreeSet<&str> = map.split('`').filter_map(|part| part.strip_suffix('/')).collect();
    let folders: BTreeSet<&str> =
        sources.iter().filter_map(|source| Some(source.path.rsplit_once('/')?.0)).collect();
    let unnamed = folders.difference(&named).map(|folder| format!("ARCHITECTURE.md does not name {folder}/"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ghosts = named.iter().filter(|folder| !root.join(folder).is_dir());
    unnamed
        .chain(ghosts.map(|folder| format!("ARCHITECTURE.md names {folder}/, which does not exist")))
        .collect()
}

#[apply(rule)]
fn each_package_says_on_a_page_of_its_own_what_it_is(sources: &[SourceFile]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        let Some(folder) = source.path.strip_suffix("Cargo.toml") else { continue };
        let name =
            source.text.lines().find_map(|line| line.strip_prefix("name = \"rallypoint-")?.strip_suffix('"'));
        let Some(name) = name else { continue };
        let page = sources.iter().find(|page| page.path == format!("{folder}README.md"));
        if !page.is_some_and(|page| page.text.starts_with(&format!("# rallypoint-{name}\n"))) {
            offences.push(format!("{folder}README.md must begin with the name of its package"));
        }
    }
    offences
}

#[apply(rule)]
fn the_manifest_lists_each_fuzz_target_and_no_other(sources: &[SourceFile]) -> Vec<String> {
    let manifest = sources.iter().find(|source| source.path == "tests/fuzz/Cargo.toml");
    let listed: BTreeSet<&str> = manifest
        .expect("the manifest of the fuzz targets")
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"targets/")?.strip_suffix('"'))
        .collect();
    let files = sources.iter().filter_map(|source| source.path.strip_prefix("tests/fuzz/targets/"));
    let files: BTreeSet<&str> = files.collect();
    let differing = files.symmetric_difference(&listed);
    differing.map(|file| format!("{file} is only a fuzz target, or only in its manifest")).collect()
}

#[apply(rule)]
fn names_are_spelled_out(sources: &[SourceFile]) -> Vec<String> {
    offending_lines(sources, |source, line| {
        let is_in_list = line.starts_with("const ABBREVIATIONS");
        let mut parts = code(line).split(|character: char| !character.is_ascii_alphanumeric());
        let part = parts.find(|part| ABBREVIATIONS.contains(part))?;
        (source.is_rust() && !is_in_list).then(|| format!("abbreviates `{part}`"))
    })
}

#[apply(rule)]
fn what_carries_a_stream_is_told_apart_only_where_it_is_listed(sources: &[SourceFile]) -> Vec<String> {
    let is_listed = |path: &str| PLACE_FILES.contains(&path);
    offending_lines(sources, |source, line| {
        let does = code(line).contains(concat!("Place::", "Unix"));
        (source.is_rust() && does && !is_listed(&source.path)).then(|| "tells transports apart".to_string())
    })
}

#[apply(rule)]
fn the_protocol_and_the_cores_name_calls_and_chunks_but_no_tasks(sources: &[SourceFile]) -> Vec<String> {
    let folders = ["protocol/src/", "manager/core/src/", "client/core/src/"];
    offending_lines(sources, |source, line| {
        let without_texts: String = code(line).split('"').step_by(2).collect();
        let does = without_texts.to_lowercase().contains("task");
        let is_there = source.is_rust() && folders.iter().any(|folder| source.path.starts_with(folder));
        (does && is_there).then(|| "names a task, which is a function that workers call".to_string())
    })
}

#[apply(rule)]
fn the_core_tells_kinds_of_objects_apart_only_where_it_is_listed(sources: &[SourceFile]) -> Vec<String> {
    let is_listed = |path: &str| KIND_PLACES.iter().any(|place| path.starts_with(place));
    offending_lines(sources, |source, line| {
        let does = ["Target", "Body"].iter().any(|kinds| names_variant(code(line), kinds));
        let is_of_core = source.path.starts_with("manager/core/src/");
        (does && is_of_core && !is_listed(&source.path)).then(|| "tells kinds of objects apart".to_string())
    })
}

#[apply(rule)]
fn unsafe_stands_only_where_it_is_listed(sources: &[SourceFile]) -> Vec<String> {
    let does = |line: &str| {
        let begins =
            |rest: &str| ["{", "fn", "impl", "extern", "trait"].iter().any(|what| rest.starts_with(what));
        line.split("unsafe ").skip(1).any(begins)
    };
    outside_of_list(UNSAFE_FILES, "is unsafe", sources.iter().filter(|source| source.is_rust()), does)
}

#[apply(rule)]
fn descriptors_are_waited_for_in_one_place(sources: &[SourceFile]) -> Vec<String> {
    let does = |line: &str| line.contains(concat!("Poll", "Fd"));
    outside_of_list(POLLING_FILES, "polls by itself", sources.iter().filter(|source| source.is_rust()), does)
}

#[apply(rule)]
fn libraries_print_only_where_it_is_listed(sources: &[SourceFile]) -> Vec<String> {
    let does = |line: &str| {
        let calls = ["print!(", "println!(", "dbg!(", "stdout()", "stderr()"];
        calls.iter().any(|call| line.contains(call))
    };
    outside_of_list(PRINTING_FILES, "prints", sources.iter().filter(|source| source.is_library()), does)
}

#[apply(rule)]
fn clients_leave_the_messages_of_the_protocol_to_the_operations(sources: &[SourceFile]) -> Vec<String> {
    let is_of_client = |path: &str| path.starts_with("client/src/") || path.starts_with("worker/src/");
    let clients = sources.iter().filter(|source| source.is_library() && is_of_client(&source.path));
    let without_tests = |source: &SourceFile| {
        let code = source.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        SourceFile::from((source.path.as_str(), code))
    };
    let clients: Vec<SourceFile> = clients.map(without_tests).collect();
    outside_of_list(MESSAGE_FILES, "makes or reads a message", clients.iter(), names_message)
}

/// Whether a line names a request, a target, a grant or a signal of the protocol.
fn names_message(line: &str) -> bool {
    ["Request", "Target", "Grant", "Signal"].iter().any(|kinds| names_variant(line, kinds))
}

/// Whether a line names a variant of this enum.
fn names_variant(line: &str, of: &str) -> bool {
    line.match_indices(&format!("{of}::")).any(|(start, path)| {
        let mut variant = line[start + path.len()..].chars();
        !line[..start].ends_with(char::is_alphanumeric)
            && variant.next().is_some_and(char::is_uppercase)
            // The signals of the operating system have names in capitals.
            && variant.next().is_some_and(char::is_lowercase)
    })
}

#[apply(test)]
fn messages_are_told_from_what_is_called_alike() {
    let messages =
        ["send(Request::Goodbye)", "protocol::Target::Lock { id }", "Some(Grant::Put)", "Signal::Release {"];
    assert!(messages.iter().all(|line| names_message(line)));
    let others = ["WaitTarget::Event", "Signal::KILL", "Signal::from_raw(9)", "Target = u8", "Targets::New"];
    assert!(!others.iter().any(|line| names_message(line)));
}

/// Finds code that does something outside the listed files, and listed files that do not do it.
fn outside_of_list<'a>(
    listed: &[&str],
    what: &str,
    sources: impl Iterator<Item = &'a SourceFile>,
    does: fn(&str) -> bool,
) -> Vec<String> {
    let mut needless = listed.to_vec();
    let mut offences = Vec::new();
    for source in sources {
        let mut lines = source.text.lines().map(code).zip(1..);
        let Some((_, number)) = lines.find(|(line, _)| does(line)) else {
            continue;
        };
        if listed.contains(&source.path.as_str()) {
            needless.retain(|path| *path != source.path);
        } else {
            offences
                .push(format!("{}:{number} {what}, and is not in the list of files that may", source.path));
        }
    }
    offences.extend(needless.iter().map(|path| format!("{path} is listed needlessly: nothing in it {what}")));
    offences
}

fn offending_lines(
    sources: &[SourceFile],
    offence: impl Fn(&SourceFile, &str) -> Option<String>,
) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            offences
                .extend(offence(source, line).map(|what| format!("{}:{} {what}", source.path, number + 1)));
        }
    }
    offences
}

/// A line of Rust without its comment. A `//` inside a text cuts too much, which only makes the tests milder.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

//! The examples that need no terminal: each test runs one as a program, and checks what it prints.

use std::env;
use std::fs;
use std::io::pipe;
use std::process::{Child, Command, Output, Stdio};

use crate::support::{ManagerProgram, RunningProgram, apply, test};

/// The command that runs an example. Cargo builds the examples with the tests, into the folder beside this program's.
fn example(name: &str) -> Command {
    let this = env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap().join("examples");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not there: `cargo test --workspace` builds it", path.display());
    Command::new(path)
}

/// The names of all examples.
fn names() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    sources.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The lines that a program prints, which must succeed.
fn lines(command: &mut Command) -> Vec<String> {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{status}: {text}{}", String::from_utf8_lossy(&stderr));
    text.lines().map(str::to_owned).collect()
}

#[apply(test)]
fn each_kind_of_object_has_an_example_that_prints_what_happens() {
    for (name, expected) in [
        ("barrier", ["Party 0 of 3", "Party 1 of 3", "Party 2 of 3"].as_slice()),
        ("condition", &["The worker waits for stock", "The worker took what there was"]),
        ("event", &["Three workers wait for the event", "Woken: ", "Woken: ", "Woken: "]),
        ("latch", &["All three services are ready"]),
        ("lock", &["Four times fifty is 200"]),
        ("queue", &["The numbers from 1 to 100 add up to 5050"]),
        ("semaphore", &["6 downloads are done, at most "]),
        ("wait_any", &["The first call: stopped before it had the lock", "The second call: had the lock"]),
    ] {
        let lines = lines(&mut example(name));
        assert_eq!(lines.len(), expected.len(), "{name}: {lines:#?}");
        for (line, beginning) in lines.iter().zip(expected) {
            assert!(line.starts_with(beginning), "{name}: {lines:#?}");
        }
    }
}

#[apply(test)]
fn every_example_refuses_arguments_that_it_does_not_know() {
    for name in names() {
        let Output { status, stderr, .. } = example(&name).arg("--unknown").output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{name}: {stderr}");
        assert!(stderr.starts_with(&format!("usage: {name}")), "{name}: {stderr}");
    }
}

#[apply(test)]
fn every_example_goes_on_quietly_if_nobody_reads_its_output() {
    // One of them submits to a pool that others serve.
    let program = ManagerProgram::start();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
    worker.args(["--pool", "demo", "--processes", "4", "--socket"]).arg(&program.socket);
    let _worker = RunningProgram::start(&mut worker);
    let start = |name: String| {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = example(&name);
        command.env("RALLYPOINT_SOCKET", &program.socket).stdout(writer).stderr(Stdio::piped());
        (name, command.spawn().unwrap())
    };
    let running: Vec<(String, Child)> = names().into_iter().map(start).collect();
    for (name, child) in running {
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        assert_eq!((status.code(), &*String::from_utf8_lossy(&stderr)), (Some(0), ""), "{name}");
    }
}

#[apply(test)]
fn stop_blocked_shows_how_each_task_ended_and_goes_on() {
    let lines = lines(&mut example("stop_blocked"));
    assert_eq!(lines.len(), 8, "{lines:#?}");
    assert_eq!(
        lines[..5],
        [
            "All are busy for a minute",
            "In a sleep:   1 call returned",
            "In a read:    1 call was ended by SIGTERM",
            "In a command: 1 call returned",
            "The sleep ended early",
        ]
    );
    assert!(lines[5].starts_with("The read has failed: ") && lines[5].contains("SIGTERM"), "{}", lines[5]);
    assert_eq!(
        lines[6..],
        ["The command was ended by signal 15", "The same pool goes on: it ran another command"]
    );
}

#[apply(test)]
fn word_count_fails_if_a_file_cannot_be_read_but_counts_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let readable = folder.path().join("readable");
    fs::write(&readable, "one and one\n").unwrap();
    let missing = folder.path().join("missing");
    let Output { status, stdout, stderr } =
        example("word_count").args([&missing, &readable]).output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(status.code(), Some(1));
    assert_eq!(stdout, "3 words, 2 different ones\n       2 one\n       1 and\n");
    assert!(stderr.starts_with(&format!("{}: ", missing.display())), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[apply(test)]
fn a_standard_error_that_nobody_reads_changes_no_status() {
    let closed = || {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        writer
    };
    assert_eq!(example("event").arg("--unknown").stderr(closed()).status().unwrap().code(), Some(2));
    let mut command = example("word_count");
    let command = command.arg("/no such file").stdout(Stdio::null()).stderr(closed());
    assert_eq!(command.status().unwrap().code(), Some(1));
}

#[apply(test)]
fn word_count_counts_the_files_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..50).map(|number| folder.path().join(format!("{number}.txt"))).collect();
    for file in &files {
        fs::write(file, "The cat, the dog; THE bird!\nA cat 1234 über-cat\n").unwrap();
    }
    let lines = lines(example("word_count").args(&files));
    assert_eq!(
        lines,
        [
            "500 words, 6 different ones",
            "     150 cat",
            "     150 the",
            "      50 a",
            "      50 bird",
            "      50 dog",
            "      50 über",
        ]
    );
}

#[apply(test)]
fn word_count_reads_the_sources_by_itself() {
    let lines = lines(&mut example("word_count"));
    let (words, different) = lines[0].split_once(" words, ").unwrap();
    let different = different.strip_suffix(" different ones").unwrap();
    let [words, different]: [u64; 2] = [words, different].map(|number| number.parse().unwrap());
    assert!(words > 50_000 && different > 1_000, "{}", lines[0]);
    assert_eq!(lines.len(), 11);
    assert!(lines[1..].iter().any(|line| line.trim_start().split_once(' ').unwrap().1 == "the"), "{lines:?}");
}

#[apply(test)]
fn shared_pool_lets_the_small_batch_pass() {
    let lines = lines(&mut example("shared_pool"));
    let waiting = lines[3].strip_prefix("huge:  ").unwrap().split(' ').next().unwrap();
    assert!(waiting.parse::<u32>().unwrap() > 200, "{lines:#?}");
    assert_eq!(
        lines,
        [
            "huge:  400 tasks are queued",
            "small: 10 tasks are queued, too",
            "small: all 10 are done",
            &format!("huge:  {waiting} of 400 have not even started"),
            "huge:  all 400 are done",
        ]
    );
}

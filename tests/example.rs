//! The examples that need no terminal: each is run as a program, and what it says is checked.

use std::env;
use std::fs;
use std::process::{Command, Output};

use libtest_mimic::Trial;

use crate::support::test;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("example::stop_blocked_tells_how_each_task_ended_and_goes_on", stop_blocked),
        test("example::word_count_counts_the_files_it_is_given", word_count),
        test(
            "example::word_count_fails_if_a_file_can_not_be_read_but_counts_the_others",
            word_count_unreadable,
        ),
        test("example::word_count_reads_the_sources_by_itself", word_count_of_sources),
        test("example::shared_pool_lets_the_small_batch_pass", shared_pool),
    ]
}

/// The command that runs an example. They are built with the tests, into the folder beside this program's.
fn example(name: &str) -> Command {
    let this = env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap().join("examples");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not there: `cargo test --workspace` builds it", path.display());
    Command::new(path)
}

/// What a program says that ends well, line by line.
fn lines(command: &mut Command) -> Vec<String> {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{status}: {text}{}", String::from_utf8_lossy(&stderr));
    text.lines().map(str::to_owned).collect()
}

fn stop_blocked() {
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

fn word_count_unreadable() {
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

fn word_count() {
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

fn word_count_of_sources() {
    let lines = lines(&mut example("word_count"));
    let (words, different) = lines[0].split_once(" words, ").unwrap();
    let different = different.strip_suffix(" different ones").unwrap();
    let [words, different]: [u64; 2] = [words, different].map(|number| number.parse().unwrap());
    assert!(words > 50_000 && different > 1_000, "{}", lines[0]);
    assert_eq!(lines.len(), 11);
    assert!(lines[1..].iter().any(|line| line.trim_start().split_once(' ').unwrap().1 == "the"), "{lines:?}");
}

fn shared_pool() {
    let lines = lines(&mut example("shared_pool"));
    let waiting = lines[3].strip_prefix("huge:  ").unwrap().split(' ').next().unwrap();
    assert!(waiting.parse::<u32>().unwrap() > 200, "{lines:#?}");
    assert_eq!(
        lines,
        [
            "huge:  400 tasks are in line",
            "small: 10 tasks are in line, too",
            "small: all 10 are done",
            &format!("huge:  {waiting} of 400 have not even started"),
            "huge:  all 400 are done",
        ]
    );
}

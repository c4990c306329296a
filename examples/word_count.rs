//! Counts the words of files, each file in a task of its own, and shows the most frequent ones. Counts arrive as
//! workers finish them; on a terminal, a progress bar shows how many have come.
//!
//! `cargo run --release --example word_count [FILE …]`; without files, it reads the sources of this project.

mod arguments;
mod output;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stderr};
use std::path::Path;
use std::process::ExitCode;

use rallypoint::{Manager, Pool, Registry, Result};

use output::println;

/// How often each word occurs.
type WordCounts = BTreeMap<String, u64>;

/// Runs in a worker process. An `Err` is a result, too: the program gets it as it is.
fn count(file: String) -> std::result::Result<WordCounts, String> {
    let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let mut counts = WordCounts::new();
    for word in text.split(|character: char| !character.is_alphabetic()).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok(counts)
}

fn add(total: &mut WordCounts, counts: WordCounts) {
    for (word, times) in counts {
        *total.entry(word).or_default() += times;
    }
}

/// The sources and pages below a folder, without those that links lead to, and those in the folders of tools.
fn sources(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_tools = name == "target" || name.as_encoded_bytes().starts_with(b".");
        let is_text = path.extension().is_some_and(|ending| ending == "md" || ending == "rs");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !is_tools => files.extend(sources(&path)),
            Ok(kind) if kind.is_file() && is_text => files.push(path.display().to_string()),
            _ => {}
        }
    }
    files
}

fn main() -> Result<ExitCode> {
    rallypoint::init(Registry::new().task(count));
    arguments::check("word_count [FILE …]", |argument| !argument.starts_with('-'));

    let mut files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        files = sources(Path::new(env!("CARGO_MANIFEST_DIR")));
    }

    let manager = Manager::start()?;
    let pool = Pool::builder(&manager).start()?;
    let mut total = WordCounts::new();
    let mut outcome = ExitCode::SUCCESS;
    for counts in pool.imap_unordered(count, files)?.with_bar() {
        match counts? {
            Ok(counts) => add(&mut total, counts),
            // The workers count the other files all the same.
            Err(why) => {
                drop(writeln!(stderr(), "{why}"));
                outcome = ExitCode::FAILURE;
            }
        }
    }

    let mut words: Vec<(&String, &u64)> = total.iter().collect();
    words.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    println!("{} words, {} different ones", total.values().sum::<u64>(), words.len());
    for (word, times) in words.iter().take(10) {
        println!("{times:8} {word}");
    }
    Ok(outcome)
}

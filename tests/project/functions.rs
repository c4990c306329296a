//! Functions fit on a screen, so each can be read without scrolling.

use crate::project::sources::{SourceFile, rule};
use crate::support::{apply, test};

/// The most lines of a function, from its signature to its end.
const LINES_MAX: usize = 75;

/// Functions that may be longer, each with its file, and why.
const LONG: &[(&str, &str, &str)] = &[
    ("manager/core/tests/traces/hostile.rs", "request", TABLE),
    ("manager/src/tests/refusals.rs", "refuse_with", TABLE),
    ("protocol/tests/specification/samples/mod.rs", "requests", TABLE),
    ("protocol/tests/specification/samples/mod.rs", "parts_of_requests", TABLE),
    ("protocol/tests/specification/samples/inspections.rs", "inspections", TABLE),
];

const TABLE: &str = "a table, which is read by its lines";

#[apply(rule)]
fn functions_fit_on_a_screen(sources: &[SourceFile]) -> Vec<String> {
    long_functions(sources, LONG)
}

/// Complains of functions that are too long, and of those that are listed and not.
fn long_functions(sources: &[SourceFile], listed: &[(&str, &str, &str)]) -> Vec<String> {
    let mut needless = listed.to_vec();
    let mut offences = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (number, name, lines) in functions(&source.text).filter(|(.., lines)| *lines > LINES_MAX) {
            if listed.iter().any(|(path, function, _)| *path == source.path && *function == name) {
                needless.retain(|(path, function, _)| *path != source.path || *function != name);
            } else {
                offences
                    .push(format!("{}:{number} `{name}` has {lines} lines, over {LINES_MAX}", source.path));
            }
        }
    }
    let needless = needless.iter().map(|(path, name, _)| format!("{path}: `{name}` is listed needlessly"));
    offences.extend(needless);
    offences
}

/// The functions of a formatted text: the number of the line where each begins, its name, and how many lines it has.
fn functions(text: &str) -> impl Iterator<Item = (usize, &str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    text.lines().enumerate().filter_map(move |(index, line)| {
        let name = name_of_function(line)?;
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_end = |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest == "}");
        let length = if line.ends_with(['}', ';']) { 0 } else { lines[index..].iter().position(is_end)? };
        Some((index + 1, name, length + 1))
    })
}

/// The name of the function that begins on this line.
fn name_of_function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_qualifier = |word: &str| {
        ["async", "const", "unsafe", "extern", "\"C\"", "pub"].contains(&word) || word.starts_with("pub(")
    };
    before.split_whitespace().all(is_qualifier).then_some(())?;
    let end = after.find(|character: char| !character.is_alphanumeric() && character != '_')?;
    (end > 0).then(|| &after[..end])
}

#[apply(test)]
fn a_long_function_is_found_and_a_listed_one_is_let_pass() {
    let long = format!(
        "impl X {{\n    pub(crate) const fn long<T>() {{\n{}    }}\n}}\n",
        "        a();\n".repeat(LINES_MAX - 1)
    );
    let fits = format!("fn fits(\n    a: u32,\n) {{\n{}}}\n", "    a();\n".repeat(LINES_MAX - 4));
    let text = format!("{fits}{long}fn short() {{}}\n");
    let source = |path: &str| SourceFile::from((path, text.as_str()));
    assert_eq!(
        long_functions(&[source("a.rs")], &[]),
        [format!("a.rs:{} `long` has {} lines, over {LINES_MAX}", LINES_MAX + 2, LINES_MAX + 1)]
    );
    assert!(long_functions(&[source("a.rs")], &[("a.rs", "long", "why")]).is_empty());
    assert_eq!(
        long_functions(&[source("a.rs")], &[("a.rs", "long", ""), ("a.rs", "fits", "")]).len(),
        1,
        "needless"
    );
}

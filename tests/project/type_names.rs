//! A type's name means one thing in the whole workspace, so nobody has to ask which one is meant.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::modules::Modules;
use crate::project::sources::{SourceFile, rule};
use crate::support::{apply, test};

/// Names that two packages share, and why.
const SHARED: &[(&[&str], &str)] = &[
    (
        &["Barrier", "Condition", "Event", "Latch", "Lock", "Pool", "Queue", "Semaphore"],
        "an object in the manager's core, and the proxy that stands for it in the client",
    ),
    (
        &[
            "Abandonment",
            "HolderInfo",
            "ObjectInfo",
            "ObjectState",
            "ObjectSummary",
            "PermitsInfo",
            "RunningCallInfo",
            "SessionInfo",
            "WaiterInfo",
        ],
        "what an answer carries, and the same as programs see it",
    ),
    (&["Error"], "the error of a package, which others name with the package"),
    (
        &["SleepWord"],
        "what a thread of a client sleeps on, and what stands for it where its steps are tried in every order",
    ),
];

/// The reference model has the names of what it models. Among themselves, its names are unique as well.
const MODEL: &str = "manager/core/tests/model/reference/";

#[apply(rule)]
fn each_type_has_its_own_name(sources: &[SourceFile]) -> Vec<String> {
    shared_names(sources, SHARED)
}

/// Complains of types that share a name, in tests as well, and of names that are listed and not shared by two.
fn shared_names(sources: &[SourceFile], listed: &[(&[&str], &str)]) -> Vec<String> {
    let modules = Modules::of(sources);
    let mut files: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
    // A file may be a module in two places, such as one that an example shares with tests.
    let mut seen = BTreeSet::new();
    for module in modules.iter() {
        for name in &module.types {
            if seen.insert((name, &module.file)) {
                let is_of_model = module.file.starts_with(MODEL);
                files.entry((is_of_model, name)).or_default().push(&module.file);
            }
        }
    }
    let mut listed: Vec<&str> = listed.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    let mut offences = Vec::new();
    for ((_, name), files) in files.iter().filter(|(_, files)| files.len() > 1) {
        match listed.iter().position(|other| other == name) {
            Some(position) if files.len() == 2 => drop(listed.swap_remove(position)),
            _ => offences.push(format!("{name} is the name of several types: {}", files.join(", "))),
        }
    }
    offences
        .extend(listed.iter().map(|name| format!("{name} is listed needlessly: two types do not share it")));
    offences
}

#[apply(test)]
fn a_shared_name_is_found_whatever_the_types_are() {
    for (left, right) in [
        ("pub struct Name;", "enum Name {}"),
        ("type Name = u32;", "union Name { a: u32, b: f32 }"),
        ("trait Name {}", "mod within { pub(crate) struct Name(u32); }"),
        ("fn function() { struct Name; }", "#[derive(Debug)] pub(crate) struct Name<T> { field: T }"),
    ] {
        let sources = [("a/src/lib.rs", left), ("b/src/lib.rs", right)].map(SourceFile::from);
        let offence = "Name is the name of several types: a/src/lib.rs, b/src/lib.rs";
        assert_eq!(shared_names(&sources, &[]), [offence], "{left} {right}");
        assert!(shared_names(&sources, &[(&["Name"], "why")]).is_empty(), "{left} {right}");
    }
}

#[apply(test)]
fn a_name_is_shared_with_tests() {
    let sources = [
        ("a/src/lib.rs", "struct Name; #[cfg(test)] mod tests { struct Other; }"),
        ("b/src/lib.rs", "#[cfg(test)] mod fake;"),
        ("b/src/fake.rs", "struct Name;"),
        ("b/tests/all.rs", "struct Other;"),
    ];
    let offences = [
        "Name is the name of several types: a/src/lib.rs, b/src/fake.rs",
        "Other is the name of several types: a/src/lib.rs (tests), b/tests/all.rs",
    ];
    assert_eq!(shared_names(&sources.map(SourceFile::from), &[]), offences);
}

#[apply(test)]
fn a_name_is_not_shared_with_the_model_or_by_what_is_no_type() {
    let sources = [
        ("a/src/lib.rs", "mod part; struct Name; // struct Name;"),
        ("a/src/part.rs", "trait Other { type Name; }"),
        ("b/src/lib.rs", "const TEXT: &str = \"struct Name;\"; fn Name() {}"),
        ("manager/core/tests/model/reference/name.rs", "struct Name;"),
        ("manager/core/tests/model/main.rs", "#[path = \"../shared.rs\"] mod shared;"),
        ("manager/core/tests/other/main.rs", "#[path = \"../shared.rs\"] mod shared;"),
        ("manager/core/tests/shared.rs", "struct Shared;"),
    ];
    assert!(shared_names(&sources.map(SourceFile::from), &[]).is_empty());
}

#[apply(test)]
fn a_name_that_is_listed_is_shared_by_two() {
    let source = |path: &str| SourceFile::from((path, "struct Name;"));
    let [one, two, three] = ["a/src/lib.rs", "b/src/lib.rs", "c/src/lib.rs"].map(source);
    let listed: &[(&[&str], &str)] = &[(&["Name"], "why")];
    assert_eq!(shared_names(&[one], listed).len(), 1, "needless");
    let [one, again] = ["a/src/lib.rs", "b/src/lib.rs"].map(source);
    assert!(shared_names(&[one, again], listed).is_empty());
    let one = source("a/src/lib.rs");
    assert!(!shared_names(&[one, two, three], listed).is_empty(), "one too many");
}

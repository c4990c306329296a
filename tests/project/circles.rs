//! Files use each other one way, so each can be read with what stands below it and without what stands above.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::project::modules::Modules;
use crate::project::sources::{SourceFile, rule};
use crate::support::{apply, test};

/// Folders whose files may use each other both ways, and why.
const CIRCULAR: &[(&str, &str)] = &[
    (
        "manager/core/src/",
        "the one state machine: `impl State` is spread over its objects, which need all of it",
    ),
    (
        "manager/core/tests/model/reference/",
        "the one model: `impl Model` is spread over the chapters of the page, which refer to each other",
    ),
];

/// For each file, the files that it uses, each with a path that leads there.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, String>>;

#[apply(rule)]
fn files_use_each_other_one_way(sources: &[SourceFile]) -> Vec<String> {
    circles(sources, CIRCULAR)
}

/// Complains of each circle of files that use each other, outside of the listed folders.
fn circles(sources: &[SourceFile], circular: &[(&str, &str)]) -> Vec<String> {
    let modules = Modules::of(sources);
    let is_circular = |file: &str| circular.iter().any(|(folder, _)| file.starts_with(folder));
    let mut graph = Graph::new();
    for (user, path, used) in modules.uses() {
        if !(is_circular(&user.file) && is_circular(&used.file)) {
            graph.entry(&user.file).or_default().entry(&used.file).or_insert_with(|| path.join("::"));
        }
    }
    let mut known = BTreeSet::new();
    let circles = graph.keys().filter_map(|file| shortest_circle(&graph, file));
    let new = circles.filter(|circle| known.insert(circle.iter().copied().collect::<BTreeSet<_>>()));
    new.map(|circle| describe(&graph, &circle)).collect()
}

/// The files on the shortest way from a file back to itself.
fn shortest_circle<'a>(graph: &Graph<'a>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut user_of = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for &used in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if used == start {
                let mut circle = vec![file];
                while circle[circle.len() - 1] != start {
                    circle.push(user_of[circle[circle.len() - 1]]);
                }
                circle.reverse();
                return Some(circle);
            }
            user_of.entry(used).or_insert_with(|| {
                queue.push_back(used);
                file
            });
        }
    }
    None
}

fn describe(graph: &Graph<'_>, circle: &[&str]) -> String {
    let mut text = "files use each other in a circle:".to_owned();
    for (position, file) in circle.iter().enumerate() {
        let used = circle[(position + 1) % circle.len()];
        text += &format!("\n  {file} uses {used}, as in `{}`", graph[file][used]);
    }
    text
}

/// The circles in a crate of three files.
fn planted(root: &str, left: &str, right: &str) -> Vec<String> {
    let sources = [("a/src/lib.rs", root), ("a/src/left.rs", left), ("a/src/right/mod.rs", right)];
    circles(&sources.map(SourceFile::from), &[])
}

const ROOT: &str = "mod left; mod right; pub struct InRoot;";
const LEFT: &str = "use crate::right::Right; pub struct Left;";

#[apply(test)]
fn a_circle_is_found_however_a_file_names_the_other() {
    for right in [
        "use crate::left::Left; pub struct Right;",
        "use super::left::Left; pub struct Right;",
        "use super::left::{self, Left as Renamed}; pub struct Right;",
        "use crate::{left::{Left}, InRoot}; pub struct Right;",
        "use super::left::*; pub struct Right;",
        "use super::left; pub struct Right(left::Left);",
        "pub struct Right; fn function() { use crate::left::Left; }",
        "pub struct Right; fn function() -> crate::left::Left { todo() }",
        "pub struct Right; fn function() { assert!(super::left::Left.is_so()) }",
        "mod within { use super::super::left::Left; } pub struct Right;",
        "pub use crate::left::Left; pub struct Right(Left);",
    ] {
        let circles = planted(ROOT, LEFT, right);
        assert_eq!(circles.len(), 1, "{right}: {circles:?}");
        assert!(circles[0].contains("a/src/left.rs uses a/src/right/mod.rs, as in `crate::right::Right`"));
    }
}

#[apply(test)]
fn what_a_module_passes_on_leads_to_the_file_that_defines_it() {
    let root = "mod left; mod right; pub use left::Left; pub use right::Right;";
    let circles = planted(root, "use crate::Right; pub struct Left;", "use super::Left; pub struct Right;");
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert!(
        circles[0].contains("a/src/left.rs uses a/src/right/mod.rs, as in `crate::Right`"),
        "{circles:?}"
    );
    assert!(planted(root, "use crate::Right; pub struct Left;", "pub struct Right;").is_empty());
    let globs = "mod left; mod right; pub use left::*; pub use right::*;";
    assert_eq!(
        planted(globs, "use crate::Right; pub struct Left;", "use super::Left; pub struct Right;").len(),
        1
    );
}

#[apply(test)]
fn a_long_circle_is_found_once() {
    let root = "mod left; mod right; use left::Left; pub struct InRoot;";
    let circles = planted(root, LEFT, "use crate::InRoot; pub struct Right;");
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert_eq!(circles[0].lines().count(), 4, "{circles:?}");
}

#[apply(test)]
fn one_way_is_no_circle() {
    for right in [
        "pub struct Right;",
        "use crate::InRoot; pub struct Right; // use super::left::Left;",
        "use other::left::Left; pub struct Right;",
        "pub struct Right; #[cfg(test)] mod tests { use crate::left::Left; use super::*; }",
        "pub use crate::left::Left; pub struct Right;",
        "pub struct Right; fn function(left: u32) -> u32 { left }",
    ] {
        assert_eq!(planted(ROOT, LEFT, right), [""; 0], "{right}");
    }
}

#[apply(test)]
fn circles_are_let_pass_in_listed_folders_alone() {
    let sources = || {
        let [left, right] = ["use super::right::R; struct L;", "use super::left::L; pub struct R;"];
        [("a/src/lib.rs", "mod left; mod right;"), ("a/src/left.rs", left), ("a/src/right.rs", right)]
            .map(SourceFile::from)
    };
    assert!(circles(&sources(), &[("a/src/", "why")]).is_empty());
    assert_eq!(circles(&sources(), &[("b/src/", "why")]).len(), 1);
}

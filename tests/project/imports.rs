//! Which package imports which: the manifests must say what the table in `ARCHITECTURE.md` says, and the table no more.

use std::collections::BTreeSet;

use crate::project::sources::{SourceFile, rule};
use crate::support::apply;

/// What one package imports of the others of this project, under the names of their libraries.
#[derive(Debug, Default, PartialEq, Eq)]
struct PackageImports {
    always: BTreeSet<String>,
    behind_features: BTreeSet<String>,
}

/// A row of the table of packages.
struct PackageRow<'a> {
    /// The folder, which is empty for the root.
    folder: &'a str,
    /// The name of its library, which is empty if it has none.
    library: &'a str,
    imports: PackageImports,
}

#[apply(rule)]
fn packages_import_what_the_map_says(sources: &[SourceFile]) -> Vec<String> {
    let page = sources.iter().find(|source| source.path == "ARCHITECTURE.md").expect("the page with the map");
    let rows: Vec<PackageRow<'_>> = page.text.lines().filter_map(row).collect();
    let manifests =
        sources.iter().filter_map(|source| Some((source.path.strip_suffix("Cargo.toml")?, source)));
    let mut offences = Vec::new();
    let mut manifest_count = 0;
    for (folder, manifest) in manifests {
        manifest_count += 1;
        match rows.iter().find(|row| row.folder == folder.trim_end_matches('/')) {
            Some(row) => offences.extend(disagreements(row, &rows, manifest)),
            None => offences.push(format!("ARCHITECTURE.md does not say what {} may import", manifest.path)),
        }
    }
    if manifest_count < rows.len() {
        offences.push(format!("ARCHITECTURE.md has {} packages of {manifest_count}", rows.len()));
    }
    offences
}

/// How a manifest differs from its row. What only tests import must be in the row too, in either part of it.
fn disagreements(row: &PackageRow<'_>, rows: &[PackageRow<'_>], manifest: &SourceFile) -> Vec<String> {
    let mut offences = Vec::new();
    let mut found = PackageImports::default();
    for (table, line) in dependencies(&manifest.text) {
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default().replace('-', "_");
        if name.is_empty() || rows.iter().all(|row| row.library != name) {
            continue;
        }
        if !row.imports.always.contains(&name) && !row.imports.behind_features.contains(&name) {
            offences.push(format!("{} must not import {name}", manifest.path));
        }
        if table != "[dependencies]" {
            continue;
        }
        let is_optional = line.contains("optional = true");
        let part = if is_optional { &mut found.behind_features } else { &mut found.always };
        part.insert(name);
    }
    if found != row.imports {
        offences.push(format!("{} has {found:?}, and ARCHITECTURE.md {:?}", manifest.path, row.imports));
    }
    offences
}

/// A row with four cells is one of a package: its folder, its library, what it is, and what it imports.
fn row(line: &str) -> Option<PackageRow<'_>> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let ["", folder, library, _what, imports, ""] = cells[..] else { return None };
    let folder = match folder {
        "the root" => "",
        folder => folder.strip_prefix('`')?.strip_suffix("/`")?,
    };
    let mut found = PackageImports::default();
    for part in imports.split(';') {
        match part.split_once(" behind the feature ") {
            Some((names, _feature)) => found.behind_features.extend(quoted(names)),
            None => found.always.extend(quoted(part)),
        }
    }
    Some(PackageRow { folder, library: library.trim_matches('`'), imports: found })
}

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The lines by which a manifest imports packages, each with the header of its table.
fn dependencies(manifest: &str) -> Vec<(&str, &str)> {
    let mut table = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            table = line;
        } else if table.ends_with("dependencies]") && table != "[workspace.dependencies]" {
            found.push((table, line));
        }
    }
    found
}

//! The sources of the project, which the tests find by walking the folders: so they work in a tarball as well as in a
//! repository.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that people write.
pub(crate) struct SourceFile {
    /// The path from the root of the workspace.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

impl From<(&str, &str)> for SourceFile {
    fn from((path, text): (&str, &str)) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }
}

impl SourceFile {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is a part of a library, and so of whatever program uses it.
    pub(crate) fn is_library(&self) -> bool {
        self.is_rust()
            && self.path.contains("src/")
            && !self.path.contains("/tests")
            && !self.path.starts_with("src/command/")
            && !self.path.starts_with("src/bin/")
            && !self.path.ends_with("main.rs")
            && !self.path.starts_with("bench/")
    }
}

/// Makes a test of a function that finds offences in the sources. It names each, and fails if there are any.
macro_rules! rule {
    ($(#[$attribute:meta])* fn $name:ident($sources:ident: &[SourceFile]) -> Vec<String> $body:block) => {
        #[$crate::support::apply($crate::support::test)]
        $(#[$attribute])*
        fn $name() {
            let $sources = &$crate::project::sources::sources()[..];
            let offences: Vec<String> = $body;
            assert!(offences.is_empty(), "{}", offences.join("\n"));
        }
    };
}

pub(crate) use rule;

/// All of them, in the order of their paths.
pub(crate) fn sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(root, &mut paths);
    paths.sort();
    assert!(
        paths.iter().any(|path| path.ends_with("protocol/src/lib.rs")),
        "the walk has missed the sources"
    );
    let sources = paths.into_iter().map(|path| SourceFile {
        path: path.strip_prefix(root).expect("found below the root").display().to_string(),
        text: fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    });
    sources.collect()
}

/// Finds the files that people write. Hidden folders belong to tools, except for the checks in `.ci`.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be read to its end").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_symlink() || name == "target" || (name.starts_with('.') && name != ".ci") {
            continue;
        }
        if path.is_dir() {
            walk(&path, paths);
            continue;
        }
        let is_script = [".ci", "scripts"].iter().any(|name| folder.file_name() == Some(name.as_ref()));
        if is_script || [".rs", ".md", ".toml"].iter().any(|ending| name.ends_with(ending)) {
            paths.push(path);
        }
    }
}

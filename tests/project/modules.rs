//! The modules of the workspace, as the compiler sees them: which file each is in, what it defines, and what it uses.
//!
//! What a macro writes is not seen, except where the arguments of a macro are expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Ident, Item, ItemMod, Lit, Meta, Token, Type, UseTree, Visibility};

use super::sources::SourceFile;

/// A path such as `super::Name`, segment by segment.
pub(crate) type Segments = Vec<String>;

/// The imports that a resolution has passed, each by its module and its name, as no import leads to itself.
type PassedImports = BTreeSet<(usize, String)>;

/// The sources, parsed, by their paths.
type Files<'a> = BTreeMap<&'a str, syn::File>;

/// All modules of the workspace.
pub(crate) struct Modules(Vec<Module>);

/// One module: a file, or a part of one.
#[derive(Default)]
pub(crate) struct Module {
    /// The file that it is in. The tests at the end of a file count as a file of their own.
    pub(crate) file: String,
    /// Whether it exists in tests alone.
    is_test: bool,
    /// The types and traits that it defines.
    pub(crate) types: Vec<String>,
    /// The types of which it has an `impl` without a trait.
    pub(crate) implements: BTreeSet<String>,
    /// All that it defines.
    items: BTreeSet<String>,
    /// What it imports.
    imports: Vec<Import>,
    /// The paths in its code that have several segments.
    paths: BTreeSet<Segments>,
    /// The others.
    names: BTreeSet<String>,
    /// The modules in it.
    children: BTreeMap<String, usize>,
    /// The module that it is in; none for the root of a crate.
    parent: Option<usize>,
}

/// What a `use` brings into a module.
struct Import {
    /// The name there; `*` for all that there is.
    name: String,
    path: Segments,
    /// Whether others may import it from here. That alone is no use of it.
    is_public: bool,
}

impl Modules {
    /// Finds the modules of these sources. Each file that no other declares as a module is the root of a crate.
    pub(crate) fn of(sources: &[SourceFile]) -> Modules {
        let mut files = Files::new();
        for source in sources.iter().filter(|source| source.is_rust()) {
            let file =
                syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
            files.insert(&source.path, file);
        }
        let mut declared = BTreeSet::new();
        for (path, file) in &files {
            for folder in [folder_of_root(path), folder_of_module(path)] {
                collect_declared(&file.items, &folder, path, &files, &mut declared);
            }
        }
        let mut modules = Modules(Vec::new());
        for path in files.keys().filter(|path| !declared.contains(**path)) {
            let is_test = path.split('/').any(|part| part == "tests");
            let root = Module { file: (*path).to_owned(), is_test, ..Module::default() };
            modules.add(root, path, &files[path].items, &folder_of_root(path), &files);
        }
        modules
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Module> {
        self.0.iter()
    }

    /// Every path in the imports and the code of a module that leads to another file, with the module that it leads to.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (&Module, &Segments, &Module)> {
        self.0.iter().enumerate().flat_map(move |(number, module)| {
            let is_used = |import: &&Import| !import.is_public || module.names.contains(&import.name);
            let imports = module.imports.iter().filter(is_used).map(|import| &import.path);
            imports.chain(&module.paths).filter_map(move |path| {
                let target = &self.0[self.resolve(number, path, &mut PassedImports::new())?];
                (target.file != module.file).then_some((module, path, target))
            })
        })
    }

    /// Adds a module and those in it; returns its number. `path` is the file that it is in, and `folder` has the files
    /// of the modules in it.
    fn add(&mut self, module: Module, path: &str, items: &[Item], folder: &Path, files: &Files<'_>) -> usize {
        let number = self.0.len();
        let (file, is_test) = (module.file.clone(), module.is_test);
        self.0.push(module);
        for item in items {
            let Item::Mod(declaration) = item else {
                Collector(&mut self.0[number]).visit_item(item);
                continue;
            };
            let name = declaration.ident.to_string();
            let begins_tests = !is_test && is_for_tests(&declaration.attrs);
            let child =
                Module { is_test: is_test || begins_tests, parent: Some(number), ..Module::default() };
            let child = if let Some((_, items)) = &declaration.content {
                let file = if begins_tests { format!("{file} (tests)") } else { file.clone() };
                self.add(Module { file, ..child }, path, items, &folder.join(&name), files)
            } else {
                let Some(path) = file_of(declaration, folder, path, files) else { continue };
                let items = &files[path.as_str()].items;
                self.add(
                    Module { file: path.clone(), ..child },
                    &path,
                    items,
                    &folder_of_module(&path),
                    files,
                )
            };
            self.0[number].children.insert(name, child);
        }
        number
    }

    /// The module that defines what a path leads to from here, or the module that it leads to; none if it leads out of
    /// the crate.
    fn resolve(&self, from: usize, path: &[String], passed: &mut PassedImports) -> Option<usize> {
        let (mut at, mut rest) = (from, path);
        while let [name, further @ ..] = rest {
            let module = &self.0[at];
            let next = match name.as_str() {
                "*" => return Some(at),
                "crate" => Some(self.root(at)),
                "self" => Some(at),
                "super" => module.parent,
                _ if further.is_empty() && module.items.contains(name) => return Some(at),
                _ => module.children.get(name).copied(),
            };
            match next {
                Some(next) => (at, rest) = (next, further),
                None if module.items.contains(name) => return Some(at),
                None => return self.resolve_imported(at, rest, passed),
            }
        }
        Some(at)
    }

    /// As `resolve`, for a path that begins with what this module imports.
    fn resolve_imported(&self, at: usize, path: &[String], passed: &mut PassedImports) -> Option<usize> {
        let (name, further) = path.split_first()?;
        if !passed.insert((at, name.clone())) {
            return None;
        }
        if let Some(import) = self.0[at].imports.iter().find(|import| import.name == *name) {
            let found = self.resolve(at, &[&import.path, further].concat(), passed);
            // What comes from another crate counts as defined here.
            let is_ours = ["crate", "self", "super"].contains(&import.path[0].as_str());
            return found.or((!is_ours).then_some(at));
        }
        self.0[at].imports.iter().filter(|import| import.name == "*").find_map(|import| {
            let module = &import.path[..import.path.len() - 1];
            self.resolve(at, &[module, path].concat(), passed)
        })
    }

    fn root(&self, mut at: usize) -> usize {
        while let Some(parent) = self.0[at].parent {
            at = parent;
        }
        at
    }
}

/// Collects what the items of a module define and use.
struct Collector<'a>(&'a mut Module);

impl Collector<'_> {
    fn define(&mut self, name: &Ident) {
        self.0.items.insert(name.to_string());
    }

    fn define_type(&mut self, name: &Ident) {
        self.define(name);
        self.0.types.push(name.to_string());
    }

    fn import(&mut self, tree: &UseTree, before: &[String], is_public: bool) {
        let with = |name: String| [before, &[name]].concat();
        let (name, path) = match tree {
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, before, is_public));
            }
            UseTree::Path(path) => return self.import(&path.tree, &with(path.ident.to_string()), is_public),
            UseTree::Name(name) if name.ident == "self" => {
                (before.last().cloned().unwrap_or_default(), before.to_vec())
            }
            UseTree::Name(name) => (name.ident.to_string(), with(name.ident.to_string())),
            UseTree::Rename(name) => (name.rename.to_string(), with(name.ident.to_string())),
            UseTree::Glob(_) => ("*".to_owned(), with("*".to_owned())),
        };
        self.0.imports.push(Import { name, path, is_public });
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Struct(item) => self.define_type(&item.ident),
            Item::Enum(item) => self.define_type(&item.ident),
            Item::Union(item) => self.define_type(&item.ident),
            Item::Trait(item) => self.define_type(&item.ident),
            Item::Type(item) => self.define_type(&item.ident),
            Item::Const(item) => self.define(&item.ident),
            Item::Static(item) => self.define(&item.ident),
            Item::Fn(item) => self.define(&item.sig.ident),
            Item::Macro(item) => item.ident.iter().for_each(|name| self.define(name)),
            Item::Use(item) => self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited)),
            Item::Impl(item) if item.trait_.is_none() => {
                if let Type::Path(of) = &*item.self_ty {
                    self.0
                        .implements
                        .extend(of.path.segments.last().map(|segment| segment.ident.to_string()));
                }
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let [name] = &segments[..] {
            self.0.names.insert(name.clone());
        } else if path.leading_colon.is_none() {
            self.0.paths.insert(segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        if let Ok(arguments) = call.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated) {
            arguments.iter().for_each(|argument| Collector(self.0).visit_expr(argument));
        }
    }
}

/// Whether these attributes leave something to tests alone.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

/// The folder with the modules of a file that is the root of a crate.
fn folder_of_root(file: &str) -> PathBuf {
    Path::new(file).parent().expect("a file is in a folder").to_owned()
}

/// The folder with the modules of a file that is a module itself.
fn folder_of_module(file: &str) -> PathBuf {
    if file.ends_with("/mod.rs") { folder_of_root(file) } else { Path::new(file).with_extension("") }
}

/// The file of a module that another file declares.
fn file_of(declaration: &ItemMod, folder: &Path, path: &str, files: &Files<'_>) -> Option<String> {
    let name = declaration.ident.to_string();
    let named = declaration.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let candidates = match named {
        Some(named) => vec![Path::new(path).with_file_name(named)],
        None => vec![folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")],
    };
    candidates.iter().map(|path| without_dots(path)).find(|path| files.contains_key(path.as_str()))
}

/// A path that goes to no folder above.
fn without_dots(path: &Path) -> String {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            component => parts.extend(component.as_os_str().to_str()),
        }
    }
    parts.join("/")
}

/// Collects the files of the modules that these items declare.
fn collect_declared(
    items: &[Item],
    folder: &Path,
    path: &str,
    files: &Files<'_>,
    declared: &mut BTreeSet<String>,
) {
    for item in items {
        let Item::Mod(declaration) = item else { continue };
        match &declaration.content {
            Some((_, items)) => {
                collect_declared(items, &folder.join(declaration.ident.to_string()), path, files, declared);
            }
            None => declared.extend(file_of(declaration, folder, path, files)),
        }
    }
}

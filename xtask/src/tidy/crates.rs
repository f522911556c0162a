//! Rules about each crate's `Cargo.toml` and root file: what it may depend on and what it forbids.

use toml::{Table, Value};

use super::{report::Violation, tokens::starts_with, tree::Tree};

/// Rooms without I/O. Cargo is the wall that keeps them so.
const PURE: &[&str] = &[
    "plue-plan",
    "plue-spec",
    "plue-flow",
    "plue-prompts",
    "plue-wire",
    "plue-picture",
    "plue-reports",
    "plue-dashboard",
];
/// Libraries for I/O, which pure rooms must not see.
const IMPURE_LIBRARIES: &[&str] =
    &["tokio", "tokio-util", "tokio-stream", "sqlx", "axum", "hyper", "reqwest", "kube", "pyo3"];
/// Libraries with a named owner (the same list as `[bans]` in deny.toml).
pub(crate) const OWNED: &[(&str, &[&str])] = &[
    ("axum", &["plue-api", "plue-runtime", "plue-server", "plue-testkit"]),
    ("handlebars", &["plue-prompts"]),
    // plue-spec only in its tests.
    ("jsonschema", &["plue-plan", "plue-spec"]),
    ("kube", &["plue-pool-kube"]),
    ("pyo3", &["plue-evaluator"]),
    ("object_store", &["plue-store"]),
    // The last two are libraries: plue-store's and the browser tests'.
    (
        "reqwest",
        &[
            "plue-cli",
            "plue-client",
            "plue-executor",
            "plue-forge",
            "plue-llm",
            "plue-login",
            "plue-server",
            "plue-store",
            "object_store",
            "thirtyfour",
        ],
    ),
    ("sqlx", &["plue-store"]),
];
/// Crates where one small named module may use `unsafe` (Python's C interface; `fork`).
const UNSAFE_ALLOWED: &[&str] = &["plue-evaluator", "plue-runner"];

/// One member of the workspace, read from its `Cargo.toml`.
#[derive(Debug)]
pub(crate) struct Crate<'t> {
    pub(crate) name: String,
    /// Path of the `Cargo.toml`.
    pub(crate) manifest: &'t str,
    text: &'t str,
    table: Table,
}

/// One line of a dependency table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency<'c> {
    pub(crate) name: &'c str,
    /// From `[dev-dependencies]`: not part of what ships.
    pub(crate) dev: bool,
    inherits_version: bool,
}

impl<'t> Crate<'t> {
    /// Every crate of the workspace whose `Cargo.toml` parses. Other projects in the tree, such as
    /// an example for users of Cargo, are not ours to judge.
    pub(crate) fn all(tree: &'t Tree) -> Vec<Self> {
        let root = tree.text("Cargo.toml").and_then(|text| text.parse::<Table>().ok());
        let members = root.as_ref().and_then(|root| root.get("workspace")?.get("members"));
        let members = members.and_then(Value::as_array).into_iter().flatten();
        let paths = members.filter_map(Value::as_str).map(|folder| format!("{folder}/Cargo.toml"));
        let manifests = paths.filter_map(|path| tree.entry(&path));
        manifests.filter_map(|(path, text)| Self::parse(path, text)).collect()
    }

    fn parse(manifest: &'t str, text: &'t str) -> Option<Self> {
        let table: Table = text.parse().ok()?;
        let name = table.get("package")?.get("name")?.as_str()?.to_owned();
        Some(Self { name, manifest, text, table })
    }

    /// Folder of the crate, without a `/` at the end.
    pub(crate) fn folder(&self) -> &'t str {
        self.manifest.trim_end_matches("/Cargo.toml")
    }

    /// Dependencies of all kinds, also those for one platform only.
    pub(crate) fn dependencies(&self) -> Vec<Dependency<'_>> {
        let platforms = self.table.get("target").and_then(Value::as_table);
        let platforms = platforms.into_iter().flat_map(|table| table.values());
        let tables = std::iter::once(&self.table).chain(platforms.filter_map(Value::as_table));
        let mut all = Vec::new();
        for table in tables {
            for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
                let lines = table.get(kind).and_then(Value::as_table);
                for (name, value) in lines.into_iter().flatten() {
                    let inherits = value.get("workspace").and_then(Value::as_bool);
                    all.push(Dependency {
                        name,
                        dev: kind == "dev-dependencies",
                        inherits_version: inherits.unwrap_or(false),
                    });
                }
            }
        }
        all
    }

    /// Dependencies that are there for their features only, by cargo-machete's convention.
    pub(crate) fn named_for_features(&self) -> Vec<&str> {
        let metadata = self.table.get("package").and_then(|package| package.get("metadata"));
        let listed = metadata.and_then(|all| all.get("cargo-machete")?.get("ignored")?.as_array());
        listed.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Line of the first mention of `word` in the manifest, else 1.
    pub(crate) fn line_of(&self, word: &str) -> usize {
        let names_it = |line: &str| {
            let rest = line.strip_prefix(word);
            rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        self.text.lines().position(names_it).map_or(1, |line| line + 1)
    }

    /// Files that are roots of a crate that ships.
    fn roots(&self, tree: &'t Tree) -> Vec<&'t str> {
        let source = format!("{}/src/", self.folder());
        let is_root = |path: &str| {
            path.strip_prefix(&source).is_some_and(|rest| {
                rest == "lib.rs"
                    || rest == "main.rs"
                    || rest.strip_prefix("bin/").is_some_and(|name| !name.contains('/'))
            })
        };
        tree.of_kind("rs").map(|(path, _)| path).filter(|path| is_root(path)).collect()
    }
}

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for each in &Crate::all(tree) {
        inherits_lints(each, &mut found);
        dependencies(each, &mut found);
        forbids_unsafe(tree, each, &mut found);
    }
    found
}

fn inherits_lints(each: &Crate<'_>, found: &mut Vec<Violation>) {
    let inherited = each.table.get("lints").and_then(|lints| lints.get("workspace"));
    if inherited.and_then(Value::as_bool) != Some(true) {
        let advice = "add `[lints]` with `workspace = true`: without it Clippy checks nothing here";
        found.push(Violation::new(each.manifest, 1, "lints", advice));
    }
}

fn dependencies(each: &Crate<'_>, found: &mut Vec<Violation>) {
    for Dependency { name, inherits_version, .. } in each.dependencies() {
        let line = each.line_of(name);
        if !inherits_version {
            let advice =
                format!("write `{name}.workspace = true` and the version into the root Cargo.toml");
            found.push(Violation::new(each.manifest, line, "one-version", advice));
        }
        if PURE.contains(&each.name.as_str()) && IMPURE_LIBRARIES.contains(&name) {
            let advice =
                format!("{} is pure: move what needs `{name}` to a room with I/O", each.name);
            found.push(Violation::new(each.manifest, line, "pure-crate", advice));
        }
        let owners = OWNED.iter().find(|(library, _)| *library == name);
        if let Some((_, owners)) = owners.filter(|(_, owners)| !owners.contains(&&*each.name)) {
            let advice = format!("`{name}` belongs to {}: call that crate", owners.join(", "));
            found.push(Violation::new(each.manifest, line, "owned-library", advice));
        }
    }
}

fn forbids_unsafe(tree: &Tree, each: &Crate<'_>, found: &mut Vec<Violation>) {
    if UNSAFE_ALLOWED.contains(&each.name.as_str()) {
        return;
    }
    let attribute = ["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"];
    for root in each.roots(tree) {
        let Some(source) = tree.source(root) else { continue };
        let tokens = &source.tokens;
        if !(0..tokens.len()).any(|at| starts_with(tokens, at, &attribute)) {
            let advice = "add `#![forbid(unsafe_code)]` after the opening docs";
            found.push(Violation::new(root, 1, "forbid-unsafe", advice));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Crate, check};
    use crate::tidy::tree::Tree;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    fn rules(folder: &str, manifest: &str) -> Vec<(usize, &'static str)> {
        let path = format!("{folder}/Cargo.toml");
        check(&Tree::of(&[(&path, manifest)]))
            .iter()
            .map(|found| (found.line, found.rule))
            .collect()
    }

    fn manifest(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{LINTS}{rest}")
    }

    #[test]
    fn crates_that_do_not_inherit_lints_are_refused() {
        assert_eq!(rules("a", "[package]\nname = \"a\"\n"), [(1, "lints")]);
        assert_eq!(rules("a", &manifest("a", "")), []);
    }

    #[test]
    fn versions_stand_in_the_root_only() {
        let text = manifest("a", "[dependencies]\nserde = \"1\"\nhex = { workspace = true }\n");
        assert_eq!(rules("a", &text), [(6, "one-version")]);
    }

    #[test]
    fn pure_crates_may_not_depend_on_tokio() {
        let text = manifest("plue-flow", "[dev-dependencies]\ntokio.workspace = true\n");
        assert_eq!(rules("engine/flow", &text), [(6, "pure-crate")]);
        let text = manifest("plue-pool", "[dependencies]\ntokio.workspace = true\n");
        assert_eq!(rules("engine/pool", &text), []);
    }

    #[test]
    fn a_library_with_an_owner_is_refused_elsewhere() {
        for library in ["sqlx", "pyo3", "kube", "axum", "handlebars"] {
            let text =
                manifest("plue-cli", &format!("[dependencies]\n{library}.workspace = true\n"));
            assert_eq!(rules("engine/cli", &text), [(6, "owned-library")], "{library}");
        }
        let text = manifest("plue-store", "[dependencies]\nsqlx.workspace = true\n");
        assert_eq!(rules("engine/store", &text), []);
        let text = manifest("plue-pool", "[dependencies]\nreqwest.workspace = true\n");
        assert_eq!(rules("engine/pool", &text), [(6, "owned-library")]);
    }

    #[test]
    fn dependencies_for_one_platform_count_too() {
        let rest = "[target.'cfg(unix)'.dependencies]\nsqlx.workspace = true\n";
        assert_eq!(rules("engine/cli", &manifest("plue-cli", rest)), [(6, "owned-library")]);
    }

    #[test]
    fn crate_roots_forbid_unsafe_unless_named() {
        let check_roots = |name: &str, root: &str, text: &str| {
            let text_of_manifest = manifest(name, "");
            let tree = Tree::of(&[("a/Cargo.toml", &text_of_manifest), (root, text)]);
            check(&tree).iter().map(|found| found.path.clone()).collect::<Vec<_>>()
        };
        for root in ["a/src/lib.rs", "a/src/main.rs", "a/src/bin/b.rs"] {
            assert_eq!(check_roots("plue-cli", root, "//! X.\n"), [root]);
            assert!(check_roots("plue-cli", root, "//! X.\n#![forbid(unsafe_code)]\n").is_empty());
        }
        assert!(check_roots("plue-evaluator", "a/src/main.rs", "//! X.\n").is_empty());
        assert!(check_roots("plue-cli", "a/src/run.rs", "//! X.\n").is_empty());
        let commented = "//! #![forbid(unsafe_code)]\n";
        assert_eq!(check_roots("plue-cli", "a/src/lib.rs", commented), ["a/src/lib.rs"]);
    }

    #[test]
    fn the_workspace_manifest_is_not_a_crate() {
        assert!(Crate::all(&Tree::of(&[("Cargo.toml", "[workspace]\n")])).is_empty());
    }

    #[test]
    fn projects_outside_the_workspace_are_left_alone() {
        let project = ("examples/ci/Cargo.toml", "[package]\nname = \"ci\"\n");
        assert!(check(&Tree::of_crates(&[("a/Cargo.toml", LINTS), project], &["a"])).is_empty());
        assert_eq!(check(&Tree::of_crates(&[project], &["examples/ci"])).len(), 1);
    }
}

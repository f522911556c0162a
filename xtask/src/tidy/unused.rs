//! Rule: a dependency that no file of the crate names is not a dependency.
//!
//! One that is there only for its features is listed under `[package.metadata.cargo-machete]`, where
//! the tool of that name looks too.

use std::collections::BTreeSet;

use super::{crates::Crate, report::Violation, tree::Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for each in &Crate::all(tree) {
        let words = Words::of(tree, each);
        let wanted = each.named_for_features();
        for dependency in each.dependencies() {
            let word = dependency.name.replace('-', "_");
            let used = words.shipped.contains(word.as_str())
                || dependency.dev && words.in_tests.contains(word.as_str())
                || wanted.contains(&dependency.name);
            if !used {
                let advice = format!("nothing here uses `{}`: remove it", dependency.name);
                let line = each.line_of(dependency.name);
                found.push(Violation::new(each.manifest, line, "unused-dependency", advice));
            }
        }
    }
    found
}

/// Every word in the Rust files of a crate.
#[derive(Default)]
struct Words<'t> {
    /// In `src/` and `build.rs`.
    shipped: BTreeSet<&'t str>,
    /// In `tests/`, `examples/` and `benches/`.
    in_tests: BTreeSet<&'t str>,
}

impl<'t> Words<'t> {
    fn of(tree: &'t Tree, each: &Crate<'_>) -> Self {
        let mut words = Self::default();
        for (path, source) in tree.sources_of_rust() {
            let Some(inside) = path.strip_prefix(each.folder()) else {
                continue;
            };
            let shipped = inside.starts_with("/src/") || inside == "/build.rs";
            let set = if shipped { &mut words.shipped } else { &mut words.in_tests };
            if inside.starts_with('/') {
                set.extend(source.tokens.iter().map(|token| token.text.as_str()));
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn found(manifest_rest: &str, file: &str, text: &str) -> Vec<usize> {
        let manifest = format!("[package]\nname = \"a\"\n{manifest_rest}");
        let tree = Tree::of(&[("a/Cargo.toml", &manifest), (file, text)]);
        check(&tree).iter().map(|found| found.line).collect()
    }

    const SERDE_JSON: &str = "[dependencies]\nserde_json = \"1\"\nserde = \"1\"\n";

    #[test]
    fn a_dependency_that_is_never_named_is_reported() {
        assert_eq!(found(SERDE_JSON, "a/src/b.rs", "use serde_json::Value;"), [5]);
        assert_eq!(found(SERDE_JSON, "a/src/b.rs", "// serde\nuse serde_json::Value;"), [5]);
        assert_eq!(
            found(SERDE_JSON, "a/src/b.rs", "fn a() { serde::b(serde_json::c()) }"),
            [0_usize; 0]
        );
    }

    #[test]
    fn dashes_in_names_become_underscores() {
        let manifest = "[dependencies]\nplue-plan = \"1\"\n";
        assert_eq!(found(manifest, "a/src/b.rs", "use plue_plan::Plan;"), [0_usize; 0]);
    }

    #[test]
    fn dependencies_of_tests_belong_to_tests() {
        assert_eq!(found("[dependencies]\nhex = \"1\"\n", "a/tests/b.rs", "use hex::encode;"), [4]);
        let manifest = "[dev-dependencies]\nhex = \"1\"\n";
        assert_eq!(found(manifest, "a/tests/b.rs", "use hex::encode;"), [0_usize; 0]);
    }

    #[test]
    fn what_another_crate_names_does_not_count() {
        assert_eq!(found("[dependencies]\nhex = \"1\"\n", "ab/src/b.rs", "use hex::encode;"), [4]);
    }

    #[test]
    fn dependencies_for_their_features_are_listed() {
        let rest =
            "[package.metadata.cargo-machete]\nignored = [\"hex\"]\n[dependencies]\nhex = \"1\"\n";
        assert_eq!(found(rest, "a/src/b.rs", ""), [0_usize; 0]);
    }
}

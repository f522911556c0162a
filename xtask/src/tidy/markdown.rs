//! Rules about documents: links resolve, paths named in the two map files exist, and so do tests named as
//! proofs.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{report::Violation, tree::Tree};

/// Documents that name folders and files; such a name must be true.
const MAPS: &[&str] = &["ARCHITECTURE.md", "README.md"];
/// Documents that name the tests which prove them; such a test must exist.
const PROVEN: &[&str] = &["docs/conformance.md", "docs/explanation/security/threat-model.md"];
/// First parts of paths that exist only after a build or a run.
const MADE: &[&str] = &["target", "dist", ".plue-state"];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let pages: BTreeMap<&str, Page<'_>> =
        tree.of_kind("md").map(|(path, text)| (path, Page::parse(text))).collect();
    let tests = test_names(tree);
    let mut found = links(tree, &pages);
    for (path, page) in &pages {
        for (line, name) in page.names.iter().filter(|_| PROVEN.contains(path)) {
            if looks_like_a_test(name) && !tests.contains(name.as_str()) {
                let advice = format!("no test is called `{name}`: name one that proves this");
                found.push(Violation::new(path, *line, "named-test", advice));
            }
        }
        for (line, name) in page.names.iter().filter(|_| MAPS.contains(path)) {
            if looks_like_a_path(name) && !tree.has(name) {
                let advice = format!("`{name}` does not exist: name what is there");
                found.push(Violation::new(path, *line, "named-path", advice));
            }
        }
    }
    found
}

/// Links of all pages that lead nowhere.
pub(crate) fn broken_links(tree: &Tree) -> Vec<Violation> {
    links(tree, &tree.of_kind("md").map(|(path, text)| (path, Page::parse(text))).collect())
}

fn links(tree: &Tree, pages: &BTreeMap<&str, Page<'_>>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, page) in pages {
        for (line, target) in &page.links {
            if let Some(advice) = broken(tree, pages, path, target) {
                found.push(Violation::new(path, *line, "broken-link", advice));
            }
        }
    }
    found
}

/// Calls `each` with every line of running text: no code, no targets of links.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "Markdown has many events, of which three matter here"
)]
pub(crate) fn prose(text: &str, mut each: impl FnMut(usize, &str)) {
    let options = Options::ENABLE_TABLES | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let mut is_code = false;
    let (mut line, mut counted) = (1, 0);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(_) | Tag::MetadataBlock(_)) => is_code = true,
            Event::End(TagEnd::CodeBlock | TagEnd::MetadataBlock(_)) => is_code = false,
            Event::Text(words) if !is_code => {
                if let Some(between) = text.get(counted..range.start) {
                    line += between.matches('\n').count();
                    counted = range.start;
                }
                each(line, &words);
            }
            _ => {}
        }
    }
}

/// The parts of one document that the rules read.
#[derive(Debug, Default)]
struct Page<'t> {
    /// Line and target of each link and picture.
    links: Vec<(usize, String)>,
    /// Line and text of each inline code span.
    names: Vec<(usize, String)>,
    /// Targets of `#…` links.
    anchors: BTreeSet<String>,
    text: &'t str,
}

impl<'t> Page<'t> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "Markdown has many events, of which four matter here"
    )]
    fn parse(text: &'t str) -> Self {
        let options = Options::ENABLE_TABLES | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
        let mut page = Self { text, ..Self::default() };
        let mut heading: Option<String> = None;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    if let Some(title) = heading.take() {
                        page.add_anchor(&title);
                    }
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    let line = page.line(range.start);
                    page.links.push((line, dest_url.into_string()));
                }
                Event::Code(words) => {
                    let line = page.line(range.start);
                    if let Some(title) = &mut heading {
                        title.push_str(&words);
                    }
                    page.names.push((line, words.into_string()));
                }
                Event::Text(words) => {
                    if let Some(title) = &mut heading {
                        title.push_str(&words);
                    }
                }
                _ => {}
            }
        }
        page
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    /// The anchor that forges give a heading: lower case, `-` for spaces, no punctuation.
    fn add_anchor(&mut self, title: &str) {
        let kept = title.to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let plain: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let numbered = (1..).map(|count| format!("{plain}-{count}"));
        let free = std::iter::once(plain.clone())
            .chain(numbered)
            .find(|anchor| !self.anchors.contains(anchor));
        self.anchors.extend(free);
    }
}

/// The reason that `target`, found in `page`, leads nowhere. Links out of the repository are not tried.
fn broken(
    tree: &Tree,
    pages: &BTreeMap<&str, Page<'_>>,
    page: &str,
    target: &str,
) -> Option<String> {
    let outside = ["https://", "http://", "mailto:"];
    if outside.iter().any(|start| target.starts_with(start)) {
        return None;
    }
    if target.starts_with('/') {
        return Some(format!("write `{target}` relative to this file"));
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let Some(file) = resolve(page, file) else {
        return Some(format!("`{target}` leads out of the repository"));
    };
    if !tree.has(&file) {
        return Some(format!("`{target}`: there is no {file}"));
    }
    let anchors = pages.get(file.as_str()).map(|found| &found.anchors);
    if !anchor.is_empty() && anchors.is_some_and(|known| !known.contains(anchor)) {
        return Some(format!("`{target}`: {file} has no heading for #{anchor}"));
    }
    None
}

/// `target` as seen from `page`, as a path from the root. An empty target is the page itself.
pub(crate) fn resolve(page: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(page.to_owned());
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Names of all functions with a `#[test]` or `#[tokio::test]` shortly before them.
pub(crate) fn test_names(tree: &Tree) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (_, text) in tree.of_kind("rs") {
        let mut is_marked = false;
        for line in text.lines().map(str::trim_start) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_marked = true;
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_marked) {
                names.extend(rest.split('(').next());
                is_marked = false;
            } else if let Some(rest) = line.strip_prefix("async fn ") {
                // `on_each_store!` makes two tests of each function that takes a world.
                names.extend(rest.split_once("(world)").map(|(name, _)| name));
            } else if let Some(rest) = line.strip_prefix("fn ") {
                // And so does `on_each_database!`.
                names.extend(rest.split_once("(database) {").map(|(name, _)| name));
            }
        }
    }
    names
}

/// Whether an inline code span is a name of at least four words in snake case.
fn looks_like_a_test(name: &str) -> bool {
    let spelled = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.chars().all(spelled) && name.matches('_').count() >= 3
}

/// Whether an inline code span names something of the repository: `engine/plan`, `deny.toml`.
fn looks_like_a_path(name: &str) -> bool {
    let spelled = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    let first = name.split('/').next().unwrap_or_default();
    if !name.chars().all(spelled) || first.is_empty() || MADE.contains(&first) {
        return false;
    }
    let is_document = [".md", ".toml"].iter().any(|end| name.ends_with(end) && name != *end);
    name.contains('/') || is_document
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn rules(files: &[(&str, &str)]) -> Vec<(usize, &'static str)> {
        check(&Tree::of(files)).iter().map(|found| (found.line, found.rule)).collect()
    }

    #[test]
    fn links_to_missing_files_are_broken() {
        assert_eq!(rules(&[("docs/a.md", "x\n\n[b](b.md)\n")]), [(3, "broken-link")]);
        assert_eq!(rules(&[("docs/a.md", "[b](b.md)\n"), ("docs/b.md", "")]), []);
        assert_eq!(rules(&[("docs/a.md", "[b](../b/)\n"), ("b/c.rs", "")]), []);
    }

    #[test]
    fn a_link_by_reference_is_followed_too() {
        assert_eq!(rules(&[("a.md", "[b][1]\n\n[1]: gone.md\n")]), [(1, "broken-link")]);
    }

    #[test]
    fn paths_out_of_the_repository_are_broken_links() {
        assert_eq!(rules(&[("a.md", "[b](../b.md)\n")]), [(1, "broken-link")]);
        assert_eq!(rules(&[("a.md", "[b](/b.md)\n"), ("b.md", "")]), [(1, "broken-link")]);
        assert_eq!(rules(&[("a.md", "[b](https://example.invalid/x)\n")]), []);
    }

    #[test]
    fn anchors_are_checked_as_forges_make_them() {
        let page =
            "# The `run`: states\n\n# Twice\n\n# Twice\n\n[a](#the-run-states) [b](#twice-1)\n";
        assert_eq!(rules(&[("a.md", page)]), []);
        assert_eq!(rules(&[("a.md", "# Run\n\n[a](#runs)\n")]), [(3, "broken-link")]);
        assert_eq!(rules(&[("a.md", "[b](b.md#x)\n"), ("b.md", "# Y\n")]), [(1, "broken-link")]);
    }

    #[test]
    fn links_in_code_are_not_links() {
        assert_eq!(rules(&[("a.md", "```\n[b](gone.md)\n```\n`[b](gone.md)`\n")]), []);
    }

    #[test]
    fn paths_named_in_the_maps_must_exist() {
        let page = "Rooms: `engine/plan`, `engine/gone/`, `deny.toml`, `plue run`, `a::b`.\n";
        let files = [("README.md", page), ("engine/plan/src/lib.rs", "")];
        assert_eq!(rules(&files), [(1, "named-path"), (1, "named-path")]);
    }

    #[test]
    fn tests_named_in_the_threat_model_must_exist() {
        let page = "`a_b_c_d`, `a_b_c_e`, `max_runs_per_repo`, `a::b_c_d_e`, `serve`, `a_b_c_f`\n";
        let code = "#[tokio::test(start_paused = true)]\nasync fn a_b_c_d() {}\nfn a_b_c_e() {}\n\
                    on_each_store! {\n    async fn a_b_c_f(world) {}\n}\n";
        let files = [("docs/explanation/security/threat-model.md", page), ("a/tests/a.rs", code)];
        let found = check(&Tree::of(&files));
        let advice: Vec<_> = found.iter().map(|one| one.advice.split('`').nth(1)).collect();
        assert_eq!(advice, [Some("a_b_c_e"), Some("max_runs_per_repo")]);
    }

    #[test]
    fn other_documents_and_products_are_not_checked() {
        assert_eq!(rules(&[("docs/a.md", "`engine/gone`\n")]), []);
        assert_eq!(
            rules(&[("README.md", "`target/release/plue`, `.plue.py`, `/usr/bin/x`\n")]),
            []
        );
    }
}

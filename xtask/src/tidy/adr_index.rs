//! Rule: `docs/decisions/README.md` lists every decision, with its number and its title.

use std::collections::BTreeMap;

use super::{report::Violation, tree::Tree};

const FOLDER: &str = "docs/decisions/";
/// The index of all decisions.
pub(crate) const FILE: &str = "docs/decisions/README.md";

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    let index = tree.text(FILE).unwrap_or_default();
    for (path, text) in tree.of_kind("md").filter(|(path, _)| path.starts_with(FOLDER)) {
        let Some(file) = path.strip_prefix(FOLDER).filter(|file| *file != "README.md") else {
            continue;
        };
        let number = file.split('-').next().unwrap_or_default();
        let heading = text.lines().next().unwrap_or_default();
        let title =
            heading.strip_prefix(&format!("# {number}: ")).filter(|title| !title.is_empty());
        let Some(title) = title else {
            let advice = format!("open the page with `# {number}: its title`");
            found.push(Violation::new(path, 1, "adr-index", advice));
            continue;
        };
        if let Some(other) = numbers.insert(number, file) {
            let advice = format!("{other} has the number {number} too: take the next free one");
            found.push(Violation::new(path, 1, "adr-index", advice));
        }
        let line = format!("- [{number}: {title}]({file})");
        if !index.lines().any(|listed| listed == line) {
            found.push(Violation::new(FILE, 1, "adr-index", format!("list `{line}`")));
        }
    }
    for (at, line) in index.lines().enumerate().filter(|(_, line)| line.starts_with("- [")) {
        let file = line.rsplit_once("](").map(|(_, file)| file.trim_end_matches(')'));
        if file.is_none_or(|file| tree.text(&format!("{FOLDER}{file}")).is_none()) {
            found.push(Violation::new(FILE, at + 1, "adr-index", "no such page: remove the line"));
        }
    }
    found
}

/// The index with a line for every page, below its own text.
pub(crate) fn written(tree: &Tree) -> Option<String> {
    let text = tree.text(FILE)?;
    let head = text.lines().take_while(|line| !line.starts_with("- ["));
    let mut out: String = head.map(|line| format!("{line}\n")).collect();
    for (path, text) in tree.of_kind("md") {
        let file =
            path.strip_prefix(FOLDER).filter(|file| file.starts_with(|c: char| c.is_ascii_digit()));
        let title = text.lines().next().and_then(|heading| heading.strip_prefix("# "));
        if let (Some(file), Some(title)) = (file, title) {
            out.push_str(&format!("- [{title}]({file})\n"));
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    const PAGE: (&str, &str) = ("docs/decisions/0001-rooms.md", "# 0001: Rooms are crates\n");

    fn found(index: &str, pages: &[(&str, &str)]) -> Vec<(String, usize)> {
        let mut files = vec![("docs/decisions/README.md", index)];
        files.extend_from_slice(pages);
        check(&Tree::of(&files)).into_iter().map(|one| (one.path, one.line)).collect()
    }

    #[test]
    fn a_listed_decision_is_fine() {
        assert_eq!(found("# D\n\n- [0001: Rooms are crates](0001-rooms.md)\n", &[PAGE]), []);
    }

    #[test]
    fn the_index_is_written_from_the_pages() {
        let files = [("docs/decisions/README.md", "# D\n\n- [x](y.md)\n"), PAGE];
        let text = super::written(&Tree::of(&files)).unwrap();
        assert_eq!(text, "# D\n\n- [0001: Rooms are crates](0001-rooms.md)\n");
    }

    #[test]
    fn missing_and_mistitled_decisions_are_reported() {
        let index = || "docs/decisions/README.md".to_owned();
        assert_eq!(found("", &[PAGE]), [(index(), 1)]);
        assert_eq!(found("- [0001: Rooms](0001-rooms.md)\n", &[PAGE]), [(index(), 1)]);
        assert_eq!(found("- [0002: Gone](0002-gone.md)\n", &[]), [(index(), 1)]);
    }

    #[test]
    fn titles_begin_with_the_number_of_the_file() {
        let page = |text| [("docs/decisions/0001-a.md", text)];
        assert_eq!(found("", &page("# 1. A\n")).len(), 1);
        let twice = [
            ("docs/decisions/0001-a.md", "# 0001: A\n"),
            ("docs/decisions/0001-b.md", "# 0001: B\n"),
        ];
        let index = "- [0001: A](0001-a.md)\n- [0001: B](0001-b.md)\n";
        assert_eq!(found(index, &twice), [("docs/decisions/0001-b.md".to_owned(), 1)]);
    }
}

//! Pages of the book from files of the repository: pure, paths and texts only.
//!
//! A page of the manual keeps its path under `docs/`; another Markdown file that is linked to stands
//! under `repository/`. A link to any other file becomes its text.

use std::{collections::BTreeMap, fmt::Write as _};

use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::tidy::{
    markdown::{broken_links, resolve},
    tree::Tree,
};

/// Pages of the repository outside the manual.
const OUTSIDE: &str = "repository/";
/// The table of contents, as a path in the book.
const SUMMARY: &str = "SUMMARY.md";
/// Lists that the build extends: the page above, and the beginning of the paths below it.
const LISTS: &[(&str, &str)] =
    &[("reference/error-codes.md", "docs/errors/"), ("decisions/README.md", "docs/decisions/0")];

/// Paths in the book with their texts.
pub(crate) type Book = BTreeMap<String, String>;

/// Whether a file of the manual is copied as it is: a schema, a picture.
pub(crate) fn is_attachment(path: &str) -> bool {
    path.starts_with("docs/") && !path.ends_with(".md") && path != super::CONFIG
}

/// Every page, the table of contents included.
pub(crate) fn of(tree: &Tree) -> Book {
    let mut book = Book::new();
    let manual = tree.of_kind("md").map(|(path, _)| path).filter(|path| path.starts_with("docs/"));
    let mut waiting: Vec<&str> = manual.collect();
    while let Some(path) = waiting.pop() {
        if book.contains_key(&in_book(path)) {
            continue;
        }
        let text = tree.text(path).unwrap_or_default();
        let (text, linked) = rewritten(tree, path, text);
        book.insert(in_book(path), text);
        waiting.extend(linked);
    }
    let summary = contents(tree, &book);
    book.insert(SUMMARY.to_owned(), summary);
    book
}

/// Path and line of each link that leads to no page and no attachment.
pub(crate) fn dead_links(tree: &Tree, book: &Book) -> Vec<String> {
    let attachments = tree.paths().filter(|path| is_attachment(path));
    let attachments = attachments.map(|path| (path.trim_start_matches("docs/").to_owned(), None));
    let pages = book.iter().map(|(path, text)| (path.clone(), Some(text.clone())));
    let built = Tree::from_files(attachments.chain(pages).collect());
    broken_links(&built).into_iter().map(|found| found.to_string()).collect()
}

/// The path in the book. `README.md` becomes the `index.md` of its folder, as mdBook would make it.
fn in_book(path: &str) -> String {
    let page = match path.strip_prefix("docs/") {
        Some(page) => page.to_owned(),
        None => format!("{OUTSIDE}{path}"),
    };
    let is_list = page == "README.md" || page.ends_with("/README.md");
    if is_list { page.replace("README.md", "index.md") } else { page }
}

/// The text of the page at `path` with links as the book needs them, and the files they lead to.
fn rewritten<'t>(tree: &'t Tree, path: &str, text: &str) -> (String, Vec<&'t str>) {
    let (mut out, mut linked, mut done) = (String::new(), Vec::new(), 0);
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else {
            continue;
        };
        let source = text.get(range.clone()).unwrap_or_default();
        let is_foreign = dest_url.contains("://") || dest_url.starts_with(['#', '/']);
        let Some((label, _)) = source.rsplit_once("](").filter(|_| !is_foreign) else { continue };
        let (file, anchor) = dest_url.split_once('#').unwrap_or((&dest_url, ""));
        out.push_str(text.get(done..range.start).unwrap_or_default());
        done = range.end;
        let attachment =
            resolve(path, file).filter(|file| is_attachment(file) && tree.is_file(file));
        match (page_of(tree, path, file), attachment) {
            (Some(page), _) => {
                linked.push(page);
                let target = relative(&in_book(path), &in_book(page));
                let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
                write!(out, "{label}]({target}{anchor})").unwrap_or_default();
            }
            (None, Some(target)) => {
                let target = relative(&in_book(path), target.trim_start_matches("docs/"));
                write!(out, "{label}]({target})").unwrap_or_default();
            }
            (None, None) => out.push_str(label.trim_start_matches('[')),
        }
    }
    out.push_str(text.get(done..).unwrap_or_default());
    (out, linked)
}

/// The Markdown file that a link leads to; of a folder its list of pages.
fn page_of<'t>(tree: &'t Tree, from: &str, target: &str) -> Option<&'t str> {
    let path = resolve(from, target)?;
    let listed = LISTS.iter().find(|(_, start)| start.trim_end_matches(['/', '0']) == path);
    let readme = if path.is_empty() { "README.md".to_owned() } else { format!("{path}/README.md") };
    let candidates = [Some(path), listed.map(|(list, _)| format!("docs/{list}")), Some(readme)];
    let page = |path: String| tree.entry(&path).filter(|(path, _)| path.ends_with(".md"));
    candidates.into_iter().flatten().find_map(page).map(|(path, _)| path)
}

fn relative(from: &str, to: &str) -> String {
    let (mut from, mut to): (Vec<&str>, Vec<&str>) =
        (from.split('/').collect(), to.split('/').collect());
    from.pop();
    while !from.is_empty() && to.len() > 1 && from[0] == to[0] {
        from.remove(0);
        to.remove(0);
    }
    format!("{}{}", "../".repeat(from.len()), to.join("/"))
}

/// The table of contents with pages of errors and decisions, and those outside the manual.
fn contents(tree: &Tree, book: &Book) -> String {
    let mut out = String::new();
    for line in tree.text("docs/SUMMARY.md").unwrap_or_default().lines() {
        out.push_str(&line.replace("README.md)", "index.md)"));
        out.push('\n');
        let list = LISTS.iter().find(|(page, _)| line.ends_with(&format!("]({page})")));
        let indent = line.len() - line.trim_start().len() + 2;
        for (path, text) in list.into_iter().flat_map(|(_, start)| below(tree, start)) {
            let (page, title) = (in_book(path), title(text));
            writeln!(out, "{}- [{title}]({page})", " ".repeat(indent)).unwrap_or_default();
        }
    }
    out.push_str("\n# The repository\n\n");
    for (path, text) in book.iter().filter(|(path, _)| path.starts_with(OUTSIDE)) {
        writeln!(out, "- [{}]({path})", title(text)).unwrap_or_default();
    }
    out
}

fn below<'t>(tree: &'t Tree, start: &str) -> Vec<(&'t str, &'t str)> {
    tree.of_kind("md").filter(|(path, _)| path.starts_with(start)).collect()
}

/// The first heading, without what a table of contents cannot show.
fn title(text: &str) -> String {
    let heading = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or("Untitled");
    heading.replace(['[', ']', '`'], "")
}

#[cfg(test)]
mod tests {
    use super::{dead_links, of, relative};
    use crate::tidy::tree::Tree;

    fn tree() -> Tree {
        Tree::of(&[
            ("docs/SUMMARY.md", "- [A](how-to/a.md)\n- [Errors](reference/error-codes.md)\n"),
            (
                "docs/how-to/a.md",
                "[b](../../examples/b) [c](../../a.rs) [e](../errors/) [s](../s.json)\n",
            ),
            ("docs/reference/error-codes.md", "# Errors\n"),
            ("docs/errors/X1.md", "# X1: a `b`\n"),
            ("docs/s.json", ""),
            (
                "examples/b/README.md",
                "# B\n\n[a](../../docs/how-to/a.md) ![p](../../docs/s.json)\n",
            ),
            ("a.rs", ""),
        ])
    }

    #[test]
    fn linked_files_of_the_repository_are_pages() {
        let book = of(&tree());
        let page = "[b](../repository/examples/b/index.md) c [e](../reference/error-codes.md) [s](../s.json)\n";
        assert_eq!(book["how-to/a.md"], page);
        assert_eq!(
            book["repository/examples/b/index.md"],
            "# B\n\n[a](../../../how-to/a.md) ![p](../../../s.json)\n"
        );
        assert_eq!(dead_links(&tree(), &book), [""; 0]);
    }

    #[test]
    fn contents_list_errors_and_the_repository() {
        let summary = &of(&tree())["SUMMARY.md"];
        assert!(summary.contains("\n  - [X1: a b](errors/X1.md)\n"), "{summary}");
        assert!(summary.ends_with("- [B](repository/examples/b/index.md)\n"), "{summary}");
    }

    #[test]
    fn dead_links_are_reported() {
        let tree = Tree::of(&[("docs/a.md", "[b][1]\n\n[1]: ../c.md\n"), ("c.md", "")]);
        assert_eq!(dead_links(&tree, &of(&tree)).len(), 1);
    }

    #[test]
    fn paths_are_relative_to_the_page() {
        assert_eq!(relative("a/b.md", "a/c.md"), "c.md");
        assert_eq!(relative("a/b.md", "d/c.md"), "../d/c.md");
        assert_eq!(relative("b.md", "d/c.md"), "d/c.md");
    }
}

//! Gate `vocabulary`: the words of `xtask/vocabulary.toml` in identifiers, comments, strings, docs and scripts.
//!
//! Strings of tests are data and are not read. Must not hold a word itself: the list is the file.

mod words;

use std::sync::LazyLock;

use super::{
    markdown::prose,
    report::Violation,
    rust_files::tests_start,
    tokens::{Comment, Kind, Source, Token},
    tree::Tree,
};
use words::{Words, parts};

/// Name of the gate.
pub(crate) const GATE: &str = "vocabulary";
/// Documents that quote the words: history, and the rules themselves.
const QUOTING: &[&str] = &["CHANGELOG.md", "docs/style.md"];

static WORDS: LazyLock<Words> = LazyLock::new(Words::shipped);

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.sources_of_rust() {
        let tests = tests_start(path, tree.text(path).unwrap_or_default());
        rust(path, source, tests, &mut found);
    }
    for (path, text) in tree.of_kind("md").filter(|(path, _)| !QUOTING.contains(path)) {
        prose(text, |line, words| text_of(path, line, words, &mut found));
    }
    for (path, text) in tree.scripts() {
        for (at, line) in text.lines().enumerate() {
            text_of(path, at + 1, line, &mut found);
        }
    }
    found.sort();
    found.dedup();
    found
}

fn report(path: &str, line: usize, word: &str, instead: &str, found: &mut Vec<Violation>) {
    found.push(Violation::new(path, line, GATE, format!("`{word}`: write {instead}")));
}

fn rust(path: &str, source: &Source, tests: usize, found: &mut Vec<Violation>) {
    for part in path.rsplit('/').take(2) {
        let stem = part.strip_suffix(".rs").unwrap_or(part);
        if let Some((word, instead)) = WORDS.file(stem) {
            report(path, 1, word, instead, found);
        }
        for (word, instead) in WORDS.in_parts(&parts(stem)) {
            report(path, 1, word, instead, found);
        }
    }
    for (at, token) in source.tokens.iter().enumerate() {
        match token.kind {
            Kind::Word => {
                for (word, instead) in WORDS.in_parts(&parts(&token.text)) {
                    report(path, token.line, word, instead, found);
                }
                shared_type(path, &source.tokens, at, found);
            }
            Kind::Text if token.line < tests => {
                for (below, line) in token.text.lines().enumerate() {
                    text_of(path, token.line + below, line, found);
                }
            }
            Kind::Text | Kind::Sign | Kind::Number => {}
        }
    }
    comments(path, &source.comments, found);
}

/// A definition of a bare noun that other files can name.
fn shared_type(path: &str, tokens: &[Token], at: usize, found: &mut Vec<Violation>) {
    let is_definition = matches!(tokens[at].text.as_str(), "struct" | "enum" | "trait" | "type");
    let is_shared = at > 0 && matches!(tokens[at - 1].text.as_str(), "pub" | ")");
    let name = tokens.get(at + 1).filter(|_| is_definition && is_shared);
    if let Some((name, instead)) = name.and_then(|name| Some((name, WORDS.bare_type(&name.text)?)))
    {
        report(path, name.line, &name.text, instead, found);
    }
}

fn comments(path: &str, comments: &[Comment], found: &mut Vec<Violation>) {
    let mut previous: Option<&Comment> = None;
    for comment in comments {
        text_of(path, comment.line, &comment.text, found);
        let continues = previous.is_some_and(|above| {
            above.line + 1 == comment.line
                && above.is_doc == comment.is_doc
                && !above.text.trim().is_empty()
        });
        let opening = comment.text.split_whitespace().next().filter(|_| !continues);
        if let Some((word, instead)) = opening.and_then(|first| WORDS.opening(first)) {
            let advice = format!("a comment begins with `{word}`: begin with {instead}");
            found.push(Violation::new(path, comment.line, GATE, advice));
        }
        previous = Some(comment);
    }
}

/// Words and phrases of one line of prose. Code spans are read too where the line is no Markdown.
fn text_of(path: &str, line: usize, text: &str, found: &mut Vec<Violation>) {
    for (word, instead) in WORDS.in_prose(text) {
        report(path, line, word, instead, found);
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).iter().map(|found| found.line).collect()
    }

    #[test]
    fn words_are_found_in_identifiers_comments_and_strings() {
        let bad = "fn tell_driver() {}\nstruct NobodyHere;\n// A run told us.\nconst A: &str = \"x\n nobody\";\n";
        assert_eq!(lines("a/src/b.rs", bad), [1, 2, 3, 5]);
        let good = "fn report() {}\n// A retold story.\nconst A: &str = \"teller\";\n";
        assert_eq!(lines("a/src/b.rs", good), [0; 0]);
    }

    #[test]
    fn strings_of_tests_are_data() {
        let text = "#[cfg(test)]\nmod tests {\n    const A: &str = \"say\";\n}\n";
        assert_eq!(lines("a/src/b.rs", text), [0; 0]);
        assert_eq!(lines("a/tests/b.rs", "const A: &str = \"say\";\nfn say() {}\n"), [2]);
    }

    #[test]
    fn words_of_several_parts_are_found_in_order() {
        assert_eq!(lines("a/src/b.rs", "fn run_by_hand() {}\nfn hand_by() {}\n"), [1]);
        assert_eq!(lines("a/src/b.rs", "struct ByHandRun;\n"), [1]);
    }

    #[test]
    fn comments_begin_with_their_subject() {
        let bad = "/// What it does.\n/// Who.\nfn a() {}\n\n// How so.\n";
        assert_eq!(lines("a/src/b.rs", bad), [1, 5]);
        let good = "/// Does it\n/// When asked. Whether it does.\nfn a() {}\n";
        assert_eq!(lines("a/src/b.rs", good), [0; 0]);
    }

    #[test]
    fn bare_nouns_are_refused_for_shared_types_only() {
        assert_eq!(lines("a/src/b.rs", "pub struct Seen;\npub(crate) enum Held {}\n"), [1, 2]);
        assert_eq!(lines("a/src/b.rs", "struct Seen;\npub struct SeenFiles;\n"), [0; 0]);
    }

    #[test]
    fn names_of_files_are_read() {
        assert_eq!(lines("a/src/place.rs", "\n"), [1]);
        assert_eq!(lines("a/src/desk/b.rs", "\n"), [1]);
        assert_eq!(lines("a/src/placement.rs", "\n"), [0; 0]);
    }

    #[test]
    fn docs_and_scripts_are_read_without_code() {
        let page = "A run is told.\n\n`told` and\n\n```\ntold\n```\n\nSee source 004, it is.\n";
        assert_eq!(lines("docs/a.md", page), [1, 9]);
        assert_eq!(lines("CHANGELOG.md", page), [0; 0]);
        assert_eq!(lines("scripts/a.sh", "set -e\n# Nobody.\n"), [2]);
    }
}

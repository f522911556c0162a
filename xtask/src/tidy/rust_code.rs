//! Rules about what is written inside Rust files, read as tokens.

use super::{
    report::Violation,
    tokens::{Token, starts_with},
    tree::Tree,
};

/// Libraries that only one folder may name, and why the others must go through it.
const OWNED_WORDS: &[(&str, &str, &str)] = &[
    ("sqlx", "engine/store/", "all SQL lives in plue-store: add a method to the store"),
    ("pyo3", "evaluator/", "only plue-evaluator knows Python: talk to it over plue-wire"),
];
/// Macros that stand for work not done.
const UNFINISHED: &[&str] = &["todo", "unimplemented"];
/// Id types that must not cross a crate's edge bare.
const BARE_IDS: &[&str] = &["Uuid", "Ulid"];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.rust() {
        match source {
            Ok(source) => file(path, &source.tokens, &mut found),
            Err(line) => {
                found.push(Violation::new(path, *line, "not-rust", "make the file parse"));
            }
        }
    }
    found
}

fn file(path: &str, tokens: &[Token], found: &mut Vec<Violation>) {
    for at in 0..tokens.len() {
        attribute(path, tokens, at, found);
        unfinished(path, tokens, at, found);
        owned_word(path, tokens, at, found);
        bare_id(path, tokens, at, found);
        polled_in_part(path, tokens, at, found);
    }
    test_names(path, tokens, found);
}

/// `#[allow(…)]`, `#![allow(…)]`, the same inside `cfg_attr`, and `#[ignore]`.
fn attribute(path: &str, tokens: &[Token], at: usize, found: &mut Vec<Violation>) {
    let line = tokens[at].line;
    let opens = starts_with(tokens, at, &["#", "["]) || starts_with(tokens, at, &["#", "!", "["]);
    if !opens {
        return;
    }
    let body = attribute_body(tokens, at);
    let conditional = body.first().is_some_and(|word| word.text == "cfg_attr");
    let is = |name: &str| {
        body.first().is_some_and(|word| word.text == name)
            || conditional && body.iter().any(|word| word.text == name)
    };
    if is("allow") {
        let advice = "use `#[expect(lint, reason = \"…\")]`, or mend the code";
        found.push(Violation::new(path, line, "allow", advice));
    }
    if is("ignore") {
        let advice = "a test that does not run proves nothing: make it run, or delete it";
        found.push(Violation::new(path, line, "ignored-test", advice));
    }
}

fn unfinished(path: &str, tokens: &[Token], at: usize, found: &mut Vec<Violation>) {
    for name in UNFINISHED {
        if starts_with(tokens, at, &[name, "!"]) {
            let advice = format!("`{name}!` is work not done: do it, or return an error");
            found.push(Violation::new(path, tokens[at].line, "unfinished", advice));
        }
    }
}

fn owned_word(path: &str, tokens: &[Token], at: usize, found: &mut Vec<Violation>) {
    for (word, owner, advice) in OWNED_WORDS {
        if tokens[at].text == *word && !path.starts_with(owner) {
            found.push(Violation::new(path, tokens[at].line, "owned-library", *advice));
        }
    }
}

fn bare_id(path: &str, tokens: &[Token], at: usize, found: &mut Vec<Violation>) {
    if path.starts_with("engine/plan/") {
        return;
    }
    for name in BARE_IDS {
        if starts_with(tokens, at, &[":", name]) && (at == 0 || tokens[at - 1].text != ":") {
            let advice = "use the id types of plue-plan (`RunId`, `StepId`, …)";
            found.push(Violation::new(path, tokens[at].line, "bare-id", advice));
        }
    }
}

/// An arm of `select!` that polls a future by `&mut`: alive but not polled between two rounds, it keeps
/// the permits and locks that it holds.
fn polled_in_part(path: &str, tokens: &[Token], at: usize, found: &mut Vec<Violation>) {
    if path.starts_with("engine/runtime/") || !starts_with(tokens, at, &["select", "!", "{"]) {
        return;
    }
    let mut depth = 0_usize;
    for place in at + 2..tokens.len() {
        match tokens[place].text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            "=" if depth == 1 && starts_with(tokens, place, &["=", "&", "mut"]) => {
                let advice = "use `plue_runtime::Task` or `TaskSet`, `Clock::deadline`, or a helper \
                              of `plue_runtime::together`";
                found.push(Violation::new(path, tokens[place].line, "select-mut", advice));
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

fn test_names(path: &str, tokens: &[Token], found: &mut Vec<Violation>) {
    let mut after_test_attribute = false;
    for at in 0..tokens.len() {
        if starts_with(tokens, at, &["#", "["]) {
            after_test_attribute |= is_test_attribute(attribute_body(tokens, at));
        }
        if tokens[at].text != "fn" || !after_test_attribute {
            continue;
        }
        after_test_attribute = false;
        if let Some(name) = tokens.get(at + 1).filter(|name| name.text.starts_with("test_")) {
            let advice = format!("name `{}` as a sentence, without `test_`", name.text);
            found.push(Violation::new(path, name.line, "test-name", advice));
        }
    }
}

/// `test`, `tokio::test`, `tokio::test(…)`.
pub(crate) fn is_test_attribute(body: &[Token]) -> bool {
    let path_end = body.iter().position(|token| token.text == "(").unwrap_or(body.len());
    body.get(..path_end).and_then(<[Token]>::last).is_some_and(|word| word.text == "test")
}

/// The tokens between the brackets of the attribute that starts at `at`.
pub(crate) fn attribute_body(tokens: &[Token], at: usize) -> &[Token] {
    let Some(open) = (at..tokens.len()).find(|place| tokens[*place].text == "[") else {
        return &[];
    };
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &tokens[open + 1..place];
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn rules(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        check(&Tree::of(&[(path, text)])).iter().map(|found| (found.line, found.rule)).collect()
    }

    #[test]
    fn allow_is_refused_in_every_form() {
        let file = "#![allow(dead_code)]\n#[allow(clippy::all)]\nfn a() {}\n\
                    #[cfg_attr(test, allow(unused))]\nfn b() {}\n";
        assert_eq!(rules("a.rs", file), [(1, "allow"), (2, "allow"), (4, "allow")]);
    }

    #[test]
    fn expect_with_a_reason_is_fine() {
        let file =
            "#[expect(dead_code, reason = \"allow\")]\nfn allow() { allow(); } // #[allow(x)]\n";
        assert_eq!(rules("a.rs", file), []);
    }

    #[test]
    fn ignored_tests_are_refused() {
        let file = "#[test]\n#[ignore]\nfn a() {}\n#[test]\n#[ignore = \"slow\"]\nfn b() {}\n";
        assert_eq!(rules("a.rs", file), [(2, "ignored-test"), (5, "ignored-test")]);
    }

    #[test]
    fn unfinished_work_is_refused() {
        let file = "fn a() { todo!() }\nfn b() { unimplemented!(\"x\") }\nfn todo() {}\n";
        assert_eq!(rules("a.rs", file), [(1, "unfinished"), (2, "unfinished")]);
    }

    #[test]
    fn sql_and_python_stay_in_their_rooms() {
        let file = "use sqlx::Row;\nuse pyo3::prelude::*;\n";
        assert_eq!(
            rules("engine/pool/src/a.rs", file),
            [(1, "owned-library"), (2, "owned-library")]
        );
        assert_eq!(rules("engine/store/src/a.rs", "use sqlx::Row;\n"), []);
        assert_eq!(rules("evaluator/src/a.rs", "use pyo3::prelude::*;\n"), []);
        assert_eq!(rules("engine/pool/src/a.rs", "// sqlx\nfn a() -> &str { \"sqlx\" }\n"), []);
    }

    #[test]
    fn prefixes_are_refused_on_tests_only() {
        let file = "#[test]\nfn test_a() {}\n#[tokio::test(flavor = \"x\")]\nasync fn test_b() {}\n\
                    #[test]\nfn a_stale_fence_is_refused() {}\nfn test_tree() {}\n";
        assert_eq!(rules("a.rs", file), [(2, "test-name"), (4, "test-name")]);
    }

    #[test]
    fn functions_inside_macros_are_seen() {
        let file = "proptest! {\n#[test]\nfn test_a(x in 0..1) {}\n}\n";
        assert_eq!(rules("a.rs", file), [(3, "test-name")]);
    }

    #[test]
    fn select_arms_poll_whole_futures() {
        let file = "fn a() {\ntokio::select! {\n() = &mut b => {}\nSome(c) = d.next(), if e => {\n\
                    let f = &mut g;\n}\n}\n}\n";
        assert_eq!(rules("engine/pool/src/a.rs", file), [(3, "select-mut")]);
        assert_eq!(rules("engine/runtime/src/a.rs", file), []);
    }

    #[test]
    fn bare_ids_belong_to_the_plan_crate() {
        let file = "pub struct A { pub id: Uuid }\nfn b() { uuid::Uuid::nil(); }\n";
        assert_eq!(rules("engine/pool/src/a.rs", file), [(1, "bare-id")]);
        assert_eq!(rules("engine/plan/src/id.rs", file), []);
    }

    #[test]
    fn files_that_are_not_rust_are_reported() {
        assert_eq!(rules("a.rs", "fn a( {}\n"), [(1, "not-rust")]);
    }
}

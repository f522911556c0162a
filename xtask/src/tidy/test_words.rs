//! Gate `test-words`: the name of a test is its subject and behaviour, in eight words.
//!
//! A requirement id at the start (`row_1_19_`, `failure_case_3_`) does not count.

use super::{
    report::Violation,
    rust_code::{attribute_body, is_test_attribute},
    tokens::{Token, starts_with},
    tree::Tree,
};

/// Name of the gate.
pub(crate) const GATE: &str = "test-words";
/// Most words of a test's name.
const WORDS: usize = 8;

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.sources_of_rust() {
        for name in names(&source.tokens) {
            let count = name.text.split('_').skip(prefix(&name.text)).count();
            if count > WORDS {
                let advice = format!("`{}` has {count} words (at most {WORDS})", name.text);
                found.push(Violation::new(path, name.line, GATE, advice));
            }
        }
    }
    found
}

/// Names of functions with a test attribute.
fn names(tokens: &[Token]) -> Vec<&Token> {
    let mut names = Vec::new();
    let mut marked = false;
    for at in 0..tokens.len() {
        if starts_with(tokens, at, &["#", "["]) {
            marked |= is_test_attribute(attribute_body(tokens, at));
        }
        if tokens[at].text == "fn" && marked {
            marked = false;
            names.extend(tokens.get(at + 1));
        }
    }
    names
}

/// Number of words of the requirement id that `name` begins with.
fn prefix(name: &str) -> usize {
    let words: Vec<&str> = name.split('_').collect();
    let is_number = |at: usize| {
        words.get(at).is_some_and(|word| word.chars().next().is_some_and(|c| c.is_ascii_digit()))
    };
    match words.as_slice() {
        ["row", ..] if is_number(1) && is_number(2) => 3,
        ["failure", "case", ..] if is_number(2) => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn lines(name: &str, attribute: &str) -> usize {
        check(&Tree::of(&[("a/tests/b.rs", &format!("{attribute}\nfn {name}() {{}}\n"))])).len()
    }

    #[test]
    fn names_have_at_most_eight_words() {
        assert_eq!(lines("a_b_c_d_e_f_g_h", "#[test]"), 0);
        assert_eq!(lines("a_b_c_d_e_f_g_h_i", "#[test]"), 1);
        assert_eq!(lines("a_b_c_d_e_f_g_h_i", "#[tokio::test(flavor = \"x\")]"), 1);
    }

    #[test]
    fn ids_and_plain_functions_do_not_count() {
        assert_eq!(lines("row_1_19_a_b_c_d_e_f_g_h", "#[test]"), 0);
        assert_eq!(lines("failure_case_7_a_b_c_d_e_f_g_h", "#[test]"), 0);
        assert_eq!(lines("a_b_c_d_e_f_g_h_i", ""), 0);
    }
}

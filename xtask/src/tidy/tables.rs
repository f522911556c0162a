//! Rule: tables of the reference state the numbers of the code: limits and exit codes.

use std::collections::BTreeMap;

use super::{
    report::Violation,
    tokens::{Kind, Token, starts_with},
    tree::Tree,
};

const LIMITS: &str = "docs/reference/limits.md";
const LIMITS_SOURCE: &str = "engine/plan/src/limits.rs";
const EXITS: &str = "docs/reference/exit-codes.md";
/// The file with `Self::NAME => NUMBER` for each exit code, in whichever crate it stands.
const EXITS_SOURCE: &str = "/src/exit.rs";

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    if let (Some(page), Some(source)) = (tree.text(LIMITS), tree.source(LIMITS_SOURCE)) {
        let written = |number: u128| {
            let plain = format!("| {} |", grouped(number));
            let seconds = format!("| {} s |", grouped(number));
            let (kib, mib) = (number / 1024, number / 1024 / 1024);
            vec![plain, seconds, format!("| {kib} KiB |"), format!("| {mib} MiB |")]
        };
        compare(LIMITS, page, &constants(&source.tokens), written, &mut found);
    }
    let exits = tree.sources_of_rust().find(|(path, _)| path.ends_with(EXITS_SOURCE));
    if let (Some(page), Some((_, source))) = (tree.text(EXITS), exits) {
        let written = |number: u128| vec![format!("| {number} |")];
        compare(EXITS, page, &arms(&source.tokens), written, &mut found);
    }
    found
}

/// Each name has one row with its number, and each row a name.
fn compare(
    file: &str,
    page: &str,
    numbers: &BTreeMap<&str, u128>,
    written: impl Fn(u128) -> Vec<String>,
    found: &mut Vec<Violation>,
) {
    let rows = page.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
    let rows: Vec<(usize, &str)> = rows.collect();
    for (name, number) in numbers {
        let row = rows.iter().find(|(_, row)| row.contains(&format!("| `{name}` |")));
        let Some((at, row)) = row else {
            found.push(Violation::new(file, 1, "tables", format!("add a row for `{name}`")));
            continue;
        };
        if !written(*number).iter().any(|cell| row.contains(cell.as_str())) {
            let advice = format!("`{name}` is {} in the code", grouped(*number));
            found.push(Violation::new(file, at + 1, "tables", advice));
        }
    }
    for (at, row) in rows {
        let name = row.split("| `").nth(1).and_then(|rest| rest.split('`').next());
        if let Some(name) = name.filter(|name| !numbers.contains_key(name)) {
            let advice = format!("the code has no `{name}`: remove the row");
            found.push(Violation::new(file, at + 1, "tables", advice));
        }
    }
}

/// `pub const NAME: TYPE = A * B;` as products.
fn constants(tokens: &[Token]) -> BTreeMap<&str, u128> {
    let mut numbers = BTreeMap::new();
    for at in (0..tokens.len()).filter(|at| starts_with(tokens, *at, &["pub", "const"])) {
        let rest = tokens.get(at + 2..).unwrap_or_default();
        let value = rest.iter().skip_while(|token| token.text != "=").skip(1);
        let factors = value.take_while(|token| token.text != ";");
        let factors = factors.filter(|token| token.kind == Kind::Number);
        if let Some(name) = rest.first() {
            let _previous = numbers.insert(name.text.as_str(), factors.map(number).product());
        }
    }
    numbers
}

/// `Self::NAME => NUMBER`.
fn arms(tokens: &[Token]) -> BTreeMap<&str, u128> {
    let window = |at: usize| {
        let [name, equals, arrow, value] = tokens.get(at + 3..at + 7)? else { return None };
        let is_arm = starts_with(tokens, at, &["Self", ":", ":"])
            && equals.text == "="
            && arrow.text == ">"
            && value.kind == Kind::Number;
        is_arm.then(|| (name.text.as_str(), number(value)))
    };
    (0..tokens.len()).filter_map(window).collect()
}

fn number(token: &Token) -> u128 {
    let digits: String = token.text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

/// `1234567` as `1,234,567`.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn found(files: &[(&str, &str)]) -> Vec<(usize, String)> {
        check(&Tree::of(files)).into_iter().map(|found| (found.line, found.advice)).collect()
    }

    const LIMITS: (&str, &str) = (
        "engine/plan/src/limits.rs",
        "/// A.\npub const MAX_A: usize = 5_000;\npub const MAX_B: u64 = 16 * 1024 * 1024;\n",
    );

    #[test]
    fn limits_of_the_code_are_fine() {
        let page = "| a | 5,000 | `MAX_A` |\n| b | 16 MiB | `MAX_B` |\n";
        assert_eq!(found(&[LIMITS, ("docs/reference/limits.md", page)]), []);
    }

    #[test]
    fn wrong_missing_and_surplus_limits_are_reported() {
        let page = "| a | 5,001 | `MAX_A` |\n| c | 1 | `MAX_C` |\n";
        let found = found(&[LIMITS, ("docs/reference/limits.md", page)]);
        let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 1, 2], "{found:?}");
    }

    #[test]
    fn exit_codes_are_those_of_the_code() {
        let source =
            ("engine/cli/src/exit.rs", "fn a() { match self { Self::Ok => 0, Self::Bad => 12 } }");
        let page = |text| ("docs/reference/exit-codes.md", text);
        assert_eq!(found(&[source, page("| 0 | `Ok` | a |\n| 12 | `Bad` | b |\n")]), []);
        assert_eq!(found(&[source, page("| 0 | `Ok` | a |\n| 1 | `Bad` | b |\n")]).len(), 1);
    }
}

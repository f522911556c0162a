//! Rule: deny.toml and [`super::crates`] name the same owners of libraries.
//!
//! cargo-deny sees what comes in through other libraries, tidy runs everywhere; two lists that differ
//! would let one allow and the other refuse the same library.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{crates::OWNED, report::Violation, tree::Tree};

const FILE: &str = "deny.toml";

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(text) = tree.text(FILE) else {
        return Vec::new();
    };
    let Ok(table) = text.parse::<Table>() else {
        return vec![Violation::new(FILE, 1, "owners-agree", "make the file parse")];
    };
    let denied = table.get("bans").and_then(|bans| bans.get("deny")).and_then(Value::as_array);
    let entries: Vec<(&str, BTreeSet<&str>)> =
        denied.into_iter().flatten().filter_map(entry).collect();
    let mut found = Vec::new();
    for (library, owners) in OWNED {
        let expected: BTreeSet<&str> = owners.iter().copied().collect();
        let listed = entries.iter().find(|(name, _)| name == library);
        if listed.is_none_or(|(_, wrappers)| *wrappers != expected) {
            let line = text.lines().position(|line| line.contains(&format!("\"{library}\"")));
            let advice = format!(
                "ban `{library}` with the wrappers {}, as in xtask/src/tidy/crates.rs",
                owners.join(", ")
            );
            found.push(Violation::new(FILE, line.map_or(1, |at| at + 1), "owners-agree", advice));
        }
    }
    found
}

/// A banned library and the crates that may have it all the same.
fn entry(value: &Value) -> Option<(&str, BTreeSet<&str>)> {
    let name = value.get("crate")?.as_str()?;
    let wrappers = value.get("wrappers")?.as_array()?;
    Some((name, wrappers.iter().filter_map(Value::as_str).collect()))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::{crates::OWNED, tree::Tree};

    fn deny(leave_out: &str, extra_owner: &str) -> String {
        let mut text = String::from("[bans]\ndeny = [\n");
        for (library, owners) in OWNED.iter().filter(|(library, _)| *library != leave_out) {
            let extra = if *library == extra_owner { ", \"plue-cli\"" } else { "" };
            let owners = owners.join("\", \"");
            text.push_str(&format!(
                "{{ crate = \"{library}\", wrappers = [\"{owners}\"{extra}] }},\n"
            ));
        }
        text.push_str("]\n");
        text
    }

    fn found(text: &str) -> Vec<usize> {
        check(&Tree::of(&[("deny.toml", text)])).iter().map(|found| found.line).collect()
    }

    #[test]
    fn the_same_owners_in_both_lists_are_fine() {
        assert_eq!(found(&deny("", "")), [0; 0]);
    }

    #[test]
    fn surplus_owners_are_reported_at_their_line() {
        let (first, _) = OWNED[0];
        assert_eq!(found(&deny("", first)), [3]);
    }

    #[test]
    fn a_library_missing_from_deny_is_reported() {
        assert_eq!(found(&deny("sqlx", "")), [1]);
    }

    #[test]
    fn a_file_that_does_not_parse_is_reported() {
        assert_eq!(found("[bans\n"), [1]);
    }
}

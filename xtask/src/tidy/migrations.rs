//! Rule: a migration only adds, so that the program before it goes on working on the new tables while
//! engines are replaced one after the other. What takes away names the migration that made it needless:
//! `-- contract: NNNN_name`.

use std::collections::BTreeSet;

use super::{report::Violation, tree::Tree};

const FOLDER: &str = "migrations/";
const CONTRACT: &str = "-- contract:";
/// Words that take something away or ask more of what is written.
const TAKES: &[&str] = &[
    "DROP ",
    " RENAME ",
    "TRUNCATE ",
    "DELETE FROM ",
    " SET NOT NULL",
    " ADD CONSTRAINT ",
    " ADD CHECK ",
    " ADD UNIQUE ",
    " ADD FOREIGN ",
    "CREATE TRIGGER ",
];

pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let names: BTreeSet<&str> = tree.of_kind("sql").filter_map(|(path, _)| name(path)).collect();
    let mut tables: BTreeSet<(String, String)> = BTreeSet::new();
    let mut files: Vec<_> = tree.of_kind("sql").collect();
    files.sort();
    for (path, text) in files {
        let Some(own) = name(path) else { continue };
        let earlier = text.lines().filter_map(|line| line.trim().strip_prefix(CONTRACT));
        let contracts = earlier.map(str::trim).collect::<Vec<_>>();
        for wrong in contracts.iter().filter(|named| !names.contains(**named) || **named >= own) {
            let advice = format!("{wrong:?} is no earlier migration");
            found.push(Violation::new(path, 1, "migration-contract", advice));
        }
        let dialect = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let mut new = BTreeSet::new();
        for (line, statement) in statements(text) {
            if let Some(table) = statement.strip_prefix("CREATE TABLE ") {
                new.insert((dialect.clone(), word(table)));
            }
            let known = |table: &str| tables.contains(&(dialect.clone(), word(table)));
            let why = taken_away(&statement, &known);
            if let (Some(why), true) = (why, contracts.is_empty()) {
                let advice = format!(
                    "{why}: add first, and take away in a later release under `{CONTRACT} NNNN_name` \
                     (docs/how-to/server.md)"
                );
                found.push(Violation::new(path, line, "migration-adds", advice));
            }
        }
        tables.append(&mut new);
    }
    found
}

/// The reason that the previous program may fail after this statement.
fn taken_away(statement: &str, known: &dyn Fn(&str) -> bool) -> Option<String> {
    let padded = format!(" {statement} ");
    if let Some(word) = TAKES.iter().find(|word| padded.contains(**word)) {
        return Some(format!("`{}` takes something away", word.trim()));
    }
    if statement.starts_with("ALTER TABLE") && padded.contains(" TYPE ") {
        return Some("a column changes its type".to_owned());
    }
    let adds = padded.contains(" ADD COLUMN ");
    if adds && padded.contains(" NOT NULL ") && !padded.contains(" DEFAULT ") {
        return Some("a column that must be there and has no default".to_owned());
    }
    let unique = statement.strip_prefix("CREATE UNIQUE INDEX ");
    let table = unique.and_then(|rest| rest.split_once(" ON ")).map(|(_, table)| table);
    if table.is_some_and(known) {
        return Some("a table that was there becomes stricter".to_owned());
    }
    None
}

/// The migration's name; `None` for other files.
fn name(path: &str) -> Option<&str> {
    path.strip_prefix(FOLDER)?.split_once('/')?.1.strip_suffix(".sql")
}

/// The first word, which names a table.
fn word(text: &str) -> String {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text[..end].to_owned()
}

/// Statements in capitals with single spaces, each with the line it begins on. No text of a migration
/// holds a `;` or `--`.
fn statements(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let (mut words, mut start) = (Vec::new(), 0);
    for (at, line) in text.lines().enumerate() {
        let line = line.split("--").next().unwrap_or_default();
        for (n, part) in line.split(';').enumerate() {
            if n > 0 && !words.is_empty() {
                all.push((start, std::mem::take(&mut words).join(" ")));
            }
            for word in part.split_whitespace() {
                if words.is_empty() {
                    start = at + 1;
                }
                words.push(word.to_ascii_uppercase());
            }
        }
    }
    if !words.is_empty() {
        all.push((start, words.join(" ")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    const FIRST: (&str, &str) =
        ("migrations/sqlite/0001_a.sql", "CREATE TABLE t (x TEXT NOT NULL, y TEXT);\n");

    fn rules(second: &str) -> Vec<(usize, &'static str)> {
        let tree = Tree::of(&[FIRST, ("migrations/sqlite/0002_b.sql", second)]);
        check(&tree).into_iter().map(|found| (found.line, found.rule)).collect()
    }

    #[test]
    fn what_adds_is_fine() {
        for text in [
            "-- We do not DROP it.\nALTER TABLE t ADD COLUMN z TEXT;",
            "ALTER TABLE t\n  ADD COLUMN z INTEGER NOT NULL DEFAULT 0;",
            "CREATE TABLE u (x TEXT NOT NULL);\nCREATE UNIQUE INDEX u_x ON u (x);",
            "CREATE INDEX t_x ON t (x) WHERE y IS NOT NULL;",
            "INSERT INTO u SELECT x FROM t;",
        ] {
            assert_eq!(rules(text), [], "{text}");
        }
    }

    #[test]
    fn what_takes_away_is_reported_with_its_line() {
        for text in [
            "DROP TABLE t;",
            "alter table t drop column y;",
            "ALTER TABLE t RENAME COLUMN y TO z;",
            "ALTER TABLE t ALTER COLUMN y SET NOT NULL;",
            "ALTER TABLE t ALTER COLUMN y TYPE BIGINT;",
            "ALTER TABLE t ADD COLUMN z TEXT NOT NULL;",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (y <> '');",
            "CREATE UNIQUE INDEX t_x ON t (x);",
            "DELETE FROM t;",
        ] {
            assert_eq!(rules(&format!("-- Why.\n\n{text}")), [(3, "migration-adds")], "{text}");
        }
    }

    #[test]
    fn destructive_migrations_name_the_earlier_one() {
        assert_eq!(rules("-- contract: 0001_a\nDROP TABLE t;"), []);
        let unknown = rules("-- contract: 0007_z\nDROP TABLE t;");
        assert_eq!(unknown, [(1, "migration-contract")]);
        assert_eq!(rules("-- contract: 0002_b\nDROP TABLE t;"), [(1, "migration-contract")]);
    }
}

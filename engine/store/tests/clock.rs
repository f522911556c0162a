//! Failure case 45: the database's clock is set. It has no effect, because nobody asks it.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::{fs, path::Path};

/// What asks a database for the time.
const QUESTIONS: [&str; 9] = [
    "current_timestamp",
    "current_time",
    "clock_timestamp(",
    "statement_timestamp(",
    "transaction_timestamp(",
    " now()",
    "(now()",
    "unixepoch(",
    "strftime(",
];

fn questions(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            questions(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap().to_lowercase();
        let asked = QUESTIONS.iter().filter(|question| text.contains(**question));
        found.extend(asked.map(|question| format!("{}: {question}", path.display())));
    }
}

#[test]
fn failure_case_45_no_statement_reads_the_clock_of_a_database() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    questions(&here.join("src"), &mut found);
    questions(&here.join("../../migrations"), &mut found);
    assert!(found.is_empty(), "{found:#?}");
    // The test can fail: there is something to look through.
    assert!(here.join("src/store.rs").exists());
}

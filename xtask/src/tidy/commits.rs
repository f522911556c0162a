//! Rule: subjects of commits are `area: imperative sentence` in at most 72 characters.
//!
//! Reads the history that Git has; in a shallow clone that is less. Must not judge commits from before
//! the rule.

use std::{path::Path, process::Command};

use anyhow::{Context as _, bail};

use super::report::Violation;

/// Commits from before this time keep their subjects.
const SINCE: &str = "--since=2026-11-24T12:00:00Z";
/// Longest subject, in characters.
const MAX_CHARS: usize = 72;

/// Breaks in the history below `HEAD`, newest first.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Violation>> {
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "log", "--no-merges", "--format=%h %s", SINCE])
        .current_dir(root)
        .output()
        .context("start git to list the commits")?;
    if !listed.status.success() {
        bail!("git log: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    Ok(breaks(&String::from_utf8_lossy(&listed.stdout)))
}

/// Breaks in lines of `HASH SUBJECT`.
fn breaks(log: &str) -> Vec<Violation> {
    let lines = log.lines().filter_map(|line| line.split_once(' '));
    let broken = lines.filter_map(|(hash, subject)| Some((hash, advice(subject)?)));
    broken.map(|(hash, advice)| Violation::new(hash, 1, "commit-subject", advice)).collect()
}

/// The way to mend a subject; `None`: it is fine.
fn advice(subject: &str) -> Option<String> {
    let length = subject.chars().count();
    if length > MAX_CHARS {
        return Some(format!("{length} characters: shorten the subject to {MAX_CHARS}"));
    }
    let area = subject.split_once(": ").map(|(area, _)| area).unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || " ,/._-".contains(c);
    if area.is_empty() || !area.chars().all(plain) {
        return Some("begin the subject with its area: `store: keep …`".to_owned());
    }
    subject.ends_with('.').then(|| "end the subject without a full stop".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{MAX_CHARS, advice, breaks};

    #[test]
    fn subjects_name_an_area_and_are_short() {
        let long = format!("store: {}", "x".repeat(MAX_CHARS));
        let subjects = [
            ("store: keep the log", true),
            ("runner, pool, wire: read once", true),
            ("docs/decisions: Where is …?", true),
            ("Keep the log", false),
            ("keep the log", false),
            ("Store: keep the log", false),
            (": keep the log", false),
            ("store: keep the log.", false),
            (long.as_str(), false),
        ];
        for (subject, is_fine) in subjects {
            assert_eq!(advice(subject).is_none(), is_fine, "{subject}");
        }
    }

    #[test]
    fn a_break_names_its_commit() {
        let found = breaks("5af4abba forge: links resolve\n1055d475 Links\n");
        let paths: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["1055d475"]);
    }
}

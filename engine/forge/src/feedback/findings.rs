//! Findings of a model as a comment: checked, bounded, and shown as inert text.
//!
//! A model's text may be an attacker's: an image would report its readers, a mention would call
//! people, a line that begins with `/` would be a command of the forge. Must not trust a field.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    feedback::markdown::{code, inline, prose},
    limits::{
        MAX_FINDING_CHARS, MAX_FINDING_PATH_CHARS, MAX_FINDING_TITLE_CHARS, MAX_FINDINGS,
        MAX_PROPOSED_FINDINGS,
    },
};

/// A proposed comment: what a reviewer found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// A few sentences about all of it.
    #[serde(default)]
    pub summary: String,
    /// One entry for each finding.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// A problem that an agent has found in a change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Name that stays the same from one review to the next: `[A-Za-z0-9._-]{1,64}`. A second finding
    /// with the same name is left out.
    pub id: String,
    /// Path of the file in the repository.
    pub path: String,
    /// Line of the file, from 1.
    #[serde(default)]
    pub line: Option<u32>,
    /// Severity, by which findings are sorted.
    pub severity: Severity,
    /// Title of one line; may be empty.
    #[serde(default)]
    pub title: String,
    /// Explanation, as plain text.
    pub body: String,
}

/// Severity of a finding, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The change is wrong.
    Error,
    /// The change is doubtful.
    Warning,
    /// A remark without a requested change.
    Note,
}

/// The frame of a comment: fixed by the workflow, not by the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingsFrame {
    /// Title of the comment.
    pub title: String,
    /// The commit that was reviewed.
    pub commit: Option<String>,
    /// Findings that are shown at most.
    pub most: usize,
}

// === impl Findings ===

impl Findings {
    /// Checks that all fields are within their bounds.
    ///
    /// # Errors
    /// The first field out of bounds, as text.
    pub fn check(&self) -> Result<(), String> {
        if self.findings.len() > MAX_PROPOSED_FINDINGS {
            let count = self.findings.len();
            return Err(format!("{count} findings; {MAX_PROPOSED_FINDINGS} are allowed"));
        }
        long("`summary`", &self.summary, MAX_FINDING_CHARS)?;
        for (at, finding) in self.findings.iter().enumerate() {
            finding.check().map_err(|why| format!("finding {}: {why}", at + 1))?;
        }
        Ok(())
    }

    /// The comment, and how many findings it leaves out. The same findings in another order are the same
    /// text.
    #[must_use]
    pub fn markdown(&self, frame: &FindingsFrame) -> (String, usize) {
        let mut known = BTreeSet::new();
        let mut findings: Vec<&Finding> =
            self.findings.iter().filter(|finding| known.insert(&finding.id)).collect();
        findings.sort_by_key(|it| (it.severity, &it.path, it.line, &it.id));
        let most = frame.most.min(MAX_FINDINGS);
        let left_out = findings.len().saturating_sub(most);
        let of = frame.commit.as_deref().map_or_else(String::new, |commit| {
            format!(" on {}", code(&commit.chars().take(12).collect::<String>()))
        });
        let count = match findings.len() {
            0 => "No findings".to_owned(),
            1 => "1 finding".to_owned(),
            more => format!("{more} findings"),
        };
        let mut text = format!("### {}\n\n{count}{of}\n", inline(&frame.title, 200));
        if !self.summary.trim().is_empty() {
            text.push_str(&format!("\n{}\n", prose(&self.summary)));
        }
        for finding in findings.into_iter().take(most) {
            text.push_str(&finding.markdown());
        }
        if left_out > 0 {
            text.push_str(&format!("\n{left_out} more are left out.\n"));
        }
        (text, left_out)
    }
}

// === impl Finding ===

impl Finding {
    fn check(&self) -> Result<(), String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.id.is_empty() || self.id.len() > 64 || !self.id.chars().all(fits) {
            return Err("`id` is no name: [A-Za-z0-9._-]{1,64}".to_owned());
        }
        long("`path`", &self.path, MAX_FINDING_PATH_CHARS)?;
        let leads_out = self.path.split('/').any(|part| part == "..");
        if self.path.is_empty() || self.path.starts_with('/') || leads_out {
            return Err("`path` is no path in the repository".to_owned());
        }
        if self.line == Some(0) {
            return Err("`line` counts from 1".to_owned());
        }
        long("`title`", &self.title, MAX_FINDING_TITLE_CHARS)?;
        long("`body`", &self.body, MAX_FINDING_CHARS)
    }

    fn markdown(&self) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let line = self.line.map_or_else(String::new, |line| format!(":{line}"));
        let place = code(&format!("{}{line}", self.path));
        let title = inline(&self.title, MAX_FINDING_TITLE_CHARS);
        let title = if title.is_empty() { title } else { format!(" {title}") };
        let body = prose(&self.body);
        format!("\n**{severity}** {place}{title} ({})\n\n{body}\n", code(&self.id))
    }
}

fn long(what: &str, text: &str, most: usize) -> Result<(), String> {
    let count = text.chars().count();
    if count > most {
        return Err(format!("{what} has {count} characters; {most} are allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn findings(list: Json) -> Result<Findings, String> {
        let findings: Findings =
            serde_json::from_value(json!({ "summary": "Two.", "findings": list }))
                .map_err(|error| error.to_string())?;
        findings.check().map(|()| findings)
    }

    fn one(id: &str, severity: &str, body: &str) -> Json {
        json!({ "id": id, "path": "a.py", "line": 3, "severity": severity, "body": body })
    }

    fn frame() -> FindingsFrame {
        FindingsFrame {
            title: "Review".to_owned(),
            commit: Some("0123456789abcdef".to_owned()),
            most: 2,
        }
    }

    #[test]
    fn equal_findings_are_equal_text() {
        let (a, b) = (one("a", "note", "x"), one("b", "error", "y"));
        let first = findings(json!([a, b])).unwrap().markdown(&frame());
        let second = findings(json!([b, a, a])).unwrap().markdown(&frame());
        assert_eq!(first, second);
        let (text, left_out) = first;
        assert!(
            text.starts_with("### Review\n\n2 findings on `0123456789ab`\n\n> Two\\."),
            "{text}"
        );
        assert!(text.find("**error**") < text.find("**note**"), "{text}");
        assert_eq!(left_out, 0);
        let more = json!([one("a", "note", "x"), one("b", "note", "x"), one("c", "error", "x")]);
        let (text, left_out) = findings(more).unwrap().markdown(&frame());
        assert!(left_out == 1 && text.ends_with("1 more are left out.\n"), "{text}");
    }

    #[test]
    fn findings_out_of_bounds_are_refused() {
        let with = |field: &str, value: Json| {
            let mut finding = one("a", "note", "x");
            finding[field] = value;
            findings(json!([finding])).unwrap_err()
        };
        assert!(with("id", json!("a b")).contains("`id` is no name"));
        assert!(with("path", json!("../etc/passwd")).contains("`path`"));
        assert!(with("path", json!("/etc/passwd")).contains("`path`"));
        assert!(with("line", json!(0)).contains("`line`"));
        assert!(with("body", json!("x".repeat(5_000))).contains("5000 characters"));
        assert!(with("severity", json!("fatal")).contains("fatal"));
        assert!(with("extra", json!(1)).contains("extra"));
        let many: Vec<Json> = (0..300).map(|at| one(&at.to_string(), "note", "x")).collect();
        assert!(findings(json!(many)).unwrap_err().contains("300 findings"));
    }
}

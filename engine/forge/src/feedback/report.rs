//! The text of the comment on a pull request: what the change does to the plans, and how they went.

use std::fmt::Write as _;

use plue_plan::diff::PlanDiff;
use serde::{Deserialize, Serialize};

use crate::{
    feedback::markdown::{block, code, cut, link},
    limits::MAX_COMMENT_CHARS,
};

/// Characters of one plan's diff that are shown.
const MAX_DIFF: usize = 8_000;
/// Failed steps of one plan that are named.
const MAX_STEPS: usize = 20;
/// Failed tests of one plan that are named.
const MAX_TESTS: usize = 20;

/// State of a plan's run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The run waits for a start.
    Queued,
    /// The run is in progress.
    Running,
    /// All steps succeeded or were skipped.
    Success,
    /// At least one step failed.
    Failed,
    /// A principal cancelled the run.
    Cancelled,
    /// The run waits for a person.
    Waiting {
        /// Question for that person.
        reason: String,
    },
    /// It had nothing to do, which counts as success.
    Skipped {
        /// The cause, for people.
        reason: String,
    },
    /// There is no plan: the file is invalid.
    Invalid {
        /// The problems, one a line.
        problems: String,
    },
}

/// Change of a plan by the pull request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanChange {
    /// No change, or no comparison.
    Unchanged,
    /// The plan is new.
    New,
    /// The plan is deleted.
    Removed,
    /// A plan of this name exists with other content.
    Changed(PlanDiff),
}

/// A step worth naming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// Id of the step.
    pub id: String,
    /// Its outcome and reason: `failed: exit status 3`.
    pub outcome: String,
}

/// Test results of a plan's run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TestsReport {
    /// Numbers of tests in words: `2 failed (1 new), 40 passed`.
    pub counts: String,
    /// Failed and flaky tests, the most interesting first.
    pub named: Vec<String>,
    /// Failed and flaky tests that are not among them.
    pub left_out: u64,
}

/// State of one plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanReport {
    /// Name of the plan.
    pub name: String,
    /// Path of its file.
    pub file: String,
    /// State of its run.
    pub outcome: Outcome,
    /// Change by the pull request.
    pub change: PlanChange,
    /// Address of its run.
    pub url: Option<String>,
    /// Duration as text: `1m 12s`.
    pub took: Option<String>,
    /// Steps that failed, in plan order.
    pub steps: Vec<StepReport>,
    /// Its test results; `None`: its steps have left no test report.
    pub tests: Option<TestsReport>,
}

/// Contents of one comment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// The commit it is about.
    pub commit: String,
    /// The plans in the order shown.
    pub plans: Vec<PlanReport>,
    /// Remarks above the plans: that a maintainer must approve new capabilities, and the like.
    pub notices: Vec<String>,
}

// === impl Report ===

impl Report {
    /// The comment as Markdown. Every text that comes from a repository stands as code, so that it is
    /// neither a mention nor a link.
    #[must_use]
    pub fn markdown(&self) -> String {
        let short: String = self.commit.chars().take(10).collect();
        let mut text = format!("### plue · {}\n", code(&short));
        for notice in &self.notices {
            let _infallible = write!(text, "\n> {}\n", code(notice));
        }
        if self.plans.is_empty() {
            text.push_str("\nNo plan is registered for this event.\n");
            return text;
        }
        text.push_str("\n| plan | result | changes |\n|---|---|---|\n");
        for plan in &self.plans {
            let _infallible = writeln!(text, "{}", plan.row());
        }
        for plan in &self.plans {
            text.push_str(&plan.details());
        }
        cut(&text, MAX_COMMENT_CHARS)
    }
}

// === impl PlanReport ===

impl PlanReport {
    fn row(&self) -> String {
        let (sign, word) = self.outcome.words();
        let word = self.url.as_ref().map_or_else(|| word.to_owned(), |url| link(word, url));
        let took =
            self.took.as_ref().map_or_else(String::new, |took| format!(" in {}", code(took)));
        let why = match &self.outcome {
            Outcome::Skipped { reason } | Outcome::Waiting { reason } => {
                format!(": {}", code(reason))
            }
            Outcome::Queued
            | Outcome::Running
            | Outcome::Success
            | Outcome::Failed
            | Outcome::Cancelled
            | Outcome::Invalid { .. } => String::new(),
        };
        let change = match &self.change {
            PlanChange::Unchanged => "none".to_owned(),
            PlanChange::New => "**new**".to_owned(),
            PlanChange::Removed => "**removed**".to_owned(),
            PlanChange::Changed(diff) if diff.is_empty() => "none".to_owned(),
            PlanChange::Changed(diff) => code(&diff.summary()),
        };
        let (name, file) = (code(&self.name), code(&self.file));
        format!("| {name} ({file}) | {sign} {word}{took}{why} | {change} |")
    }

    fn details(&self) -> String {
        let mut text = String::new();
        if let Outcome::Invalid { problems } = &self.outcome {
            let problems = block("", &cut(problems, MAX_DIFF));
            let _infallible =
                write!(text, "\n**{}** is invalid:\n\n{problems}\n", code(&self.file));
        }
        if !self.steps.is_empty() {
            let _infallible = write!(text, "\n{} failed steps:\n\n", code(&self.name));
            for step in self.steps.iter().take(MAX_STEPS) {
                let _infallible = writeln!(text, "- {} {}", code(&step.id), code(&step.outcome));
            }
            let more = self.steps.len().saturating_sub(MAX_STEPS);
            if more > 0 {
                let _infallible = writeln!(text, "- and {more} more");
            }
        }
        if let Some(tests) = &self.tests {
            text.push_str(&tests.markdown(&self.name));
        }
        if let PlanChange::Changed(diff) = &self.change
            && !diff.is_empty()
        {
            let shown = block("text", &cut(&diff.render(), MAX_DIFF));
            let name = code(&self.name);
            let _infallible = write!(
                text,
                "\n<details><summary>Plan changes</summary>\n\n{name}\n\n{shown}\n\n</details>\n"
            );
        }
        text
    }
}

// === impl TestsReport ===

impl TestsReport {
    fn markdown(&self, plan: &str) -> String {
        let mut text = format!("\n{} tests: {}\n", code(plan), self.counts);
        if !self.named.is_empty() {
            text.push('\n');
        }
        for name in self.named.iter().take(MAX_TESTS) {
            let _infallible = writeln!(text, "- {}", code(name));
        }
        let more = self.named.len().saturating_sub(MAX_TESTS) as u64 + self.left_out;
        if more > 0 {
            let _infallible = writeln!(text, "- and {more} more");
        }
        text
    }
}

// === impl Outcome ===

impl Outcome {
    const fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Queued => ("◌", "queued"),
            Self::Running => ("●", "running"),
            Self::Success => ("✓", "success"),
            Self::Failed => ("✗", "failed"),
            Self::Cancelled => ("■", "cancelled"),
            Self::Waiting { .. } => ("◷", "waiting"),
            Self::Skipped { .. } => ("–", "skipped"),
            Self::Invalid { .. } => ("✗", "invalid"),
        }
    }
}

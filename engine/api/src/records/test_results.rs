//! Test results of a run.

use plue_plan::{AttemptId, RunId};
use plue_reports::TestCounts;
use plue_store::{
    Error, Store,
    keep::test_report::{TestReportRow, TestResultRow},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Failed and flaky tests of a run that are listed at most.
const MAX_LISTED: u32 = 500;
/// Failed tests that a status names.
const MAX_NAMED: u32 = 20;

/// The test results of a run: of the newest attempt of each step that has some.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TestsRecord {
    /// Numbers of tests of all steps.
    pub counts: CountsRecord,
    /// The steps with test reports.
    pub steps: Vec<StepTestsRecord>,
    /// Failed and flaky tests: of each step the new ones first.
    pub tests: Vec<TestRecord>,
    /// Failed and flaky tests that are not listed.
    pub left_out: u64,
}

/// Numbers of tests by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CountsRecord {
    /// Tests that passed at once.
    pub passed: u64,
    /// Tests that failed at the last try.
    pub failed: u64,
    /// Tests that were not run.
    pub skipped: u64,
    /// Tests that failed and passed when they were run again.
    pub flaky: u64,
    /// Failed tests that did not fail before on the default branch, or on their own if that has no history.
    pub new: u64,
}

/// The test reports of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepTestsRecord {
    /// Id of the step.
    pub step: String,
    /// The step's visit, from 1.
    pub visit: u32,
    /// The attempt's number within the visit, from 1.
    pub attempt: u32,
    /// The attempt by its id.
    pub attempt_id: String,
    /// Numbers of its tests.
    pub counts: CountsRecord,
    /// Sum of the durations of its tests in milliseconds.
    pub duration_ms: u64,
    /// The files that were read.
    pub files: Vec<ReportFileRecord>,
}

/// A file with test results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportFileRecord {
    /// Its path in the workspace.
    pub path: String,
    /// Its format: `JUnit XML`, `TAP` or `libtest JSON`.
    pub format: String,
    /// Tests in it that no file before had.
    pub tests: u64,
    /// The reason that only a part of it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A failed or flaky test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestRecord {
    /// Id of the step.
    pub step: String,
    /// Class or suite; may be empty.
    pub suite: String,
    /// Name within the suite.
    pub name: String,
    /// `failed`, or `flaky`: it failed and passed when it was run again.
    pub status: String,
    /// Whether it did not fail before.
    pub is_new: bool,
    /// Whether it passed and failed at one commit.
    pub is_flaky: bool,
    /// Duration in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Message of the failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Stack trace and output, the first and the last part; absent in a status.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Source file, as the report names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line of the source file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

// === impl TestsRecord ===

impl TestsRecord {
    /// All results of a run.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn read(store: &Store, run: &RunId) -> Result<Option<Self>, Error> {
        Self::with(store, run, true, MAX_LISTED).await
    }

    /// The results of a run by name, for its status.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn brief(store: &Store, run: &RunId) -> Result<Option<Self>, Error> {
        Self::with(store, run, false, MAX_NAMED).await
    }

    async fn with(
        store: &Store,
        run: &RunId,
        with_output: bool,
        limit: u32,
    ) -> Result<Option<Self>, Error> {
        let reports = newest(store.test_reports().list(run).await?);
        if reports.is_empty() {
            return Ok(None);
        }
        let attempts: Vec<AttemptId> = reports.iter().map(|row| row.attempt.clone()).collect();
        let results = store.test_reports().results(&attempts, with_output, limit).await?;
        Ok(Some(Self::of(&reports, &results)))
    }

    fn of(reports: &[TestReportRow], results: &[TestResultRow]) -> Self {
        let mut counts = CountsRecord::default();
        for row in reports {
            counts.add(&row.counts);
        }
        let step_of = |row: &TestResultRow| {
            let report = reports.iter().find(|report| report.attempt == row.attempt);
            report.map_or_else(String::new, |report| report.step.to_string())
        };
        let tests: Vec<_> = results.iter().map(|row| TestRecord::of(step_of(row), row)).collect();
        let left_out = (counts.failed + counts.flaky).saturating_sub(tests.len() as u64);
        let steps = reports.iter().map(StepTestsRecord::of).collect();
        Self { counts, steps, tests, left_out }
    }
}

/// The report of the last attempt of each step; rows are in the order of steps, visits and attempts.
fn newest(rows: Vec<TestReportRow>) -> Vec<TestReportRow> {
    let mut found: Vec<TestReportRow> = Vec::new();
    for row in rows {
        match found.last_mut().filter(|last| last.step == row.step) {
            Some(last) => *last = row,
            None => found.push(row),
        }
    }
    found
}

// === impl CountsRecord ===

impl CountsRecord {
    fn add(&mut self, more: &TestCounts) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
        self.flaky += more.flaky;
        self.new += more.new;
    }

    /// `2 failed (1 new), 1 flaky, 3 skipped, 40 passed`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        if self.failed > 0 {
            let new = if self.new > 0 { format!(" ({} new)", self.new) } else { String::new() };
            parts.push(format!("{} failed{new}", self.failed));
        }
        let others = [(self.flaky, "flaky"), (self.skipped, "skipped"), (self.passed, "passed")];
        for (count, word) in others {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        if parts.is_empty() { "no tests".to_owned() } else { parts.join(", ") }
    }
}

// === impl StepTestsRecord ===

impl StepTestsRecord {
    fn of(row: &TestReportRow) -> Self {
        let mut counts = CountsRecord::default();
        counts.add(&row.counts);
        let file = |file: &plue_reports::ReportFile| ReportFileRecord {
            path: file.path.clone(),
            format: file.format.as_str().to_owned(),
            tests: file.tests as u64,
            problem: file.problem.clone(),
        };
        Self {
            step: row.step.to_string(),
            visit: row.visit,
            attempt: row.number,
            attempt_id: row.attempt.to_string(),
            counts,
            duration_ms: row.duration_us / 1_000,
            files: row.files.iter().map(file).collect(),
        }
    }
}

// === impl TestRecord ===

impl TestRecord {
    fn of(step: String, row: &TestResultRow) -> Self {
        let case = &row.result.case;
        Self {
            step,
            suite: case.suite.clone(),
            name: case.name.clone(),
            status: case.status.to_string(),
            is_new: row.result.is_new,
            is_flaky: row.result.is_flaky,
            duration_ms: case.duration_us.map(|us| us / 1_000),
            message: case.message.clone(),
            output: case.output.clone(),
            file: case.file.clone(),
            line: case.line,
        }
    }

    /// `suite › name`, with its marks: `(new)`, `(flaky)`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = match self.suite.as_str() {
            "" => self.name.clone(),
            suite => format!("{suite} › {}", self.name),
        };
        for (mark, is_set) in [(" (new)", self.is_new), (" (flaky)", self.is_flaky)] {
            if is_set {
                text.push_str(mark);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_shown_in_words() {
        let counts = CountsRecord { passed: 40, failed: 2, skipped: 0, flaky: 1, new: 1 };
        assert_eq!(counts.words(), "2 failed (1 new), 1 flaky, 40 passed");
        assert_eq!(CountsRecord::default().words(), "no tests");
    }
}

//! The table of failed and flaky tests: names and outputs come from programs and stay text.

use maud::{Markup, html};

use crate::ui::{counted, text};

/// Tests that are listed.
const MAX_LISTED: usize = 50;
/// Characters of one output.
const MAX_OUTPUT: usize = 4_000;
/// Characters of all outputs of the page.
const MAX_OUTPUTS: usize = 60_000;

/// Test results of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResults {
    /// Passed, failed and skipped tests in words.
    pub summary: String,
    /// Failed tests, then flaky ones.
    pub tests: Vec<TestLine>,
    /// Tests that the records leave out.
    pub left_out: u64,
    /// Reports that were read in part.
    pub partial: Vec<PartialReport>,
}

/// A test that failed or is flaky.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestLine {
    /// Id of the step.
    pub step: String,
    /// Class or suite; may be empty.
    pub suite: String,
    /// Name within the suite.
    pub name: String,
    /// `failed` or `flaky`.
    pub status: String,
    /// Whether it failed for the first time.
    pub is_new: bool,
    /// Whether it passed and failed at one commit.
    pub is_flaky: bool,
    /// Duration in milliseconds.
    pub duration_ms: Option<u64>,
    /// Message of the failure; may be empty.
    pub message: String,
    /// Stack trace and output; may be empty.
    pub output: String,
    /// Source file and line.
    pub place: Option<String>,
}

/// A report of which a part could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialReport {
    /// Id of the step.
    pub step: String,
    /// Path of the artifact.
    pub path: String,
    /// Cause of the gap, from the reader of reports.
    pub problem: String,
}

/// The section of test results.
#[must_use]
pub fn section(run: &str, results: &TestResults) -> Markup {
    let mut room = MAX_OUTPUTS;
    let shown: Vec<(&TestLine, String)> = results
        .tests
        .iter()
        .take(MAX_LISTED)
        .map(|test| (test, excerpt(&test.output, &mut room)))
        .collect();
    let more = results.tests.len() - shown.len() + usize::try_from(results.left_out).unwrap_or(0);
    html! {
        section aria-labelledby="tests" {
            h2 #tests { "Tests" }
            p { (text::line(&results.summary)) }
            @if !shown.is_empty() {
                div.card.flush.scroll {
                    table.tests {
                        thead { tr { th { "Test" } th { "Step" } th { "State" } th.right { "Duration" } } }
                        tbody { @for (test, output) in &shown { (line(test, output)) } }
                    }
                }
            }
            @if more > 0 {
                p.muted {
                    "And " (counted(more, "more test")) ": "
                    a href={ "/api/v1/runs/" (run) "/tests" } { "JSON" }
                }
            }
            @for report in results.partial.iter().take(MAX_LISTED) {
                p.muted {
                    "Step " (text::code(&report.step)) ": " (text::code(&report.path))
                    " is read in part: " (text::line(&report.problem))
                }
            }
        }
    }
}

fn line(test: &TestLine, output: &str) -> Markup {
    html! {
        tr {
            td {
                @if !test.suite.is_empty() { span.muted { (text::name(&test.suite)) " › " } }
                (text::name(&test.name))
                @if let Some(place) = &test.place { br; span.muted { (text::code(place)) } }
                @if !test.message.is_empty() { br; (text::line(&test.message)) }
                @if !output.is_empty() {
                    details { summary { "Output" } pre.log-end dir="auto" { (output) } }
                }
            }
            td { (text::code(&test.step)) }
            td { (mark(test)) }
            td.right { @if let Some(ms) = test.duration_ms { (ms) " ms" } }
        }
    }
}

fn mark(test: &TestLine) -> Markup {
    let class = if test.status == "failed" { "mark bad" } else { "mark wait" };
    html! {
        span class=(class) { (text::name(&test.status)) }
        @if test.is_new { " " span.mark.busy { "new" } }
        @if test.is_flaky && test.status == "failed" { " " span.mark.wait { "flaky" } }
    }
}

/// The end of an output, as far as the page has room.
fn excerpt(output: &str, room: &mut usize) -> String {
    let most = MAX_OUTPUT.min(*room);
    let length = output.chars().count();
    *room -= most.min(length);
    let end: String = output.chars().skip(length.saturating_sub(most)).collect();
    let lines: Vec<String> = end.lines().map(|line| text::bounded(line, MAX_OUTPUT)).collect();
    let end = lines.join("\n");
    if length > most && !end.is_empty() { format!("…{end}") } else { end }
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn names_and_outputs_stay_text() {
        let evil = "<script>alert(1)</script>\u{202e}";
        let test = TestLine {
            step: evil.to_owned(),
            suite: evil.to_owned(),
            name: evil.to_owned(),
            status: "failed".to_owned(),
            is_new: true,
            is_flaky: true,
            duration_ms: Some(3),
            message: evil.to_owned(),
            output: evil.repeat(1_000),
            place: Some(evil.to_owned()),
        };
        let results = TestResults {
            summary: evil.to_owned(),
            tests: vec![test; 200],
            left_out: 7,
            partial: Vec::new(),
        };
        let page = section("r1", &results).into_string();
        assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{}", &page[..500]);
        assert!(page.contains("157 more tests") && page.len() < 300_000, "{}", page.len());
    }
}

//! The table of failed and flaky tests on the page of a run.
//!
//! Names and outputs are what programs printed: they are text, never markup.

use maud::{Markup, html};

use crate::records::test_results::{TestRecord, TestsRecord};

/// Tests that are listed.
const MAX_LISTED: usize = 50;
/// Characters of one output that are shown.
const MAX_OUTPUT: usize = 4_000;
/// Characters of all outputs of the page.
const MAX_ALL: usize = 60_000;

pub(super) fn table(run: &str, tests: &TestsRecord) -> Markup {
    let mut room = MAX_ALL;
    let shown: Vec<(&TestRecord, String)> =
        tests.tests.iter().take(MAX_LISTED).map(|test| (test, excerpt(test, &mut room))).collect();
    let more = tests.tests.len() - shown.len() + usize::try_from(tests.left_out).unwrap_or(0);
    html! {
        h2 id="tests" { "Tests" }
        p { (tests.counts.words()) }
        @if !shown.is_empty() {
            table {
                thead { tr { th { "Test" } th { "Step" } th { "State" } th { "Took" } } }
                tbody {
                    @for (test, output) in &shown {
                        tr {
                            td {
                                @if !test.suite.is_empty() { span.soft { (test.suite) " › " } }
                                (test.name)
                                @if let Some(file) = &test.file {
                                    br; code.soft { (file) @if let Some(line) = test.line { ":" (line) } }
                                }
                                @if !test.message.is_empty() { br; (test.message) }
                                @if !output.is_empty() {
                                    details { summary { "Output" } pre { (output) } }
                                }
                            }
                            td { code { (test.step) } }
                            td { (mark(test)) }
                            td.time { @if let Some(ms) = test.duration_ms { (ms) " ms" } }
                        }
                    }
                }
            }
        }
        @if more > 0 {
            p.soft { "and " (more) " more: " a href=(format!("/api/v1/runs/{run}/tests")) { "JSON" } }
        }
        @for step in &tests.steps {
            @for file in &step.files {
                @if let Some(problem) = &file.problem {
                    p {
                        "Step " code { (step.step) } ": " code { (file.path) }
                        " was read only in part: " (problem)
                    }
                }
            }
        }
    }
}

fn mark(test: &TestRecord) -> Markup {
    let class = if test.status == "failed" { "mark bad" } else { "mark busy" };
    html! {
        span class=(class) { (test.status) }
        @if test.is_new { " " span.mark { "new" } }
        @if test.is_flaky && test.status == "failed" { " " span.mark.busy { "flaky" } }
    }
}

/// The end of an output, as far as the page has room.
fn excerpt(test: &TestRecord, room: &mut usize) -> String {
    let most = MAX_OUTPUT.min(*room);
    let length = test.output.chars().count();
    let text: String = test.output.chars().skip(length.saturating_sub(most)).collect();
    *room -= most.min(length);
    if length > most && !text.is_empty() { format!("…{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_outputs_stay_text() {
        let evil = "<script>alert(1)</script>";
        let test = TestRecord {
            step: evil.to_owned(),
            suite: evil.to_owned(),
            name: evil.to_owned(),
            status: "failed".to_owned(),
            is_new: true,
            is_flaky: true,
            duration_ms: Some(3),
            message: evil.to_owned(),
            output: evil.repeat(1_000),
            file: Some(evil.to_owned()),
            line: Some(7),
        };
        let tests = vec![test; 200];
        let record = TestsRecord {
            counts: crate::records::test_results::CountsRecord::default(),
            steps: Vec::new(),
            tests,
            left_out: 7,
        };
        let page = table("r1", &record).into_string();
        assert!(!page.contains("<script"), "{}", &page[..500]);
        assert!(page.contains("and 157 more") && page.len() < 300_000, "{}", page.len());
    }
}

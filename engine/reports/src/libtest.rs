//! Lines of JSON of Rust's libtest (`--format json`), also written by `cargo nextest`
//! (`--message-format libtest-json`). The format is unstable: unknown fields and events are skipped.

use plue_plan::budget::Stopped;
use serde::Deserialize;

use crate::{
    case::{TestCase, TestStatus},
    collect::Collector,
    read::Reading,
    text::{self, Excerpt},
};

/// Bytes of JSON that count as one step.
const BYTES_PER_STEP: usize = 16;
/// Lines in which the first event must be.
const LINES_BEFORE: usize = 20;

/// An event, as far as it is read.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    event: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    stdout: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    exec_time: Option<ExecTime>,
}

/// Seconds as a number, or as a text with a unit in old versions.
#[derive(Deserialize)]
#[serde(untagged)]
enum ExecTime {
    Number(f64),
    Text(String),
}

/// Reads a file whose lines are events of libtest.
pub(crate) fn read(text: &str, collector: &mut Collector<'_>) -> Result<Reading, Stopped> {
    let (mut is_report, mut broken, mut lines) = (false, 0_usize, 0_usize);
    let mut open_suites = 0_usize;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        collector.meter.steps(1 + (line.len() / BYTES_PER_STEP) as u64)?;
        lines += 1;
        let event = line.starts_with('{').then(|| serde_json::from_str::<Line>(line).ok());
        match event.flatten() {
            Some(event) if matches!(event.kind.as_str(), "suite" | "test") => {
                is_report = true;
                match (event.kind.as_str(), event.event.as_str()) {
                    ("suite", "started") => open_suites += 1,
                    ("suite", "ok" | "failed") => open_suites = open_suites.saturating_sub(1),
                    _ => {}
                }
                if let Some(case) = case(event) {
                    collector.add(case)?;
                }
            }
            // Cargo's own messages and benchmarks.
            Some(_) => {}
            None => broken += 1,
        }
        if !is_report && lines >= LINES_BEFORE {
            return Ok(Reading::Other);
        }
    }
    Ok(match (is_report, open_suites) {
        (false, _) => Reading::Other,
        (true, 0) if broken == 0 => Reading::Report(None),
        (true, 0) => Reading::Report(Some(format!("{broken} of its lines are no events"))),
        (true, _) => Reading::Report(Some("it ends inside of a suite".to_owned())),
    })
}

fn case(event: Line) -> Option<TestCase> {
    let status = match (event.kind.as_str(), event.event.as_str()) {
        ("test", "ok") => TestStatus::Passed,
        ("test", "failed") => TestStatus::Failed,
        ("test", "ignored") => TestStatus::Skipped,
        _ => return None,
    };
    let full = event.name?;
    let (full, attempt) = split_attempt(&full);
    // nextest writes `crate::binary$module::test`.
    let (suite, name) = full.split_once('$').unwrap_or(("", full));
    let was_repeated = attempt > 1 && status == TestStatus::Passed;
    let mut output = Excerpt::default();
    let stdout = event.stdout.unwrap_or_default();
    output.push(&stdout);
    let text = event.message.or(event.reason);
    let message = text.as_deref().or_else(|| panicked(&stdout)).unwrap_or_default();
    Some(TestCase {
        suite: suite.to_owned(),
        name: name.to_owned(),
        status: if was_repeated { TestStatus::Flaky } else { status },
        duration_us: event.exec_time.and_then(|time| match time {
            ExecTime::Number(seconds) => microseconds(seconds),
            ExecTime::Text(text) => microseconds(text.trim_end_matches('s').parse().ok()?),
        }),
        message: if was_repeated {
            format!("passed in attempt {attempt}")
        } else {
            text::message(message)
        },
        output: output.finish(),
        file: None,
        line: None,
    })
}

/// `name#2` of the second attempt of a test.
fn split_attempt(name: &str) -> (&str, u32) {
    let split = name.rsplit_once('#').and_then(|(name, number)| Some((name, number.parse().ok()?)));
    split.unwrap_or((name, 1))
}

/// The lines about a panic: its place and its message.
fn panicked(stdout: &str) -> Option<&str> {
    let at = stdout.find("panicked at ")?;
    let text = &stdout[at..];
    let end = text.match_indices('\n').nth(1).map_or(text.len(), |(end, _)| end);
    text.get(..end)
}

/// Seconds in microseconds; `None` for what is no duration.
pub(crate) fn microseconds(seconds: f64) -> Option<u64> {
    let is_duration = seconds.is_finite() && (0.0..1e12).contains(&seconds);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    is_duration.then(|| (seconds * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use plue_plan::budget::{Budget, Meter};

    use super::*;

    fn parsed(text: &str) -> Option<(Vec<TestCase>, Option<String>)> {
        let meter = Meter::new(Budget { bytes: u64::MAX, items: 100, steps: 1_000_000 });
        let mut collector = Collector::new(&meter);
        match read(text, &mut collector).unwrap() {
            Reading::Other => None,
            Reading::Report(problem) => Some((collector.finish(), problem)),
        }
    }

    #[test]
    fn nextest_events_become_tests() {
        let (cases, problem) = parsed(concat!(
            r#"{"type":"suite","event":"started","test_count":4}"#, "\n",
            r#"{"type":"test","event":"started","name":"app::app$parse::one"}"#, "\n",
            r#"{"type":"test","event":"ok","name":"app::app$parse::one","exec_time":0.25}"#, "\n",
            r#"{"type":"test","event":"ok","name":"app::app$parse::two#3","exec_time":0.5}"#, "\n",
            r#"{"type":"test","event":"ignored","name":"app::app$slow"}"#, "\n",
            r#"{"type":"test","event":"failed","name":"app::app$bad","exec_time":"0.1s","stdout":"thread 'bad' panicked at src/lib.rs:3:5:\nno luck\nnote: run with"}"#, "\n",
            r#"{"type":"suite","event":"failed","passed":2,"failed":1}"#, "\n",
        ))
        .unwrap();
        assert_eq!(problem, None);
        let shown: Vec<_> = cases
            .iter()
            .map(|case| (case.suite.as_str(), case.name.as_str(), case.status))
            .collect();
        assert_eq!(
            shown,
            [
                ("app::app", "parse::one", TestStatus::Passed),
                ("app::app", "parse::two", TestStatus::Flaky),
                ("app::app", "slow", TestStatus::Skipped),
                ("app::app", "bad", TestStatus::Failed),
            ]
        );
        assert_eq!(cases[0].duration_us, Some(250_000));
        assert_eq!(cases[3].message, "panicked at src/lib.rs:3:5:\nno luck");
        assert_eq!(cases[3].duration_us, Some(100_000));
    }

    #[test]
    fn other_json_is_no_report() {
        for text in ["{}", "{\n  \"type\": \"test\"\n}", "[1, 2]", "", "{\"reason\":\"build\"}\n"] {
            assert!(parsed(text).is_none(), "{text}");
        }
    }

    #[test]
    fn cut_files_are_read_with_a_problem() {
        let text = concat!(
            r#"{"type":"suite","event":"started"}"#,
            "\n",
            r#"{"type":"test","event":"failed","name":"a","stdout":""}"#,
            "\n",
            r#"{"type":"test","ev"#,
        );
        let (cases, problem) = parsed(text).unwrap();
        assert_eq!((cases.len(), problem.as_deref()), (1, Some("it ends inside of a suite")));
    }
}

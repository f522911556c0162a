//! Test Anything Protocol, versions 12 to 14: plan, test points, directives, diagnostics, subtests.

use plue_plan::budget::Stopped;

use crate::{
    case::{TestCase, TestStatus},
    collect::Collector,
    read::Reading,
    text::Excerpt,
};

/// Columns by which a subtest is indented (TAP 14).
const INDENT: usize = 4;
/// Levels of subtests; deeper lines are diagnostics.
const MAX_LEVELS: usize = 16;

/// The document, or one subtest.
#[derive(Default)]
struct Level {
    /// Title of the subtest.
    title: String,
    planned: Option<u64>,
    seen: u64,
    failed: u64,
}

/// The test point that diagnostics belong to.
struct Open {
    case: TestCase,
    output: Excerpt,
    level: usize,
}

#[derive(Default)]
struct Document {
    levels: Vec<Level>,
    open: Option<Open>,
    is_report: bool,
    next_title: Option<String>,
    bailed: bool,
}

/// A line that is more than a diagnostic.
enum Line<'t> {
    Version,
    Plan(u64),
    Point { ok: bool, description: &'t str, directive: Option<&'t str> },
    Bail(&'t str),
    Subtest(&'t str),
    Diagnostic,
}

/// Reads a document that begins as one of TAP does.
pub(crate) fn read(text: &str, collector: &mut Collector<'_>) -> Result<Reading, Stopped> {
    let mut document = Document::default();
    for raw in text.lines() {
        collector.meter.steps(1 + (raw.len() / 64) as u64)?;
        let trimmed = raw.trim_start_matches(' ');
        if trimmed.trim().is_empty() {
            continue;
        }
        let level = ((raw.len() - trimmed.len()) / INDENT).min(MAX_LEVELS);
        let line = line(trimmed);
        if !document.is_report {
            if matches!(line, Line::Diagnostic) {
                if trimmed.starts_with('#') {
                    continue;
                }
                return Ok(Reading::Other);
            }
            document.is_report = true;
        }
        document.line(line, raw, level, collector)?;
        if document.bailed {
            break;
        }
    }
    document.close(collector)?;
    let problem = document.finish(collector)?;
    Ok(if document.is_report { Reading::Report(problem) } else { Reading::Other })
}

fn line(text: &str) -> Line<'_> {
    if text.starts_with("TAP version ") {
        return Line::Version;
    }
    if let Some(reason) = text.strip_prefix("Bail out!") {
        return Line::Bail(reason.trim());
    }
    if let Some(count) = text.strip_prefix("1..") {
        let digits = count.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        return digits.parse().map_or(Line::Diagnostic, Line::Plan);
    }
    if let Some(title) = text.strip_prefix("# Subtest") {
        return Line::Subtest(title.trim_start_matches(':').trim());
    }
    let (ok, rest) = match (text.strip_prefix("ok"), text.strip_prefix("not ok")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Line::Diagnostic,
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Line::Diagnostic;
    }
    let rest = rest.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.trim_start().trim_start_matches("- ").trim();
    // A `#` that is escaped belongs to the description.
    let (description, directive) = match rest
        .split_once(" # ")
        .or_else(|| rest.strip_prefix("# ").map(|directive| ("", directive)))
    {
        Some((description, directive)) => (description.trim(), Some(directive.trim())),
        None => (rest, None),
    };
    Line::Point { ok, description, directive }
}

// === impl Document ===

impl Document {
    fn line(
        &mut self,
        line: Line<'_>,
        raw: &str,
        level: usize,
        collector: &mut Collector<'_>,
    ) -> Result<(), Stopped> {
        match line {
            Line::Version => Ok(()),
            Line::Subtest(title) => {
                self.close(collector)?;
                self.next_title = Some(title.to_owned());
                Ok(())
            }
            Line::Plan(count) => {
                self.close(collector)?;
                self.level(level).planned = Some(count);
                Ok(())
            }
            Line::Point { ok, description, directive } => {
                self.close(collector)?;
                self.point(ok, description, directive, level);
                Ok(())
            }
            Line::Bail(reason) => {
                self.close(collector)?;
                self.bailed = true;
                let reason = if reason.is_empty() { "no reason" } else { reason };
                let mut case = self.case("Bail out!", TestStatus::Failed);
                reason.clone_into(&mut case.message);
                collector.add(case)
            }
            Line::Diagnostic => {
                if let Some(open) = &mut self.open {
                    let text = raw.trim_start_matches(' ');
                    if !matches!(text, "---" | "...") {
                        let text = raw.get(open.level * INDENT..).unwrap_or(text);
                        open.output.push(text.strip_prefix("# ").unwrap_or(text));
                        open.output.push("\n");
                    }
                }
                Ok(())
            }
        }
    }

    /// The level of this depth; deeper ones have ended, missing ones begin.
    fn level(&mut self, depth: usize) -> &mut Level {
        self.levels.truncate(depth + 1);
        while self.levels.len() <= depth {
            // A title belongs to the subtest that follows it, not to the document around both.
            let is_titled = depth > 0 && self.levels.len() == depth;
            let title = if is_titled { self.next_title.take() } else { None };
            self.levels.push(Level { title: title.unwrap_or_default(), ..Level::default() });
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn point(&mut self, ok: bool, description: &str, directive: Option<&str>, depth: usize) {
        // The point behind a subtest sums it up: its tests are counted, and only a failure that none of
        // them has is one more.
        let ended = self.levels.get(depth + 1).map(|level| (level.seen, level.failed));
        let level = self.level(depth);
        level.seen += 1;
        let word = directive.map(|text| text.get(..4).unwrap_or(text).to_ascii_uppercase());
        let status = match word.as_deref() {
            Some("SKIP" | "TODO") => TestStatus::Skipped,
            Some(_) | None if ok => TestStatus::Passed,
            Some(_) | None => TestStatus::Failed,
        };
        if status == TestStatus::Failed {
            level.failed += 1;
        }
        let number = level.seen;
        let is_summary = ended
            .is_some_and(|(seen, failed)| seen > 0 && (status != TestStatus::Failed || failed > 0));
        if is_summary {
            return;
        }
        let name =
            if description.is_empty() { format!("test {number}") } else { description.to_owned() };
        let case = self.case(&name.replace("\\#", "#"), status);
        self.open = Some(Open { case, output: Excerpt::default(), level: depth });
    }

    fn case(&self, name: &str, status: TestStatus) -> TestCase {
        let titles = self.levels.iter().map(|level| level.title.as_str());
        let titles: Vec<_> = titles.filter(|title| !title.is_empty()).collect();
        TestCase {
            suite: titles.join(" > "),
            name: name.to_owned(),
            status,
            duration_us: None,
            message: String::new(),
            output: String::new(),
            file: None,
            line: None,
        }
    }

    /// Adds the test point whose diagnostics have ended.
    fn close(&mut self, collector: &mut Collector<'_>) -> Result<(), Stopped> {
        let Some(Open { mut case, output, .. }) = self.open.take() else { return Ok(()) };
        case.output = output.finish();
        case.message = message(&case.output);
        if let Some(duration) = field(&case.output, "duration_ms:") {
            let milliseconds = duration.parse::<f64>().ok();
            case.duration_us = milliseconds.and_then(|ms| crate::libtest::microseconds(ms / 1e3));
        }
        collector.add(case)
    }

    /// Tests of the plan that never came: a program that dies in between has not passed.
    fn finish(&mut self, collector: &mut Collector<'_>) -> Result<Option<String>, Stopped> {
        let Some(whole) = self.levels.first() else { return Ok(None) };
        let Some(planned) = whole.planned else {
            return Ok((!self.bailed).then(|| "it has no plan (`1..N`)".to_owned()));
        };
        if whole.seen >= planned || self.bailed {
            return Ok(None);
        }
        let (seen, first) = (whole.seen, whole.seen + 1);
        self.levels.truncate(1);
        let mut case = self.case(&format!("(tests {first} to {planned})"), TestStatus::Failed);
        case.message = format!("the plan has {planned} tests, the report {seen}");
        collector.add(case)?;
        Ok(Some("it ends before its plan".to_owned()))
    }
}

/// The `message` of a YAML block, or the first line of the diagnostics.
fn message(output: &str) -> String {
    let first = output.lines().map(str::trim).find(|line| !line.is_empty());
    let text = field(output, "message:").or(first).unwrap_or_default();
    crate::text::message(text.trim_matches(['"', '\'']))
}

fn field<'t>(output: &'t str, name: &str) -> Option<&'t str> {
    let value = output.lines().find_map(|line| line.trim().strip_prefix(name))?.trim();
    (!value.is_empty() && !matches!(value, "|" | "|-" | ">" | ">-")).then_some(value)
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

    fn shown(cases: &[TestCase]) -> Vec<(&str, &str, TestStatus)> {
        cases.iter().map(|case| (case.suite.as_str(), case.name.as_str(), case.status)).collect()
    }

    #[test]
    fn points_and_directives_become_tests() {
        let text = "TAP version 14\n1..5\nok 1 - adds\nnot ok 2 - divides\n  ---\n  message: \"by zero\"\n  \
                    duration_ms: 12.5\n  at: math.js:3\n  ...\nok 3 - nets # SKIP no network\n\
                    not ok 4 - later # TODO\nok\n";
        let (cases, problem) = parsed(text).unwrap();
        assert_eq!(problem, None);
        assert_eq!(
            shown(&cases),
            [
                ("", "adds", TestStatus::Passed),
                ("", "divides", TestStatus::Failed),
                ("", "nets", TestStatus::Skipped),
                ("", "later", TestStatus::Skipped),
                ("", "test 5", TestStatus::Passed),
            ]
        );
        assert_eq!((cases[1].message.as_str(), cases[1].duration_us), ("by zero", Some(12_500)));
        assert!(cases[1].output.contains("at: math.js:3"), "{}", cases[1].output);
    }

    #[test]
    fn subtests_are_counted_instead_of_their_sum() {
        let text = "TAP version 14\n# Subtest: parser\n    ok 1 - empty\n    not ok 2 - deep\n    1..2\n\
                    not ok 1 - parser\nok 2 - rest\n1..2\n";
        let (cases, problem) = parsed(text).unwrap();
        assert_eq!(problem, None);
        assert_eq!(
            shown(&cases),
            [
                ("parser", "empty", TestStatus::Passed),
                ("parser", "deep", TestStatus::Failed),
                ("", "rest", TestStatus::Passed),
            ]
        );
    }

    #[test]
    fn subtests_that_fail_as_a_whole_count() {
        let text = "1..1\n# Subtest: a\n    ok 1 - x\n    1..1\nnot ok 1 - a\n";
        let (cases, _) = parsed(text).unwrap();
        assert_eq!(shown(&cases), [("a", "x", TestStatus::Passed), ("", "a", TestStatus::Failed)]);
    }

    #[test]
    fn missing_tests_have_failed() {
        let (cases, problem) = parsed("1..4\nok 1 - a\nok 2 - b\n").unwrap();
        assert_eq!(problem.as_deref(), Some("it ends before its plan"));
        assert_eq!(shown(&cases)[2], ("", "(tests 3 to 4)", TestStatus::Failed));
        let (cases, problem) = parsed("1..4\nok 1 - a\nBail out! no database\nok 2\n").unwrap();
        assert_eq!((problem, cases.len()), (None, 2));
        assert_eq!(cases[1].message, "no database");
    }

    #[test]
    fn other_text_is_no_report() {
        for text in ["", "okay\n", "hello\n1..2\n", "# only a remark\n", "note: ok\n"] {
            assert!(parsed(text).is_none(), "{text}");
        }
    }
}

//! `JUnit` XML. There is no one schema: writers differ in nesting, in counts and in their marks of reruns, so
//! only elements of tests are read and every count is our own.
//!
//! A document type is refused and entities other than the five of XML stay text, so that nothing expands.

use plue_plan::budget::Stopped;
use quick_xml::{
    Reader,
    events::{BytesRef, BytesStart, Event},
};

use crate::{
    case::{TestCase, TestStatus},
    collect::Collector,
    limits::{MAX_DEPTH, MAX_MESSAGE},
    read::Reading,
    text::{self, Excerpt},
};

/// Bytes of XML that count as one step.
const BYTES_PER_STEP: usize = 64;
/// Attributes of one element that are looked at.
const MAX_ATTRIBUTES: usize = 64;

/// An element that has not ended.
enum Node {
    Suite(String),
    Case(Box<OpenCase>),
    Outcome { status: TestStatus, message: String, text: Excerpt },
    Output(Excerpt),
    Other,
}

/// A test whose element is open.
#[derive(Default)]
struct OpenCase {
    suite: String,
    name: String,
    duration_us: Option<u64>,
    file: Option<String>,
    line: Option<u32>,
    is_skipped: bool,
    has_failed: bool,
    has_passed_later: bool,
    message: String,
    details: Excerpt,
    output: Excerpt,
}

/// The document while it is read.
#[derive(Default)]
struct Document {
    open: Vec<Node>,
    is_report: bool,
    has_doctype: bool,
}

/// Reads a document, if its root is one of `JUnit`'s.
pub(crate) fn read(text: &str, collector: &mut Collector<'_>) -> Result<Reading, Stopped> {
    let mut reader = Reader::from_str(text);
    let mut document = Document::default();
    loop {
        let before = reader.buffer_position();
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => return Ok(document.broken(&error.to_string(), before)),
        };
        let length = usize::try_from(reader.buffer_position() - before).unwrap_or(usize::MAX);
        collector.meter.steps(1 + (length / BYTES_PER_STEP) as u64)?;
        match event {
            Event::DocType(_) => document.has_doctype = true,
            Event::Start(start) => {
                if let Some(end) = document.start(&start) {
                    return Ok(end);
                }
            }
            Event::Empty(start) => {
                if let Some(end) = document.start(&start) {
                    return Ok(end);
                }
                document.end(collector)?;
            }
            Event::End(_) => document.end(collector)?,
            Event::Text(text) => document.text(&String::from_utf8_lossy(&text)),
            Event::CData(text) => document.text(&String::from_utf8_lossy(&text)),
            Event::GeneralRef(reference) => document.text(&resolved(&reference)),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => return Ok(document.eof()),
        }
    }
}

// === impl Document ===

impl Document {
    /// Opens an element; the end of the reading if the document cannot be read.
    fn start(&mut self, start: &BytesStart<'_>) -> Option<Reading> {
        let name = start.local_name();
        let name = name.as_ref();
        if !self.is_report {
            if !matches!(name, b"testsuites" | b"testsuite" | b"testcase") {
                return Some(Reading::Other);
            }
            if self.has_doctype {
                let problem = "it has a document type declaration, which is not read";
                return Some(Reading::Report(Some(problem.to_owned())));
            }
            self.is_report = true;
        }
        if self.open.len() >= MAX_DEPTH {
            let problem = format!("its elements are nested deeper than {MAX_DEPTH}");
            return Some(Reading::Report(Some(problem)));
        }
        let node = self.node(name, start);
        self.open.push(node);
        None
    }

    fn node(&self, name: &[u8], start: &BytesStart<'_>) -> Node {
        let outcome = |status| {
            let [message, kind] = attributes(start, ["message", "type"]);
            let message = text::cut(&message.or(kind).unwrap_or_default(), MAX_MESSAGE).to_owned();
            Node::Outcome { status, message, text: Excerpt::default() }
        };
        match name {
            b"testsuite" => {
                let [name] = attributes(start, ["name"]);
                Node::Suite(name.unwrap_or_default())
            }
            b"testcase" => Node::Case(Box::new(self.case(start))),
            b"failure" | b"error" => outcome(TestStatus::Failed),
            b"flakyFailure" | b"flakyError" => outcome(TestStatus::Flaky),
            // Further failures of a test that also has a `failure`.
            b"rerunFailure" | b"rerunError" => Node::Other,
            b"skipped" => outcome(TestStatus::Skipped),
            b"system-out" | b"system-err" => Node::Output(Excerpt::default()),
            _ => Node::Other,
        }
    }

    fn case(&self, start: &BytesStart<'_>) -> OpenCase {
        let [name, class, time, file, line, status, result] =
            attributes(start, ["name", "classname", "time", "file", "line", "status", "result"]);
        let suite = self.open.iter().rev().find_map(|node| match node {
            Node::Suite(name) => Some(name.as_str()),
            Node::Case(_) | Node::Outcome { .. } | Node::Output(_) | Node::Other => None,
        });
        let class = class.filter(|class| !class.trim().is_empty());
        let was_not_run = |value: &Option<String>| {
            value.as_deref().is_some_and(|value| {
                matches!(value, "notrun" | "disabled" | "suppressed" | "skipped")
            })
        };
        OpenCase {
            suite: class.unwrap_or_else(|| suite.unwrap_or_default().to_owned()),
            name: name.unwrap_or_default(),
            duration_us: time.as_deref().and_then(seconds),
            file,
            line: line.and_then(|line| line.trim().parse().ok()),
            is_skipped: was_not_run(&status) || was_not_run(&result),
            ..OpenCase::default()
        }
    }

    fn text(&mut self, piece: &str) {
        match self.open.last_mut() {
            Some(Node::Outcome { text, .. } | Node::Output(text)) => text.push(piece),
            Some(Node::Suite(_) | Node::Case(_) | Node::Other) | None => {}
        }
    }

    /// Closes the innermost element.
    fn end(&mut self, collector: &mut Collector<'_>) -> Result<(), Stopped> {
        let Some(node) = self.open.pop() else { return Ok(()) };
        match node {
            Node::Case(case) => collector.add(case.finish()),
            Node::Outcome { status, message, text } => match self.open.last_mut() {
                Some(Node::Case(case)) => {
                    case.outcome(status, message, text);
                    Ok(())
                }
                // A suite whose setup failed.
                Some(Node::Suite(suite)) if status == TestStatus::Failed => {
                    let name = "(suite)".to_owned();
                    let mut case = OpenCase { suite: suite.clone(), name, ..OpenCase::default() };
                    case.outcome(status, message, text);
                    collector.add(case.finish())
                }
                Some(Node::Suite(_) | Node::Outcome { .. } | Node::Output(_) | Node::Other)
                | None => Ok(()),
            },
            Node::Output(text) => {
                if let Some(Node::Case(case)) = self.open.last_mut()
                    && !text.is_empty()
                {
                    case.output.push(&text.finish());
                    case.output.push("\n");
                }
                Ok(())
            }
            Node::Suite(_) | Node::Other => Ok(()),
        }
    }

    fn broken(&self, error: &str, at: u64) -> Reading {
        if self.is_report {
            Reading::Report(Some(format!("it is no well-formed XML at byte {at}: {error}")))
        } else {
            Reading::Other
        }
    }

    fn eof(&self) -> Reading {
        match (self.is_report, self.open.len()) {
            (false, _) => Reading::Other,
            (true, 0) => Reading::Report(None),
            (true, open) => Reading::Report(Some(format!("it ends inside of {open} elements"))),
        }
    }
}

// === impl OpenCase ===

impl OpenCase {
    fn outcome(&mut self, status: TestStatus, message: String, text: Excerpt) {
        match status {
            TestStatus::Failed => self.has_failed = true,
            TestStatus::Flaky => self.has_passed_later = true,
            TestStatus::Skipped => self.is_skipped = true,
            TestStatus::Passed => {}
        }
        if status == TestStatus::Skipped {
            return;
        }
        if self.message.is_empty() {
            self.message = message;
        }
        if !text.is_empty() {
            self.details.push(&text.finish());
            self.details.push("\n");
        }
    }

    fn finish(self) -> TestCase {
        let status = match (self.has_failed, self.has_passed_later, self.is_skipped) {
            // A failure and a `flakyFailure`: the test runner counts flaky tests as failed.
            (true, _, _) => TestStatus::Failed,
            (false, true, _) => TestStatus::Flaky,
            (false, false, true) => TestStatus::Skipped,
            (false, false, false) => TestStatus::Passed,
        };
        let details = self.details.finish();
        let mut output = Excerpt::default();
        output.push(&details);
        if !self.output.is_empty() {
            output.push("\n");
            output.push(&self.output.finish());
        }
        let first = details.lines().next().unwrap_or_default();
        let message = if self.message.trim().is_empty() { first } else { self.message.as_str() };
        TestCase {
            suite: self.suite,
            name: self.name,
            status,
            duration_us: self.duration_us,
            message: text::message(message),
            output: output.finish(),
            file: self.file,
            line: self.line,
        }
    }
}

/// The values of some attributes. Duplicates are not looked for, which would take quadratic time.
fn attributes<const N: usize>(start: &BytesStart<'_>, names: [&str; N]) -> [Option<String>; N] {
    let mut found = [const { None }; N];
    for attribute in start.attributes().with_checks(false).take(MAX_ATTRIBUTES).flatten() {
        let local = attribute.key.local_name();
        let at = names.iter().position(|name| name.as_bytes() == local.as_ref());
        if let Some(value) = at.and_then(|at| found.get_mut(at)) {
            let raw = String::from_utf8_lossy(&attribute.value);
            // An unknown entity stays as it is written.
            let text = quick_xml::escape::unescape(&raw)
                .map_or_else(|_unknown| raw.clone().into_owned(), std::borrow::Cow::into_owned);
            value.get_or_insert(text);
        }
    }
    found
}

/// A character reference or one of XML's five entities; any other one as it is written.
fn resolved(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return character.to_string();
    }
    let name = String::from_utf8_lossy(reference);
    match name.as_ref() {
        "lt" => "<".to_owned(),
        "gt" => ">".to_owned(),
        "amp" => "&".to_owned(),
        "apos" => "'".to_owned(),
        "quot" => "\"".to_owned(),
        other => format!("&{other};"),
    }
}

/// `1.5` and `1,234.5` seconds in microseconds.
fn seconds(text: &str) -> Option<u64> {
    let number: f64 = text.trim().replace(',', "").parse().ok()?;
    crate::libtest::microseconds(number)
}

#[cfg(test)]
mod tests;

//! The files of an attempt, recognised by name and content and read one after the other.

use plue_plan::budget::{Meter, Stopped};
use serde::{Deserialize, Serialize};

use crate::{
    case::{Format, TestCase},
    collect::Collector,
    junit, libtest, tap,
};

/// A file that is a test report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportFile {
    /// Path in the workspace.
    pub path: String,
    /// Format of the file.
    pub format: Format,
    /// Tests in it that no file before had.
    pub tests: usize,
    /// The reason that only a part of the file was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The tests of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TestReport {
    /// The files that are reports.
    pub files: Vec<ReportFile>,
    /// Their tests, each once.
    pub cases: Vec<TestCase>,
}

/// A file that is no report, or one with a problem.
pub(crate) enum Reading {
    /// The content is something else.
    Other,
    /// It was read as far as it is well-formed.
    Report(Option<String>),
}

/// Whether a file of this path may be a report: `*.xml`, `*.tap`, `*.json`, `*.jsonl`, `*.ndjson`.
#[must_use]
pub fn is_candidate(path: &str) -> bool {
    reader_of(path).is_some()
}

/// Whether the first bytes of a candidate could be those of a report, so that most other files are never
/// read as a whole.
#[must_use]
pub fn is_likely(path: &str, head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    match reader_of(path) {
        Some((Format::Junit, _)) => text.contains("<testsuite") || text.contains("<testcase"),
        Some((Format::Libtest, _)) => text.contains("\"event\"") && text.contains("\"type\""),
        Some((Format::Tap, _)) => true,
        None => false,
    }
}

type Reader = fn(&str, &mut Collector<'_>) -> Result<Reading, Stopped>;

fn reader_of(path: &str) -> Option<(Format, Reader)> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let (_, extension) = name.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "xml" => Some((Format::Junit, junit::read)),
        "tap" => Some((Format::Tap, tap::read)),
        "json" | "jsonl" | "ndjson" => Some((Format::Libtest, libtest::read)),
        _ => None,
    }
}

// === impl TestReport ===

impl TestReport {
    /// Reads files of an attempt in this order. A budget that runs out ends the reading: the file has a
    /// problem then, and the tests before it stay.
    #[must_use]
    pub fn read<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>, meter: &Meter) -> Self {
        let mut collector = Collector::new(meter);
        let mut found = Vec::new();
        for (path, bytes) in files {
            let Some((format, read)) = reader_of(path) else { continue };
            let before = collector.len();
            let reading = one(bytes, read, &mut collector);
            let tests = collector.len() - before;
            let path = path.to_owned();
            match reading {
                Ok(Reading::Other) => {}
                Ok(Reading::Report(problem)) => {
                    found.push(ReportFile { path, format, tests, problem });
                }
                Err(stopped) => {
                    let problem = Some(stopped.to_string());
                    found.push(ReportFile { path, format, tests, problem });
                    break;
                }
            }
        }
        Self { files: found, cases: collector.finish() }
    }
}

fn one(bytes: &[u8], read: Reader, collector: &mut Collector<'_>) -> Result<Reading, Stopped> {
    collector.meter.bytes(bytes.len())?;
    collector.meter.look()?;
    // Test runners print what programs printed: bytes that are no UTF-8 are common.
    let text = String::from_utf8_lossy(bytes);
    read(text.trim_start_matches('\u{feff}'), collector)
}

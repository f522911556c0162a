//! One test of a report.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `JUnit` XML, in the dialects of its many writers.
    Junit,
    /// Test Anything Protocol, versions 12 to 14.
    Tap,
    /// Lines of JSON of Rust's libtest, `cargo test` and `cargo nextest`.
    Libtest,
}

/// The outcome of a test, best first: of several results for one test the worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestStatus {
    /// It was not run.
    Skipped,
    /// It passed at the first try.
    Passed,
    /// It failed, and passed when it was run again.
    Flaky,
    /// It failed at the last try.
    Failed,
}

/// The result of one test in one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// Class or suite of the test; may be empty.
    pub suite: String,
    /// Name within the suite.
    pub name: String,
    /// Outcome of the test.
    pub status: TestStatus,
    /// Duration in microseconds, if the report has it.
    pub duration_us: Option<u64>,
    /// Message of the failure, of one or a few lines; empty without one.
    pub message: String,
    /// Stack trace and output; empty unless the test failed.
    pub output: String,
    /// Source file, as the report names it.
    pub file: Option<String>,
    /// Line of the source file, from 1.
    pub line: Option<u32>,
}

// === impl TestCase ===

impl TestCase {
    /// Key by which results of the same test are compared: the first 8 bytes of a SHA-256 over suite and name.
    #[must_use]
    pub fn key(&self) -> u64 {
        let mut hasher = Sha256::new();
        hasher.update(self.suite.as_bytes());
        hasher.update([0]);
        hasher.update(self.name.as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

// === impl TestStatus ===

impl TestStatus {
    /// Every status, best first.
    pub const ALL: [Self; 4] = [Self::Skipped, Self::Passed, Self::Flaky, Self::Failed];

    /// The status as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Passed => "passed",
            Self::Flaky => "flaky",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for TestStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TestStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no status of a test"))
    }
}

// === impl Format ===

impl Format {
    /// The format in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Junit => "JUnit XML",
            Self::Tap => "TAP",
            Self::Libtest => "libtest JSON",
        }
    }
}

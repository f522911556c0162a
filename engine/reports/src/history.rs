//! Results of an attempt compared with earlier ones: newly failed tests, and flaky ones.
//!
//! Pure: earlier attempts are arguments. An attempt in which nearly everything failed is no evidence about
//! a single test, neither of a pass nor of flakiness.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    case::{TestCase, TestStatus},
    limits::{MAX_RESULTS, MAX_TEXT},
    read::TestReport,
};

/// Passes in a row after which older flips are forgotten.
const CLEARED_AFTER: usize = 5;
/// Tests of an attempt from which on a share of failures is judged.
const MIN_TESTS: usize = 10;
/// Percentage of failed tests above which the attempt, not its tests, is broken.
const BROKEN_PERCENT: usize = 80;

/// An earlier attempt of the same step of the same workflow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastAttempt {
    /// The commit it ran at; `None` if its files may have been changed.
    pub commit: Option<String>,
    /// Whether it is an earlier attempt of the same visit of the same run.
    pub is_same_visit: bool,
    /// Whether it ran for the default branch.
    pub is_default_branch: bool,
    /// Keys of its passed tests, ascending.
    pub passed: Vec<u64>,
    /// Keys of its failed tests, ascending.
    pub failed: Vec<u64>,
}

/// The earlier attempts that a report is compared with, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The commit of the attempt itself; `None` if its files may have been changed.
    pub commit: Option<String>,
    /// Attempts of the same step, newest first.
    pub past: Vec<PastAttempt>,
}

/// A failed or flaky test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// The failed or flaky test.
    pub case: TestCase,
    /// Whether it failed and did not fail before: on the default branch, or on its own if that has no history.
    pub is_new: bool,
    /// Whether it passed and failed at the same commit, now or in an earlier attempt.
    pub is_flaky: bool,
}

/// Numbers of tests by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestCounts {
    /// Tests that passed at once.
    pub passed: u64,
    /// Tests that failed at the last try.
    pub failed: u64,
    /// Tests that were not run.
    pub skipped: u64,
    /// Tests that failed and passed when they were run again.
    pub flaky: u64,
    /// Failed tests that are new.
    pub new: u64,
}

/// A report with its comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judged {
    /// Numbers of all tests.
    pub counts: TestCounts,
    /// Sum of the durations in microseconds.
    pub duration_us: u64,
    /// Failed and flaky tests, the new ones first.
    pub results: Vec<TestResult>,
    /// Failed and flaky tests beyond the limit, which are only counted.
    pub left_out: u64,
    /// Keys of passed tests, ascending.
    pub passed: Vec<u64>,
    /// Keys of failed tests, ascending.
    pub failed: Vec<u64>,
}

/// Compares a report with earlier attempts.
#[must_use]
pub fn judge(report: TestReport, history: &History) -> Judged {
    let mut judged = Judged::default();
    let seen = Seen::of(history);
    for mut case in report.cases {
        let key = case.key();
        judged.duration_us = judged.duration_us.saturating_add(case.duration_us.unwrap_or(0));
        if case.status == TestStatus::Passed && seen.failed_in_this_visit(key) {
            case.status = TestStatus::Flaky;
            "failed in an earlier attempt of this run".clone_into(&mut case.message);
        }
        match case.status {
            TestStatus::Passed => judged.passed.push(key),
            TestStatus::Skipped => judged.counts.skipped += 1,
            TestStatus::Flaky | TestStatus::Failed => {
                let has_failed = case.status == TestStatus::Failed;
                let is_new = has_failed && seen.is_new(key);
                let is_flaky = !has_failed || seen.is_flaky(key);
                // A flaky test has passed in the end: it is no failure of the next comparison.
                if has_failed { &mut judged.failed } else { &mut judged.passed }.push(key);
                judged.counts.flaky += u64::from(!has_failed);
                judged.counts.new += u64::from(is_new);
                judged.results.push(TestResult { case, is_new, is_flaky });
            }
        }
    }
    judged.counts.failed = judged.failed.len() as u64;
    judged.counts.passed = (judged.passed.len() as u64).saturating_sub(judged.counts.flaky);
    judged.passed.sort_unstable();
    judged.failed.sort_unstable();
    judged.limit();
    judged
}

// === impl Judged ===

impl Judged {
    /// Drops results beyond the limits, the least interesting first, and texts beyond theirs.
    fn limit(&mut self) {
        self.results.sort_by(|a, b| {
            let rank = |result: &TestResult| {
                (result.case.status != TestStatus::Failed, !result.is_new, result.is_flaky)
            };
            rank(a)
                .cmp(&rank(b))
                .then_with(|| a.case.suite.cmp(&b.case.suite))
                .then_with(|| a.case.name.cmp(&b.case.name))
        });
        self.left_out = self.results.len().saturating_sub(MAX_RESULTS) as u64;
        self.results.truncate(MAX_RESULTS);
        let mut room = MAX_TEXT;
        for result in &mut self.results {
            let case = &mut result.case;
            let length = case.message.len() + case.output.len();
            if length <= room {
                room -= length;
            } else {
                "(left out: the failures of this attempt have too much text)"
                    .clone_into(&mut case.output);
            }
        }
    }
}

// === impl TestCounts ===

impl TestCounts {
    /// Number of all tests.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.passed + self.failed + self.skipped + self.flaky
    }
}

/// The history of each test, newest first.
struct Seen<'h> {
    history: &'h History,
    by_key: HashMap<u64, Vec<(&'h PastAttempt, bool)>>,
    /// Whether the default branch has a history.
    has_default: bool,
    has_past: bool,
}

// === impl Seen ===

impl<'h> Seen<'h> {
    fn of(history: &'h History) -> Self {
        let mut by_key: HashMap<u64, Vec<(&PastAttempt, bool)>> = HashMap::new();
        for past in &history.past {
            for (keys, passed) in [(&past.passed, true), (&past.failed, false)] {
                for key in keys {
                    by_key.entry(*key).or_default().push((past, passed));
                }
            }
        }
        let others = || history.past.iter().filter(|past| !past.is_same_visit);
        let has_default = others().any(|past| past.is_default_branch);
        Self { history, by_key, has_default, has_past: others().next().is_some() }
    }

    fn of_test(&self, key: u64) -> &[(&'h PastAttempt, bool)] {
        self.by_key.get(&key).map_or(&[], Vec::as_slice)
    }

    fn failed_in_this_visit(&self, key: u64) -> bool {
        self.of_test(key).iter().any(|(past, passed)| past.is_same_visit && !passed)
    }

    /// Whether the newest comparable attempt that ran the test has passed it, or none ran it.
    fn is_new(&self, key: u64) -> bool {
        let comparable = |past: &PastAttempt| {
            !past.is_same_visit && (past.is_default_branch || !self.has_default)
        };
        let newest = self.of_test(key).iter().find(|(past, _)| comparable(past));
        self.has_past && newest.is_none_or(|(_, passed)| *passed)
    }

    /// Whether a test that has failed now is flaky.
    fn is_flaky(&self, key: u64) -> bool {
        let evidence: Vec<(Option<&str>, bool)> = self
            .of_test(key)
            .iter()
            .filter(|(past, _)| !past.is_broken())
            .map(|(past, passed)| (past.commit.as_deref(), *passed))
            .collect();
        let own = self.history.commit.as_deref();
        if own.is_some() && evidence.contains(&(own, true)) {
            return true;
        }
        let newest = evidence.get(..CLEARED_AFTER);
        if newest.is_some_and(|newest| newest.iter().all(|(_, passed)| *passed)) {
            return false;
        }
        let mut outcomes: HashMap<&str, bool> = HashMap::new();
        evidence
            .iter()
            .filter_map(|(commit, passed)| Some(((*commit)?, *passed)))
            .any(|(commit, passed)| *outcomes.entry(commit).or_insert(passed) != passed)
    }
}

// === impl PastAttempt ===

impl PastAttempt {
    fn is_broken(&self) -> bool {
        let total = self.passed.len() + self.failed.len();
        total >= MIN_TESTS && self.failed.len() * 100 > total * BROKEN_PERCENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, status: TestStatus) -> TestCase {
        TestCase {
            suite: "s".to_owned(),
            name: name.to_owned(),
            status,
            duration_us: Some(5),
            message: String::new(),
            output: String::new(),
            file: None,
            line: None,
        }
    }

    fn key(name: &str) -> u64 {
        case(name, TestStatus::Passed).key()
    }

    fn report(cases: Vec<TestCase>) -> TestReport {
        TestReport { files: Vec::new(), cases }
    }

    fn past(
        commit: &str,
        is_default_branch: bool,
        passed: &[&str],
        failed: &[&str],
    ) -> PastAttempt {
        let keys = |names: &[&str]| {
            let mut keys: Vec<u64> = names.iter().map(|name| key(name)).collect();
            keys.sort_unstable();
            keys
        };
        PastAttempt {
            commit: Some(commit.to_owned()),
            is_same_visit: false,
            is_default_branch,
            passed: keys(passed),
            failed: keys(failed),
        }
    }

    fn marks(past: Vec<PastAttempt>) -> (bool, bool) {
        let history = History { commit: Some("now".to_owned()), past };
        let judged = judge(report(vec![case("a", TestStatus::Failed)]), &history);
        (judged.results[0].is_new, judged.results[0].is_flaky)
    }

    #[test]
    fn failures_are_new_against_the_default_branch() {
        let (is_new, known) = ((true, false), (false, false));
        assert_eq!(marks(vec![]), known, "without a history nothing is new");
        assert_eq!(marks(vec![past("1", true, &["a"], &[])]), is_new);
        assert_eq!(marks(vec![past("1", true, &["b"], &[])]), is_new, "a test that is new itself");
        assert_eq!(marks(vec![past("1", true, &[], &["a"])]), known);
        assert_eq!(marks(vec![past("2", true, &["b"], &[]), past("1", true, &[], &["a"])]), known);
        assert_eq!(
            marks(vec![past("2", false, &[], &["a"]), past("1", true, &["a"], &[])]),
            is_new,
            "it fails on its own branch only"
        );
        assert_eq!(marks(vec![past("2", false, &[], &["a"])]), known);
    }

    #[test]
    fn both_outcomes_at_one_commit_are_flaky() {
        assert!(marks(vec![past("now", false, &["a"], &[])]).1);
        assert!(marks(vec![past("1", true, &["a"], &[]), past("1", true, &[], &["a"])]).1);
        assert!(!marks(vec![past("2", true, &["a"], &[]), past("1", true, &[], &["a"])]).1);
    }

    #[test]
    fn five_passes_clear_a_flaky_test() {
        let flip = [past("1", true, &["a"], &[]), past("1", true, &[], &["a"])];
        let passes = |count: usize| (0..count).map(|at| past(&format!("c{at}"), true, &["a"], &[]));
        assert!(marks(passes(3).chain(flip.clone()).collect()).1, "four passes");
        assert!(!marks(passes(4).chain(flip).collect()).1, "five passes");
    }

    #[test]
    fn broken_attempts_are_no_evidence() {
        let names: Vec<String> = (0..10).map(|at| format!("t{at}")).collect();
        let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
        all.push("a");
        let broken = past("1", true, &[], &all);
        assert!(!marks(vec![past("1", true, &["a"], &[]), broken]).1);
    }

    #[test]
    fn passes_after_a_failed_attempt_are_flaky() {
        let mut earlier = past("now", false, &["b"], &["a"]);
        earlier.is_same_visit = true;
        let history = History { commit: Some("now".to_owned()), past: vec![earlier] };
        let cases = vec![case("a", TestStatus::Passed), case("b", TestStatus::Passed)];
        let judged = judge(report(cases), &history);
        assert_eq!(judged.counts, TestCounts { passed: 1, flaky: 1, ..TestCounts::default() });
        assert!(judged.results[0].is_flaky && !judged.results[0].is_new);
        assert_eq!((judged.passed.len(), judged.failed.len(), judged.duration_us), (2, 0, 10));
    }

    #[test]
    fn results_are_limited_the_new_ones_first() {
        let mut cases: Vec<_> =
            (0..700).map(|at| case(&format!("{at:03}"), TestStatus::Failed)).collect();
        for case in &mut cases {
            case.output = "x".repeat(10_000);
        }
        let known: Vec<String> = (0..699).map(|at| format!("{at:03}")).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let history = History { commit: None, past: vec![past("1", true, &[], &known)] };
        let judged = judge(report(cases), &history);
        assert_eq!((judged.results.len(), judged.left_out), (MAX_RESULTS, 200));
        assert_eq!((judged.results[0].case.name.as_str(), judged.counts.new), ("699", 1));
        assert_eq!(judged.counts.failed, 700);
        let text: usize = judged.results.iter().map(|result| result.case.output.len()).sum();
        assert!(text < MAX_TEXT + MAX_RESULTS * 100, "{text}");
    }
}

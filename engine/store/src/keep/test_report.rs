//! Test results of attempts: stored once, when an attempt ends, and compared with those of earlier attempts.
//!
//! Must not read a report: plue-reports does. Results of forks are history for nobody but the same pull
//! request, and those of imported runs for no run.

use std::cmp::Reverse;

use jiff::Timestamp;
use plue_plan::{AttemptId, RunId, StepId};
use plue_reports::{
    Judged, PastAttempt, ReportFile, TestCase, TestCounts, TestResult, limits::MAX_HISTORY,
};
use plue_wire::runner::Claim;

use super::Recorded;
use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    handles::TestReports,
    op::Op,
    sql::{Arg, Row, Statement, Tx, insert_rows, placeholders},
};

/// Bytes of a key.
const KEY: usize = 8;
/// Attempts whose results are read by one statement.
const MAX_ATTEMPTS: usize = 500;

/// The tests whose results are comparable: those of the same step of the same workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestHistoryKey {
    /// `owner/name`, or the folder of a local run.
    pub repo: String,
    /// Name of the workflow.
    pub workflow: String,
    /// Id of the step.
    pub step: StepId,
    /// The branch; empty without one.
    pub branch: String,
    /// The pull request of a fork, as in [`crate::RunRow::fork`].
    pub fork: Option<u64>,
    /// The commit; `None` if the files may have been changed.
    pub sha: Option<String>,
}

/// The test results of an attempt that is about to end.
#[derive(Debug, Clone)]
pub struct NewTestReport {
    /// The claim of the attempt; results of a stale one are refused.
    pub claim: Claim,
    /// The history that the results become a part of.
    pub key: TestHistoryKey,
    /// The results, compared with that history.
    pub judged: Judged,
    /// The files that they were read from.
    pub files: Vec<ReportFile>,
    /// Time of the report.
    pub at: Timestamp,
}

/// A row of `test_report`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReportRow {
    /// Id of the step.
    pub step: StepId,
    /// The step's visit, from 1.
    pub visit: u32,
    /// The attempt's number within the visit, from 1.
    pub number: u32,
    /// Id of the attempt.
    pub attempt: AttemptId,
    /// Numbers of tests by outcome.
    pub counts: TestCounts,
    /// Sum of the durations of the tests in microseconds.
    pub duration_us: u64,
    /// The files that were read.
    pub files: Vec<ReportFile>,
    /// Failed and flaky tests without a row.
    pub left_out: u64,
    /// Time of the report.
    pub at: Timestamp,
}

/// A row of `test_result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResultRow {
    /// Id of the attempt.
    pub attempt: AttemptId,
    /// Place in the report of the attempt, from 0.
    pub seq: u32,
    /// The failed or flaky test.
    pub result: TestResult,
}

impl TestReports<'_> {
    /// Stores the results of an attempt, once, if its claim holds.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(self, report: NewTestReport) -> Result<Recorded, Error> {
        self.store.write(report).await
    }

    /// Earlier attempts of a step with results, newest first: those of the same visit of this run, of the
    /// default branch, and of the own branch or pull request.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn history(
        self,
        run: &RunId,
        visit: u32,
        key: &TestHistoryKey,
        default_branch: Option<&str>,
    ) -> Result<Vec<PastAttempt>, Error> {
        let of = |filter: &str, more: Vec<Arg>| {
            let text = format!(
                "SELECT run_id, branch, fork, sha, at, passed, failed FROM test_report t \
                 WHERE repo = $1 AND workflow = $2 AND step_id = $3 AND {filter} \
                 AND NOT EXISTS (SELECT 1 FROM imported_run i WHERE i.run_id = t.run_id) \
                 ORDER BY at DESC, attempt_id DESC LIMIT {MAX_HISTORY}"
            );
            let names = [key.repo.as_str(), key.workflow.as_str(), key.step.as_str()];
            Statement::new(text, names.into_iter().map(Arg::from).chain(more).collect())
        };
        let others = || Arg::from(run.as_str());
        let mut reads = vec![of("run_id = $4 AND visit = $5", vec![others(), visit.into()])];
        if let Some(branch) = default_branch {
            let filter = "run_id <> $4 AND fork IS NULL AND branch = $5";
            reads.push(of(filter, vec![others(), branch.into()]));
        }
        reads.extend(match key.fork {
            Some(0) => None,
            Some(number) => {
                Some(of("run_id <> $4 AND fork = $5", vec![others(), Arg::count(number)]))
            }
            None if Some(key.branch.as_str()) == default_branch => None,
            None => {
                let filter = "run_id <> $4 AND fork IS NULL AND branch = $5";
                Some(of(filter, vec![others(), key.branch.as_str().into()]))
            }
        });
        let mut found = Vec::new();
        for row in self.store.read_each(reads).await?.iter().flatten() {
            let (of_run, branch, fork) = (row.text(0)?, row.text(1)?, row.opt_int(2)?);
            let past = PastAttempt {
                is_same_visit: of_run == run.as_str(),
                is_default_branch: fork.is_none() && default_branch == Some(branch.as_str()),
                commit: row.opt_text(3)?,
                passed: keys(&row.bytes(5)?),
                failed: keys(&row.bytes(6)?),
            };
            found.push((row.int(4)?, past));
        }
        found.sort_by_key(|(at, _)| Reverse(*at));
        Ok(found.into_iter().map(|(_, past)| past).collect())
    }

    /// The test reports of a run, of all attempts, in the order of steps, visits and attempts.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, run: &RunId) -> Result<Vec<TestReportRow>, Error> {
        let text = "SELECT step_id, visit, number, attempt_id, counts, duration_us, files, left_out, at \
                    FROM test_report WHERE run_id = $1 ORDER BY step_id, visit, number";
        let rows = self.store.read(Statement::new(text, vec![run.as_str().into()])).await?;
        rows.iter().map(report_row).collect()
    }

    /// Failed and flaky tests of some attempts, at most `limit`. Without `with_output` outputs are empty.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn results(
        self,
        attempts: &[AttemptId],
        with_output: bool,
        limit: u32,
    ) -> Result<Vec<TestResultRow>, Error> {
        let mut found = Vec::new();
        let output = if with_output { "output" } else { "''" };
        for some in attempts.chunks(MAX_ATTEMPTS) {
            let list = placeholders(1, some.len());
            let text = format!(
                "SELECT attempt_id, seq, suite, name, status, is_new, is_flaky, duration_us, message, \
                 {output}, file, line FROM test_result WHERE attempt_id IN ({list}) \
                 ORDER BY attempt_id, seq LIMIT {limit}"
            );
            let args = some.iter().map(|attempt| attempt.as_str().into()).collect();
            let rows = self.store.read(Statement::new(text, args)).await?;
            found.extend(rows.iter().map(result_row).collect::<Result<Vec<_>, _>>()?);
        }
        found.truncate(limit as usize);
        Ok(found)
    }
}

fn report_row(row: &Row) -> Result<TestReportRow, Error> {
    Ok(TestReportRow {
        step: StepId::new(row.text(0)?),
        visit: row.small(1)?,
        number: row.small(2)?,
        attempt: AttemptId::new(row.text(3)?),
        counts: row.json(4)?,
        duration_us: row.count(5)?,
        files: row.json(6)?,
        left_out: row.count(7)?,
        at: row.time(8)?,
    })
}

fn result_row(row: &Row) -> Result<TestResultRow, Error> {
    let number = |column: usize| -> Result<Option<u64>, Error> {
        Ok(row.opt_int(column)?.and_then(|value| u64::try_from(value).ok()))
    };
    let case = TestCase {
        suite: row.text(2)?,
        name: row.text(3)?,
        status: row.parse(4)?,
        duration_us: number(7)?,
        message: row.text(8)?,
        output: row.text(9)?,
        file: row.opt_text(10)?,
        line: number(11)?.and_then(|line| u32::try_from(line).ok()),
    };
    let (is_new, is_flaky) = (row.int(5)? != 0, row.int(6)? != 0);
    Ok(TestResultRow {
        attempt: AttemptId::new(row.text(0)?),
        seq: row.small(1)?,
        result: TestResult { case, is_new, is_flaky },
    })
}

fn bytes(keys: &[u64]) -> Arg {
    Arg::Bytes(keys.iter().flat_map(|key| key.to_be_bytes()).collect())
}

fn keys(bytes: &[u8]) -> Vec<u64> {
    let keys = bytes.chunks_exact(KEY).filter_map(|chunk| chunk.try_into().ok());
    keys.map(u64::from_be_bytes).collect()
}

impl Op for NewTestReport {
    type Out = Recorded;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Recorded, Error> {
        let attempt = self.claim.attempt.as_str();
        let held = tx.fetch_optional(Held::lock(tx.dialect(), &self.claim.attempt)).await?;
        let held = held.map(|row| Held::from_row(&row, 0)).transpose()?.flatten();
        if !held.is_some_and(|held| held.is_held_by(&self.claim)) {
            return Ok(Recorded::Stale);
        }
        let text = "SELECT run_id, visit, number FROM attempt WHERE id = $1";
        let row = tx.fetch_optional(Statement::new(text, vec![attempt.into()])).await?;
        let Some(row) = row else { return Ok(Recorded::Stale) };
        let text = "SELECT 1 FROM test_report WHERE attempt_id = $1";
        if tx.fetch_optional(Statement::new(text, vec![attempt.into()])).await?.is_some() {
            return Ok(Recorded::Yes);
        }
        let fork = self.key.fork.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        tx.write(Statement::new(
            "INSERT INTO test_report (attempt_id, run_id, step_id, visit, number, repo, workflow, branch, \
             fork, sha, counts, duration_us, files, left_out, passed, failed, at) VALUES ($1, $2, $3, $4, \
             $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            vec![
                attempt.into(),
                row.text(0)?.into(),
                self.key.step.as_str().into(),
                row.int(1)?.into(),
                row.int(2)?.into(),
                self.key.repo.as_str().into(),
                self.key.workflow.as_str().into(),
                self.key.branch.as_str().into(),
                Arg::Int(fork),
                self.key.sha.clone().into(),
                Arg::json(&self.judged.counts)?,
                Arg::count(self.judged.duration_us),
                Arg::json(&self.files)?,
                Arg::count(self.judged.left_out),
                bytes(&self.judged.passed),
                bytes(&self.judged.failed),
                self.at.into(),
            ],
        ));
        tx.write_all(self.results(attempt));
        Ok(Recorded::Yes)
    }

    fn touched(&self, _: &Recorded) -> Shards {
        Shards::NONE
    }
}

// === impl NewTestReport ===

impl NewTestReport {
    fn results(&self, attempt: &str) -> Vec<Statement> {
        let number =
            |value: Option<u64>| Arg::Int(value.and_then(|value| i64::try_from(value).ok()));
        let rows = self.judged.results.iter().enumerate().map(|(seq, result)| {
            let case = &result.case;
            vec![
                attempt.into(),
                Arg::count(seq as u64),
                case.suite.as_str().into(),
                case.name.as_str().into(),
                case.status.as_str().into(),
                i64::from(result.is_new).into(),
                i64::from(result.is_flaky).into(),
                number(case.duration_us),
                case.message.as_str().into(),
                case.output.as_str().into(),
                case.file.clone().into(),
                number(case.line.map(u64::from)),
            ]
        });
        insert_rows(
            "INSERT INTO test_result (attempt_id, seq, suite, name, status, is_new, is_flaky, duration_us, \
             message, output, file, line) VALUES",
            12,
            rows.collect(),
            "",
        )
    }
}

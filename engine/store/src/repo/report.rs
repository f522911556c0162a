//! Reports of commits to forges: the forge, the commit, and the states it has already.
//!
//! An outbox in which only the newest state counts. Must not know what is reported: that is JSON
//! here.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    error::Error,
    handles::Reports,
    op::{Op, Plain},
    sql::{Arg, Row, Statement, Tx, among},
};

/// A row of `outlet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeReporterRow {
    pub repo: String,
    /// Address of the forge's API.
    pub api: String,
    /// Whether the forge may be reached without TLS.
    pub allow_http: bool,
    /// `status` or `check`.
    pub form: String,
}

/// Commit of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportKey {
    pub repo: String,
    pub sha: String,
    /// Number of the pull request; 0: none.
    pub pull_request: u64,
}

/// A row of `report`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRow {
    pub key: ReportKey,
    /// States to report.
    pub content: Json,
    pub told: Json,
    /// Grows with each change: who claims a row names the one it saw.
    pub version: u64,
    /// Not to be looked at before.
    pub next_at: Timestamp,
    pub created_at: Timestamp,
}

/// Result of sending a report.
#[derive(Debug, Clone, PartialEq)]
pub struct SettledReport {
    /// States that the forge has.
    pub told: Json,
    pub next_at: Timestamp,
    /// Whether nothing is left to report.
    pub done: bool,
}

struct Change {
    key: ReportKey,
    seen: u64,
    sets: String,
    args: Vec<Arg>,
}

/// Reports of one list at most.
const MAX_PULLS: u32 = 500;
const COLUMNS: &str = "repo, sha, pull_request, content, told, version, next_at, created_at";

impl Reports<'_> {
    /// Sets the forge that gets the reports of a repository; `None`: none.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_forge_reporter(
        self,
        repo: &str,
        reporter: Option<&ForgeReporterRow>,
    ) -> Result<(), Error> {
        let delete = Statement::new("DELETE FROM outlet WHERE repo = $1", vec![repo.into()]);
        let mut all = vec![delete];
        if let Some(reporter) = reporter {
            all.push(Statement::new(
                "INSERT INTO outlet (repo, api, allow_http, form) VALUES ($1, $2, $3, $4)",
                vec![
                    repo.into(),
                    reporter.api.as_str().into(),
                    i64::from(reporter.allow_http).into(),
                    reporter.form.as_str().into(),
                ],
            ));
        }
        self.store.write(Plain(all)).await
    }

    /// The forge that gets the reports of a repository.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forge_reporter(self, repo: &str) -> Result<Option<ForgeReporterRow>, Error> {
        let text = "SELECT repo, api, allow_http, form FROM outlet WHERE repo = $1";
        let row = self.store.read_one(Statement::new(text, vec![repo.into()])).await?;
        row.map(|row| {
            Ok(ForgeReporterRow {
                repo: row.text(0)?,
                api: row.text(1)?,
                allow_http: row.int(2)? != 0,
                form: row.text(3)?,
            })
        })
        .transpose()
    }

    /// Sets the states to report for a commit. Reported states stay.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(self, key: &ReportKey, content: &Json, now: Timestamp) -> Result<(), Error> {
        let text = "INSERT INTO report \
             (repo, sha, pull_request, content, told, version, next_at, done, created_at) \
             VALUES ($1, $2, $3, $4, '{}', 1, $5, 0, $5) \
             ON CONFLICT (repo, sha, pull_request) DO UPDATE SET content = excluded.content, \
             version = report.version + 1, next_at = excluded.next_at, done = 0, \
             created_at = excluded.created_at";
        let mut args = of_key(key);
        args.extend([Arg::json(content)?, now.into()]);
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Reports that are to be looked at, the longest waiting first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn due(self, now: Timestamp, limit: u32) -> Result<Vec<ReportRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM report WHERE done = 0 AND next_at <= $1 \
             ORDER BY next_at LIMIT $2"
        );
        let rows = self.store.read(Statement::new(text, vec![now.into(), limit.into()])).await?;
        rows.iter().map(report_row).collect()
    }

    /// A report.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(self, key: &ReportKey) -> Result<Option<ReportRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM report WHERE repo = $1 AND sha = $2 AND pull_request = $3"
        );
        let row = self.store.read_one(Statement::new(text, of_key(key))).await?;
        row.map(|row| report_row(&row)).transpose()
    }

    /// The newest report of a pull request: the one that its comment shows.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn newest(self, repo: &str, pull_request: u64) -> Result<Option<ReportRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM report WHERE repo = $1 AND pull_request = $2 \
             ORDER BY created_at DESC, sha DESC LIMIT 1"
        );
        let args = vec![repo.into(), Arg::count(pull_request)];
        let row = self.store.read_one(Statement::new(text, args)).await?;
        row.map(|row| report_row(&row)).transpose()
    }

    /// Reports of pull requests, the newest first, at most `limit`; of some repositories or of all. Older heads
    /// of a pull request have reports of their own.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn of_pulls(
        self,
        repos: Option<&[String]>,
        limit: u32,
    ) -> Result<Vec<ReportRow>, Error> {
        let mut args: Vec<Arg> = vec![limit.min(MAX_PULLS).into()];
        let filter = among("repo", repos, &mut args);
        let text = format!(
            "SELECT {COLUMNS} FROM report WHERE pull_request > 0{filter} \
             ORDER BY created_at DESC, repo, sha LIMIT $1"
        );
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(report_row).collect()
    }

    /// Claims a report until a time; `false`: another engine has it, or it has changed.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn claim(self, row: &ReportRow, until: Timestamp) -> Result<bool, Error> {
        let (sets, args) = ("next_at = $5".to_owned(), vec![until.into()]);
        self.store.write(Change { key: row.key.clone(), seen: row.version, sets, args }).await
    }

    /// Records the reported states; `claimed` is the row as it was claimed. `false`: it has
    /// changed, and will be reported again.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn settle(self, claimed: &ReportRow, told: &SettledReport) -> Result<bool, Error> {
        let sets = "told = $5, next_at = $6, done = $7".to_owned();
        let args = vec![Arg::json(&told.told)?, told.next_at.into(), i64::from(told.done).into()];
        let (key, seen) = (claimed.key.clone(), claimed.version + 1);
        self.store.write(Change { key, seen, sets, args }).await
    }
}

impl Op for Change {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let mut key = of_key(&self.key);
        key.push(Arg::count(self.seen));
        let text = "SELECT version FROM report WHERE repo = $1 AND sha = $2 \
                    AND pull_request = $3 AND version = $4";
        if tx.fetch_optional(Statement::new(text, key.clone())).await?.is_none() {
            return Ok(false);
        }
        let text = format!(
            "UPDATE report SET version = version + 1, {} \
             WHERE repo = $1 AND sha = $2 AND pull_request = $3 AND version = $4",
            self.sets
        );
        key.extend(self.args.clone());
        // Of two engines at once the second changes nothing, and reads again.
        tx.write(Statement::new(text, key).expect(1));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

fn of_key(key: &ReportKey) -> Vec<Arg> {
    vec![key.repo.as_str().into(), key.sha.as_str().into(), Arg::count(key.pull_request)]
}

fn report_row(row: &Row) -> Result<ReportRow, Error> {
    Ok(ReportRow {
        key: ReportKey { repo: row.text(0)?, sha: row.text(1)?, pull_request: row.count(2)? },
        content: row.json(3)?,
        told: row.json(4)?,
        version: row.count(5)?,
        next_at: row.time(6)?,
        created_at: row.time(7)?,
    })
}

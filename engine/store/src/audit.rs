//! Audit log of changes. Append-only: nothing here updates or deletes.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    error::Error,
    handles::Audit,
    op::Op,
    sql::{Arg, Dialect, Row, Statement, Tx},
};

/// Rows of one page at most.
const MAX_PAGE: u32 = 1_000;

#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its number; those that are committed later have higher ones. 0 until it is stored.
    pub seq: u64,
    pub at: Timestamp,
    pub principal: String,
    /// Action as a dotted verb: `run.cancel`.
    pub action: String,
    /// To what: an id.
    pub subject: String,
    pub repo: Option<String>,
    pub detail: Json,
}

struct Append(AuditRow);

impl Audit<'_> {
    /// Adds a row.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add(self, row: &AuditRow) -> Result<(), Error> {
        self.store.write(Append(row.clone())).await
    }

    /// Rows behind a number, the oldest first, at most 1,000.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn after(self, seq: u64, limit: u32) -> Result<Vec<AuditRow>, Error> {
        self.rows("seq > $1 ORDER BY seq", seq, limit).await
    }

    /// Rows before a number, the newest first, at most 1,000; `None`: from the newest on.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn before(self, seq: Option<u64>, limit: u32) -> Result<Vec<AuditRow>, Error> {
        let last = i64::MAX.unsigned_abs();
        let seq = seq.unwrap_or(last).min(last);
        self.rows("seq < $1 ORDER BY seq DESC", seq, limit).await
    }

    async fn rows(self, which: &str, seq: u64, limit: u32) -> Result<Vec<AuditRow>, Error> {
        let text = format!(
            "SELECT seq, at, principal, action, subject, repo, detail FROM audit WHERE {which} LIMIT $2"
        );
        let args = vec![Arg::count(seq), limit.min(MAX_PAGE).into()];
        let rows = self.store.read(Statement::new(text, args)).await?;
        rows.iter().map(audit_row).collect()
    }
}

fn audit_row(row: &Row) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        seq: row.count(0)?,
        at: row.time(1)?,
        principal: row.text(2)?,
        action: row.text(3)?,
        subject: row.text(4)?,
        repo: row.opt_text(5)?,
        detail: row.json(6)?,
    })
}

impl Op for Append {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let row = &self.0;
        if tx.dialect() == Dialect::Postgres {
            // One writer at a time, from its number to its commit: who has read a row must not miss one
            // with a lower number. Readers do not wait.
            let lock = "LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE";
            tx.fetch(Statement::new(lock, Vec::new())).await?;
        }
        tx.write(Statement::new(
            "INSERT INTO audit (at, principal, action, subject, repo, detail) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            vec![
                row.at.into(),
                row.principal.as_str().into(),
                row.action.as_str().into(),
                row.subject.as_str().into(),
                row.repo.clone().into(),
                Arg::json(&row.detail)?,
            ],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

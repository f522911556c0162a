//! Which engines have this database open, and which of them are dead.
//!
//! An engine lives as long as its lease, which it renews by a sign of life. Leases are compared with the
//! database's clock only. An engine that is buried has lost everything it had: its runs have no driver
//! and a new fence, so that nothing it still does to them is written.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    changes::Shards,
    error::Error,
    op::Op,
    sql::{Arg, Dialect, Statement, Tx},
    store::Store,
};

/// A row of `engine`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRow {
    /// Made anew by every process start.
    pub id: String,
    /// Its machine.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// The lock file that tells whether it lives; empty: there is none.
    pub place: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was seen last.
    pub seen_at: Timestamp,
    /// Whether its lease is over, by the clock of the database.
    pub is_overdue: bool,
}

/// An engine that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEngine {
    /// Fresh.
    pub id: String,
    /// Its machine.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// See [`EngineRow::place`].
    pub place: String,
    /// How long it lives without a sign of life.
    pub lease: Duration,
    /// Now.
    pub at: Timestamp,
}

/// Microseconds since 1970 by the clock of the database.
pub(crate) fn now(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
        Dialect::Postgres => "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT",
    }
}

struct Start(NewEngine);

struct Seen {
    id: String,
    lease: Duration,
    at: Timestamp,
}

struct Bury {
    id: String,
    /// Only if its lease is over.
    overdue: bool,
}

impl Store {
    /// Records that an engine works with this database.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn engine_start(&self, new: NewEngine) -> Result<(), Error> {
        self.write(Start(new)).await
    }

    /// Records a sign of life; `false`: it was buried, and has nothing any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn engine_seen(
        &self,
        id: &str,
        lease: Duration,
        at: Timestamp,
    ) -> Result<bool, Error> {
        self.write(Seen { id: id.to_owned(), lease, at }).await
    }

    /// Forgets an engine that ended, or is known to be dead: its runs and deliveries are free.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn engine_end(&self, id: &str) -> Result<bool, Error> {
        self.write(Bury { id: id.to_owned(), overdue: false }).await
    }

    /// The same, unless it has given a sign of life meanwhile; whether it was buried.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn bury_engine(&self, id: &str) -> Result<bool, Error> {
        self.write(Bury { id: id.to_owned(), overdue: true }).await
    }

    /// All engines that did not end in order, the oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn engines(&self) -> Result<Vec<EngineRow>, Error> {
        let text = format!(
            "SELECT id, host, pid, version, place, started_at, seen_at, \
             CAST(CASE WHEN lease_until < {} THEN 1 ELSE 0 END AS BIGINT) FROM engine ORDER BY started_at, id",
            now(self.dialect())
        );
        let rows = self.read(Statement::new(text, Vec::new())).await?;
        rows.iter()
            .map(|row| {
                Ok(EngineRow {
                    id: row.text(0)?,
                    host: row.text(1)?,
                    pid: row.small(2)?,
                    version: row.text(3)?,
                    place: row.text(4)?,
                    started_at: row.time(5)?,
                    seen_at: row.time(6)?,
                    is_overdue: row.small(7)? == 1,
                })
            })
            .collect()
    }
}

impl Op for Start {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let new = &self.0;
        let text = format!(
            "INSERT INTO engine (id, host, pid, version, place, started_at, seen_at, lease_until) \
             VALUES ($1, $2, $3, $4, $5, $6, $6, {} + $7) ON CONFLICT (id) DO UPDATE SET \
             seen_at = excluded.seen_at, lease_until = excluded.lease_until",
            now(tx.dialect())
        );
        tx.write(Statement::new(
            text,
            vec![
                new.id.as_str().into(),
                new.host.as_str().into(),
                new.pid.into(),
                new.version.as_str().into(),
                new.place.as_str().into(),
                new.at.into(),
                micros(new.lease),
            ],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Seen {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let text = "SELECT id FROM engine WHERE id = $1";
        let known = Statement::new(text, vec![self.id.as_str().into()]);
        if tx.fetch_optional(known).await?.is_none() {
            return Ok(false);
        }
        let text = format!(
            "UPDATE engine SET seen_at = $2, lease_until = {} + $3 WHERE id = $1",
            now(tx.dialect())
        );
        let args = vec![self.id.as_str().into(), self.at.into(), micros(self.lease)];
        // Buried between the two: looked at again.
        tx.write(Statement::new(text, args).expect(1));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Bury {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let lock = match tx.dialect() {
            Dialect::Sqlite => "",
            // Whoever takes a run for this engine holds a share of it: see drive.rs.
            Dialect::Postgres => " FOR UPDATE",
        };
        let overdue = if self.overdue {
            format!(" AND lease_until < {}", now(tx.dialect()))
        } else {
            String::new()
        };
        let id = || vec![Arg::from(self.id.as_str())];
        let text = format!("SELECT id FROM engine WHERE id = $1{overdue}{lock}");
        if tx.fetch_optional(Statement::new(text, id())).await?.is_none() {
            return Ok(false);
        }
        let text = "UPDATE run SET driver = NULL, drive_fence = drive_fence + 1 WHERE driver = $1";
        tx.write(Statement::new(text, id()));
        let text = "UPDATE delivery SET taken_by = NULL WHERE state = 'new' AND taken_by = $1";
        tx.write(Statement::new(text, id()));
        tx.write(Statement::new("DELETE FROM engine WHERE id = $1", id()).expect(1));
        Ok(true)
    }

    fn touched(&self, buried: &bool) -> Shards {
        if *buried { Shards::ALL } else { Shards::NONE }
    }
}

pub(crate) fn micros(duration: Duration) -> Arg {
    Arg::count(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

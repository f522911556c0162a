//! Engines that have this database open, and the expiry of dead ones.
//!
//! An engine counts its heartbeats; the time without a new one is measured by the others on their
//! monotonic clocks: no clock is read here, and none is compared with another. An expired engine
//! has lost all its runs: they have no driver and a new fence, so that nothing it still writes to
//! them counts.

use jiff::Timestamp;

use crate::{
    changes::Shards,
    error::Error,
    handles::Engines,
    op::Op,
    sql::{Arg, Dialect, Statement, Tx},
};

/// A row of `engine`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRow {
    /// A fresh id per process start.
    pub id: String,
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// Lock file of a running engine; empty: there is none.
    pub place: String,
    pub started_at: Timestamp,
    /// Time of its last heartbeat.
    pub seen_at: Timestamp,
    /// Its signs of life.
    pub beats: u64,
}

/// An engine that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEngine {
    pub id: String,
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// See [`EngineRow::place`].
    pub place: String,
    pub at: Timestamp,
}

struct Start(NewEngine);

struct Seen {
    id: String,
    at: Timestamp,
}

struct Expire {
    id: String,
    /// Only if it has given no further sign of life.
    beats: Option<u64>,
}

impl Engines<'_> {
    /// Records that an engine works with this database.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn start(self, new: NewEngine) -> Result<(), Error> {
        self.store.write(Start(new)).await
    }

    /// Records a heartbeat; `false`: the engine has expired and owns nothing any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn seen(self, id: &str, at: Timestamp) -> Result<bool, Error> {
        self.store.write(Seen { id: id.to_owned(), at }).await
    }

    /// Forgets an engine that ended, or is known to be dead: its runs and deliveries are free.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn end(self, id: &str) -> Result<bool, Error> {
        self.store.write(Expire { id: id.to_owned(), beats: None }).await
    }

    /// Expires an engine, unless it has sent a heartbeat after so many; `true`: it expired.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn expire(self, id: &str, beats: u64) -> Result<bool, Error> {
        self.store.write(Expire { id: id.to_owned(), beats: Some(beats) }).await
    }

    /// All engines that did not end in order, the oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self) -> Result<Vec<EngineRow>, Error> {
        let text = "SELECT id, host, pid, version, place, started_at, seen_at, beats \
                    FROM engine ORDER BY started_at, id";
        let rows = self.store.read(Statement::new(text, Vec::new())).await?;
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
                    beats: row.count(7)?,
                })
            })
            .collect()
    }
}

impl Op for Start {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let new = &self.0;
        let text = "INSERT INTO engine (id, host, pid, version, place, started_at, seen_at) \
                    VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (id) DO UPDATE SET \
                    seen_at = excluded.seen_at, beats = engine.beats + 1";
        tx.write(Statement::new(
            text,
            vec![
                new.id.as_str().into(),
                new.host.as_str().into(),
                new.pid.into(),
                new.version.as_str().into(),
                new.place.as_str().into(),
                new.at.into(),
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
        let text = "UPDATE engine SET seen_at = $2, beats = beats + 1 WHERE id = $1";
        let args = vec![self.id.as_str().into(), self.at.into()];
        // Expired between the two reads: check again.
        tx.write(Statement::new(text, args).expect(1));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Expire {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let lock = match tx.dialect() {
            Dialect::Sqlite => "",
            // A transaction that takes a run for the engine holds a share of it: see drive.rs.
            Dialect::Postgres => " FOR UPDATE",
        };
        let id = || vec![Arg::from(self.id.as_str())];
        let text = format!("SELECT beats FROM engine WHERE id = $1{lock}");
        let row = tx.fetch_optional(Statement::new(text, id())).await?;
        let beats = row.map(|row| row.count(0)).transpose()?;
        if beats.is_none() || self.beats.is_some_and(|known| beats != Some(known)) {
            return Ok(false);
        }
        let text = "UPDATE run SET driver = NULL, drive_fence = drive_fence + 1, \
                    deaths = deaths + in_hand, in_hand = 0 WHERE driver = $1";
        tx.write(Statement::new(text, id()));
        let text = "UPDATE delivery SET taken_by = NULL WHERE state = 'new' AND taken_by = $1";
        tx.write(Statement::new(text, id()));
        tx.write(Statement::new("DELETE FROM engine WHERE id = $1", id()).expect(1));
        Ok(true)
    }

    fn touched(&self, expired: &bool) -> Shards {
        if *expired { Shards::ALL } else { Shards::NONE }
    }
}

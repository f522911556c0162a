//! Pools whose runners are pods: their settings, the engine that manages each, and their runners.

mod demand;
mod pods;
mod warm;

use std::str::FromStr;

use jiff::Timestamp;

pub use self::{
    demand::RunnerDemand,
    pods::{NewPodRunner, PodCreated, PodGone, PodRunnerRow},
    warm::{Reusable, TakeWarm},
};
use crate::{
    changes::Shards,
    error::Error,
    fence,
    handles::Pools,
    op::Op,
    sql::{Arg, Dialect, Row, Statement, Tx},
};

/// Kind of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// Its runners are pods.
    Kubernetes,
}

/// A pool as the configuration of its manager has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPool {
    /// Name in configuration and labels.
    pub name: String,
    /// Kind of its runners.
    pub kind: PoolKind,
    /// Its settings as JSON, for people.
    pub spec: String,
    /// Hash of the template of its runners.
    pub template: String,
    /// Time of the change.
    pub at: Timestamp,
}

/// A row of `pool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRow {
    /// Name in configuration and labels.
    pub name: String,
    /// Kind of its runners.
    pub kind: PoolKind,
    /// Its settings as JSON, for people.
    pub spec: String,
    /// Hash of the template of its runners.
    pub template: String,
    /// Idle runners to keep, in place of the configured number.
    pub min_idle: Option<u32>,
    /// Runners at most, in place of the configured number.
    pub max: Option<u32>,
    /// It gets no further runners.
    pub draining: bool,
    /// The reason that it has fewer runners than it should.
    pub degraded: Option<String>,
    /// Time of the last change of its settings.
    pub updated_at: Timestamp,
}

/// A change that an operator makes to a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolChange {
    /// Sizes in place of the configured ones; `None` returns to those.
    Scale {
        /// Idle runners to keep.
        min_idle: Option<u32>,
        /// Runners at most, busy ones included.
        max: Option<u32>,
    },
    /// Whether it gets no further runners.
    Drain(bool),
}

struct Put(NewPool);

struct Change {
    name: String,
    change: PoolChange,
    at: Timestamp,
}

struct Condition {
    name: String,
    degraded: Option<String>,
}

struct Lead {
    pool: String,
    engine: String,
}

// === impl PoolKind ===

impl PoolKind {
    /// All kinds, for tables and tests.
    pub const ALL: &'static [Self] = &[Self::Kubernetes];

    /// Text of the kind in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl FromStr for PoolKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not a kind of pool"))
    }
}

impl Pools<'_> {
    /// Records the settings of a pool; changes of operators stay.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(self, pool: NewPool) -> Result<(), Error> {
        self.store.write(Put(pool)).await
    }

    /// All pools, by name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self) -> Result<Vec<PoolRow>, Error> {
        let text = "SELECT name, kind, spec, template, min_idle, max_total, draining, degraded, \
                    updated_at FROM pool ORDER BY name";
        let rows = self.store.read(Statement::new(text, Vec::new())).await?;
        rows.iter().map(pool_row).collect()
    }

    /// Changes a pool; `false`: there is none of this name.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn change(
        self,
        name: &str,
        change: PoolChange,
        at: Timestamp,
    ) -> Result<bool, Error> {
        self.store.write(Change { name: name.to_owned(), change, at }).await
    }

    /// Records the reason that a pool has fewer runners than it should.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_degraded(self, name: &str, degraded: Option<&str>) -> Result<(), Error> {
        let (name, degraded) = (name.to_owned(), degraded.map(str::to_owned));
        self.store.write(Condition { name, degraded }).await
    }

    /// Makes an engine the manager of a pool, or confirms that it is. Gives its fence; `None` while a
    /// registered engine holds the lease. An engine that is expired has no row, and its fence is
    /// superseded by this call.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn lead(self, pool: &str, engine: &str) -> Result<Option<u64>, Error> {
        self.store.write(Lead { pool: pool.to_owned(), engine: engine.to_owned() }).await
    }
}

impl Op for Put {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let Self(new) = self;
        let text = "INSERT INTO pool (name, kind, spec, template, draining, updated_at) \
                    VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (name) DO UPDATE SET \
                    kind = excluded.kind, spec = excluded.spec, template = excluded.template, \
                    updated_at = excluded.updated_at";
        tx.write(Statement::new(
            text,
            vec![
                new.name.as_str().into(),
                new.kind.as_str().into(),
                new.spec.as_str().into(),
                new.template.as_str().into(),
                new.at.into(),
            ],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Change {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let known =
            Statement::new("SELECT 1 FROM pool WHERE name = $1", vec![self.name.as_str().into()]);
        if tx.fetch_optional(known).await?.is_none() {
            return Ok(false);
        }
        let mut args = vec![Arg::from(self.name.as_str()), self.at.into()];
        let set = match self.change {
            PoolChange::Scale { min_idle, max } => {
                args.extend([Arg::Int(min_idle.map(i64::from)), Arg::Int(max.map(i64::from))]);
                "min_idle = $3, max_total = $4"
            }
            PoolChange::Drain(draining) => {
                args.push(Arg::Int(Some(draining.into())));
                "draining = $3"
            }
        };
        let text = format!("UPDATE pool SET updated_at = $2, {set} WHERE name = $1");
        tx.write(Statement::new(text, args));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Condition {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let args = vec![self.name.as_str().into(), self.degraded.clone().into()];
        tx.write(Statement::new("UPDATE pool SET degraded = $2 WHERE name = $1", args));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Lead {
    type Out = Option<u64>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<u64>, Error> {
        let lock = fence::lock(tx.dialect());
        // An engine that is expired, or was never registered, cannot lead.
        let share = match tx.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR KEY SHARE",
        };
        let text = format!("SELECT 1 FROM engine WHERE id = $1{share}");
        let known = Statement::new(text, vec![self.engine.as_str().into()]);
        if tx.fetch_optional(known).await?.is_none() {
            return Ok(None);
        }
        let text = format!(
            "SELECT holder, fence, (SELECT count(*) FROM engine e WHERE e.id = holder) \
             FROM pool_lease WHERE pool = $1{lock}"
        );
        let row = tx.fetch_optional(Statement::new(text, vec![self.pool.as_str().into()])).await?;
        let args = || vec![Arg::from(self.pool.as_str()), self.engine.as_str().into()];
        let Some(row) = row else {
            let text = "INSERT INTO pool_lease (pool, holder, fence) VALUES ($1, $2, 1) \
                        ON CONFLICT (pool) DO NOTHING";
            tx.write(Statement::new(text, args()).expect(1));
            return Ok(Some(1));
        };
        let (holder, fence) = (row.text(0)?, row.count(1)?);
        if holder == self.engine {
            return Ok(Some(fence));
        }
        if row.count(2)? > 0 {
            return Ok(None);
        }
        let text = "UPDATE pool_lease SET holder = $2, fence = fence + 1 WHERE pool = $1";
        tx.write(Statement::new(text, args()).expect(1));
        Ok(Some(fence + 1))
    }

    fn touched(&self, _: &Option<u64>) -> Shards {
        Shards::NONE
    }
}

fn pool_row(row: &Row) -> Result<PoolRow, Error> {
    let size = |column| -> Result<Option<u32>, Error> {
        Ok(row.opt_int(column)?.and_then(|value| u32::try_from(value).ok()))
    };
    Ok(PoolRow {
        name: row.text(0)?,
        kind: row.parse(1)?,
        spec: row.text(2)?,
        template: row.text(3)?,
        min_idle: size(4)?,
        max: size(5)?,
        draining: row.int(6)? != 0,
        degraded: row.opt_text(7)?,
        updated_at: row.time(8)?,
    })
}

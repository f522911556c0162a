//! Which engines have this database open.

use jiff::Timestamp;

use crate::{
    changes::Shards,
    error::Error,
    op::Op,
    sql::{Statement, Tx},
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
    /// When it started.
    pub started_at: Timestamp,
    /// When it was seen last.
    pub seen_at: Timestamp,
}

enum Write {
    Start(EngineRow),
    Seen(String, Timestamp),
    End(String),
}

impl Store {
    /// Records that an engine works with this database.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn engine_start(
        &self,
        id: &str,
        host: &str,
        pid: u32,
        at: Timestamp,
    ) -> Result<(), Error> {
        let (id, host) = (id.to_owned(), host.to_owned());
        self.write(Write::Start(EngineRow { id, host, pid, started_at: at, seen_at: at })).await
    }

    /// Records a sign of life.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn engine_seen(&self, id: &str, at: Timestamp) -> Result<(), Error> {
        self.write(Write::Seen(id.to_owned(), at)).await
    }

    /// Forgets an engine that ended, or is known to be dead.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn engine_end(&self, id: &str) -> Result<(), Error> {
        self.write(Write::End(id.to_owned())).await
    }

    /// All engines that did not end in order, the oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn engines(&self) -> Result<Vec<EngineRow>, Error> {
        let text = "SELECT id, host, pid, started_at, seen_at FROM engine ORDER BY started_at, id";
        let rows = self.read(Statement::new(text, Vec::new())).await?;
        rows.iter()
            .map(|row| {
                Ok(EngineRow {
                    id: row.text(0)?,
                    host: row.text(1)?,
                    pid: row.small(2)?,
                    started_at: row.time(3)?,
                    seen_at: row.time(4)?,
                })
            })
            .collect()
    }
}

impl Op for Write {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write(match self {
            Self::Start(row) => Statement::new(
                "INSERT INTO engine (id, host, pid, started_at, seen_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET \
                 seen_at = excluded.seen_at",
                vec![
                    row.id.as_str().into(),
                    row.host.as_str().into(),
                    row.pid.into(),
                    row.started_at.into(),
                    row.seen_at.into(),
                ],
            ),
            Self::Seen(id, at) => Statement::new(
                "UPDATE engine SET seen_at = $2 WHERE id = $1",
                vec![id.as_str().into(), (*at).into()],
            ),
            Self::End(id) => {
                Statement::new("DELETE FROM engine WHERE id = $1", vec![id.as_str().into()])
            }
        });
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

//! A whole run as rows, for a file that opens elsewhere.
//!
//! The rows of [`TABLES`] are the same on both databases. Must not interpret them: the reader of a
//! file has checked its hashes, and the columns are checked here.

use jiff::Timestamp;
use plue_plan::RunId;

use self::Kind::{Bytes as B, Int as I, Text as T};
use crate::{
    changes::Shards,
    error::Error,
    handles::ArchiveRows,
    op::Op,
    sql::{Arg, Row, Statement, Tx, insert_rows},
};

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Int(i64),
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A table of a portable run.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub name: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// Condition of the rows of run `$1`.
    of_run: &'static str,
    order: &'static str,
    /// Rows of one page: few where they are large.
    page: u32,
}

/// A run that came from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub at: Timestamp,
    /// Manifest of the file, as JSON; empty while the import has not ended.
    pub manifest: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Text,
    Bytes,
}

const OF_ATTEMPTS: &str = "attempt_id IN (SELECT id FROM attempt WHERE run_id = $1)";

/// The tables of a portable run, in the order in which they are read back.
pub const TABLES: &[Table] = &[
    Table {
        name: "plan",
        columns: &[("hash", T), ("name", T), ("canonical", B), ("created_at", I)],
        of_run: "hash = (SELECT plan_hash FROM run WHERE id = $1)",
        order: "hash",
        page: 1,
    },
    Table {
        name: "run",
        columns: &[
            ("id", T),
            ("workflow", T),
            ("plan_hash", T),
            ("repo", T),
            ("sha", T),
            ("branch", T),
            ("status", T),
            ("reason", T),
            ("seq", I),
            ("created_at", I),
            ("started_at", I),
            ("ended_at", I),
        ],
        of_run: "id = $1",
        order: "id",
        page: 1,
    },
    Table {
        name: "run_source",
        columns: &[("run_id", T), ("source", T), ("event", T), ("inputs", T), ("origin", T)],
        of_run: "run_id = $1",
        order: "run_id",
        page: 1,
    },
    Table {
        name: "journal",
        columns: &[("run_id", T), ("seq", I), ("at", I), ("fact", T)],
        of_run: "run_id = $1",
        order: "seq",
        page: 500,
    },
    Table {
        name: "step",
        columns: &[
            ("run_id", T),
            ("step_id", T),
            ("status", T),
            ("reason", T),
            ("visit", I),
            ("attempts", I),
            ("ready_at", I),
            ("started_at", I),
            ("ended_at", I),
            ("output", T),
        ],
        of_run: "run_id = $1",
        order: "step_id",
        page: 16,
    },
    Table {
        name: "attempt",
        columns: &[
            ("id", T),
            ("run_id", T),
            ("step_id", T),
            ("visit", I),
            ("number", I),
            ("pool", T),
            ("priority", I),
            ("not_before", I),
            ("state", T),
            ("fence", I),
            ("runner_id", T),
            ("queued_at", I),
            ("assigned_at", I),
            ("started_at", I),
            ("ended_at", I),
            ("pid", I),
            ("ack_seq", I),
            ("log_bytes", I),
            ("log_newlines", I),
            ("outcome", T),
            ("detail", T),
            ("to_pack", I),
        ],
        of_run: "run_id = $1",
        order: "id",
        page: 200,
    },
    Table {
        name: "log_chunk",
        columns: &[
            ("attempt_id", T),
            ("first_seq", I),
            ("seq", I),
            ("at", I),
            ("stream", T),
            ("first_byte", I),
            ("bytes", I),
            ("first_line", I),
            ("newlines", I),
            ("data", B),
        ],
        of_run: OF_ATTEMPTS,
        order: "attempt_id, seq",
        page: 16,
    },
    Table {
        name: "artifact",
        columns: &[
            ("run_id", T),
            ("attempt_id", T),
            ("step_id", T),
            ("visit", I),
            ("number", I),
            ("path", T),
            ("hash", T),
            ("size", I),
            ("executable", I),
            ("created_at", I),
            ("expired_at", I),
        ],
        of_run: "run_id = $1",
        order: "attempt_id, path",
        page: 500,
    },
    Table {
        name: "attempt_note",
        columns: &[("run_id", T), ("attempt_id", T), ("step_id", T), ("text", T), ("at", I)],
        of_run: "run_id = $1",
        order: "attempt_id, text",
        page: 500,
    },
    Table {
        name: "test_report",
        columns: &[
            ("attempt_id", T),
            ("run_id", T),
            ("step_id", T),
            ("visit", I),
            ("number", I),
            ("repo", T),
            ("workflow", T),
            ("branch", T),
            ("fork", I),
            ("sha", T),
            ("counts", T),
            ("duration_us", I),
            ("files", T),
            ("left_out", I),
            ("passed", B),
            ("failed", B),
            ("at", I),
        ],
        of_run: "run_id = $1",
        order: "attempt_id",
        page: 20,
    },
    Table {
        name: "test_result",
        columns: &[
            ("attempt_id", T),
            ("seq", I),
            ("suite", T),
            ("name", T),
            ("status", T),
            ("is_new", I),
            ("is_flaky", I),
            ("duration_us", I),
            ("message", T),
            ("output", T),
            ("file", T),
            ("line", I),
        ],
        of_run: OF_ATTEMPTS,
        order: "attempt_id, seq",
        page: 50,
    },
];

/// The table of this name.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

struct Insert {
    table: &'static Table,
    rows: Vec<Vec<Cell>>,
    /// With the run itself goes the mark that it is being imported.
    begin: Option<(RunId, Timestamp)>,
}

struct Finish(RunId, String);

// === impl Table ===

impl Table {
    /// The names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|(name, _)| *name)
    }

    /// Whether rows have these columns with values of their kinds, and belong to this run as far as
    /// they name one.
    #[must_use]
    pub fn fits(&self, run: &RunId, row: &[Cell]) -> bool {
        let fits = |(name, kind): &(&str, Kind), cell: &Cell| match (kind, cell) {
            (Kind::Text, Cell::Text(text)) => {
                match (self.name, *name) {
                    (_, "run_id") | ("run", "id") => text == run.as_str(),
                    // Attempts are named after their run: no row can reach into another one.
                    (_, "attempt_id") | ("attempt", "id") => {
                        text.strip_prefix(run.as_str()).is_some_and(|rest| rest.starts_with(':'))
                    }
                    _ => true,
                }
            }
            (Kind::Int, Cell::Int(_)) | (Kind::Bytes, Cell::Bytes(_)) => true,
            (Kind::Int | Kind::Text, Cell::Null) => !name.ends_with("_id") || *name == "runner_id",
            (Kind::Int | Kind::Text | Kind::Bytes, _) => false,
        };
        row.len() == self.columns.len()
            && self.columns.iter().zip(row).all(|(column, cell)| fits(column, cell))
    }

    fn select(&self) -> String {
        let names: Vec<_> = self.columns().collect();
        format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {} OFFSET $2",
            names.join(", "),
            self.name,
            self.of_run,
            self.order,
            self.page
        )
    }

    fn head(&self) -> &'static str {
        // A closed set, so that no text is made at run time.
        match self.name {
            "plan" => "INSERT INTO plan (hash, name, canonical, created_at) VALUES",
            "run" => {
                "INSERT INTO run (id, workflow, plan_hash, repo, sha, branch, status, reason, seq, created_at, started_at, ended_at) VALUES"
            }
            "run_source" => "INSERT INTO run_source (run_id, source, event, inputs, origin) VALUES",
            "journal" => "INSERT INTO journal (run_id, seq, at, fact) VALUES",
            "step" => {
                "INSERT INTO step (run_id, step_id, status, reason, visit, attempts, ready_at, started_at, ended_at, output) VALUES"
            }
            "attempt" => {
                "INSERT INTO attempt (id, run_id, step_id, visit, number, pool, priority, not_before, state, fence, runner_id, queued_at, assigned_at, started_at, ended_at, pid, ack_seq, log_bytes, log_newlines, outcome, detail, to_pack) VALUES"
            }
            "log_chunk" => {
                "INSERT INTO log_chunk (attempt_id, first_seq, seq, at, stream, first_byte, bytes, first_line, newlines, data) VALUES"
            }
            "artifact" => {
                "INSERT INTO artifact (run_id, attempt_id, step_id, visit, number, path, hash, size, executable, created_at, expired_at) VALUES"
            }
            "test_report" => {
                "INSERT INTO test_report (attempt_id, run_id, step_id, visit, number, repo, workflow, branch, fork, sha, counts, duration_us, files, left_out, passed, failed, at) VALUES"
            }
            "test_result" => {
                "INSERT INTO test_result (attempt_id, seq, suite, name, status, is_new, is_flaky, duration_us, message, output, file, line) VALUES"
            }
            _ => "INSERT INTO attempt_note (run_id, attempt_id, step_id, text, at) VALUES",
        }
    }
}

impl ArchiveRows<'_> {
    /// One page of a run's rows, from the row `offset` on; empty behind the end.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn rows(
        self,
        table: &Table,
        run: &RunId,
        offset: u64,
    ) -> Result<Vec<Vec<Cell>>, Error> {
        let args = vec![run.as_str().into(), Arg::count(offset)];
        let rows = self.store.read(Statement::new(table.select(), args)).await?;
        let cell = |row: &Row, at: usize, kind: Kind| {
            Ok(match kind {
                Kind::Int => row.opt_int(at)?.map_or(Cell::Null, Cell::Int),
                Kind::Text => row.opt_text(at)?.map_or(Cell::Null, Cell::Text),
                Kind::Bytes => Cell::Bytes(row.bytes(at)?),
            })
        };
        let cells = |row: &Row| {
            table.columns.iter().enumerate().map(|(at, (_, kind))| cell(row, at, *kind)).collect()
        };
        let mut rows = rows.iter().map(cells).collect::<Result<Vec<_>, Error>>()?;
        if table.name == "log_chunk" {
            self.fill(table, &mut rows).await?;
        }
        Ok(rows)
    }

    /// Logs leave with their bytes, wherever those lie.
    async fn fill(self, table: &Table, rows: &mut [Vec<Cell>]) -> Result<(), Error> {
        let column = |name: &str| table.columns().position(|column| column == name);
        let (Some(stream), Some(data)) = (column("stream"), column("data")) else { return Ok(()) };
        let held = rows.iter().map(|row| {
            let bytes = match row.get(data) {
                Some(Cell::Bytes(bytes)) => bytes.clone(),
                Some(Cell::Null | Cell::Int(_) | Cell::Text(_)) | None => Vec::new(),
            };
            (row.get(stream) == Some(&Cell::Text(crate::log::BLOCK.to_owned())), bytes)
        });
        let fetched = self.store.packed_logs().fetched(held.collect()).await?;
        for (row, bytes) in rows.iter_mut().zip(fetched) {
            if let Some(cell) = row.get_mut(data) {
                *cell = Cell::Bytes(bytes);
            }
        }
        Ok(())
    }

    /// Inserts rows of a run that is being imported. The row of the run itself begins the import.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for rows that do not fit; [`Error`] of the database.
    pub async fn import(
        self,
        table: &'static Table,
        run: &RunId,
        rows: Vec<Vec<Cell>>,
    ) -> Result<(), Error> {
        if let Some(row) = rows.iter().find(|row| !table.fits(run, row)) {
            let message = format!("a row of {} columns does not fit {}", row.len(), table.name);
            return Err(Error::Corrupt(message));
        }
        let begin = (table.name == "run").then(|| (run.clone(), self.store.clock().now()));
        self.store.write(Insert { table, rows, begin }).await
    }

    /// The import has ended: from now on the run is as good as any, but only read.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn finish_import(self, run: &RunId, manifest: &str) -> Result<(), Error> {
        self.store.write(Finish(run.clone(), manifest.to_owned())).await
    }

    /// Whether a run came from a file.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn imported(self, run: &RunId) -> Result<Option<Imported>, Error> {
        let text = "SELECT imported_at, manifest FROM imported_run WHERE run_id = $1";
        let row = self.store.read_one(Statement::new(text, vec![run.as_str().into()])).await?;
        row.map(|row| Ok(Imported { at: row.time(0)?, manifest: row.text(1)? })).transpose()
    }
}

impl Op for Insert {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let columns = self.table.columns;
        let arg = |(cell, (_, kind)): (&Cell, &(&str, Kind))| match (cell, kind) {
            (Cell::Int(value), _) => Arg::Int(Some(*value)),
            (Cell::Text(value), _) => Arg::Text(Some(value.clone())),
            (Cell::Bytes(value), _) => Arg::Bytes(value.clone()),
            (Cell::Null, Kind::Int) => Arg::Int(None),
            (Cell::Null, Kind::Text | Kind::Bytes) => Arg::Text(None),
        };
        let rows = self.rows.iter().map(|row| row.iter().zip(columns).map(arg).collect());
        let tail = match self.table.name {
            "plan" => "ON CONFLICT (hash) DO NOTHING",
            _ => "",
        };
        tx.write_all(insert_rows(self.table.head(), columns.len(), rows.collect(), tail));
        if let Some((run, at)) = &self.begin {
            tx.flush().await?;
            tx.write(Statement::new(
                "INSERT INTO imported_run (run_id, imported_at, manifest) VALUES ($1, $2, '')",
                vec![run.as_str().into(), (*at).into()],
            ));
        }
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Finish {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write(Statement::new(
            "UPDATE imported_run SET manifest = $2 WHERE run_id = $1",
            vec![self.0.as_str().into(), self.1.as_str().into()],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::of(&self.0)
    }
}

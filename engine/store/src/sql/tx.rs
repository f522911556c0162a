//! A transaction, or a connection that only reads.
//!
//! Writes wait in a buffer. SQLite gets them as one text with several statements, Postgres as one
//! statement with a common table expression each; both count the changed rows. Hence a rule for
//! writers: statements that wait together must not depend on one another's effect, or there must be
//! a `flush` between them (SQLite would not mind, Postgres would).

use std::fmt::Write as _;

use futures::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Either, Executor as _, PgConnection, SqliteConnection, postgres::PgArguments,
    query::Query, sqlite::SqliteArguments,
};

use super::{
    row::Row,
    statement::{Arg, Statement},
};
use crate::error::Error;

/// Arguments of one joined text.
const MAX_JOINED_ARGS: usize = 20_000;
/// Texts with more arguments are not kept prepared: they seldom come again.
const MAX_CACHED_ARGS: usize = 256;

/// Dialect of a statement, where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

pub(crate) enum Link<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

pub(crate) struct Tx<'c> {
    link: Link<'c>,
    pending: Vec<Statement>,
}

/// Result of one statement of a text.
#[derive(Default)]
struct Answer {
    rows: Vec<Row>,
    changed: u64,
}

// === impl Tx ===

impl<'c> Tx<'c> {
    pub(crate) fn new(link: Link<'c>) -> Self {
        Self { link, pending: Vec::new() }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.link {
            Link::Sqlite(_) => Dialect::Sqlite,
            Link::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Keeps a write for later.
    pub(crate) fn write(&mut self, statement: Statement) {
        self.pending.push(statement);
    }

    /// Keeps writes for later.
    pub(crate) fn write_all(&mut self, statements: Vec<Statement>) {
        self.pending.extend(statements);
    }

    /// Sends a read that locks a row, and must find it, with the writes that wait. SQLite's writer holds
    /// the whole file: what was read there is still so.
    pub(crate) fn still(&mut self, statement: Statement) {
        if self.dialect() == Dialect::Postgres {
            self.write(statement.expect(1));
        }
    }

    /// Reads, after the writes that wait.
    pub(crate) async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, Error> {
        let mut answers = self.fetch_each(vec![statement]).await?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// Reads at most one row, after the writes that wait.
    pub(crate) async fn fetch_optional(
        &mut self,
        statement: Statement,
    ) -> Result<Option<Row>, Error> {
        Ok(self.fetch(statement).await?.into_iter().next())
    }

    /// Several reads, after the writes that wait; SQLite answers them in one go.
    pub(crate) async fn fetch_each(
        &mut self,
        statements: Vec<Statement>,
    ) -> Result<Vec<Vec<Row>>, Error> {
        if self.pending.len() > 1 || self.dialect() == Dialect::Postgres {
            self.flush().await?;
        }
        match &mut self.link {
            Link::Sqlite(connection) => {
                // At most one statement waits: a BEGIN, or the short write of another op.
                let begin = self.pending.len();
                let joined: Vec<_> = self.pending.drain(..).chain(statements).collect();
                let answers = sqlite(connection, joined).await?;
                Ok(answers.into_iter().skip(begin).map(|answer| answer.rows).collect())
            }
            Link::Postgres(connection) => {
                let mut answers = Vec::with_capacity(statements.len());
                for statement in statements {
                    let rows = postgres(connection, &statement.text, statement.args).await?;
                    answers.push(rows);
                }
                Ok(answers)
            }
        }
    }

    /// Sends the waiting writes as one statement of Postgres, which is its own transaction; returns
    /// `false` and does nothing if there are too many for that.
    pub(crate) async fn flush_alone(&mut self) -> Result<bool, Error> {
        let args: usize = self.pending.iter().map(|statement| statement.args.len()).sum();
        let Link::Postgres(connection) = &mut self.link else { return Ok(false) };
        if args > MAX_JOINED_ARGS {
            return Ok(false);
        }
        let batch = std::mem::take(&mut self.pending);
        if !batch.is_empty() {
            postgres_write_or_fail(connection, batch).await?;
        }
        Ok(true)
    }

    /// Sends the writes that wait.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        while !self.pending.is_empty() {
            let mut args = 0;
            let fits = self.pending.iter().take_while(|statement| {
                args += statement.args.len();
                args <= MAX_JOINED_ARGS
            });
            let take = fits.count().max(1);
            let batch: Vec<_> = self.pending.drain(..take).collect();
            let expected: Vec<_> = batch.iter().map(|statement| statement.expect).collect();
            let changed = match &mut self.link {
                Link::Sqlite(connection) => {
                    let answers = sqlite(connection, batch).await?;
                    answers.iter().map(|answer| answer.changed).collect()
                }
                Link::Postgres(connection) => postgres_write(connection, batch).await?,
            };
            let raced = expected
                .iter()
                .zip(&changed)
                .any(|(expected, changed)| expected.is_some_and(|expected| expected != *changed));
            if raced {
                return Err(Error::Raced);
            }
        }
        Ok(())
    }
}

async fn sqlite(
    connection: &mut SqliteConnection,
    statements: Vec<Statement>,
) -> Result<Vec<Answer>, Error> {
    let mut args = SqliteArguments::default();
    let mut text = String::new();
    let mut offset = 0;
    for statement in statements {
        if !text.is_empty() {
            text.push_str(";\n");
        }
        statement.renumber(offset, &mut text);
        offset += statement.args.len();
        for arg in statement.args {
            let added = match arg {
                Arg::Int(value) => sqlx::Arguments::add(&mut args, value),
                Arg::Text(value) => sqlx::Arguments::add(&mut args, value.map(without_nul)),
                Arg::Bytes(value) => sqlx::Arguments::add(&mut args, value),
            };
            added.map_err(|error| Error::Sql(sqlx::Error::Encode(error)))?;
        }
    }
    let query: Query<'_, sqlx::Sqlite, SqliteArguments> =
        sqlx::query_with(AssertSqlSafe(text), args).persistent(offset <= MAX_CACHED_ARGS);
    let mut stream = connection.fetch_many(query);
    let mut answers = Vec::new();
    let mut current = Answer::default();
    while let Some(part) = stream.try_next().await? {
        match part {
            Either::Left(done) => {
                current.changed = done.rows_affected();
                answers.push(std::mem::take(&mut current));
            }
            Either::Right(row) => current.rows.push(Row::Sqlite(row)),
        }
    }
    Ok(answers)
}

async fn postgres(
    connection: &mut PgConnection,
    text: &str,
    args: Vec<Arg>,
) -> Result<Vec<Row>, Error> {
    let mut bound = PgArguments::default();
    let persistent = args.len() <= MAX_CACHED_ARGS;
    for arg in args {
        let added = match arg {
            Arg::Int(value) => sqlx::Arguments::add(&mut bound, value),
            Arg::Text(value) => sqlx::Arguments::add(&mut bound, value.map(without_nul)),
            Arg::Bytes(value) => sqlx::Arguments::add(&mut bound, value),
        };
        added.map_err(|error| Error::Sql(sqlx::Error::Encode(error)))?;
    }
    let query = sqlx::query_with::<sqlx::Postgres, _>(AssertSqlSafe(text), bound);
    let rows = connection.fetch_all(query.persistent(persistent)).await?;
    Ok(rows.into_iter().map(Row::Postgres).collect())
}

/// `WITH w0 AS (… RETURNING 1), … SELECT (SELECT count(*) FROM w0), …`
async fn postgres_write(
    connection: &mut PgConnection,
    statements: Vec<Statement>,
) -> Result<Vec<u64>, Error> {
    let columns = statements.len();
    let (mut text, args) = with(statements);
    text.push_str("SELECT ");
    for number in 0..columns {
        let comma = if number == 0 { "" } else { ", " };
        let _never_fails = write!(text, "{comma}(SELECT count(*) FROM w{number})");
    }
    let rows = postgres(connection, &text, args).await?;
    let row = rows.first().ok_or_else(|| Error::Corrupt("no counts".to_owned()))?;
    (0..columns).map(|column| row.count(column)).collect()
}

/// The same for a statement that is its own transaction: it fails if a count is not as expected.
/// Postgres runs the statements in the order in which it is asked for their counts, hence every count
/// is asked for.
async fn postgres_write_or_fail(
    connection: &mut PgConnection,
    statements: Vec<Statement>,
) -> Result<(), Error> {
    let expected: Vec<_> = statements.iter().map(|statement| statement.expect).collect();
    let (mut text, args) = with(statements);
    text.push_str("SELECT CASE WHEN TRUE");
    for (number, rows) in expected.iter().enumerate() {
        let (compare, rows) = rows.map_or((">=", 0), |rows| ("=", rows));
        let _never_fails = write!(text, " AND (SELECT count(*) FROM w{number}) {compare} {rows}");
    }
    // Postgres logs this text: name the cause.
    text.push_str(" THEN 1 ELSE CAST('");
    text.push_str(RACED);
    text.push_str("' || random() AS INTEGER) END");
    match postgres(connection, &text, args).await {
        Ok(_) => Ok(()),
        Err(Error::Sql(sqlx::Error::Database(error))) if is_race(&*error) => Err(Error::Raced),
        Err(Error::Sql(error)) => Err(Error::of_commit(error)),
        Err(error) => Err(error),
    }
}

/// Error of a statement whose count is not as expected.
const RACED: &str = "plue: another transaction was faster, this one is tried again ";

/// Whether another writer was faster: a count is wrong, or a key that had to be new exists.
fn is_race(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.is_unique_violation() || error.message().contains(RACED)
}

/// `WITH w0 AS (…), …` with a row for each that a statement changes, and all arguments.
fn with(statements: Vec<Statement>) -> (String, Vec<Arg>) {
    let mut text = String::new();
    let mut args = Vec::new();
    for (number, statement) in statements.into_iter().enumerate() {
        let comma = if number == 0 { "WITH" } else { "," };
        let _never_fails = write!(text, "{comma} w{number} AS (");
        statement.renumber(args.len(), &mut text);
        let is_read = statement.text.starts_with("SELECT");
        text.push_str(if is_read { ")\n" } else { " RETURNING 1)\n" });
        args.extend(statement.args);
    }
    (text, args)
}

/// Postgres keeps no NUL in a text, so neither do we; bytes that must come back unchanged are no text.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

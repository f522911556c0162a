//! A transaction, or a connection that only reads.
//!
//! Writes wait in a buffer. SQLite gets them as one text with several statements, Postgres as one
//! statement with a common table expression each; both count the changed rows. Hence a rule for
//! writers: statements that wait together must not depend on one another's effect, or there must be
//! a `flush` between them (SQLite would not mind, Postgres would).

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

/// Which SQL a statement must be in, where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// SQLite.
    Sqlite,
    /// Postgres.
    Postgres,
}

/// A connection.
pub(crate) enum Link<'c> {
    /// To SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// To Postgres.
    Postgres(&'c mut PgConnection),
}

/// See the module.
pub(crate) struct Tx<'c> {
    link: Link<'c>,
    pending: Vec<Statement>,
}

/// What one statement of a text gave.
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
    use std::fmt::Write as _;

    let mut text = String::new();
    let mut counts = String::new();
    let mut args = Vec::new();
    for (number, statement) in statements.into_iter().enumerate() {
        let (with, comma) = if number == 0 { ("WITH", "") } else { (",", ", ") };
        let _never_fails = write!(text, "{with} w{number} AS (");
        statement.renumber(args.len(), &mut text);
        text.push_str(" RETURNING 1)\n");
        let _never_fails = write!(counts, "{comma}(SELECT count(*) FROM w{number})");
        args.extend(statement.args);
    }
    text.push_str("SELECT ");
    text.push_str(&counts);
    let columns = counts.matches("SELECT").count();
    let rows = postgres(connection, &text, args).await?;
    let row = rows.first().ok_or_else(|| Error::Corrupt("no counts".to_owned()))?;
    (0..columns).map(|column| row.count(column)).collect()
}

/// Postgres keeps no NUL in a text, so neither do we; bytes that must come back unchanged are no text.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

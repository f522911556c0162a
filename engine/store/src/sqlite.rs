//! SQLite: one writer connection with group commit, a few connections that only read.

mod readers;
pub(crate) mod watch;
mod writer;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use plue_runtime::{Clock, Tasks};
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

use crate::{
    changes::Changes,
    error::Error,
    migrate,
    options::{Durability, StoreOptions},
    sql::Link,
};
pub(crate) use readers::Readers;
pub(crate) use writer::Writer;

/// Longest wait of a write for another process before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a new file is looked at again that another process is just making.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Prepared statements kept per connection.
const STATEMENTS: usize = 256;
/// Answers of a statement under way between SQLite's thread and ours.
const ROW_BUFFER: usize = 256;
/// Pages in the write-ahead log before it is merged into the file: 16 MiB. The rows of running runs
/// are written again and again, and are merged once.
const WAL_PAGES: u32 = 4_096;
/// Bytes of the write-ahead log from which on [`Sqlite::merge_log`] merges it: reading so much takes a
/// process that opens the database less than a millisecond.
const MERGE_BYTES: u64 = 1024 * 1024;
/// SQLite's own page size.
const PAGE_BYTES: u64 = 4_096;

/// The two halves of an open database.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    /// Absent in a store that only reads.
    pub(crate) writer: Option<Writer>,
    pub(crate) readers: Readers,
    pub(crate) path: PathBuf,
    /// Connection options of the writer; absent in a store that only reads.
    writing: Option<Box<SqliteConnectOptions>>,
}

// === impl Sqlite ===

impl Sqlite {
    pub(crate) async fn open(
        path: &Path,
        options: &StoreOptions,
        clock: Clock,
        tasks: &Tasks,
        changes: &Changes,
    ) -> Result<Self, Error> {
        let place = |error: Error| located(error, path);
        if !options.create && !path.exists() {
            return Err(Error::Missing(path.to_owned()));
        }
        let reading = connect_options(path, options).read_only(true);
        if options.read_only {
            let mut connection = connect(path, &reading).await?;
            let found = migrate::version(Link::Sqlite(&mut connection)).await.map_err(place)?;
            migrate::check(found)?;
            if found < migrate::SCHEMA_VERSION {
                return Err(Error::Missing(path.to_owned()));
            }
            let readers = Readers::new(reading, Some(connection));
            return Ok(Self { writer: None, readers, path: path.to_owned(), writing: None });
        }
        let writing = connect_options(path, options).create_if_missing(options.create);
        let mut connection = connect(path, &writing).await?;
        prepare_patiently(&mut connection, clock).await.map_err(place)?;
        let writer = Some(Writer::start(connection, writing.clone(), tasks, changes.clone()));
        let readers = Readers::new(reading, None);
        Ok(Self { writer, readers, path: path.to_owned(), writing: Some(Box::new(writing)) })
    }

    /// Merges the write-ahead log into the file and empties it, if it has grown and has no reader
    /// at this moment. The next process that opens the database would read all of it.
    pub(crate) async fn merge_log(&self) -> Result<(), Error> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let length = std::fs::metadata(log).map_or(0, |found| found.len());
        let Some(writing) = self.writing.as_ref().filter(|_| length > MERGE_BYTES) else {
            return Ok(());
        };
        // The present reader or writer merges it later.
        let impatient = SqliteConnectOptions::clone(writing).busy_timeout(Duration::ZERO);
        let mut connection = impatient.connect().await?;
        let merged = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection);
        merged.await?;
        close(connection).await;
        Ok(())
    }
}

impl Sqlite {
    /// Writes a copy of the whole database, as it is at one moment, into a new file.
    pub(crate) async fn copy_to(&self, target: &str) -> Result<(), Error> {
        let options = SqliteConnectOptions::new().filename(&self.path).busy_timeout(BUSY_TIMEOUT);
        let mut connection = options.connect().await?;
        // https://sqlite.org/lang_vacuum.html: one transaction, others go on meanwhile.
        let copied = sqlx::query("VACUUM INTO ?").bind(target).execute(&mut connection).await;
        close(connection).await;
        Ok(copied.map(drop)?)
    }
}

fn connect_options(path: &Path, options: &StoreOptions) -> SqliteConnectOptions {
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .synchronous(match options.wanted_durability() {
            Durability::Normal => SqliteSynchronous::Normal,
            Durability::Full => SqliteSynchronous::Full,
        })
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", WAL_PAGES.to_string())
        .statement_cache_capacity(STATEMENTS)
        .row_buffer_size(ROW_BUFFER)
        .disable_statement_logging();
    match options.max_bytes {
        Some(bytes) => connect.pragma("max_page_count", (bytes / PAGE_BYTES).to_string()),
        None => connect,
    }
}

async fn connect(path: &Path, options: &SqliteConnectOptions) -> Result<SqliteConnection, Error> {
    options.connect().await.map_err(|error| match Error::from(error) {
        Error::Sql(source) => Error::Unreachable { place: path.display().to_string(), source },
        other => located(other, path),
    })
}

/// SQLite does not wait for another process that changes to WAL mode at the same moment: we do.
async fn prepare_patiently(connection: &mut SqliteConnection, clock: Clock) -> Result<(), Error> {
    let start = clock.mark();
    loop {
        match prepare(connection, clock).await {
            Err(Error::Busy(_)) if clock.elapsed(start) < BUSY_TIMEOUT => {
                clock.sleep(BUSY_PAUSE).await;
            }
            other => return other,
        }
    }
}

/// Puts the file into WAL mode and brings the schema up to date. Cheap when both are so already.
async fn prepare(connection: &mut SqliteConnection, clock: Clock) -> Result<(), Error> {
    let found = migrate::version(Link::Sqlite(connection)).await?;
    migrate::check(found)?;
    if found == migrate::SCHEMA_VERSION {
        // WAL mode is kept in the file.
        return Ok(());
    }
    sqlx::raw_sql("PRAGMA journal_mode = wal").execute(&mut *connection).await?;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let applied = migrate::apply(Link::Sqlite(connection), clock.now()).await;
    let end = if applied.is_ok() { "COMMIT" } else { "ROLLBACK" };
    sqlx::raw_sql(end).execute(&mut *connection).await?;
    applied
}

fn located(error: Error, path: &Path) -> Error {
    match error {
        Error::ReadOnly { source, .. } => {
            Error::ReadOnly { place: path.display().to_string(), source }
        }
        other => other,
    }
}

/// Ends a connection cleanly; what goes wrong does not matter any more.
pub(crate) async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "an SQLite connection did not close cleanly");
    }
}

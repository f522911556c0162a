//! Postgres: a pool; each write is a transaction of its own in READ COMMITTED.
//!
//! Commits are announced to other engines by `NOTIFY`, but never inside a transaction that does
//! work (that would serialize all commits): see [`notify`].

mod notify;

use std::{str::FromStr as _, time::Duration};

use plue_runtime::{Clock, Tasks};
use sqlx::{
    Acquire as _, ConnectOptions as _, Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    changes::Changes,
    error::Error,
    migrate,
    op::{ErasedOp, Written},
    options::StoreOptions,
    sql::{Link, Row, Statement, Tx},
};
use notify::Notifier;

/// Connections of one engine that read.
const READERS: u32 = 8;
/// Connections of one engine that write.
const WRITERS: u32 = 8;
/// Longest wait of a call for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries of one call when other transactions get in the way, or all idle connections were cut.
const TRIES: usize = 16;
/// The advisory lock that only one process holds while it migrates: "plue" in ASCII.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(1886158181)";
/// A prepared statement is planned once, not for each set of arguments. The server ends a transaction that
/// its engine leaves alone: one that is frozen, or cut off without notice, would hold its locks for ever,
/// and others would wait for it.
const WRITER: &str = "SET plan_cache_mode = force_generic_plan; \
                      SET idle_in_transaction_session_timeout = '10s'";
/// Prepared statements kept per connection.
const STATEMENTS: usize = 256;

/// An open database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Postgres {
    readers: PgPool,
    writers: PgPool,
    notifier: Option<Notifier>,
}

// === impl Postgres ===

impl Postgres {
    pub(crate) async fn open(
        url: &str,
        options: &StoreOptions,
        clock: Clock,
        tasks: &Tasks,
        changes: &Changes,
    ) -> Result<Self, Error> {
        let connect = PgConnectOptions::from_str(url)
            .map_err(|_| Error::BadUrl(without_password(url)))?
            .application_name("plue")
            .statement_cache_capacity(STATEMENTS)
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A broken connection is noticed by the statement, which costs no extra round trip.
            .test_before_acquire(false);
        let readers = pool.clone().max_connections(READERS).connect_with(connect.clone()).await;
        let readers = readers
            .map_err(|source| Error::Unreachable { place: without_password(url), source })?;
        let writers = pool.max_connections(WRITERS).after_connect(|connection, _| {
            // Writes are few texts that find rows by key: planning them took longer than running them.
            Box::pin(async move { connection.execute(WRITER).await.map(|_| ()) })
        });
        let writers = writers.connect_lazy_with(connect);
        let this = Self { readers, writers, notifier: None };
        this.migrate(options, clock).await?;
        if options.read_only {
            return Ok(this);
        }
        let notifier = Notifier::start(&this.readers, clock, tasks, changes.clone());
        Ok(Self { notifier: Some(notifier), ..this })
    }

    async fn migrate(&self, options: &StoreOptions, clock: Clock) -> Result<(), Error> {
        let mut connection = self.readers.acquire().await?;
        let found = migrate::version(Link::Postgres(&mut connection)).await?;
        migrate::check(found)?;
        if found == migrate::SCHEMA_VERSION {
            return Ok(());
        }
        if !options.create {
            return Err(Error::Missing(without_password(&options.url).into()));
        }
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(MIGRATION_LOCK).execute(&mut *transaction).await?;
        migrate::apply(Link::Postgres(&mut transaction), clock.now()).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(crate) async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        let mut last = Error::Raced;
        for _ in 0..TRIES {
            let mut connection = self.readers.acquire().await?;
            let mut tx = Tx::new(Link::Postgres(&mut connection));
            match tx.fetch_each(statements.clone()).await {
                Err(error) if error.is_passing() => last = error,
                answer => return answer,
            }
        }
        Err(last)
    }

    pub(crate) async fn run(&self, op: &dyn ErasedOp, changes: &Changes) -> Result<Written, Error> {
        let Some(notifier) = &self.notifier else {
            return Err(Error::ReadOnly {
                place: "server".to_owned(),
                source: sqlx::Error::Protocol("the store was opened only to read".to_owned()),
            });
        };
        let mut last = Error::Raced;
        for _ in 0..TRIES {
            match self.attempt(op).await {
                Ok(written) => {
                    changes.wake(written.touched);
                    notifier.announce(written.touched);
                    return Ok(written);
                }
                Err(error) if error.is_passing() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn attempt(&self, op: &dyn ErasedOp) -> Result<Written, Error> {
        if op.checks_again() {
            return self.attempt_alone(op).await;
        }
        let mut connection = self.writers.acquire().await?;
        Self::transact(&mut connection, op).await
    }

    /// Reads without a transaction; see [`Op::CHECKS_AGAIN`](crate::op::Op::CHECKS_AGAIN).
    async fn attempt_alone(&self, op: &dyn ErasedOp) -> Result<Written, Error> {
        let mut connection = self.writers.acquire().await?;
        let mut tx = Tx::new(Link::Postgres(&mut connection));
        let written = op.run_erased(&mut tx).await?;
        if tx.flush_alone().await? {
            return Ok(written);
        }
        Self::transact(&mut connection, op).await
    }

    async fn transact(connection: &mut PgConnection, op: &dyn ErasedOp) -> Result<Written, Error> {
        let mut transaction = connection.begin().await?;
        let mut tx = Tx::new(Link::Postgres(&mut transaction));
        let written = op.run_erased(&mut tx).await?;
        tx.flush().await?;
        transaction.commit().await.map_err(Error::of_commit)?;
        Ok(written)
    }

    pub(crate) async fn close(&self) {
        self.writers.close().await;
        self.readers.close().await;
    }
}

/// The address as it may be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, _)) => {
            let name = user.split(':').next().unwrap_or_default();
            let host = &rest[user.len() + 1..];
            format!("{scheme}://{name}@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(without_password("postgres://u:p@h:1/db"), "postgres://u@h:1/db");
        assert_eq!(without_password("postgres://u:p@x@h/db"), "postgres://u@h/db");
        assert_eq!(without_password("postgres:///db?host=/tmp"), "postgres:///db?host=/tmp");
    }
}

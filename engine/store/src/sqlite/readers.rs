//! Connections that only read. In WAL mode they never wait for the writer.
//!
//! Not sqlx's pool: that one keeps time-outs by the Tokio clock, which tests move.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::Semaphore;

use crate::error::Error;

const READERS: usize = 4;

/// A pool. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Readers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: SqliteConnectOptions,
    permits: Semaphore,
    idle: Mutex<Vec<SqliteConnection>>,
}

/// A connection that goes back when it is dropped.
pub(crate) struct Reader<'r> {
    connection: Option<SqliteConnection>,
    pool: &'r Inner,
    _permit: tokio::sync::SemaphorePermit<'r>,
}

// === impl Readers ===

impl Readers {
    pub(crate) fn new(options: SqliteConnectOptions, first: Option<SqliteConnection>) -> Self {
        Self(Arc::new(Inner {
            options,
            permits: Semaphore::new(READERS),
            idle: Mutex::new(first.into_iter().collect()),
        }))
    }

    pub(crate) async fn get(&self) -> Result<Reader<'_>, Error> {
        let pool = &*self.0;
        let permit = pool.permits.acquire().await.map_err(|_| Error::Closed)?;
        let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => pool.options.connect().await?,
        };
        Ok(Reader { connection: Some(connection), pool, _permit: permit })
    }

    /// Refuses further use and closes what is idle.
    pub(crate) async fn close(&self) {
        self.0.permits.close();
        let idle = std::mem::take(&mut *self.0.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            super::close(connection).await;
        }
    }
}

// === impl Reader ===

impl Reader<'_> {
    pub(crate) fn connection(&mut self) -> Result<&mut SqliteConnection, Error> {
        self.connection.as_mut().ok_or(Error::Closed)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // A statement whose answers were not all taken is reset by sqlx before the next one.
        if let Some(connection) = self.connection.take() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(connection);
        }
    }
}

//! The handle on a database that everybody else holds.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use plue_plan::RunId;
use plue_runtime::{Clock, Tasks};
use tokio::sync::watch;

use crate::{
    blob::{BlobStore, Folder},
    changes::Changes,
    error::Error,
    live::LiveLogs,
    op::{ErasedOp, Op, Written},
    options::{Address, StoreOptions},
    postgres::Postgres,
    probe::{Call, Probe},
    sql::{Link, Row, Statement, Tx},
    sqlite::{Sqlite, watch::start as watch_sqlite},
};

/// A database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    changes: Changes,
    live: LiveLogs,
    tasks: Tasks,
    clock: Clock,
    probe: Option<Arc<dyn Probe>>,
    blob_store: Option<Arc<dyn BlobStore>>,
    /// Set while commits of other processes are watched for; its end ends that.
    others: Arc<OnceLock<watch::Sender<()>>>,
}

#[derive(Debug, Clone)]
enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

// === impl Store ===

impl Store {
    /// Opens a database, creates it if `options` allow that, and brings its schema up to date.
    ///
    /// # Errors
    /// The database cannot be opened, created or migrated.
    pub async fn open(options: StoreOptions) -> Result<Self, Error> {
        let (clock, tasks, changes) = (Clock::real(), Tasks::new(), Changes::new());
        let address = options.address()?;
        let folder = options.blob_folder(&address);
        let blob_store = folder.map(|folder| Arc::new(Folder::new(folder)) as Arc<dyn BlobStore>);
        let backend = match address {
            Address::Sqlite(path) => {
                Backend::Sqlite(Sqlite::open(&path, &options, clock, &tasks, &changes).await?)
            }
            Address::Postgres(url) => {
                Backend::Postgres(Postgres::open(&url, &options, clock, &tasks, &changes).await?)
            }
        };
        let live = LiveLogs::default();
        Ok(Self {
            backend,
            changes,
            live,
            tasks,
            clock,
            probe: None,
            blob_store,
            others: Arc::default(),
        })
    }

    /// The same store with an observer of its calls; for tests.
    #[must_use]
    pub fn probed(self, probe: Arc<dyn Probe>) -> Self {
        Self { probe: Some(probe), ..self }
    }

    /// Ends the store: what was queued is written, then every further call fails with
    /// [`Error::Closed`] or an error of the connection. Waits until other clones of an SQLite store
    /// are dropped.
    pub async fn close(self) {
        drop(self.others);
        match self.backend {
            Backend::Sqlite(sqlite) => {
                sqlite.readers.close().await;
                drop(sqlite.writer);
            }
            Backend::Postgres(postgres) => postgres.close().await,
        }
        self.tasks.wait().await;
    }

    /// Leaves the database so that the next process opens it fast. Does nothing to a server. Call
    /// it when no call waits any more.
    ///
    /// # Errors
    /// [`Error`] of the database; nothing is lost by it.
    pub async fn tidy(&self) -> Result<(), Error> {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.merge_log().await,
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// Writes a copy of an SQLite database, as it is at one moment, into a new file; `false`: Postgres has
    /// tools of its own for that.
    ///
    /// # Errors
    /// [`Error`] of the database; the file is there already.
    pub async fn copy_to(&self, target: &str) -> Result<bool, Error> {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.copy_to(target).await.map(|()| true),
            Backend::Postgres(_) => Ok(false),
        }
    }

    /// A number that grows after each commit of this process (and, on Postgres, soon after those of
    /// others). Only a wake-up: look at the rows, and poll if other processes may write.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.any()
    }

    /// From now on [`Store::changes`] grows promptly after commits of other processes too. For
    /// followers of another process: an engine that follows itself would be woken twice. Has no
    /// effect on Postgres, which announces all commits, and where the system refuses: then only
    /// polling is left.
    pub fn watch_others(&self) {
        if let Backend::Sqlite(sqlite) = &self.backend
            && self.others.get().is_none()
        {
            let (alive, over) = watch::channel(());
            let watched = watch_sqlite(&sqlite.path, &self.tasks, self.changes.clone(), over);
            if let Err(error) = watched {
                tracing::debug!(%error, "commits of other processes are not watched");
                return;
            }
            let _another_was_faster = self.others.set(alive);
        }
    }

    /// Like [`Store::changes`], for one run; other runs may wake it too.
    #[must_use]
    pub fn changes_of(&self, run: &RunId) -> watch::Receiver<u64> {
        self.changes.of(run)
    }

    /// Whether several engines on several machines may use this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.backend, Backend::Postgres(_))
    }

    /// The same store with another place for larger blobs.
    #[must_use]
    pub fn with_blob_store(mut self, blob_store: Arc<dyn BlobStore>) -> Self {
        self.blob_store = Some(blob_store);
        self
    }

    pub(crate) fn blob_store(&self) -> Result<&dyn BlobStore, Error> {
        self.blob_store.as_deref().ok_or(Error::NoBlobStore)
    }

    pub(crate) fn live(&self) -> &LiveLogs {
        &self.live
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) async fn write<O: Op>(&self, op: O) -> Result<O::Out, Error> {
        let written = self.write_erased(Box::new(op)).await?;
        // It is the answer of this very operation.
        written.out.downcast().map(|out| *out).map_err(|_| Error::Closed)
    }

    async fn write_erased(&self, op: Box<dyn ErasedOp>) -> Result<Written, Error> {
        let Some(probe) = &self.probe else { return self.write_now(op).await };
        let call = op.call();
        let _held = probe.before(call).await?;
        let written = self.write_now(op).await?;
        probe.after(call).await?;
        Ok(written)
    }

    async fn write_now(&self, op: Box<dyn ErasedOp>) -> Result<Written, Error> {
        match &self.backend {
            Backend::Sqlite(sqlite) => match &sqlite.writer {
                Some(writer) => writer.run(op).await,
                None => Err(Error::ReadOnly {
                    place: "file".to_owned(),
                    source: sqlx::Error::Protocol("the store was opened only to read".to_owned()),
                }),
            },
            Backend::Postgres(postgres) => {
                let (postgres, changes) = (postgres.clone(), self.changes.clone());
                self.run_as_task("store write", async move { postgres.run(&*op, &changes).await })
                    .await
            }
        }
    }

    /// Runs work that needs a connection as a task. Only tasks hold connections, or queue for them:
    /// a caller that is not polled for a while delays only itself. Dropping the future aborts its
    /// task.
    fn run_as_task<T: Send + 'static, W>(
        &self,
        name: &'static str,
        work: W,
    ) -> impl Future<Output = Result<T, Error>> + use<T, W>
    where
        W: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let mut task = self.tasks.owned(name, work);
        async move { task.ended().await.map_err(|_| Error::Closed)? }
    }

    /// Several reads one after the other, without a common snapshot.
    pub(crate) async fn read_each(
        &self,
        statements: Vec<Statement>,
    ) -> Result<Vec<Vec<Row>>, Error> {
        let Some(probe) = &self.probe else { return self.read_now(statements).await };
        let _held = probe.before(Call::READ).await?;
        let rows = self.read_now(statements).await?;
        probe.after(Call::READ).await?;
        Ok(rows)
    }

    async fn read_now(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        match &self.backend {
            Backend::Sqlite(sqlite) => {
                let readers = sqlite.readers.clone();
                let read = async move {
                    let mut reader = readers.get().await?;
                    Tx::new(Link::Sqlite(reader.connection()?)).fetch_each(statements).await
                };
                self.run_as_task("store read", read).await
            }
            Backend::Postgres(postgres) => {
                let postgres = postgres.clone();
                self.run_as_task("store read", async move { postgres.read(statements).await }).await
            }
        }
    }

    pub(crate) async fn read(&self, statement: Statement) -> Result<Vec<Row>, Error> {
        Ok(self.read_each(vec![statement]).await?.pop().unwrap_or_default())
    }

    pub(crate) async fn read_one(&self, statement: Statement) -> Result<Option<Row>, Error> {
        Ok(self.read(statement).await?.into_iter().next())
    }
}

/// Microseconds since 1970 of a peer, who may send nonsense.
pub(crate) fn peer_time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

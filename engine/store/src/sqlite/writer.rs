//! The one writer. Writes that wait while a commit is under way share the next one, so that the
//! cost of a commit is divided among them and none waits for a timer.

use plue_runtime::Tasks;
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use crate::{
    changes::{Changes, Shards},
    error::Error,
    op::{ErasedOp, Written},
    sql::{Link, Statement, Tx},
};

/// Writes that may wait.
const QUEUE: usize = 1_024;
/// Writes of one commit at most, so that a slow batch stays short.
const GROUP: usize = 64;

/// Tries of a commit while another process holds the database; each waits for SQLite's busy timeout.
const BUSY_TRIES: usize = 3;

/// The way to the writer. Cheap to clone; the writer ends when the last one is gone.
#[derive(Debug, Clone)]
pub(crate) struct Writer(mpsc::Sender<Job>);

/// A write whose caller waits for its answer.
struct Job {
    op: Box<dyn ErasedOp>,
    written: Option<Written>,
    reply: oneshot::Sender<Result<Written, Error>>,
}

struct Loop {
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    changes: Changes,
}

// === impl Job ===

impl Job {
    async fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Error> {
        self.written = Some(self.op.run_erased(tx).await?);
        Ok(())
    }

    fn touched(&self) -> Shards {
        self.written.as_ref().map_or(Shards::NONE, |written| written.touched)
    }

    fn answer(self, failure: Option<Error>) {
        let answer = match failure {
            Some(error) => Err(error),
            None => self.written.ok_or(Error::Closed),
        };
        // The caller may have gone; the write stands all the same.
        let _abandoned = self.reply.send(answer);
    }
}

// === impl Writer ===

impl Writer {
    pub(crate) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        tasks: &Tasks,
        changes: Changes,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let work = Loop { connection, options, changes };
        tasks.spawn("sqlite-writer", work.run(receiver));
        Self(sender)
    }

    /// Queues a write and waits until it is committed. If the caller stops waiting, it is still done.
    pub(crate) async fn run(&self, op: Box<dyn ErasedOp>) -> Result<Written, Error> {
        let (reply, answer) = oneshot::channel();
        let job = Job { op, written: None, reply };
        self.0.send(job).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

// === impl Loop ===

impl Loop {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP);
        while queue.recv_many(&mut group, GROUP).await > 0 {
            let mut jobs = std::mem::take(&mut group);
            match self.commit_patiently(&mut jobs).await {
                Ok(()) => self.answer_all(jobs),
                Err(Error::Busy(_)) => jobs.into_iter().for_each(|job| job.answer(Some(locked()))),
                Err(error) => match jobs.pop() {
                    Some(job) if jobs.is_empty() => job.answer(Some(error)),
                    // One of them has failed; alone, each gets what it deserves.
                    last => {
                        jobs.extend(last);
                        self.one_by_one(jobs).await;
                    }
                },
            }
        }
        super::close(self.connection).await;
    }

    async fn one_by_one(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            let mut alone = vec![job];
            match self.commit(&mut alone).await {
                Ok(()) => self.answer_all(alone),
                Err(error) => {
                    if let Some(job) = alone.pop() {
                        job.answer(Some(error));
                    }
                }
            }
        }
    }

    fn answer_all(&self, jobs: Vec<Job>) {
        let touched = jobs.iter().fold(Shards::NONE, |all, job| all.with(job.touched()));
        // Wake-ups come first: the receiver of an answer may rely on them.
        self.changes.wake(touched);
        for job in jobs {
            job.answer(None);
        }
    }

    /// Waits for other processes some times as long as SQLite itself does.
    async fn commit_patiently(&mut self, jobs: &mut [Job]) -> Result<(), Error> {
        for _ in 1..BUSY_TRIES {
            match self.commit(jobs).await {
                Err(Error::Busy(error)) => {
                    tracing::warn!(%error, "another process holds the database; trying again");
                }
                other => return other,
            }
        }
        self.commit(jobs).await
    }

    async fn commit(&mut self, jobs: &mut [Job]) -> Result<(), Error> {
        let done = self.attempt(jobs).await;
        if done.is_err() {
            // Fails if no transaction is open, which is as good.
            if let Err(error) = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await
                && error.as_database_error().is_none()
            {
                // SQLite's thread is gone: start again with a fresh one.
                self.connection = self.options.connect().await?;
            }
        }
        done
    }

    async fn attempt(&mut self, jobs: &mut [Job]) -> Result<(), Error> {
        let mut tx = Tx::new(Link::Sqlite(&mut self.connection));
        tx.write(Statement::new("BEGIN IMMEDIATE", Vec::new()));
        for job in jobs {
            job.run(&mut tx).await?;
        }
        tx.write(Statement::new("COMMIT", Vec::new()));
        tx.flush().await
    }
}

fn locked() -> Error {
    Error::Busy(sqlx::Error::Protocol("it was locked for the whole time of waiting".to_owned()))
}

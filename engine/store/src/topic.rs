//! Messages on topics: what `event` waits and triggers look for.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    error::Error,
    handles::Topics,
    op::Op,
    sql::{Arg, Dialect, Row, Statement, Tx},
};

/// A row of `topic_event`.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicEvent {
    /// Its number; those that are committed later have higher ones.
    pub id: u64,
    pub topic: String,
    pub data: Json,
    pub by: String,
    pub at: Timestamp,
}

/// A message to put on a topic.
pub(crate) struct NewMessage {
    pub(crate) topic: String,
    pub(crate) data: Json,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    /// Whose runs it is for; none: those of all.
    pub(crate) repo: Option<String>,
}

struct Emit(NewMessage);

impl Topics<'_> {
    /// Puts a message on a topic, for the runs of all repositories.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn emit(self, topic: &str, data: Json, by: &str, at: Timestamp) -> Result<(), Error> {
        let (topic, by) = (topic.to_owned(), by.to_owned());
        self.store.write(Emit(NewMessage { topic, data, by, at, repo: None })).await
    }

    /// The messages for all repositories on a topic after the one with this number and not before a
    /// time, oldest first, at most so many.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn messages(
        self,
        topic: &str,
        after: u64,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<TopicEvent>, Error> {
        self.messages_for(None, topic, (after, since), limit).await
    }

    /// As [`Self::messages`], with those for one repository.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn messages_for(
        self,
        repo: Option<&str>,
        topic: &str,
        (after, since): (u64, Timestamp),
        limit: u32,
    ) -> Result<Vec<TopicEvent>, Error> {
        let text = "SELECT id, topic, data, emitted_by, emitted_at FROM topic_event \
                    WHERE topic = $1 AND id > $2 AND emitted_at >= $3 \
                    AND (repo IS NULL OR repo = $5) ORDER BY id LIMIT $4";
        let repo = repo.map(str::to_owned).into();
        let args = vec![topic.into(), Arg::count(after), since.into(), limit.into(), repo];
        self.store.read(Statement::new(text, args)).await?.iter().map(message).collect()
    }
}

fn message(row: &Row) -> Result<TopicEvent, Error> {
    Ok(TopicEvent {
        id: row.count(0)?,
        topic: row.text(1)?,
        data: row.json(2)?,
        by: row.text(3)?,
        at: row.time(4)?,
    })
}

/// Puts a message on its topic.
pub(crate) async fn insert(tx: &mut Tx<'_>, message: &NewMessage) -> Result<(), Error> {
    if tx.dialect() == Dialect::Postgres {
        // One writer at a time, from its number to its commit: who has taken a message must not
        // miss one with a lower number. Readers do not wait.
        let lock = "LOCK TABLE topic_event IN SHARE ROW EXCLUSIVE MODE";
        tx.fetch(Statement::new(lock, Vec::new())).await?;
    }
    tx.write(Statement::new(
        "INSERT INTO topic_event (topic, data, emitted_by, emitted_at, repo) \
         VALUES ($1, $2, $3, $4, $5)",
        vec![
            message.topic.as_str().into(),
            Arg::json(&message.data)?,
            message.by.as_str().into(),
            message.at.into(),
            message.repo.clone().into(),
        ],
    ));
    Ok(())
}

impl Op for Emit {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        insert(tx, &self.0).await
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::ALL
    }
}

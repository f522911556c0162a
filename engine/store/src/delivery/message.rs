//! Messages for a repository: kept as deliveries, which start runs, and put on topics, which steps wait
//! on, both or neither.

use serde_json::Value as Json;

use crate::{
    changes::Shards,
    delivery::{DeliveryRow, insert},
    error::Error,
    handles::Topics,
    op::Op,
    sql::Tx,
    topic::{self, NewMessage},
};

/// Topics that begin so are those of named webhooks.
pub const WEBHOOK_TOPIC: &str = "webhook:";

struct ReceiveMessage {
    delivery: DeliveryRow,
    message: Option<NewMessage>,
}

impl Topics<'_> {
    /// Stores a delivery as [`Deliveries::receive`](crate::handles::Deliveries::receive) does; a
    /// new one with a topic and data also wakes the steps of this repository's runs that wait on
    /// the topic.
    ///
    /// # Errors
    /// [`Error`] of the database: then the message must not be acknowledged.
    pub async fn receive(
        self,
        repo: &str,
        delivery: DeliveryRow,
        message: Option<(String, Json)>,
        by: &str,
    ) -> Result<bool, Error> {
        let (by, at, repo) = (by.to_owned(), delivery.received_at, Some(repo.to_owned()));
        let message = message.map(|(topic, data)| NewMessage { topic, data, by, at, repo });
        self.store.write(ReceiveMessage { delivery, message }).await
    }
}

impl Op for ReceiveMessage {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let is_new = insert(tx, &self.delivery).await?;
        if let (true, Some(message)) = (is_new, &self.message) {
            topic::insert(tx, message).await?;
        }
        Ok(is_new)
    }

    fn touched(&self, is_new: &bool) -> Shards {
        if *is_new { Shards::ALL } else { Shards::NONE }
    }
}

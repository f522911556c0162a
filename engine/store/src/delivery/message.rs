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

struct Hear {
    delivery: DeliveryRow,
    message: Option<NewMessage>,
}

impl Topics<'_> {
    /// Keeps a delivery as [`Deliveries::receive`](crate::handles::Deliveries::receive) does; if it is new and there is a topic with data, the
    /// steps of this repository's runs that wait on the topic are told as well.
    ///
    /// # Errors
    /// [`Error`] of the database: then the sender must not be told that it arrived.
    pub async fn receive(
        self,
        repo: &str,
        delivery: DeliveryRow,
        told: Option<(String, Json)>,
        by: &str,
    ) -> Result<bool, Error> {
        let (by, at, repo) = (by.to_owned(), delivery.received_at, Some(repo.to_owned()));
        let message = told.map(|(topic, data)| NewMessage { topic, data, by, at, repo });
        self.store.write(Hear { delivery, message }).await
    }
}

impl Op for Hear {
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

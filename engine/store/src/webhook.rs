//! Endpoints that are notified of the events of runs. The messages are in [`delivery`], and how
//! they are made, in the very transaction of a commit, in [`event`].
//!
//! Must not send anything or hold a secret: those are sealed elsewhere (`secret.rs`).

use jiff::Timestamp;

use crate::{
    changes::Shards,
    error::Error,
    handles::Webhooks,
    op::{Op, Plain},
    sql::{Arg, Row, Statement, Tx},
};

pub mod delivery;
pub mod event;

pub use delivery::{DeliveryRow, DeliveryState, Disable, Page, SettleOutcome, Settled};
pub use event::{EVENTS, PING, event_of};

/// Endpoints of one database.
pub const MAX_WEBHOOKS: u64 = 100;

/// A row of `webhook`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    pub id: String,
    pub url: String,
    /// Of which [`EVENTS`], in their order.
    pub events: Vec<String>,
    /// Of which repository; none: of all.
    pub repo: Option<String>,
    pub description: String,
    pub created_by: String,
    pub created_at: Timestamp,
    /// Until then messages are signed with the secret before this one too.
    pub both_until: Option<Timestamp>,
    /// Since when nothing has come through.
    pub failing_since: Option<Timestamp>,
    /// Since when nothing is sent, and why.
    pub disabled: Option<(Timestamp, String)>,
}

struct Add(WebhookRow);

struct Remove(String);

const COLUMNS: &str = "id, url, events, repo, description, created_by, created_at, both_until, \
                       failing_since, disabled_at, disabled_reason";

impl Webhooks<'_> {
    /// Keeps a new endpoint; `false`: there are [`MAX_WEBHOOKS`] already.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add(self, row: &WebhookRow) -> Result<bool, Error> {
        self.store.write(Add(row.clone())).await
    }

    /// All endpoints, the oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self) -> Result<Vec<WebhookRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM webhook ORDER BY created_at, id");
        self.store
            .read(Statement::new(text, Vec::new()))
            .await?
            .iter()
            .map(WebhookRow::of)
            .collect()
    }

    /// An endpoint.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(self, id: &str) -> Result<Option<WebhookRow>, Error> {
        let text = format!("SELECT {COLUMNS} FROM webhook WHERE id = $1");
        let row = self.store.read_one(Statement::new(text, vec![id.into()])).await?;
        row.map(|row| WebhookRow::of(&row)).transpose()
    }

    /// Removes an endpoint with all its undelivered messages; returns whether there was one.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn remove(self, id: &str) -> Result<bool, Error> {
        self.store.write(Remove(id.to_owned())).await
    }

    /// Sets the time until which an endpoint's messages are signed with two secrets.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn accept_both_until(self, id: &str, until: Timestamp) -> Result<(), Error> {
        let text = "UPDATE webhook SET both_until = $2 WHERE id = $1";
        self.store.write(Plain(vec![Statement::new(text, vec![id.into(), until.into()])])).await
    }

    /// Enables an endpoint for events from now on.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn enable(self, id: &str) -> Result<(), Error> {
        let text = "UPDATE webhook SET disabled_at = NULL, disabled_reason = NULL, \
                    failing_since = NULL WHERE id = $1";
        self.store.write(Plain(vec![Statement::new(text, vec![id.into()])])).await
    }
}

// === impl WebhookRow ===

impl WebhookRow {
    fn of(row: &Row) -> Result<Self, Error> {
        let events = row.text(2)?;
        let disabled = row.opt_time(9)?;
        let reason = row.opt_text(10)?.unwrap_or_default();
        Ok(Self {
            id: row.text(0)?,
            url: row.text(1)?,
            events: events.split_whitespace().map(str::to_owned).collect(),
            repo: row.opt_text(3)?,
            description: row.text(4)?,
            created_by: row.text(5)?,
            created_at: row.time(6)?,
            both_until: row.opt_time(7)?,
            failing_since: row.opt_time(8)?,
            disabled: disabled.map(|at| (at, reason)),
        })
    }
}

impl Op for Add {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let count = "SELECT count(*) FROM webhook";
        let row = tx.fetch_optional(Statement::new(count, Vec::new())).await?;
        if row.map_or(Ok(0), |row| row.count(0))? >= MAX_WEBHOOKS {
            return Ok(false);
        }
        let new = &self.0;
        tx.write(Statement::new(
            "INSERT INTO webhook (id, url, events, repo, description, created_by, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            vec![
                new.id.as_str().into(),
                new.url.as_str().into(),
                format!(" {} ", new.events.join(" ")).into(),
                new.repo.clone().into(),
                new.description.as_str().into(),
                new.created_by.as_str().into(),
                new.created_at.into(),
            ],
        ));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Remove {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let id = || vec![Arg::from(self.0.as_str())];
        let there = "SELECT id FROM webhook WHERE id = $1";
        let there = tx.fetch_optional(Statement::new(there, id())).await?.is_some();
        tx.write(Statement::new("DELETE FROM webhook WHERE id = $1", id()));
        tx.write(Statement::new("DELETE FROM webhook_delivery WHERE webhook = $1", id()));
        Ok(there)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

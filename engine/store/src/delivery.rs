//! Inbox of webhooks: deliveries of forges as they were received. A delivery is answered once it is
//! stored, and processed afterwards.
//!
//! Must not read a body.

mod body;
mod dispatch;
mod fork;
mod hand;
mod inbox;
mod message;
mod queue;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    error::Error,
    handles::Deliveries,
    op::{Op, Plain},
    sql::{Arg, Row, Statement, Tx},
};

pub use body::Received;
pub(crate) use body::bodies_before;
pub use dispatch::{Dispatch, DispatchResult, Dispatches, Settlement};
pub use hand::InHand;
pub use inbox::DeliverySummary;
pub use message::WEBHOOK_TOPIC;
pub use queue::{Backlog, ClaimedDelivery, WaitingQueue};

/// Columns of a delivery that is worked on again as if it had just come, for `UPDATE delivery SET`.
const REOPENED: &str = "state = 'new', note = NULL, dispatch = NULL, taken_by = NULL, tries = 0, \
                        begun = 0, next_at = 0";

/// A row of `delivery`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// `github`, `gitlab`, `gitea` or `forgejo`: the route it came by; `local`: a push on this machine;
    /// `webhook`, `event`: a message; `workflow`: the end of a run; `schedule`: a tick.
    pub forge: String,
    /// The hook it came by.
    pub hook: String,
    /// The forge's id of the delivery, the same when it is sent again.
    pub id: String,
    /// The headers that are read later, an object of text.
    pub headers: Json,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    pub received_at: Timestamp,
    pub state: DeliveryState,
    /// Reason, or the runs that it made.
    pub note: Option<String>,
}

/// State of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Not processed yet.
    New,
    /// It was matched against the plans of its repository.
    Done,
    /// It is nothing that plue reacts to.
    Ignored,
    /// It could not be worked on.
    Failed,
}

struct Receive(DeliveryRow);

// === impl DeliveryState ===

impl DeliveryState {
    pub const ALL: &'static [Self] = &[Self::New, Self::Done, Self::Ignored, Self::Failed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Done => "done",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for DeliveryState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not the state of a delivery"))
    }
}

// === impl DeliveryRow ===

impl DeliveryRow {
    /// Forge, hook and id, `$1` to `$3`.
    fn key(&self) -> Vec<Arg> {
        [&self.forge, &self.hook, &self.id].map(|part| part.as_str().into()).to_vec()
    }
}

impl Deliveries<'_> {
    /// Stores a delivery; `false` if it is stored already, in whatever state.
    ///
    /// # Errors
    /// [`Error`] of the database: then the delivery must not be acknowledged.
    pub async fn receive(self, delivery: DeliveryRow) -> Result<bool, Error> {
        self.store.write(Receive(delivery)).await
    }

    /// New deliveries, the oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn unprocessed(self, limit: u32) -> Result<Vec<DeliveryRow>, Error> {
        let text = "SELECT forge, hook, id, headers, body, received_at, state, note FROM delivery \
                    WHERE state = 'new' ORDER BY received_at LIMIT $1";
        let rows = self.store.read(Statement::new(text, vec![limit.into()])).await?;
        rows.iter().map(delivery_row).collect()
    }

    /// A delivery.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(
        self,
        forge: &str,
        hook: &str,
        id: &str,
    ) -> Result<Option<DeliveryRow>, Error> {
        let text = "SELECT forge, hook, id, headers, body, received_at, state, note FROM delivery \
                    WHERE forge = $1 AND hook = $2 AND id = $3";
        let args = vec![forge.into(), hook.into(), id.into()];
        let row = self.store.read_one(Statement::new(text, args)).await?;
        row.map(|row| delivery_row(&row)).transpose()
    }

    /// Records what became of a delivery of which no workflow was looked at. Without effect on one that
    /// is not in hand any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn settle_one(
        self,
        delivery: impl Into<InHand<'_>>,
        state: DeliveryState,
        note: &str,
    ) -> Result<(), Error> {
        self.settle(delivery, &Settlement::new(state, note.to_owned())).await
    }

    /// Records what became of a delivery and what it did for each workflow. Without effect on one that
    /// is not in hand any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn settle(
        self,
        delivery: impl Into<InHand<'_>>,
        settlement: &Settlement,
    ) -> Result<(), Error> {
        self.store.write(Plain(vec![settlement.statement(delivery.into())?])).await
    }
}

impl Op for Receive {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        insert(tx, &self.0).await
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::ALL
    }
}

/// Keeps a delivery; `false` if it was here before.
async fn insert(tx: &mut Tx<'_>, row: &DeliveryRow) -> Result<bool, Error> {
    let text = "SELECT state FROM delivery WHERE forge = $1 AND hook = $2 AND id = $3";
    if tx.fetch_optional(Statement::new(text, row.key())).await?.is_some() {
        return Ok(false);
    }
    let mut args = row.key();
    args.extend([
        Arg::json(&row.headers)?,
        Arg::Bytes(row.body.clone()),
        row.received_at.into(),
        row.state.as_str().into(),
        row.note.clone().into(),
    ]);
    // Two engines that get the same delivery at once: the second inserts nothing, and reads again.
    tx.write(
        Statement::new(
            "INSERT INTO delivery (forge, hook, id, headers, body, received_at, state, note) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            args,
        )
        .expect(1),
    );
    Ok(true)
}

fn delivery_row(row: &Row) -> Result<DeliveryRow, Error> {
    Ok(DeliveryRow {
        forge: row.text(0)?,
        hook: row.text(1)?,
        id: row.text(2)?,
        headers: row.json(3)?,
        body: row.bytes(4)?,
        received_at: row.time(5)?,
        state: row.parse(6)?,
        note: row.opt_text(7)?,
    })
}

//! What forges delivered, as it came: the inbox of webhooks. A delivery is answered when it is here,
//! and worked on afterwards.
//!
//! Must not read a body.

mod fork;
mod inbox;
mod message;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    drive::holds_engine,
    error::Error,
    op::Op,
    plain::Plain,
    sql::{Arg, Dialect, Row, Statement, Tx},
    store::Store,
};

pub use inbox::DeliverySummary;
pub use message::WEBHOOK_TOPIC;

/// A row of `delivery`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// `github`, `gitlab`, `gitea` or `forgejo`: the route it came by; `local`: a push on this machine;
    /// `webhook`, `event`: a message; `workflow`: the end of a run.
    pub forge: String,
    /// The hook it came by.
    pub hook: String,
    /// The forge's id of the delivery, the same when it is sent again.
    pub id: String,
    /// The headers that are read later, an object of text.
    pub headers: Json,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// When.
    pub received_at: Timestamp,
    /// What became of it.
    pub state: DeliveryState,
    /// Why, or which runs it made.
    pub note: Option<String>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Nobody has looked at it.
    New,
    /// It was matched against the plans of its repository.
    Done,
    /// It is nothing that plue reacts to.
    Ignored,
    /// It could not be worked on.
    Failed,
}

struct Receive(DeliveryRow);

struct Take {
    engine: String,
    limit: u32,
}

// === impl DeliveryState ===

impl DeliveryState {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::New, Self::Done, Self::Ignored, Self::Failed];

    /// The stored text.
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

impl Store {
    /// Keeps a delivery; `false` if it was here before, whatever became of it.
    ///
    /// # Errors
    /// [`Error`] of the database: then the forge must not be told that it arrived.
    pub async fn receive(&self, delivery: DeliveryRow) -> Result<bool, Error> {
        self.write(Receive(delivery)).await
    }

    /// Deliveries that nobody has looked at, the oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn new_deliveries(&self, limit: u32) -> Result<Vec<DeliveryRow>, Error> {
        let text = "SELECT forge, hook, id, headers, body, received_at, state, note FROM delivery \
                    WHERE state = 'new' ORDER BY received_at LIMIT $1";
        let rows = self.read(Statement::new(text, vec![limit.into()])).await?;
        rows.iter().map(delivery_row).collect()
    }

    /// Deliveries that no engine works on, the oldest first, for this engine: nobody else gets them
    /// until it is buried. `None`: there is no such engine (any more).
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_deliveries(
        &self,
        engine: &str,
        limit: u32,
    ) -> Result<Option<Vec<DeliveryRow>>, Error> {
        self.write(Take { engine: engine.to_owned(), limit }).await
    }

    /// Lets others work on a delivery that was taken.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn untake_delivery(&self, delivery: &DeliveryRow) -> Result<(), Error> {
        let text = "UPDATE delivery SET taken_by = NULL \
                    WHERE forge = $1 AND hook = $2 AND id = $3";
        let key = [&delivery.forge, &delivery.hook, &delivery.id];
        let args = key.into_iter().map(|part| part.as_str().into()).collect();
        self.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// A delivery.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn delivery(
        &self,
        forge: &str,
        hook: &str,
        id: &str,
    ) -> Result<Option<DeliveryRow>, Error> {
        let text = "SELECT forge, hook, id, headers, body, received_at, state, note FROM delivery \
                    WHERE forge = $1 AND hook = $2 AND id = $3";
        let args = vec![forge.into(), hook.into(), id.into()];
        let row = self.read_one(Statement::new(text, args)).await?;
        row.map(|row| delivery_row(&row)).transpose()
    }

    /// Records what became of a delivery.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn settle_delivery(
        &self,
        delivery: &DeliveryRow,
        state: DeliveryState,
        note: &str,
    ) -> Result<(), Error> {
        let text = "UPDATE delivery SET state = $4, note = $5 \
                    WHERE forge = $1 AND hook = $2 AND id = $3";
        let args = vec![
            delivery.forge.as_str().into(),
            delivery.hook.as_str().into(),
            delivery.id.as_str().into(),
            state.as_str().into(),
            note.into(),
        ];
        self.write(Plain(vec![Statement::new(text, args)])).await
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
    let key = || -> Vec<Arg> {
        vec![row.forge.as_str().into(), row.hook.as_str().into(), row.id.as_str().into()]
    };
    let text = "SELECT state FROM delivery WHERE forge = $1 AND hook = $2 AND id = $3";
    if tx.fetch_optional(Statement::new(text, key())).await?.is_some() {
        return Ok(false);
    }
    let mut args = key();
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

impl Op for Take {
    type Out = Option<Vec<DeliveryRow>>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        if !holds_engine(tx, &self.engine).await? {
            return Ok(None);
        }
        let skip = match tx.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR NO KEY UPDATE SKIP LOCKED",
        };
        let text = format!(
            "SELECT forge, hook, id, headers, body, received_at, state, note FROM delivery \
             WHERE state = 'new' AND taken_by IS NULL ORDER BY received_at LIMIT $1{skip}"
        );
        let rows = tx.fetch(Statement::new(text, vec![self.limit.into()])).await?;
        let rows = rows.iter().map(delivery_row).collect::<Result<Vec<_>, _>>()?;
        for row in &rows {
            let text = "UPDATE delivery SET taken_by = $4 \
                        WHERE forge = $1 AND hook = $2 AND id = $3";
            let key = [&row.forge, &row.hook, &row.id, &self.engine];
            let args = key.into_iter().map(|part| part.as_str().into()).collect();
            tx.write(Statement::new(text, args).expect(1));
        }
        Ok(Some(rows))
    }

    fn touched(&self, _: &Self::Out) -> Shards {
        Shards::NONE
    }
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

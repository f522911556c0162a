//! Deliveries: messages to an endpoint, open or sent. A row is claimed before anything is sent, and
//! its claim ends by itself, so that several servers do not send twice and a dead one loses
//! nothing.

use std::str::FromStr;

use jiff::Timestamp;
use plue_plan::RunId;

use super::PING;
use crate::{
    changes::Shards,
    error::Error,
    handles::Webhooks,
    op::Op,
    sql::{Arg, Dialect, Row, Statement, Tx},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is sent, or sent again.
    Open,
    /// The endpoint has it.
    Delivered,
    /// Nothing is tried any more.
    Failed,
}

/// A row of `webhook_delivery`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    pub webhook: String,
    /// The message: the same however often it is sent.
    pub message: String,
    /// One of [`super::EVENTS`], or [`PING`].
    pub event: String,
    /// The run that it is about, and the place of the fact in its journal; a ping is about none.
    pub fact: Option<(RunId, u64)>,
    pub state: DeliveryState,
    /// Grows with each change: who settles a row names the one it claimed.
    pub version: u64,
    /// Number of tries since it was made or replayed.
    pub tries: u32,
    /// Not to be sent before.
    pub next_at: Timestamp,
    pub created_at: Timestamp,
    /// Time of the last try.
    pub tried_at: Option<Timestamp>,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// Last answer, or the reason that there was none.
    pub note: Option<String>,
}

/// Outcome of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The state of the delivery, unless its endpoint is disabled: then it has failed.
    pub state: DeliveryState,
    pub at: Timestamp,
    /// Time of the next try, if it stays open.
    pub next_at: Timestamp,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Answer, or the reason that there was none.
    pub note: Option<String>,
    /// Reason that the endpoint is disabled.
    pub disable: Option<Disable>,
}

/// The outcome of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// Another server has the delivery, or it was asked for again: nothing was recorded.
    Superseded,
    /// The try is recorded; the endpoint is as it was.
    Recorded,
    /// The try is recorded, and the endpoint was disabled with it.
    Disabled,
}

/// The end of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disable {
    /// Reason, as shown to people.
    pub reason: String,
    /// Since when nothing has come through, if that is why: without effect if something has since.
    pub failing_since: Option<Timestamp>,
}

/// Filter of the deliveries of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Only those that stand so.
    pub state: Option<DeliveryState>,
    /// Older than the one of this time and message.
    pub before: Option<(Timestamp, String)>,
    /// At most so many.
    pub limit: u32,
}

struct Claim {
    webhook: String,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
}

struct Settle {
    claimed: DeliveryRow,
    settled: Settled,
}

struct Replay {
    webhook: String,
    message: String,
    now: Timestamp,
}

struct Ping {
    webhook: String,
    message: String,
    now: Timestamp,
}

const COLUMNS: &str = "webhook, message, event, run_id, seq, state, version, tries, next_at, \
                       created_at, tried_at, status, note";

impl Webhooks<'_> {
    /// The endpoints that something is to be sent to now.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn due(self, now: Timestamp) -> Result<Vec<String>, Error> {
        let text = "SELECT w.id FROM webhook w WHERE w.disabled_at IS NULL AND EXISTS (\
                    SELECT 1 FROM webhook_delivery d WHERE d.webhook = w.id AND d.state = 'open' \
                    AND d.next_at <= $1) ORDER BY w.id";
        let rows = self.store.read(Statement::new(text, vec![now.into()])).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Claims due deliveries of an endpoint until a time, the longest waiting first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn claim(
        self,
        webhook: &str,
        (now, until): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, Error> {
        self.store.write(Claim { webhook: webhook.to_owned(), now, until, limit }).await
    }

    /// Records the outcome of a try, and disables the endpoint if that is asked for and still due.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn settle(
        self,
        claimed: &DeliveryRow,
        settled: &Settled,
    ) -> Result<SettleOutcome, Error> {
        self.store.write(Settle { claimed: claimed.clone(), settled: settled.clone() }).await
    }

    /// Deliveries of an endpoint, the newest first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn deliveries(self, webhook: &str, page: &Page) -> Result<Vec<DeliveryRow>, Error> {
        let mut args: Vec<Arg> = vec![webhook.into(), page.limit.into()];
        let mut filter = String::new();
        if let Some(state) = page.state {
            args.push(state.as_str().into());
            filter.push_str(&format!(" AND state = ${}", args.len()));
        }
        if let Some((at, message)) = &page.before {
            let (time, name) = (args.len() + 1, args.len() + 2);
            args.extend([(*at).into(), message.as_str().into()]);
            filter.push_str(&format!(" AND (created_at, message) < (${time}, ${name})"));
        }
        let text = format!(
            "SELECT {COLUMNS} FROM webhook_delivery WHERE webhook = $1{filter} \
             ORDER BY created_at DESC, message DESC LIMIT $2"
        );
        self.store.read(Statement::new(text, args)).await?.iter().map(DeliveryRow::of).collect()
    }

    /// A delivery.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn delivery(
        self,
        webhook: &str,
        message: &str,
    ) -> Result<Option<DeliveryRow>, Error> {
        let text =
            format!("SELECT {COLUMNS} FROM webhook_delivery WHERE webhook = $1 AND message = $2");
        let row =
            self.store.read_one(Statement::new(text, vec![webhook.into(), message.into()])).await?;
        row.map(|row| DeliveryRow::of(&row)).transpose()
    }

    /// Has a message sent again, from the first try on; `false`: there is none.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn replay(self, webhook: &str, message: &str, now: Timestamp) -> Result<bool, Error> {
        let (webhook, message) = (webhook.to_owned(), message.to_owned());
        self.store.write(Replay { webhook, message, now }).await
    }

    /// Has a ping sent.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn ping(self, webhook: &str, message: &str, now: Timestamp) -> Result<(), Error> {
        let (webhook, message) = (webhook.to_owned(), message.to_owned());
        self.store.write(Ping { webhook, message, now }).await
    }
}

// === impl DeliveryState ===

impl DeliveryState {
    pub const ALL: [Self; 3] = [Self::Open, Self::Delivered, Self::Failed];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for DeliveryState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is none of open, delivered, failed"))
    }
}

// === impl DeliveryRow ===

impl DeliveryRow {
    fn of(row: &Row) -> Result<Self, Error> {
        let (run, seq) = (row.opt_text(3)?, row.count(4)?);
        let status = row.opt_int(11)?.map(u16::try_from).transpose();
        Ok(Self {
            webhook: row.text(0)?,
            message: row.text(1)?,
            event: row.text(2)?,
            fact: run.map(|run| (RunId::new(run), seq)),
            state: row.parse(5)?,
            version: row.count(6)?,
            tries: row.small(7)?,
            next_at: row.time(8)?,
            created_at: row.time(9)?,
            tried_at: row.opt_time(10)?,
            status: status.map_err(|error| Error::Corrupt(error.to_string()))?,
            note: row.opt_text(12)?,
        })
    }
}

impl Op for Claim {
    type Out = Vec<DeliveryRow>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        let lock = match tx.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        };
        let text = format!(
            "SELECT {COLUMNS} FROM webhook_delivery WHERE webhook = $1 AND state = 'open' \
             AND next_at <= $2 ORDER BY next_at, run_id, seq LIMIT $3{lock}"
        );
        let args = vec![self.webhook.as_str().into(), self.now.into(), self.limit.into()];
        let rows = tx.fetch(Statement::new(text, args)).await?;
        let mut claimed = rows.iter().map(DeliveryRow::of).collect::<Result<Vec<_>, Error>>()?;
        for row in &mut claimed {
            let text = "UPDATE webhook_delivery SET version = version + 1, next_at = $4 \
                        WHERE webhook = $1 AND message = $2 AND version = $3";
            let mut args = row.key();
            args.push(self.until.into());
            tx.write(Statement::new(text, args).expect(1));
            row.version += 1;
        }
        Ok(claimed)
    }

    fn touched(&self, _: &Self::Out) -> Shards {
        Shards::NONE
    }
}

impl DeliveryRow {
    /// Endpoint, message and version, `$1` to `$3`.
    fn key(&self) -> Vec<Arg> {
        vec![self.webhook.as_str().into(), self.message.as_str().into(), Arg::count(self.version)]
    }
}

impl Op for Settle {
    type Out = SettleOutcome;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<SettleOutcome, Error> {
        let (row, settled) = (&self.claimed, &self.settled);
        let lock = crate::fence::lock(tx.dialect());
        let text = format!(
            "SELECT version FROM webhook_delivery \
             WHERE webhook = $1 AND message = $2 AND version = $3{lock}"
        );
        if tx.fetch_optional(Statement::new(text, row.key())).await?.is_none() {
            return Ok(SettleOutcome::Superseded);
        }
        let disabling = match &settled.disable {
            Some(disable) => Some((disable, self.endpoint(tx, disable).await?)),
            None => None,
        };
        let fails = matches!(disabling, Some((_, Endpoint::Disabled | Endpoint::Due)));
        let (state, next_at) = if fails {
            (DeliveryState::Failed, settled.at)
        } else {
            (settled.state, settled.next_at)
        };
        let text = "UPDATE webhook_delivery SET version = version + 1, tries = tries + 1, \
                    state = $4, tried_at = $5, next_at = $6, status = $7, note = $8 \
                    WHERE webhook = $1 AND message = $2 AND version = $3";
        let mut args = row.key();
        args.extend([
            state.as_str().into(),
            settled.at.into(),
            next_at.into(),
            Arg::Int(settled.status.map(i64::from)),
            settled.note.clone().into(),
        ]);
        tx.write(Statement::new(text, args).expect(1));
        tx.write(self.health());
        let Some((Disable { reason, .. }, Endpoint::Due)) = disabling else {
            return Ok(SettleOutcome::Recorded);
        };
        // Two changes of one row may not be in one statement of Postgres.
        tx.flush().await?;
        tx.write_all(disable(row, settled.at, reason));
        Ok(SettleOutcome::Disabled)
    }

    fn touched(&self, _: &SettleOutcome) -> Shards {
        Shards::NONE
    }
}

/// An endpoint that is to be disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    /// It is still due.
    Due,
    /// Something has come through since: it is not to be disabled any more.
    Answering,
    /// Another delivery disabled it, or it is gone.
    Disabled,
}

impl Settle {
    /// The endpoint, held as it is until the end of the transaction.
    async fn endpoint(&self, tx: &mut Tx<'_>, disable: &Disable) -> Result<Endpoint, Error> {
        let lock = crate::fence::lock(tx.dialect());
        let text = format!("SELECT disabled_at, failing_since FROM webhook WHERE id = $1{lock}");
        let id = Arg::from(self.claimed.webhook.as_str());
        let Some(row) = tx.fetch_optional(Statement::new(text, vec![id])).await? else {
            return Ok(Endpoint::Disabled);
        };
        let since = row.opt_time(1)?;
        Ok(if row.opt_time(0)?.is_some() {
            Endpoint::Disabled
        } else if disable.failing_since.is_some_and(|silent| since != Some(silent)) {
            Endpoint::Answering
        } else {
            Endpoint::Due
        })
    }

    /// Since when nothing has come through, as this try shows.
    fn health(&self) -> Statement {
        let id = Arg::from(self.claimed.webhook.as_str());
        if self.settled.state == DeliveryState::Delivered {
            let text = "UPDATE webhook SET failing_since = NULL \
                        WHERE id = $1 AND failing_since IS NOT NULL";
            return Statement::new(text, vec![id]);
        }
        let text = "UPDATE webhook SET failing_since = $2 WHERE id = $1 AND failing_since IS NULL";
        Statement::new(text, vec![id, self.settled.at.into()])
    }
}

/// Disables an endpoint and ends its open deliveries, except the one that was settled just now.
fn disable(row: &DeliveryRow, at: Timestamp, reason: &str) -> Vec<Statement> {
    let id = || Arg::from(row.webhook.as_str());
    let endpoint = "UPDATE webhook SET disabled_at = $2, disabled_reason = $3 \
                    WHERE id = $1 AND disabled_at IS NULL";
    let open = "UPDATE webhook_delivery SET state = 'failed', version = version + 1, \
                note = 'the webhook was disabled' \
                WHERE webhook = $1 AND state = 'open' AND message <> $2";
    vec![
        Statement::new(endpoint, vec![id(), at.into(), reason.into()]),
        Statement::new(open, vec![id(), row.message.as_str().into()]),
    ]
}

impl Op for Replay {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let key = || vec![Arg::from(self.webhook.as_str()), self.message.as_str().into()];
        let text = "SELECT 1 FROM webhook_delivery WHERE webhook = $1 AND message = $2";
        if tx.fetch_optional(Statement::new(text, key())).await?.is_none() {
            return Ok(false);
        }
        let text = "UPDATE webhook_delivery SET state = 'open', tries = 0, next_at = $3, \
                    version = version + 1 WHERE webhook = $1 AND message = $2";
        let mut args = key();
        args.push(self.now.into());
        tx.write(Statement::new(text, args));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Ping {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let text = "INSERT INTO webhook_delivery \
                    (webhook, message, event, seq, state, version, tries, next_at, created_at) \
                    VALUES ($1, $2, $3, 0, 'open', 1, 0, $4, $4)";
        let args = vec![
            self.webhook.as_str().into(),
            self.message.as_str().into(),
            PING.into(),
            self.now.into(),
        ];
        tx.write(Statement::new(text, args));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

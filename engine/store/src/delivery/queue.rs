//! The order in which deliveries are worked on. Each repository has a queue, named by its hook, and at
//! most one delivery of a queue is in hand, the oldest of those that are due. A delivery that failed for
//! a passing reason is due again later. One that came by the hook of another repository is in that one's
//! queue until it is routed.

use jiff::Timestamp;

use crate::{
    changes::Shards,
    delivery::{DeliveryRow, InHand, REOPENED, delivery_row, hand::IN_HAND},
    drive::holds_engine,
    error::Error,
    handles::DeliveryQueues,
    op::{Op, Plain},
    sql::{Arg, Dialect, Statement, Tx},
};

/// Advisory lock of an engine that claims from a queue: "dlvq" in ASCII and the queue's hash. Held
/// for one transaction only. A row of `repo` would not do: a queue need not belong to a watched
/// repository.
const QUEUE_LOCK: &str =
    "SELECT 1 FROM (SELECT pg_advisory_xact_lock(1684829809, hashtext($1))) AS held";

/// A queue with deliveries that are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingQueue {
    /// The hook of its repository.
    pub queue: String,
    /// Time at which the oldest of them was received.
    pub oldest: Timestamp,
    /// Whether the oldest of them, which is claimed next, has failed before.
    pub has_failed: bool,
}

/// The deliveries of a repository that are not worked off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Name of the watched repository.
    pub repo: String,
    /// Number of these deliveries.
    pub waiting: u64,
    /// Time at which the oldest of them was received.
    pub oldest: Timestamp,
    /// Whether one of them has failed before.
    pub has_failed: bool,
}

/// A delivery in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedDelivery {
    /// Delivery with its headers and body.
    pub row: DeliveryRow,
    /// The queue that it was in.
    pub queue: String,
    /// Engine that has it in hand; `None`: the database has only one.
    pub engine: Option<String>,
    /// Number of attempts that failed for a transient reason.
    pub tries: u32,
    /// Number of attempts that started without an end, this one included.
    pub begun: u32,
}

struct Claim {
    queue: String,
    engine: Option<String>,
    now: Timestamp,
}

struct Retry {
    hook: String,
    id: String,
}

impl DeliveryQueues<'_> {
    /// The queues with deliveries that are due and that no engine works on.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn waiting(self, now: Timestamp) -> Result<Vec<WaitingQueue>, Error> {
        let due = "FROM delivery WHERE COALESCE(routed_to, hook) = queue.name AND state = 'new' \
                   AND taken_by IS NULL AND next_at <= $1 ORDER BY received_at, id LIMIT 1";
        let next = |beyond: &str| {
            format!(
                "SELECT COALESCE(routed_to, hook) FROM delivery WHERE state = 'new' {beyond} \
                 ORDER BY COALESCE(routed_to, hook) LIMIT 1"
            )
        };
        // One step per queue. Grouping would read each delivery that waits, at every change of the
        // database.
        let (first, further) = (next(""), next("AND COALESCE(routed_to, hook) > queue.name"));
        let text = format!(
            "WITH RECURSIVE queue (name) AS (SELECT ({first}) UNION ALL \
             SELECT ({further}) FROM queue WHERE queue.name IS NOT NULL), \
             front (name, oldest, tries) AS (SELECT name, (SELECT received_at {due}), \
             (SELECT tries {due}) FROM queue WHERE name IS NOT NULL) \
             SELECT name, oldest, tries FROM front WHERE oldest IS NOT NULL"
        );
        let rows = self.store.read(Statement::new(text, vec![now.into()])).await?;
        rows.iter()
            .map(|row| {
                let (queue, oldest) = (row.text(0)?, row.time(1)?);
                Ok(WaitingQueue { queue, oldest, has_failed: row.int(2)? > 0 })
            })
            .collect()
    }

    /// The deliveries that are not worked off, by repository.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn backlogs(self) -> Result<Vec<Backlog>, Error> {
        let text = "SELECT repo.name, count(*), min(delivery.received_at), max(delivery.tries) \
                    FROM delivery \
                    JOIN repo ON repo.hook = COALESCE(delivery.routed_to, delivery.hook) \
                    WHERE delivery.state = 'new' GROUP BY repo.name";
        let rows = self.store.read(Statement::new(text, Vec::new())).await?;
        rows.iter()
            .map(|row| {
                let (repo, waiting, oldest) = (row.text(0)?, row.count(1)?, row.time(2)?);
                Ok(Backlog { repo, waiting, oldest, has_failed: row.int(3)? > 0 })
            })
            .collect()
    }

    /// Whether more than `most` deliveries of a queue wait.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn has_backlog(self, queue: &str, most: u32) -> Result<bool, Error> {
        let text = "SELECT 1 FROM delivery WHERE COALESCE(routed_to, hook) = $1 AND state = 'new' \
                    ORDER BY received_at, id LIMIT 1 OFFSET $2";
        let row =
            self.store.read_one(Statement::new(text, vec![queue.into(), most.into()])).await?;
        Ok(row.is_some())
    }

    /// Claims the oldest delivery of a queue that is due, and counts the attempt. `engine`: the
    /// claiming one, where several engines share the database. Returns `None` if no delivery is
    /// due, an engine works on another one of the queue, or the engine has expired.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn claim(
        self,
        queue: &str,
        engine: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<ClaimedDelivery>, Error> {
        let engine = engine.map(str::to_owned);
        self.store.write(Claim { queue: queue.to_owned(), engine, now }).await
    }

    /// Puts a delivery off: work on it failed for a passing reason, the note. Without effect on one that
    /// is not in hand any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn defer(
        self,
        delivery: impl Into<InHand<'_>>,
        next_at: Timestamp,
        note: &str,
    ) -> Result<(), Error> {
        let text = format!(
            "UPDATE delivery SET tries = tries + 1, begun = 0, next_at = $5, note = $6, \
             taken_by = NULL WHERE {IN_HAND} AND state = 'new'"
        );
        let mut args = delivery.into().args();
        args.extend([next_at.into(), note.into()]);
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Puts all waiting deliveries of a queue off that came from the same forge: it cannot be reached.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn defer_queue(
        self,
        forge: &str,
        queue: &str,
        next_at: Timestamp,
    ) -> Result<(), Error> {
        let text = "UPDATE delivery SET next_at = $3 WHERE forge = $1 \
                    AND COALESCE(routed_to, hook) = $2 AND state = 'new' \
                    AND taken_by IS NULL AND next_at < $3";
        let args = vec![forge.into(), queue.into(), next_at.into()];
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Gives a claimed delivery back whose work broke off: until `next_at`, and without forgetting that
    /// it began. Without effect on one that is not in hand any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_off(
        self,
        delivery: impl Into<InHand<'_>>,
        next_at: Timestamp,
        note: &str,
    ) -> Result<(), Error> {
        let text = format!(
            "UPDATE delivery SET next_at = $5, note = $6, taken_by = NULL \
             WHERE {IN_HAND} AND state = 'new'"
        );
        let mut args = delivery.into().args();
        args.extend([next_at.into(), note.into()]);
        self.store.write(Plain(vec![Statement::new(text, args)])).await
    }

    /// Releases a claimed delivery and does not count the attempt. Has no effect on one that is no
    /// longer in hand.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn release(self, delivery: impl Into<InHand<'_>>) -> Result<(), Error> {
        let text = format!(
            "UPDATE delivery SET taken_by = NULL, \
             begun = CASE WHEN begun > 0 THEN begun - 1 ELSE 0 END \
             WHERE {IN_HAND} AND state = 'new'"
        );
        self.store.write(Plain(vec![Statement::new(text, delivery.into().args())])).await
    }

    /// Makes a delivery that failed, or that waits for its next try, due now and as if it had come
    /// just now. `false`: there is no such delivery.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn retry(self, hook: &str, id: &str) -> Result<bool, Error> {
        self.store.write(Retry { hook: hook.to_owned(), id: id.to_owned() }).await
    }
}

impl Claim {
    /// Whether the engine may claim a delivery of the hook. On Postgres two engines ask one after the
    /// other.
    async fn is_free(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let Some(engine) = &self.engine else { return Ok(true) };
        if !holds_engine(tx, engine).await? {
            return Ok(false);
        }
        let queue = || vec![Arg::from(self.queue.as_str())];
        if tx.dialect() == Dialect::Postgres {
            tx.fetch_optional(Statement::new(QUEUE_LOCK, queue())).await?;
        }
        let text = "SELECT 1 FROM delivery WHERE COALESCE(routed_to, hook) = $1 \
                    AND state = 'new' AND taken_by IS NOT NULL LIMIT 1";
        Ok(tx.fetch_optional(Statement::new(text, queue())).await?.is_none())
    }
}

impl Op for Claim {
    type Out = Option<ClaimedDelivery>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        if !self.is_free(tx).await? {
            return Ok(None);
        }
        let text = "SELECT forge, hook, id, headers, body, received_at, state, note, tries, begun \
                    FROM delivery WHERE COALESCE(routed_to, hook) = $1 AND state = 'new' \
                    AND taken_by IS NULL AND next_at <= $2 ORDER BY received_at, id LIMIT 1";
        let args = vec![self.queue.as_str().into(), self.now.into()];
        let Some(row) = tx.fetch_optional(Statement::new(text, args)).await? else {
            return Ok(None);
        };
        let number = |at: usize| Ok::<_, Error>(u32::try_from(row.int(at)?).unwrap_or(u32::MAX));
        let (tries, begun) = (number(8)?, number(9)?.saturating_add(1));
        let row = delivery_row(&row)?;
        let mut args = row.key();
        let engine = self.engine.clone();
        args.push(engine.clone().into());
        tx.write(
            Statement::new(
                "UPDATE delivery SET begun = begun + 1, taken_by = $4 \
                 WHERE forge = $1 AND hook = $2 AND id = $3 AND state = 'new' \
                 AND taken_by IS NULL",
                args,
            )
            .expect(1),
        );
        Ok(Some(ClaimedDelivery { row, queue: self.queue.clone(), engine, tries, begun }))
    }

    fn touched(&self, _: &Self::Out) -> Shards {
        Shards::NONE
    }
}

impl Op for Retry {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let args = || vec![Arg::from(self.hook.as_str()), Arg::from(self.id.as_str())];
        let waits = "(hook = $1 OR routed_to = $1) AND id = $2 AND (state = 'failed' \
                     OR (state = 'new' AND begun = 0 AND taken_by IS NULL))";
        let text = format!("SELECT 1 FROM delivery WHERE {waits}");
        if tx.fetch_optional(Statement::new(text, args())).await?.is_none() {
            return Ok(false);
        }
        let text = format!("UPDATE delivery SET {REOPENED} WHERE {waits}");
        tx.write(Statement::new(text, args()));
        Ok(true)
    }

    fn touched(&self, is_waiting: &bool) -> Shards {
        if *is_waiting { Shards::ALL } else { Shards::NONE }
    }
}

//! Transcripts of Claude steps, and the money they reserve and spend.
//!
//! Facts are JSON that only the executor understands; they come masked. Must not know a price or decide
//! which budgets there are.

use std::collections::HashMap;

use jiff::Timestamp;
use plue_plan::{AttemptId, RunId, StepId};
use plue_wire::runner::Claim;
use serde_json::Value as Json;

use crate::{
    attempt::Held,
    changes::Shards,
    error::Error,
    events,
    handles::{Claude, Transcripts},
    log::LogPiece,
    op::Op,
    sql::{Arg, Dialect, Row, Statement, Tx, placeholders},
};

/// The most that one call counts, in picodollars ($10,000): sums of calls stay within 64 bits.
const MAX_CALL: u64 = 10_000_000_000_000_000;
/// The most tokens of one kind that one call counts.
const MAX_TOKENS: u64 = 1_000_000_000_000;

/// A call of a model, before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCall {
    /// Id of the call, unique in the database.
    pub id: String,
    /// Run that makes the call.
    pub run: RunId,
    /// Step that makes the call.
    pub step: StepId,
    /// Attempt that makes the call.
    pub attempt: AttemptId,
    /// Id of the called model.
    pub model: String,
    /// The most that it can cost, in picodollars.
    pub amount: u64,
    /// The most tokens that it can take, in all four directions.
    pub tokens: u64,
    /// The budgets it draws from, each once. The first with too little left refuses it.
    pub scopes: Vec<SpendScope>,
    /// Time at which the call starts.
    pub at: Timestamp,
}

/// A budget that calls draw from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendScope {
    /// Its name, unique in the database.
    pub name: String,
    /// Lifetime of its sums.
    pub life: SpendLife,
    /// Unit of its sums and of its limit.
    pub unit: SpendUnit,
    /// The most that may be spent; `None`: it is only counted.
    pub limit: Option<u64>,
}

/// The unit of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpendUnit {
    Money,
    /// Tokens in all four directions.
    Tokens,
}

/// The lifetime of a budget's sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpendLife {
    /// Deleted with this run. Nothing is counted for a run that is gone already.
    Run(RunId),
    /// Of a period that ends then; see [`Claude::prune_spend`](crate::handles::Claude::prune_spend).
    Until(Timestamp),
}

/// The sums of a budget, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Cost of the calls whose cost is known.
    pub spent: u64,
    /// Reservations of calls under way, and of those whose cost stayed unknown.
    pub reserved: u64,
}

/// The outcome of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// The call may be made.
    Yes,
    /// A budget has too little left. Nothing was reserved.
    No {
        /// Name of the budget.
        scope: String,
        /// Its limit, in its unit.
        limit: u64,
        spent: Spent,
    },
}

/// The cost of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallSettlement {
    /// Id of the settled call.
    pub call: String,
    /// Its cost in picodollars; `None`: unknown, the reservation stays.
    pub cost: Option<u64>,
    /// Tokens as the API reported them.
    pub usage: Json,
}

/// Facts to append to a transcript.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFacts {
    /// Run of the attempt.
    pub run: RunId,
    /// Attempt that the transcript belongs to.
    pub attempt: AttemptId,
    /// Number of the first fact, from 1.
    pub first: u64,
    /// Facts as JSON, in order and already masked.
    pub facts: Vec<Json>,
    /// The call that they end, settled in the same transaction.
    pub settlement: Option<CallSettlement>,
    /// Time of the facts and of the settlement.
    pub at: Timestamp,
}

/// A call of a model, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRow {
    /// Id of the call.
    pub id: String,
    /// Attempt that made the call.
    pub attempt: AttemptId,
    /// Id of the called model.
    pub model: String,
    /// Time of its reservation.
    pub begun_at: Timestamp,
    /// Time of its settlement; `None`: the call is under way, or its engine died.
    pub ended_at: Option<Timestamp>,
    /// Whether its cost is known; otherwise `spend` has the reservation.
    pub has_cost: bool,
    /// Its cost and tokens.
    pub spend: Spend,
}

/// Sums over the calls of one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepSpend {
    /// Id of the step.
    pub step: String,
    pub spend: Spend,
}

/// Tokens and cost, summed over calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spend {
    pub calls: u64,
    /// Their cost in picodollars; a call of unknown cost counts with its reservation.
    pub cost: u64,
    /// Input tokens, without those of the cache.
    pub input_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// Input tokens that the API had cached.
    pub cache_read_tokens: u64,
    /// Input tokens that the API put into its cache.
    pub cache_write_tokens: u64,
}

/// Tokens of a call's usage, by kind.
const TOKEN_KINDS: [&str; 4] =
    ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];

struct Reserve(NewCall);

/// Facts, with text of the attempt's log.
struct Append(NewFacts, Option<(Claim, Vec<LogPiece>)>);

struct Prune(Timestamp);

/// The columns of [`Spend`], of `claude_call c`.
pub(super) const SUMS: &str = "COUNT(*), \
    CAST(COALESCE(SUM(COALESCE(c.cost, c.reserved)), 0) AS BIGINT), \
    CAST(COALESCE(SUM(c.input_tokens), 0) AS BIGINT), \
    CAST(COALESCE(SUM(c.output_tokens), 0) AS BIGINT), \
    CAST(COALESCE(SUM(c.cache_read_tokens), 0) AS BIGINT), \
    CAST(COALESCE(SUM(c.cache_write_tokens), 0) AS BIGINT)";

impl Claude<'_> {
    /// Reserves the amount of a call in all its budgets, or in none.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn reserve_call(self, call: NewCall) -> Result<Reserved, Error> {
        self.store.write(Reserve(call)).await
    }

    /// Spending of a run, by step.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn spend_of(self, run: &RunId) -> Result<Vec<StepSpend>, Error> {
        let text = format!(
            "SELECT c.step_id, {SUMS} FROM claude_call c WHERE c.run_id = $1 \
             GROUP BY c.step_id ORDER BY c.step_id"
        );
        let rows = self.store.read(Statement::new(text, vec![run.as_str().into()])).await?;
        rows.iter()
            .map(|row| Ok(StepSpend { step: row.text(0)?, spend: Spend::of(row, 1)? }))
            .collect()
    }

    /// Calls of a run in the order of their reservations, at most so many.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn calls_of(self, run: &RunId, most: u32) -> Result<Vec<CallRow>, Error> {
        let text = "SELECT id, attempt_id, model, begun_at, ended_at, \
                    CASE WHEN cost IS NULL THEN 0 ELSE 1 END, CAST(1 AS BIGINT), \
                    COALESCE(cost, reserved), COALESCE(input_tokens, 0), COALESCE(output_tokens, 0), \
                    COALESCE(cache_read_tokens, 0), COALESCE(cache_write_tokens, 0) \
                    FROM claude_call WHERE run_id = $1 ORDER BY begun_at, id LIMIT $2";
        let args = vec![run.as_str().into(), most.into()];
        let rows = self.store.read(Statement::new(text, args)).await?;
        let call = |row: &Row| {
            Ok(CallRow {
                id: row.text(0)?,
                attempt: AttemptId::new(row.text(1)?),
                model: row.text(2)?,
                begun_at: row.time(3)?,
                ended_at: row.opt_time(4)?,
                has_cost: row.count(5)? > 0,
                spend: Spend::of(row, 6)?,
            })
        };
        rows.iter().map(call).collect()
    }

    /// The sums of a budget; zero if there is no such budget.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn spent(self, scope: &str) -> Result<Spent, Error> {
        let text = "SELECT amount, reserved FROM spend WHERE scope = $1";
        let row = self.store.read_one(Statement::new(text, vec![scope.into()])).await?;
        row.map_or(Ok(Spent::default()), |row| Spent::of(&row, 0))
    }

    /// Deletes the sums of periods that ended before a time.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn prune_spend(self, ended_before: Timestamp) -> Result<(), Error> {
        self.store.write(Prune(ended_before)).await
    }
}

impl Transcripts<'_> {
    /// Appends to a transcript. `false`: the numbers are taken by the current driver of the
    /// attempt.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn append(self, facts: NewFacts) -> Result<bool, Error> {
        self.store.write(Append(facts, None)).await
    }

    /// The same with text of the attempt's log, if the claim still holds the attempt.
    pub(crate) async fn append_with_text(
        self,
        facts: NewFacts,
        text: (Claim, Vec<LogPiece>),
    ) -> Result<bool, Error> {
        let text = Some(text).filter(|(_, texts)| !texts.is_empty());
        self.store.write(Append(facts, text)).await
    }

    /// The facts of an attempt, in order.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn of(self, attempt: &AttemptId) -> Result<Vec<Json>, Error> {
        let text = "SELECT fact FROM transcript WHERE attempt_id = $1 ORDER BY seq";
        let rows = self.store.read(Statement::new(text, vec![attempt.as_str().into()])).await?;
        rows.iter().map(|row| row.json(0)).collect()
    }
}

// === impl Spend ===

impl Spend {
    /// Spending of the runs of a list of placeholders: id, then the columns of [`SUMS`].
    pub(crate) fn by_run(list: &str) -> String {
        format!(
            "SELECT c.run_id, {SUMS} FROM claude_call c WHERE c.run_id IN ({list}) GROUP BY c.run_id"
        )
    }

    /// Reads the columns of [`SUMS`] from the column `first` on.
    pub(crate) fn of(row: &Row, first: usize) -> Result<Self, Error> {
        Ok(Self {
            calls: row.count(first)?,
            cost: row.count(first + 1)?,
            input_tokens: row.count(first + 2)?,
            output_tokens: row.count(first + 3)?,
            cache_read_tokens: row.count(first + 4)?,
            cache_write_tokens: row.count(first + 5)?,
        })
    }

    /// The sums over both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            cost: self.cost.saturating_add(other.cost),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(other.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
        }
    }
}

// === impl NewCall ===

impl NewCall {
    const fn amount_in(&self, unit: SpendUnit) -> u64 {
        match unit {
            SpendUnit::Money => self.amount,
            SpendUnit::Tokens => self.tokens,
        }
    }
}

// === impl Spent ===

impl Spent {
    fn of(row: &Row, first: usize) -> Result<Self, Error> {
        let (amount, reserved) = (row.count(first)?, row.count(first + 1)?);
        Ok(Self { spent: amount.saturating_sub(reserved), reserved })
    }

    /// Spending and reservations together: what counts against a limit.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.spent.saturating_add(self.reserved)
    }
}

// === impl SpendScope ===

impl SpendScope {
    /// Makes its row, if there is none.
    fn row(&self) -> Statement {
        match &self.life {
            SpendLife::Run(run) => Statement::new(
                "INSERT INTO spend (scope, run_id, amount) \
                 SELECT $1, id, 0 FROM run WHERE id = $2 ON CONFLICT DO NOTHING",
                vec![self.name.as_str().into(), run.as_str().into()],
            ),
            SpendLife::Until(ends_at) => Statement::new(
                "INSERT INTO spend (scope, amount, ends_at) VALUES ($1, 0, $2) \
                 ON CONFLICT DO NOTHING",
                vec![self.name.as_str().into(), (*ends_at).into()],
            ),
        }
    }
}

impl Op for Reserve {
    type Out = Reserved;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Reserved, Error> {
        let call = &self.0;
        // In the order of their names, or two calls at once could wait for one another. Empty budgets
        // are harmless: a refusal may leave them behind.
        let mut by_name: Vec<&SpendScope> = call.scopes.iter().collect();
        by_name.sort_by(|one, other| one.name.cmp(&other.name));
        tx.write_all(by_name.into_iter().map(SpendScope::row).collect());
        tx.flush().await?;
        let rows = tx.fetch(locked(tx.dialect(), &names(&call.scopes))).await?;
        let sums = rows.iter().map(|row| Ok((row.text(0)?, Spent::of(row, 1)?)));
        let sums = sums.collect::<Result<HashMap<_, _>, Error>>()?;
        for scope in &call.scopes {
            let (Some(limit), Some(spent)) = (scope.limit, sums.get(&scope.name)) else { continue };
            if spent.total().saturating_add(call.amount_in(scope.unit)) > limit {
                return Ok(Reserved::No { scope: scope.name.clone(), limit, spent: *spent });
            }
        }
        let (amount, tokens) = (signed(call.amount), signed_tokens(call.tokens));
        let of_money = names_of(&call.scopes, SpendUnit::Money);
        let of_tokens = names_of(&call.scopes, SpendUnit::Tokens);
        for (names, amount) in [(&of_money, amount), (&of_tokens, tokens)] {
            tx.write_all(add(names, amount, amount).into_iter().collect());
        }
        tx.write(Statement::new(
            "INSERT INTO claude_call (id, run_id, step_id, attempt_id, model, scopes, reserved, begun_at, \
             token_scopes, reserved_tokens) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            vec![
                call.id.as_str().into(),
                call.run.as_str().into(),
                call.step.as_str().into(),
                call.attempt.as_str().into(),
                call.model.as_str().into(),
                Arg::json(&of_money)?,
                amount.into(),
                call.at.into(),
                Arg::json(&of_tokens)?,
                tokens.into(),
            ],
        ));
        Ok(Reserved::Yes)
    }

    fn touched(&self, _: &Reserved) -> Shards {
        Shards::NONE
    }
}

impl Op for Prune {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let text = "DELETE FROM spend WHERE ends_at < $1";
        tx.write(Statement::new(text, vec![self.0.into()]));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Append {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let new = &self.0;
        let text = "SELECT COALESCE(MAX(seq), 0) FROM transcript WHERE attempt_id = $1";
        let row =
            tx.fetch_optional(Statement::new(text, vec![new.attempt.as_str().into()])).await?;
        let last = row.map_or(Ok(0), |row| row.count(0))?;
        if last + 1 != new.first {
            return Ok(false);
        }
        let mut text_writes = Vec::new();
        if let Some((claim, texts)) = &self.1 {
            let held = tx.fetch_optional(Held::lock(tx.dialect(), &claim.attempt)).await?;
            let held = held.map(|row| Held::from_row(&row, 0)).transpose()?.flatten();
            if let Some(mut held) = held.filter(|held| held.is_held_by(claim)) {
                text_writes = events::text_writes(&mut held, texts);
            }
        }
        let settled = match &new.settlement {
            Some(settlement) => settle(tx, settlement, new.at).await?,
            None => Vec::new(),
        };
        tx.write_all(settled);
        tx.write_all(text_writes);
        for (seq, fact) in (new.first..).zip(&new.facts) {
            tx.write(Statement::new(
                "INSERT INTO transcript (attempt_id, seq, run_id, at, fact) VALUES ($1, $2, $3, $4, $5)",
                vec![
                    new.attempt.as_str().into(),
                    Arg::count(seq),
                    new.run.as_str().into(),
                    new.at.into(),
                    Arg::json(fact)?,
                ],
            ));
        }
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::of(&self.0.run)
    }
}

/// The writes that settle a call; none if it was settled before.
async fn settle(
    tx: &mut Tx<'_>,
    settlement: &CallSettlement,
    at: Timestamp,
) -> Result<Vec<Statement>, Error> {
    let text = "SELECT reserved, scopes, reserved_tokens, COALESCE(token_scopes, '[]') \
                FROM claude_call WHERE id = $1 AND ended_at IS NULL";
    let id = Arg::from(settlement.call.as_str());
    let Some(row) = tx.fetch_optional(Statement::new(text, vec![id.clone()])).await? else {
        return Ok(Vec::new());
    };
    let (reserved, scopes): (u64, Vec<String>) = (row.count(0)?, row.json(1)?);
    let (reserved_tokens, token_scopes): (u64, Vec<String>) = (row.count(2)?, row.json(3)?);
    let count = |name: &str| {
        let tokens = settlement.usage.get(name).and_then(Json::as_u64);
        tokens.unwrap_or(0).min(MAX_TOKENS)
    };
    let used: u64 = TOKEN_KINDS.iter().map(|name| count(name)).sum();
    let tokens = |name: &str| Arg::count(count(name));
    let cost = settlement.cost.map(signed);
    let mut writes = vec![
        Statement::new(
            "UPDATE claude_call SET cost = $2, usage = $3, ended_at = $4, input_tokens = $5, \
             output_tokens = $6, cache_read_tokens = $7, cache_write_tokens = $8 \
             WHERE id = $1 AND ended_at IS NULL",
            vec![
                id,
                Arg::Int(cost),
                Arg::json(&settlement.usage)?,
                at.into(),
                tokens("input_tokens"),
                tokens("output_tokens"),
                tokens("cache_read_input_tokens"),
                tokens("cache_creation_input_tokens"),
            ],
        )
        .expect(1),
    ];
    if let Some(cost) = cost {
        // Budgets are locked in the order of their names, as when they were reserved.
        let all: Vec<String> = scopes.iter().chain(&token_scopes).cloned().collect();
        tx.fetch(locked(tx.dialect(), &all)).await?;
        let reserved = signed(reserved);
        writes.extend(add(&scopes, cost.saturating_sub(reserved), -reserved));
        let reserved = signed_tokens(reserved_tokens);
        writes.extend(add(&token_scopes, signed_tokens(used).saturating_sub(reserved), -reserved));
    }
    Ok(writes)
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount.min(MAX_CALL)).unwrap_or(i64::MAX)
}

fn signed_tokens(tokens: u64) -> i64 {
    i64::try_from(tokens.min(4 * MAX_TOKENS)).unwrap_or(i64::MAX)
}

fn names(scopes: &[SpendScope]) -> Vec<String> {
    scopes.iter().map(|scope| scope.name.clone()).collect()
}

fn names_of(scopes: &[SpendScope], unit: SpendUnit) -> Vec<String> {
    let of_unit = scopes.iter().filter(|scope| scope.unit == unit);
    of_unit.map(|scope| scope.name.clone()).collect()
}

/// Reads budgets; Postgres locks them until the end of the transaction, SQLite has one writer.
fn locked(dialect: Dialect, names: &[String]) -> Statement {
    let list = placeholders(1, names.len());
    let lock = if dialect == Dialect::Postgres { " FOR UPDATE" } else { "" };
    let text = format!(
        "SELECT scope, amount, reserved FROM spend WHERE scope IN ({list}) ORDER BY scope{lock}"
    );
    Statement::new(text, names.iter().map(|name| name.as_str().into()).collect())
}

/// Adds to both sums of budgets; nothing if there are none. An engine of before version 0030 reserves
/// without the second one.
fn add(names: &[String], amount: i64, reserved: i64) -> Option<Statement> {
    if names.is_empty() {
        return None;
    }
    let list = placeholders(3, names.len());
    let text = format!(
        "UPDATE spend SET amount = amount + $1, \
         reserved = CASE WHEN reserved + $2 > 0 THEN reserved + $2 ELSE 0 END \
         WHERE scope IN ({list})"
    );
    let args = [amount.into(), reserved.into()].into_iter();
    Some(Statement::new(text, args.chain(names.iter().map(|name| name.as_str().into())).collect()))
}

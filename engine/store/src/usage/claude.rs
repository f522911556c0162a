//! Transcripts of Claude steps, and the money they reserve and spend.
//!
//! Facts are JSON that only the executor understands; they come masked. Must not know a price or decide
//! which budgets there are.

use jiff::Timestamp;
use plue_plan::{AttemptId, RunId, StepId};
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    error::Error,
    op::Op,
    sql::{Arg, Dialect, Statement, Tx, placeholders},
    store::Store,
};

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
    /// The budgets it draws from.
    pub scopes: Vec<SpendScope>,
    /// Time at which the call starts.
    pub at: Timestamp,
}

/// A budget that calls draw from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendScope {
    /// Its name, unique in the database.
    pub name: String,
    /// Whether it goes with the run.
    pub of_run: bool,
    /// The most that may be spent, in picodollars; `None`: it is only counted.
    pub limit: Option<u64>,
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
        /// The rest of the budget, in picodollars.
        left: u64,
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

/// Sums over the calls of one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepSpend {
    /// Id of the step.
    pub step: String,
    /// Number of its calls.
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

struct Reserve(NewCall);

struct Append(NewFacts);

impl Store {
    /// Reserves the amount of a call in all its budgets, or in none.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn reserve_call(&self, call: NewCall) -> Result<Reserved, Error> {
        self.write(Reserve(call)).await
    }

    /// Appends to a transcript. `false`: the numbers are taken by the current driver of the
    /// attempt.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn append_transcript(&self, facts: NewFacts) -> Result<bool, Error> {
        self.write(Append(facts)).await
    }

    /// The facts of an attempt, in order.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn transcript(&self, attempt: &AttemptId) -> Result<Vec<Json>, Error> {
        let text = "SELECT fact FROM transcript WHERE attempt_id = $1 ORDER BY seq";
        let rows = self.read(Statement::new(text, vec![attempt.as_str().into()])).await?;
        rows.iter().map(|row| row.json(0)).collect()
    }

    /// Spending of a run, by step.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn spend_of(&self, run: &RunId) -> Result<Vec<StepSpend>, Error> {
        let text = "SELECT step_id, COALESCE(cost, reserved), usage FROM claude_call \
                    WHERE run_id = $1 ORDER BY step_id";
        let rows = self.read(Statement::new(text, vec![run.as_str().into()])).await?;
        let mut sums: Vec<StepSpend> = Vec::new();
        for row in &rows {
            let step = row.text(0)?;
            if sums.last().is_none_or(|last| last.step != step) {
                sums.push(StepSpend { step, ..StepSpend::default() });
            }
            let usage: Option<Json> = row.opt_json(2)?;
            let Some(sum) = sums.last_mut() else { continue };
            let tokens = |name: &str| usage.as_ref().and_then(|usage| usage.get(name)?.as_u64());
            sum.calls += 1;
            sum.cost = sum.cost.saturating_add(row.count(1)?);
            sum.input_tokens += tokens("input_tokens").unwrap_or(0);
            sum.output_tokens += tokens("output_tokens").unwrap_or(0);
            sum.cache_read_tokens += tokens("cache_read_input_tokens").unwrap_or(0);
            sum.cache_write_tokens += tokens("cache_creation_input_tokens").unwrap_or(0);
        }
        Ok(sums)
    }

    /// Spending and reservations of a budget, in picodollars.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn spent(&self, scope: &str) -> Result<u64, Error> {
        let text = "SELECT amount FROM spend WHERE scope = $1";
        let row = self.read_one(Statement::new(text, vec![scope.into()])).await?;
        row.map_or(Ok(0), |row| row.count(0))
    }
}

impl Op for Reserve {
    type Out = Reserved;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Reserved, Error> {
        let call = &self.0;
        // Empty budgets are harmless: a refusal may leave them behind.
        for scope in &call.scopes {
            let run = scope.of_run.then(|| call.run.as_str().to_owned());
            tx.write(Statement::new(
                "INSERT INTO spend (scope, run_id, amount) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
                vec![scope.name.as_str().into(), run.into()],
            ));
        }
        tx.flush().await?;
        for row in tx.fetch(locked(tx.dialect(), &names(&call.scopes))).await? {
            let (name, amount) = (row.text(0)?, row.count(1)?);
            let limit = call.scopes.iter().find(|scope| scope.name == name);
            if let Some(limit) = limit.and_then(|scope| scope.limit)
                && amount.saturating_add(call.amount) > limit
            {
                return Ok(Reserved::No { scope: name, left: limit.saturating_sub(amount) });
            }
        }
        tx.write(add(&names(&call.scopes), i64::try_from(call.amount).unwrap_or(i64::MAX)));
        tx.write(Statement::new(
            "INSERT INTO claude_call (id, run_id, step_id, attempt_id, model, scopes, reserved, begun_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            vec![
                call.id.as_str().into(),
                call.run.as_str().into(),
                call.step.as_str().into(),
                call.attempt.as_str().into(),
                call.model.as_str().into(),
                Arg::json(&names(&call.scopes))?,
                Arg::count(call.amount),
                call.at.into(),
            ],
        ));
        Ok(Reserved::Yes)
    }

    fn touched(&self, _: &Reserved) -> Shards {
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
        let settled = match &new.settlement {
            Some(settlement) => settle(tx, settlement, new.at).await?,
            None => Vec::new(),
        };
        tx.write_all(settled);
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
    let text = "SELECT reserved, scopes FROM claude_call WHERE id = $1 AND ended_at IS NULL";
    let id = Arg::from(settlement.call.as_str());
    let Some(row) = tx.fetch_optional(Statement::new(text, vec![id.clone()])).await? else {
        return Ok(Vec::new());
    };
    let (reserved, scopes): (u64, Vec<String>) = (row.count(0)?, row.json(1)?);
    let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let cost = settlement.cost.map(signed);
    let mut writes = vec![
        Statement::new(
            "UPDATE claude_call SET cost = $2, usage = $3, ended_at = $4 \
             WHERE id = $1 AND ended_at IS NULL",
            vec![id, Arg::Int(cost), Arg::json(&settlement.usage)?, at.into()],
        )
        .expect(1),
    ];
    if let Some(cost) = cost {
        // Budgets are locked in the order of their names, as when they were reserved.
        tx.fetch(locked(tx.dialect(), &scopes)).await?;
        writes.push(add(&scopes, cost.saturating_sub(signed(reserved))));
    }
    Ok(writes)
}

fn names(scopes: &[SpendScope]) -> Vec<String> {
    scopes.iter().map(|scope| scope.name.clone()).collect()
}

/// Reads budgets; Postgres locks them until the end of the transaction, SQLite has one writer.
fn locked(dialect: Dialect, names: &[String]) -> Statement {
    let list = placeholders(1, names.len());
    let lock = if dialect == Dialect::Postgres { " FOR UPDATE" } else { "" };
    let text =
        format!("SELECT scope, amount FROM spend WHERE scope IN ({list}) ORDER BY scope{lock}");
    Statement::new(text, names.iter().map(|name| name.as_str().into()).collect())
}

fn add(names: &[String], amount: i64) -> Statement {
    let list = placeholders(2, names.len());
    let text = format!("UPDATE spend SET amount = amount + $1 WHERE scope IN ({list})");
    let args = std::iter::once(Arg::from(amount));
    Statement::new(text, args.chain(names.iter().map(|name| name.as_str().into())).collect())
}

//! Plans by hash, and what evaluations gave.

use jiff::Timestamp;
use plue_plan::{PlanHash, canonical::HashedPlan};
use serde_json::Value as Json;

use crate::{
    changes::Shards,
    error::Error,
    handles::Plans,
    op::Op,
    sql::{Arg, Statement, Tx},
};

/// Result of an evaluation, for the same sources and context.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedPlans {
    /// The plans, in the order of the file.
    pub plans: Vec<PlanHash>,
    /// The facts that the evaluation read.
    pub read_set: Json,
}

/// Evaluations that are kept in the form of the planner; the oldest go first.
const MAX_EVALUATIONS: usize = 500;

struct PutEvaluation {
    key: String,
    entry: String,
    at: Timestamp,
}

struct PutPlan {
    hash: String,
    name: String,
    bytes: Vec<u8>,
    at: Timestamp,
}

struct PutCache {
    key: String,
    plans: String,
    read_set: String,
    at: Timestamp,
}

impl Plans<'_> {
    /// Stores a plan; a plan that is there already stays.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put(self, plan: &HashedPlan) -> Result<(), Error> {
        if self.has_plan(&plan.hash).await? {
            return Ok(());
        }
        self.store
            .write(PutPlan {
                hash: plan.hash.to_string(),
                name: plan.plan.name.clone(),
                bytes: plan.bytes.clone(),
                at: self.store.clock().now(),
            })
            .await
    }

    /// The canonical bytes of a plan.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn get(self, hash: &PlanHash) -> Result<Option<Vec<u8>>, Error> {
        let text = "SELECT canonical FROM plan WHERE hash = $1";
        let row = self.store.read_one(Statement::new(text, vec![hash.to_string().into()])).await?;
        row.map(|row| row.bytes(0)).transpose()
    }

    async fn has_plan(self, hash: &PlanHash) -> Result<bool, Error> {
        let text = "SELECT name FROM plan WHERE hash = $1";
        let row = self.store.read_one(Statement::new(text, vec![hash.to_string().into()])).await?;
        Ok(row.is_some())
    }

    /// Remembers what an evaluation gave. `key` covers everything that can change the answer.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn cache(self, key: &str, plans: &CachedPlans) -> Result<(), Error> {
        let hashes: Vec<String> = plans.plans.iter().map(ToString::to_string).collect();
        self.store
            .write(PutCache {
                key: key.to_owned(),
                plans: serde_json::to_string(&hashes).unwrap_or_default(),
                read_set: plans.read_set.to_string(),
                at: self.store.clock().now(),
            })
            .await
    }

    /// Cached plans of an evaluation. Absent also if the plans were deleted since with the last run
    /// that used them.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn cached(self, key: &str) -> Result<Option<CachedPlans>, Error> {
        let text = "SELECT plans, read_set FROM plan_cache WHERE key = $1";
        let Some(row) = self.store.read_one(Statement::new(text, vec![key.into()])).await? else {
            return Ok(None);
        };
        Ok(Some(CachedPlans { plans: row.json(0)?, read_set: row.json(1)? }))
    }
}

impl Plans<'_> {
    /// Keeps what an evaluation gave, as the text that the planner makes of it. `key` covers everything
    /// that is known before an evaluation; what else it depends on stands in the entry.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_evaluation(self, key: &str, entry: String) -> Result<(), Error> {
        self.store
            .write(PutEvaluation { key: key.to_owned(), entry, at: self.store.clock().now() })
            .await
    }

    /// Cached entry of an evaluation.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn evaluation(self, key: &str) -> Result<Option<String>, Error> {
        let text = "SELECT read_set FROM plan_cache WHERE key = $1 AND plans = '[]'";
        let row = self.store.read_one(Statement::new(text, vec![key.into()])).await?;
        row.map(|row| row.text(0)).transpose()
    }
}

impl Op for PutEvaluation {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write(Statement::new(
            "INSERT INTO plan_cache (key, plans, read_set, created_at, used_at) \
             VALUES ($1, '[]', $2, $3, $3) ON CONFLICT (key) DO UPDATE SET \
             plans = excluded.plans, read_set = excluded.read_set, used_at = excluded.used_at",
            vec![self.key.as_str().into(), self.entry.as_str().into(), self.at.into()],
        ));
        tx.flush().await?;
        // From the newest that is too many on.
        let text = format!(
            "DELETE FROM plan_cache WHERE used_at <= (SELECT used_at FROM plan_cache \
             ORDER BY used_at DESC LIMIT 1 OFFSET {MAX_EVALUATIONS})"
        );
        tx.write(Statement::new(text, Vec::new()));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for PutPlan {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write(Statement::new(
            "INSERT INTO plan (hash, name, canonical, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (hash) DO NOTHING",
            vec![
                self.hash.as_str().into(),
                self.name.as_str().into(),
                Arg::Bytes(self.bytes.clone()),
                self.at.into(),
            ],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for PutCache {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write(Statement::new(
            "INSERT INTO plan_cache (key, plans, read_set, created_at, used_at) \
             VALUES ($1, $2, $3, $4, $4) ON CONFLICT (key) DO UPDATE SET \
             plans = excluded.plans, read_set = excluded.read_set, used_at = excluded.used_at",
            vec![
                self.key.as_str().into(),
                self.plans.as_str().into(),
                self.read_set.as_str().into(),
                self.at.into(),
            ],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

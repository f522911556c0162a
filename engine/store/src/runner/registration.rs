//! Registered runners: one-time tokens, the row that a token makes, draining and removal.
//!
//! Must not see a token or a credential: only their hashes come here.

use jiff::Timestamp;
use plue_plan::{RunId, RunnerId};

use super::{RunnerKind, RunnerState, labels};
use crate::{
    changes::Shards,
    error::Error,
    fence,
    handles::Registrations,
    op::{Op, Plain},
    sql::{Arg, Row, Statement, Tx},
};

/// A token that registers one runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationToken {
    /// Public id, for the audit trail.
    pub id: String,
    /// SHA-256 of the token, lower-case hex.
    pub hash: String,
    /// The pool of the runner.
    pub pool: String,
    /// Labels that the runner gets, in addition to those that it names itself.
    pub labels: Vec<String>,
    /// Principal that made it.
    pub created_by: String,
    /// Time at which it was made.
    pub created_at: Timestamp,
    /// From then on it is refused.
    pub expires_at: Timestamp,
    /// Time of its one use.
    pub used_at: Option<Timestamp>,
}

/// A runner that shows a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRegistered {
    /// Id of the row that it becomes.
    pub id: RunnerId,
    /// Its name for people.
    pub name: String,
    /// Labels that the machine names itself.
    pub labels: Vec<String>,
    /// SHA-256 of its credential, lower-case hex.
    pub credential_hash: String,
}

/// The outcome of removing a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, and its credential is refused.
    Removed,
    /// It works for this run; nothing has changed.
    Busy(RunId),
    /// There is no such runner, or it is gone already.
    Unknown,
}

struct Use {
    hash: String,
    runner: NewRegistered,
    at: Timestamp,
}

struct Remove {
    id: RunnerId,
    at: Timestamp,
}

const COLUMNS: &str = "id, hash, pool, labels, created_by, created_at, expires_at, used_at";

impl Registrations<'_> {
    /// Stores a token.
    ///
    /// # Errors
    /// [`Error`] of the database, also if the id is taken.
    pub async fn create(self, token: &RegistrationToken) -> Result<(), Error> {
        let text =
            format!("INSERT INTO runner_token ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
        let args = vec![
            token.id.as_str().into(),
            token.hash.as_str().into(),
            token.pool.as_str().into(),
            Arg::json(&token.labels)?,
            token.created_by.as_str().into(),
            token.created_at.into(),
            token.expires_at.into(),
            token.used_at.into(),
        ];
        // Expired ones are of no use, used or not.
        let old = "DELETE FROM runner_token WHERE expires_at < $1";
        let old = Statement::new(old, vec![token.created_at.into()]);
        self.store.write(Plain(vec![old, Statement::new(text, args)])).await
    }

    /// Registers a runner with a token that is neither used nor expired; `None` for any other token. Of two
    /// at once with one token, one registers.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn register(
        self,
        token_hash: &str,
        runner: NewRegistered,
        at: Timestamp,
    ) -> Result<Option<RegistrationToken>, Error> {
        self.store.write(Use { hash: token_hash.to_owned(), runner, at }).await
    }

    /// The hash of a runner's credential; `None` for an unknown or removed runner.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn credential(self, id: &RunnerId) -> Result<Option<String>, Error> {
        let text = "SELECT token_hash FROM runner WHERE id = $1 AND state <> 'gone'";
        let row = self.store.read_one(Statement::new(text, vec![id.as_str().into()])).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Lets a runner finish its run and get no other, or takes that back. `false` for an unknown runner.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn drain(self, id: &RunnerId, draining: bool) -> Result<bool, Error> {
        let known = self.credential(id).await?.is_some();
        let text = "UPDATE runner SET draining = $2 WHERE id = $1 AND state <> 'gone'";
        let args = vec![id.as_str().into(), Arg::count(draining.into())];
        self.store.write(Plain(vec![Statement::new(text, args)])).await?;
        Ok(known)
    }

    /// Removes a runner that works for no run: its credential is refused from then on.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn remove(self, id: &RunnerId, at: Timestamp) -> Result<Removal, Error> {
        self.store.write(Remove { id: id.clone(), at }).await
    }
}

impl Op for Use {
    type Out = Option<RegistrationToken>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out, Error> {
        let lock = fence::lock(tx.dialect());
        let text = format!("SELECT {COLUMNS} FROM runner_token WHERE hash = $1{lock}");
        let row = tx.fetch_optional(Statement::new(text, vec![self.hash.as_str().into()])).await?;
        let Some(token) = row.map(|row| token(&row)).transpose()? else { return Ok(None) };
        if token.used_at.is_some() || token.expires_at <= self.at {
            return Ok(None);
        }
        let runner = &self.runner;
        let text = "UPDATE runner_token SET used_at = $2, runner_id = $3 \
                    WHERE id = $1 AND used_at IS NULL";
        let args = vec![token.id.as_str().into(), self.at.into(), runner.id.as_str().into()];
        tx.write(Statement::new(text, args).expect(1));
        let mut all = token.labels.clone();
        all.extend(runner.labels.iter().filter(|label| !token.labels.contains(label)).cloned());
        tx.write(Statement::new(
            "INSERT INTO runner (id, pool, token_hash, state, epoch, registered_at, seen_at, \
             state_since, kind, name, labels) \
             VALUES ($1, $2, $3, 'warming', 0, $4, $4, $4, $5, $6, $7)",
            vec![
                runner.id.as_str().into(),
                token.pool.as_str().into(),
                runner.credential_hash.as_str().into(),
                self.at.into(),
                RunnerKind::Registered.as_str().into(),
                runner.name.as_str().into(),
                Arg::json(&all)?,
            ],
        ));
        Ok(Some(RegistrationToken { labels: all, used_at: Some(self.at), ..token }))
    }

    fn touched(&self, _: &Self::Out) -> Shards {
        Shards::NONE
    }
}

impl Op for Remove {
    type Out = Removal;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Removal, Error> {
        let lock = fence::lock(tx.dialect());
        let text = format!("SELECT state, group_key FROM runner WHERE id = $1{lock}");
        let row = tx.fetch_optional(Statement::new(text, vec![self.id.as_str().into()])).await?;
        let Some(row) = row else { return Ok(Removal::Unknown) };
        let state: RunnerState = row.parse(0)?;
        if state == RunnerState::Gone {
            return Ok(Removal::Unknown);
        }
        if let Some(run) = row.opt_text(1)? {
            return Ok(Removal::Busy(RunId::new(run)));
        }
        let text = "UPDATE runner SET state = 'gone', state_since = $2, epoch = epoch + 1, \
                    reason = 'removed' WHERE id = $1 AND group_key IS NULL";
        tx.write(Statement::new(text, vec![self.id.as_str().into(), self.at.into()]).expect(1));
        Ok(Removal::Removed)
    }

    fn touched(&self, _: &Removal) -> Shards {
        Shards::NONE
    }
}

fn token(row: &Row) -> Result<RegistrationToken, Error> {
    Ok(RegistrationToken {
        id: row.text(0)?,
        hash: row.text(1)?,
        pool: row.text(2)?,
        labels: labels(&row.text(3)?)?,
        created_by: row.text(4)?,
        created_at: row.time(5)?,
        expires_at: row.time(6)?,
        used_at: row.opt_time(7)?,
    })
}

//! The life of a runner's row: registered, in session, seen, gone.

use jiff::Timestamp;
use plue_plan::{RunId, RunnerId};

use super::{RunnerKind, RunnerState};
use crate::{
    attempt::AttemptRow,
    changes::Shards,
    error::Error,
    fence,
    handles::Runners,
    op::Op,
    sql::{Arg, Statement, Tx, placeholders},
};

struct Register {
    id: RunnerId,
    pool: String,
    token_hash: String,
    group: Option<RunId>,
    at: Timestamp,
}

struct Hello {
    id: RunnerId,
    token_hash: String,
    boot: String,
    at: Timestamp,
}

struct Move {
    id: RunnerId,
    /// Only for this session.
    epoch: Option<u64>,
    to: RunnerState,
    reason: Option<String>,
    at: Timestamp,
}

struct Seen {
    runners: Vec<RunnerId>,
    at: Timestamp,
}

impl Runners<'_> {
    /// Makes the row of a runner that is about to be started: row first, process second. With a
    /// `group` it works for that run only.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn register<'a>(
        self,
        id: &RunnerId,
        pool: &str,
        token_hash: &str,
        group: impl Into<Option<&'a RunId>>,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.store
            .write(Register {
                id: id.clone(),
                pool: pool.to_owned(),
                token_hash: token_hash.to_owned(),
                group: group.into().cloned(),
                at,
            })
            .await
    }

    /// Opens a session; gives its epoch, one more than that of the session before, which is stale from
    /// now on.
    ///
    /// # Errors
    /// [`Error::UnknownRunner`] if the row is missing or gone, the token differs, or the process is
    /// not the one of the first session; [`Error`] of the database.
    pub async fn greet(
        self,
        id: &RunnerId,
        token_hash: &str,
        boot: &str,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let (token_hash, boot) = (token_hash.to_owned(), boot.to_owned());
        let epoch = self.store.write(Hello { id: id.clone(), token_hash, boot, at }).await?;
        epoch.ok_or_else(|| Error::UnknownRunner(id.clone()))
    }

    /// The session's self-checks passed; attempts may come. Returns whether the session is still
    /// the last one.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn ready(self, id: &RunnerId, epoch: u64, at: Timestamp) -> Result<bool, Error> {
        let to = RunnerState::Ready;
        self.store.write(Move { id: id.clone(), epoch: Some(epoch), to, reason: None, at }).await
    }

    /// The runner gets nothing new.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn draining(self, id: &RunnerId, at: Timestamp) -> Result<(), Error> {
        let to = RunnerState::Draining;
        self.store.write(Move { id: id.clone(), epoch: None, to, reason: None, at }).await?;
        Ok(())
    }

    /// Signs of life of many runners.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn seen(self, runners: Vec<RunnerId>, at: Timestamp) -> Result<(), Error> {
        if runners.is_empty() {
            return Ok(());
        }
        self.store.write(Seen { runners, at }).await
    }

    /// The runner does nothing more for its run: it will not come back, or is a registered machine, which is
    /// expected to greet again and then gets another run. Returns the attempts it had, which are lost: the
    /// caller passes them to the flow, and that decision ends or requeues them.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn gone(
        self,
        id: &RunnerId,
        reason: &str,
        at: Timestamp,
    ) -> Result<Vec<AttemptRow>, Error> {
        let (to, reason) = (RunnerState::Gone, Some(reason.to_owned()));
        self.store.write(Move { id: id.clone(), epoch: None, to, reason, at }).await?;
        // Nothing can be given to it any more, so that this list is complete.
        self.store.attempts().claims_of(id).await
    }
}

impl Op for Register {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        tx.write(Statement::new(
            "INSERT INTO runner (id, pool, token_hash, state, epoch, group_key, registered_at, \
             seen_at, state_since) VALUES ($1, $2, $3, 'warming', 0, $4, $5, $5, $5) \
             ON CONFLICT (id) DO NOTHING",
            vec![
                self.id.as_str().into(),
                self.pool.as_str().into(),
                self.token_hash.as_str().into(),
                self.group.as_ref().map(|run| run.as_str().to_owned()).into(),
                self.at.into(),
            ],
        ));
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

impl Op for Hello {
    type Out = Option<u64>;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<u64>, Error> {
        let text = format!(
            "SELECT state, token_hash, boot, epoch, kind, group_key FROM runner WHERE id = $1{}",
            fence::lock(tx.dialect())
        );
        let row = tx.fetch_optional(Statement::new(text, vec![self.id.as_str().into()])).await?;
        let Some(row) = row else { return Ok(None) };
        let state: RunnerState = row.parse(0)?;
        let (token_hash, boot, epoch) = (row.text(1)?, row.opt_text(2)?, row.count(3)? + 1);
        let kind: RunnerKind = row.parse(4)?;
        // Without a run it has nothing that the lost directory could have held.
        let may_change = kind == RunnerKind::Registered && row.opt_text(5)?.is_none();
        let same_boot = may_change || boot.is_none_or(|boot| boot == self.boot);
        let same = token_hash == self.token_hash && same_boot;
        if state == RunnerState::Gone || !same {
            return Ok(None);
        }
        tx.write(
            Statement::new(
                "UPDATE runner SET epoch = $2, boot = $3, seen_at = $4 WHERE id = $1",
                vec![
                    self.id.as_str().into(),
                    Arg::count(epoch),
                    self.boot.as_str().into(),
                    self.at.into(),
                ],
            )
            .expect(1),
        );
        Ok(Some(epoch))
    }

    fn touched(&self, _: &Option<u64>) -> Shards {
        Shards::NONE
    }
}

impl Move {
    /// Whether the row may go from one state to the other, or is there already.
    fn allowed(&self, from: RunnerState) -> bool {
        match self.to {
            RunnerState::Ready => {
                matches!(from, RunnerState::Warming | RunnerState::Ready | RunnerState::Claimed)
            }
            RunnerState::Draining => from != RunnerState::Gone,
            RunnerState::Gone => true,
            RunnerState::Warming | RunnerState::Claimed => false,
        }
    }
}

impl Move {
    /// The end of a registered runner's work for a run: its sessions are stale, it must greet again.
    fn back_to_warming(&self) -> Statement {
        Statement::new(
            "UPDATE runner SET state = 'warming', group_key = NULL, epoch = epoch + 1, \
             state_since = $2, reason = $3 WHERE id = $1",
            vec![self.id.as_str().into(), self.at.into(), self.reason.clone().into()],
        )
    }
}

impl Op for Move {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let lock = fence::lock(tx.dialect());
        let text = format!("SELECT state, epoch, kind FROM runner WHERE id = $1{lock}");
        let row = tx.fetch_optional(Statement::new(text, vec![self.id.as_str().into()])).await?;
        let Some(row) = row else { return Ok(false) };
        let from: RunnerState = row.parse(0)?;
        let epoch = row.count(1)?;
        if self.to == RunnerState::Gone && from != RunnerState::Gone {
            let kind: RunnerKind = row.parse(2)?;
            if kind == RunnerKind::Registered {
                tx.write(self.back_to_warming());
                return Ok(true);
            }
        }
        if !self.allowed(from) || self.epoch.is_some_and(|wanted| wanted != epoch) {
            return Ok(false);
        }
        // Back in session, it still works for its group.
        let stays = self.to == RunnerState::Ready && from == RunnerState::Claimed;
        if from != self.to && !stays {
            tx.write(Statement::new(
                "UPDATE runner SET state = $2, state_since = $3, seen_at = $3, reason = $4 \
                 WHERE id = $1",
                vec![
                    self.id.as_str().into(),
                    self.to.as_str().into(),
                    self.at.into(),
                    self.reason.clone().into(),
                ],
            ));
        }
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Seen {
    type Out = ();

    async fn run(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        for some in self.runners.chunks(256) {
            let list = placeholders(2, some.len());
            let text = format!("UPDATE runner SET seen_at = $1 WHERE id IN ({list})");
            let ids = some.iter().map(|id| Arg::from(id.as_str()));
            tx.write(Statement::new(text, std::iter::once(self.at.into()).chain(ids).collect()));
        }
        Ok(())
    }

    fn touched(&self, (): &()) -> Shards {
        Shards::NONE
    }
}

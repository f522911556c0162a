//! Runners that are pods: row first, pod second; every change is a compare-and-set.

use jiff::Timestamp;
use plue_plan::{RunId, RunnerId};

use crate::{
    changes::Shards,
    error::Error,
    fence,
    handles::Pods,
    op::Op,
    runner::{RunnerKind, RunnerState},
    sql::{Arg, Row, Statement, Tx},
};

/// A runner whose pod is about to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPodRunner {
    /// Id that its pod is named after.
    pub runner: RunnerId,
    /// Name of its pool.
    pub pool: String,
    /// The lease of the pool under which it is created.
    pub fence: u64,
    /// Hash of the template of its pod.
    pub template: String,
    /// Hash of its token.
    pub token_hash: String,
    /// Names that steps may ask for in addition to the pool's.
    pub labels: Vec<String>,
    /// Idle runners to reach.
    pub target: u32,
    /// Runners never to exceed.
    pub max: u32,
    /// Time of the change.
    pub at: Timestamp,
}

/// Whether a runner was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodCreated {
    /// Its pod may be created.
    Inserted,
    /// Another engine manages the pool.
    Fenced,
    /// Target or maximum is reached.
    Enough,
}

/// A row of a runner that is a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRunnerRow {
    /// Id that its pod is named after.
    pub runner: RunnerId,
    /// State of the runner, never gone.
    pub state: RunnerState,
    /// The run it works for.
    pub group: Option<RunId>,
    /// Uid of its pod, once known.
    pub pod_uid: Option<String>,
    /// Hash of the template of its pod.
    pub template: String,
    /// Time of the insertion.
    pub registered_at: Timestamp,
    /// Time of the last change of state.
    pub since: Timestamp,
    /// Last sign of life of its session.
    pub seen_at: Timestamp,
}

/// The end of a runner that is a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodGone {
    /// Id that its pod is named after.
    pub runner: RunnerId,
    /// Only while this is the recorded pod.
    pub pod_uid: Option<String>,
    /// Only while no run has it.
    pub unclaimed: bool,
    /// Cause, as `plue pool` shows it.
    pub reason: String,
    /// Time of the change.
    pub at: Timestamp,
}

struct Insert(NewPodRunner);

struct Bind {
    runner: RunnerId,
    uid: String,
}

struct Drain {
    runner: RunnerId,
    reason: String,
    at: Timestamp,
}

struct Gone(PodGone);

/// The row of a runner with that of its pod, locked.
struct Locked {
    state: RunnerState,
    claimed: bool,
    pod_uid: Option<String>,
}

impl Pods<'_> {
    /// Inserts a runner whose pod is created next: under the current lease of its pool only, and
    /// within the bounds, both checked in the same transaction.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn create(self, new: NewPodRunner) -> Result<PodCreated, Error> {
        self.store.write(Insert(new)).await
    }

    /// All runners of a pool that are not gone.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn list(self, pool: &str) -> Result<Vec<PodRunnerRow>, Error> {
        let text = "SELECT r.id, r.state, r.group_key, p.pod_uid, p.template, r.registered_at, \
                    r.state_since, r.seen_at FROM runner r JOIN runner_pod p ON p.runner_id = r.id \
                    WHERE r.pool = $1 AND r.state <> 'gone' ORDER BY r.id";
        let rows = self.store.read(Statement::new(text, vec![pool.into()])).await?;
        rows.iter().map(pod_row).collect()
    }

    /// Records the pod of a runner. `false`: it has another one, or is gone or unknown.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn bound(self, runner: &RunnerId, uid: &str) -> Result<bool, Error> {
        self.store.write(Bind { runner: runner.clone(), uid: uid.to_owned() }).await
    }

    /// Takes an idle runner out of service. `false`: a run has it, or it is out of service already.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn drain(
        self,
        runner: &RunnerId,
        reason: &str,
        at: Timestamp,
    ) -> Result<bool, Error> {
        self.store.write(Drain { runner: runner.clone(), reason: reason.to_owned(), at }).await
    }

    /// Marks a runner as gone if its row is still as the caller has seen it.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn gone(self, gone: PodGone) -> Result<bool, Error> {
        self.store.write(Gone(gone)).await
    }
}

impl Op for Insert {
    type Out = PodCreated;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<PodCreated, Error> {
        let Self(new) = self;
        let lock = fence::lock(tx.dialect());
        let text = format!("SELECT fence FROM pool_lease WHERE pool = $1{lock}");
        let lease = tx.fetch_optional(Statement::new(text, vec![new.pool.as_str().into()])).await?;
        let fence = lease.map(|row| row.count(0)).transpose()?;
        if fence != Some(new.fence) {
            return Ok(PodCreated::Fenced);
        }
        // The lock of the lease lets one transaction at a time count and insert.
        let text = "SELECT count(*), count(CASE WHEN state IN ('warming', 'ready') \
                    AND group_key IS NULL THEN 1 END) FROM runner \
                    WHERE pool = $1 AND state <> 'gone'";
        let row = tx.fetch_optional(Statement::new(text, vec![new.pool.as_str().into()])).await?;
        let (all, idle) = match row {
            Some(row) => (row.count(0)?, row.count(1)?),
            None => (0, 0),
        };
        if all >= u64::from(new.max) || idle >= u64::from(new.target) {
            return Ok(PodCreated::Enough);
        }
        let id = || Arg::from(new.runner.as_str());
        tx.write(Statement::new(
            "INSERT INTO runner (id, pool, token_hash, state, epoch, registered_at, seen_at, \
             state_since, kind, labels) VALUES ($1, $2, $3, 'warming', 0, $4, $4, $4, $5, $6)",
            vec![
                id(),
                new.pool.as_str().into(),
                new.token_hash.as_str().into(),
                new.at.into(),
                RunnerKind::Pod.as_str().into(),
                Arg::json(&new.labels)?,
            ],
        ));
        tx.write(Statement::new(
            "INSERT INTO runner_pod (runner_id, template, uses) VALUES ($1, $2, 0)",
            vec![id(), new.template.as_str().into()],
        ));
        Ok(PodCreated::Inserted)
    }

    fn touched(&self, _: &PodCreated) -> Shards {
        Shards::NONE
    }
}

impl Op for Bind {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let Some(row) = locked(tx, &self.runner).await? else { return Ok(false) };
        match row.pod_uid {
            Some(uid) => return Ok(uid == self.uid && row.state != RunnerState::Gone),
            None if row.state == RunnerState::Gone => return Ok(false),
            None => {}
        }
        let text = "UPDATE runner_pod SET pod_uid = $2 WHERE runner_id = $1 AND pod_uid IS NULL";
        let args = vec![self.runner.as_str().into(), self.uid.as_str().into()];
        tx.write(Statement::new(text, args).expect(1));
        Ok(true)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Drain {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let Some(row) = locked(tx, &self.runner).await? else { return Ok(false) };
        let idle = matches!(row.state, RunnerState::Warming | RunnerState::Ready) && !row.claimed;
        if idle {
            let to = RunnerState::Draining;
            let change = Change { from: row.state, to, reason: &self.reason, at: self.at };
            tx.write(change.of(&self.runner));
        }
        Ok(idle)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

impl Op for Gone {
    type Out = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let Self(gone) = self;
        let Some(row) = locked(tx, &gone.runner).await? else { return Ok(false) };
        let same = row.pod_uid == gone.pod_uid && !(gone.unclaimed && row.claimed);
        let ends = same && row.state != RunnerState::Gone;
        if ends {
            let to = RunnerState::Gone;
            let change = Change { from: row.state, to, reason: &gone.reason, at: gone.at };
            tx.write(change.of(&gone.runner));
        }
        Ok(ends)
    }

    fn touched(&self, _: &bool) -> Shards {
        Shards::NONE
    }
}

async fn locked(tx: &mut Tx<'_>, runner: &RunnerId) -> Result<Option<Locked>, Error> {
    let lock = fence::lock(tx.dialect());
    let text = format!(
        "SELECT r.state, r.group_key, p.pod_uid FROM runner r \
         JOIN runner_pod p ON p.runner_id = r.id WHERE r.id = $1{lock}"
    );
    let row = tx.fetch_optional(Statement::new(text, vec![runner.as_str().into()])).await?;
    row.map(|row| {
        Ok(Locked {
            state: row.parse(0)?,
            claimed: row.opt_text(1)?.is_some(),
            pod_uid: row.opt_text(2)?,
        })
    })
    .transpose()
}

/// The change of a locked row.
struct Change<'a> {
    from: RunnerState,
    to: RunnerState,
    reason: &'a str,
    at: Timestamp,
}

// === impl Change ===

impl Change<'_> {
    fn of(&self, runner: &RunnerId) -> Statement {
        let text = "UPDATE runner SET state = $3, reason = $4, state_since = $5 \
                    WHERE id = $1 AND state = $2";
        let (from, to) = (self.from.as_str(), self.to.as_str());
        let args = vec![
            runner.as_str().into(),
            from.into(),
            to.into(),
            self.reason.into(),
            self.at.into(),
        ];
        Statement::new(text, args).expect(1)
    }
}

fn pod_row(row: &Row) -> Result<PodRunnerRow, Error> {
    Ok(PodRunnerRow {
        runner: RunnerId::new(row.text(0)?),
        state: row.parse(1)?,
        group: row.opt_text(2)?.map(RunId::new),
        pod_uid: row.opt_text(3)?,
        template: row.text(4)?,
        registered_at: row.time(5)?,
        since: row.time(6)?,
        seen_at: row.time(7)?,
    })
}

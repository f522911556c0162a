//! The manager of one pool: reads rows, then pods, decides, and carries the actions out.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use plue_plan::RunnerId;
use plue_runtime::{Clock, Ids};
use plue_store::{
    RunnerState, Store,
    pool::{NewPodRunner, NewPool, PodCreated, PodGone, PodRunnerRow, PoolKind},
    runner::UNTRUSTED_LABEL,
};
use sha2::{Digest as _, Sha256};

use crate::{
    api::{ApiError, Deleted, PodApi},
    machine::{Action, Decision, Demand, Memory, PodUid, PoolSpec, RowView, Snapshot, decide},
};

/// Time between two passes.
pub const PASS_INTERVAL: Duration = Duration::from_secs(1);
/// Window in which arrivals of runs are counted.
const ARRIVAL_WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// Time from the creation of a pod to a ready runner, assumed.
const REFILL: SignedDuration = SignedDuration::from_secs(5);

/// Identity of a pool and its manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerOptions {
    /// Name of the pool.
    pub pool: String,
    /// The registered engine that manages it.
    pub engine: String,
    /// Settings from the configuration; operators may change sizes in the store.
    pub spec: PoolSpec,
    /// Names that steps may ask for in addition to the pool's.
    pub labels: Vec<String>,
    /// The settings as JSON, for people.
    pub shown: String,
}

/// Result of one pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// Another engine manages the pool, or the store has no such pool.
    NotLeading,
    /// Actions were carried out.
    Done(Box<Decision>),
}

/// Manages one pool. Holds no truth: a new one on the same store and API server continues.
#[derive(Debug)]
pub struct Manager {
    options: ManagerOptions,
    store: Store,
    api: Arc<dyn PodApi>,
    clock: Clock,
    ids: Ids,
    memory: Memory,
}

/// The tools of a manager.
#[derive(Debug, Clone)]
pub struct ManagerTools {
    /// Database of rows and leases.
    pub store: Store,
    /// Pods of the pool.
    pub api: Arc<dyn PodApi>,
    /// Source of all times.
    pub clock: Clock,
    /// Ids of new runners.
    pub ids: Ids,
}

// === impl Manager ===

impl Manager {
    /// A manager that has done nothing yet.
    #[must_use]
    pub fn new(options: ManagerOptions, tools: ManagerTools) -> Self {
        let ManagerTools { store, api, clock, ids } = tools;
        Self { options, store, api, clock, ids, memory: Memory::default() }
    }

    /// Name of the pool.
    #[must_use]
    pub fn pool(&self) -> &str {
        &self.options.pool
    }

    /// Whether its runners have all these names.
    #[must_use]
    pub fn answers_to(&self, names: &[String]) -> bool {
        let ManagerOptions { pool, labels, .. } = &self.options;
        // Only runs that ask for them by this label get pods for untrusted runs.
        let is_fit = has(labels, UNTRUSTED_LABEL) == has(names, UNTRUSTED_LABEL);
        is_fit && names.iter().all(|name| name == pool || has(labels, name))
    }

    /// The engine has another registration.
    pub fn lead_as(&mut self, engine: &str) {
        if self.options.engine != engine {
            engine.clone_into(&mut self.options.engine);
        }
    }

    /// Records the settings of the pool.
    ///
    /// # Errors
    /// [`plue_store::Error`] of the database.
    pub async fn publish(&self) -> Result<(), plue_store::Error> {
        let ManagerOptions { pool, spec, shown, .. } = &self.options;
        self.store
            .pools()
            .put(NewPool {
                name: pool.clone(),
                kind: PoolKind::Kubernetes,
                spec: shown.clone(),
                template: spec.template.clone(),
                at: self.clock.now(),
            })
            .await
    }

    /// One pass, with so many runs that wait for a runner of the pool: confirm the lease, read rows, list pods, decide, act.
    ///
    /// # Errors
    /// [`plue_store::Error`] of the database. Errors of the API server are logged, and end nothing.
    pub async fn pass(&mut self, waiting: u32) -> Result<Pass, plue_store::Error> {
        let pool = self.options.pool.clone();
        let Some(fence) = self.store.pools().lead(&pool, &self.options.engine).await? else {
            self.memory = Memory::default();
            return Ok(Pass::NotLeading);
        };
        let Some(spec) = self.spec().await? else { return Ok(Pass::NotLeading) };
        let now = self.clock.now();
        let since = now.saturating_sub(ARRIVAL_WINDOW).unwrap_or(now);
        let arrivals = self.store.pools().arrivals(&pool, since).await?;
        let demand =
            Demand { waiting, coming: 0, arrivals, window: ARRIVAL_WINDOW, refill: REFILL };
        // Rows before pods: only then is a missing pod one that has gone.
        let rows: Vec<_> = self.store.pods().list(&pool).await?.into_iter().map(view).collect();
        let pods = self.api.list().await;
        if let Err(error) = &pods {
            tracing::warn!(%pool, %error, "failed to list pods; the next pass tries again");
        }
        let pods = pods.ok();
        let snapshot = Snapshot { rows: &rows, pods: pods.as_deref(), demand, now };
        let decision = decide(&spec, &self.memory, snapshot);
        self.memory = decision.memory.clone();
        self.store.pools().set_degraded(&pool, decision.degraded.as_deref()).await?;
        for action in &decision.actions {
            self.act(&spec, fence, action).await?;
        }
        Ok(Pass::Done(Box::new(decision)))
    }

    /// The configured settings with the changes of operators.
    async fn spec(&self) -> Result<Option<PoolSpec>, plue_store::Error> {
        let pools = self.store.pools().list().await?;
        let row = pools.into_iter().find(|row| row.name == self.options.pool);
        Ok(row.map(|row| {
            let mut spec = self.options.spec.clone();
            spec.draining |= row.draining;
            spec.size.min_idle = row.min_idle.unwrap_or(spec.size.min_idle);
            spec.size.max = row.max.unwrap_or(spec.size.max);
            spec
        }))
    }

    async fn act(
        &mut self,
        spec: &PoolSpec,
        fence: u64,
        action: &Action,
    ) -> Result<(), plue_store::Error> {
        let now = self.clock.now();
        match action {
            Action::Create { target, max } => self.create(spec, fence, *target, *max).await?,
            Action::CreatePod { runner } => self.create_pod(runner).await?,
            Action::Bind { runner, uid } => {
                self.store.pods().bound(runner, &uid.0).await?;
            }
            Action::Drain { runner, reason } => {
                self.store.pods().drain(runner, reason, now).await?;
            }
            Action::Gone { runner, uid, unclaimed, reason } => {
                let (runner, reason) = (runner.clone(), reason.clone());
                let pod_uid = uid.as_ref().map(|uid| uid.0.clone());
                let gone = PodGone { runner, pod_uid, unclaimed: *unclaimed, reason, at: now };
                self.store.pods().gone(gone).await?;
            }
            Action::Delete { name, uid } => self.delete(name, uid).await,
            Action::Collect { runner, name, uid, old } => {
                // Read again: the snapshot may be older than the row.
                let is_orphan = match self.store.runners().get(runner).await? {
                    Some(row) => row.state == RunnerState::Gone,
                    None => *old,
                };
                if is_orphan {
                    self.delete(name, uid).await;
                }
            }
        }
        Ok(())
    }

    async fn create(
        &mut self,
        spec: &PoolSpec,
        fence: u64,
        target: u32,
        max: u32,
    ) -> Result<(), plue_store::Error> {
        let runner = self.ids.runner();
        // A pod authenticates with its service account: this token is known to nothing.
        let token_hash = hex::encode(Sha256::digest(self.ids.secret().as_bytes()));
        let new = NewPodRunner {
            runner: runner.clone(),
            pool: self.options.pool.clone(),
            fence,
            template: spec.template.clone(),
            token_hash,
            labels: self.options.labels.clone(),
            target,
            max,
            at: self.clock.now(),
        };
        match self.store.pods().create(new).await? {
            PodCreated::Inserted => self.create_pod(&runner).await,
            PodCreated::Fenced | PodCreated::Enough => Ok(()),
        }
    }

    async fn create_pod(&mut self, runner: &RunnerId) -> Result<(), plue_store::Error> {
        match self.api.create(runner).await {
            Ok(uid) => {
                self.store.pods().bound(runner, &uid.0).await?;
            }
            Err(ApiError::Unavailable(reason)) => {
                tracing::warn!(%runner, reason, "failed to create a pod; the next pass tries again");
            }
            Err(error @ (ApiError::Refused(_) | ApiError::NameTaken(_))) => {
                let reason = error.to_string();
                tracing::warn!(%runner, reason, "failed to create a pod");
                self.memory.backoff.fail(self.clock.now(), reason.clone());
                let (runner, at) = (runner.clone(), self.clock.now());
                let gone = PodGone { runner, pod_uid: None, unclaimed: true, reason, at };
                self.store.pods().gone(gone).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, name: &str, uid: &PodUid) {
        match self.api.delete(name, uid).await {
            Ok(Deleted::Accepted | Deleted::Missing | Deleted::OtherPod) => {}
            Err(error) => {
                tracing::warn!(name, %error, "failed to delete a pod; the next pass tries again");
            }
        }
    }
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|one| one == name)
}

fn view(row: PodRunnerRow) -> RowView {
    RowView {
        runner: row.runner,
        state: row.state,
        claimed: row.group.is_some(),
        pod: row.pod_uid.map(PodUid),
        template: row.template,
        registered_at: row.registered_at,
        since: row.since,
        seen_at: row.seen_at,
    }
}

//! Pools of pods: one pass of each manager a second, and the proof that a pod is the runner of a row.
//!
//! Must not decide how many pods there are (the managers do) or which run has one (the store does).

use std::time::Duration;

use plue_executor::Engine;
use plue_login::{
    Error as LoginError, WorkloadVerifier,
    workload::{Fetching, KeySource},
};
use plue_pool::fleet::{Admit, Admitting, Denied, Fleet};
use plue_pool_kube::{
    Cluster,
    pod::{self, TOKEN_AUDIENCE},
    reconciler::{Manager, PASS_INTERVAL, Pass},
};
use plue_runtime::{Clock, Phase, Stop, metrics::names};
use plue_store::{RunnerKind, RunnerRow, Store, pool::RunnerDemand};
use plue_wire::runner::{CloseCode, Hello};
use tokio::sync::OnceCell;

use crate::error::Error;

/// Time after a failed pass.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Time for which a stopping engine reads the pools once more.
const LAST_REPORT_WITHIN: Duration = Duration::from_secs(2);

/// The pools of one engine. It manages those whose lease it has.
#[derive(Debug)]
pub struct Pods {
    tools: PodTools,
    managers: Vec<Manager>,
    /// As it was reported last.
    reported: Option<Vec<RunnerDemand>>,
}

/// The tools of [`Pods`].
#[derive(Debug)]
pub struct PodTools {
    /// Database of rows and demand.
    pub store: Store,
    /// Source of all times.
    pub clock: Clock,
    /// The engine whose runs ask for runners.
    pub engine: Engine,
    /// The connections of runners.
    pub fleet: Fleet,
}

/// The proof of a pod: the token that its cluster projected into it.
#[derive(Debug)]
pub struct PodIdentity {
    store: Store,
    clock: Clock,
    cluster: Cluster,
    namespace: String,
    service_account: String,
    /// Made at the first greeting: the API server may not answer at the start of an engine.
    verifier: OnceCell<WorkloadVerifier>,
}

/// The keys of a cluster's tokens, from its API server.
#[derive(Debug)]
struct ClusterKeys(Cluster);

// === impl Pods ===

impl Pods {
    /// Pools in the order in which they take over runs that several of them could serve.
    #[must_use]
    pub fn new(tools: PodTools, managers: Vec<Manager>) -> Self {
        Self { tools, managers, reported: None }
    }

    /// Manages the pools until the server drains; another engine continues then.
    pub async fn work(mut self, stop: Stop) {
        let mut is_published = false;
        loop {
            let passed = self.round(&mut is_published).await;
            let pause = match passed {
                Ok(()) => PASS_INTERVAL,
                Err(error) => {
                    tracing::warn!(%error, "failed to manage pools; retrying");
                    RETRY_AFTER
                }
            };
            tokio::select! {
                () = stop.reached(Phase::Draining) => break,
                () = self.tools.clock.sleep(pause) => {}
            }
        }
        let _too_late = tokio::time::timeout(LAST_REPORT_WITHIN, self.withdraw()).await;
    }

    async fn round(&mut self, is_published: &mut bool) -> Result<(), Error> {
        if !*is_published {
            for manager in &self.managers {
                manager.publish().await?;
            }
            *is_published = true;
        }
        let engine = self.tools.engine.id().await?;
        self.report(&engine).await?;
        let demand = self.tools.store.demand().list().await?;
        let waiting = shares(&self.managers, &demand);
        for (manager, waiting) in self.managers.iter_mut().zip(waiting) {
            manager.lead_as(&engine);
            let pass = manager.pass(waiting).await?;
            measure(manager.pool(), waiting, &pass);
        }
        Ok(())
    }

    /// Stores the demand of this engine's runs, if it has changed.
    async fn report(&mut self, engine: &str) -> Result<(), Error> {
        let demand: Vec<RunnerDemand> = self
            .tools
            .fleet
            .demand()
            .into_iter()
            .map(|(selector, waiting)| RunnerDemand {
                names: selector.names().map(str::to_owned).collect(),
                waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            })
            .collect();
        if self.reported.as_ref() != Some(&demand) {
            self.tools.store.demand().report(engine, demand.clone()).await?;
            self.reported = Some(demand);
        }
        Ok(())
    }

    /// The runs of this engine go to others, which report them.
    async fn withdraw(&mut self) {
        let Ok(engine) = self.tools.engine.id().await else { return };
        if let Err(error) = self.tools.store.demand().report(&engine, Vec::new()).await {
            tracing::debug!(%error, "failed to withdraw the demand for runners");
        }
    }
}

/// The number of waiting runs for each pool: a run counts for the first pool that could serve it.
fn shares(managers: &[Manager], demand: &[RunnerDemand]) -> Vec<u32> {
    let mut waiting = vec![0_u32; managers.len()];
    for one in demand {
        let first = managers.iter().position(|manager| manager.answers_to(&one.names));
        if let Some(count) = first.and_then(|at| waiting.get_mut(at)) {
            *count = count.saturating_add(one.waiting);
        }
    }
    waiting
}

/// Notes the state of a pool that this engine manages.
fn measure(pool: &str, waiting: u32, pass: &Pass) {
    let Pass::Done(decision) = pass else { return };
    for (gauge, value) in [
        (names::POOL_IDLE, decision.idle),
        (names::POOL_TARGET, decision.target),
        (names::POOL_WAITING_RUNS, waiting),
        (names::POOL_DEGRADED, u32::from(decision.degraded.is_some())),
    ] {
        gauge.set_of(f64::from(value), "pool", pool);
    }
    for (class, count) in &decision.drift {
        names::POOL_DRIFT.add(u64::from(*count), &[("class", class.as_str())]);
    }
}

// === impl PodIdentity ===

impl PodIdentity {
    /// Pods of this namespace and service account.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        cluster: Cluster,
        namespace: String,
        service_account: String,
    ) -> Self {
        Self { store, clock, cluster, namespace, service_account, verifier: OnceCell::new() }
    }

    async fn check(&self, row: &RunnerRow, hello: &Hello) -> Result<(), Denied> {
        let busy = |reason: String| {
            tracing::warn!(runner = %row.id, reason, "failed to check the token of a pod");
            Denied {
                code: CloseCode::Overload,
                reason: "its token cannot be checked now".to_owned(),
            }
        };
        let wrong = |reason: &str| Denied { code: CloseCode::Auth, reason: reason.to_owned() };
        let verifier = self.verifier.get_or_try_init(|| self.open()).await;
        let verifier = verifier.map_err(|error| busy(error.to_string()))?;
        let workload = match verifier.verify(&hello.token).await {
            Ok(workload) => workload,
            Err(error @ LoginError::Token(_)) => return Err(wrong(&error.to_string())),
            Err(error) => return Err(busy(error.to_string())),
        };
        let is_ours = workload.namespace == self.namespace
            && workload.service_account == self.service_account
            && workload.pod == pod::name(&row.id);
        if !is_ours {
            return Err(wrong("its token is that of another pod"));
        }
        match self.store.pods().bound(&row.id, &workload.uid).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let reason = "the runner has another pod, or is gone".to_owned();
                Err(Denied { code: CloseCode::Unknown, reason })
            }
            Err(error) => Err(busy(error.to_string())),
        }
    }

    async fn open(&self) -> Result<WorkloadVerifier, plue_pool_kube::ApiError> {
        let issuer = self.cluster.issuer().await?;
        let keys = Box::new(ClusterKeys(self.cluster.clone()));
        Ok(WorkloadVerifier::new(issuer, TOKEN_AUDIENCE.to_owned(), keys, self.clock))
    }
}

impl Admit for PodIdentity {
    fn admit<'a>(&'a self, row: &'a RunnerRow, hello: &'a Hello) -> Admitting<'a> {
        Box::pin(async move {
            match row.kind {
                RunnerKind::Pod => Some(self.check(row, hello).await),
                RunnerKind::Process | RunnerKind::Registered => None,
            }
        })
    }
}

impl KeySource for ClusterKeys {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async move {
            let keys = self.0.keys().await;
            let keys = keys.map_err(|error| LoginError::BadAnswer {
                what: "its keys",
                why: error.to_string(),
            })?;
            Ok(keys.into_bytes())
        })
    }
}

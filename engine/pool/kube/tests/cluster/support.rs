//! A store, a manager and an API server, and the invariants that hold between them.

use std::{path::Path, sync::Arc};

use jiff::SignedDuration;
use plue_plan::{RunId, RunnerId};
use plue_pool_kube::{
    Cluster, KubePods, Limits, Placement, PodApi, PodTemplate,
    machine::{Decision, PoolSpec, Size, Strategy},
    reconciler::{Manager, ManagerOptions, ManagerTools, Pass},
};
use plue_runtime::{Clock, Ids};
use plue_store::{
    NewEngine, Store, StoreOptions,
    pool::{PodRunnerRow, TakeWarm},
};

pub(crate) const POOL: &str = "warm";

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) pods: KubePods,
    _folder: tempfile::TempDir,
}

pub(crate) fn template(image: &str, pool: &str) -> PodTemplate {
    PodTemplate {
        pool: pool.to_owned(),
        instance: "test".to_owned(),
        image: image.to_owned(),
        runner_image: None,
        engine_url: "ws://10.251.0.1:1".to_owned(),
        service_account: None,
        limits: Limits {
            cpu: "100m".to_owned(),
            memory: "64Mi".to_owned(),
            ephemeral_storage: "64Mi".to_owned(),
        },
        placement: Placement::default(),
    }
}

// === impl World ===

impl World {
    pub(crate) async fn new(kubeconfig: &Path, namespace: &str, template: PodTemplate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::sqlite(&folder.path().join("plue.db"));
        let store = Store::open(options).await.unwrap();
        let cluster = Cluster::open(Some(kubeconfig), namespace, "plue-owner").await.unwrap();
        Self { store, pods: cluster.pods(template), _folder: folder }
    }

    /// A manager of a registered engine.
    pub(crate) async fn manager(&self, engine: &str, min_idle: u32) -> Manager {
        let text = |text: &str| text.to_owned();
        let new = NewEngine {
            id: text(engine),
            host: text("host"),
            pid: 1,
            version: text("1"),
            place: String::new(),
            at: Clock::real().now(),
        };
        self.store.engines().start(new).await.unwrap();
        let size = Size { min_idle, max: 4, cooldown: SignedDuration::ZERO };
        let strategy = Strategy::Recreate;
        let spec = PoolSpec { template: text("t1"), size, strategy, draining: false };
        let (pool, engine) = (text(POOL), text(engine));
        let options = ManagerOptions { pool, engine, spec, labels: Vec::new(), shown: text("{}") };
        let (store, api) = (self.store.clone(), Arc::new(self.pods.clone()));
        let tools = ManagerTools { store, api, clock: Clock::real(), ids: Ids::random() };
        let manager = Manager::new(options, tools);
        manager.publish().await.unwrap();
        manager
    }

    pub(crate) async fn rows(&self) -> Vec<PodRunnerRow> {
        self.store.pods().list(POOL).await.unwrap()
    }

    /// The session of a runner is ready.
    pub(crate) async fn ready(&self, runner: &RunnerId) {
        assert!(self.store.runners().ready(runner, 0, Clock::real().now()).await.unwrap());
    }

    /// A run takes a warm runner.
    pub(crate) async fn take(&self, run: &str) -> Option<RunnerId> {
        let (pool, scope) = (POOL.to_owned(), "own:a".to_owned());
        let take =
            TakeWarm { pool, run: RunId::new(run), scope, among: None, at: Clock::real().now() };
        self.store.pods().take_warm(take).await.unwrap()
    }

    /// Invariant: each live row has its pod, and each pod its live row.
    pub(crate) async fn assert_paired(&self) {
        let pods = self.pods.list().await.unwrap();
        let mut pods: Vec<_> = pods
            .into_iter()
            .filter(|pod| pod.owned && !pod.deleting)
            .map(|pod| (pod.runner, Some(pod.uid.0)))
            .collect();
        pods.sort();
        let rows: Vec<_> =
            self.rows().await.into_iter().map(|row| (row.runner, row.pod_uid)).collect();
        assert_eq!(rows, pods);
    }
}

/// The decision of a pass of the leading manager.
pub(crate) async fn pass(manager: &mut Manager) -> Decision {
    match manager.pass(0).await.unwrap() {
        Pass::Done(decision) => *decision,
        Pass::NotLeading => panic!("it leads"),
    }
}

//! Pools of pods of the configuration, for `plue serve`.

use std::sync::Arc;

use plue_executor::Engine;
use plue_pool::fleet::{Admit, Fleet};
use plue_pool_kube::{
    Cluster, Limits, Placement, PodTemplate, Toleration,
    machine::{PoolSpec, Size, Strategy},
    reconciler::{Manager, ManagerOptions, ManagerTools},
};
use plue_runtime::{Clock, Ids};
use plue_server::pods::{PodIdentity, PodTools, Pods};
use plue_store::{Store, runner::UNTRUSTED_LABEL};

use crate::{
    app::App,
    config::{KubernetesConfig, KubernetesPool},
    failure::Failure,
};

/// The service account of pods without another.
const DEFAULT_ACCOUNT: &str = "default";
/// The pool of steps that ask for none.
const DEFAULT_POOL: &str = "default";

/// The pools of pods of one server.
#[derive(Debug)]
pub struct PodPools {
    cluster: Cluster,
    config: KubernetesConfig,
    pools: Vec<KubernetesPool>,
}

// === impl PodPools ===

impl PodPools {
    /// The pools of the configuration; `None`: it has none, or the process drives no runs. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// There is no way to the cluster.
    pub async fn open(app: &App, drives: bool) -> Result<Option<Self>, Failure> {
        let config = app.loaded.config.kubernetes.clone();
        let pools = app.loaded.config.pools.kubernetes.clone();
        if pools.is_empty() || !drives {
            return Ok(None);
        }
        // Checked with the configuration.
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        let (namespace, owner) = (named(&config.namespace), named(&config.owner_config_map));
        let cluster = Cluster::open(config.kubeconfig.as_deref(), &namespace, &owner).await;
        let cluster = cluster.map_err(|error| {
            Failure::usage(format!("pools.kubernetes: {error}"))
                .hint("outside of a cluster, kubernetes.kubeconfig names the file that leads to it")
        })?;
        Ok(Some(Self { cluster, config, pools }))
    }

    /// The proof of identity of their runners.
    pub fn identity(&self, store: &Store, clock: Clock) -> Arc<dyn Admit> {
        let namespace = self.config.namespace.clone().unwrap_or_default();
        let account = self.account();
        let (store, cluster) = (store.clone(), self.cluster.clone());
        Arc::new(PodIdentity::new(store, clock, cluster, namespace, account))
    }

    /// Whether steps that ask for no pool get a pod.
    pub fn have_default(&self) -> bool {
        self.pools.iter().any(|pool| pool.name == DEFAULT_POOL && !pool.is_untrusted())
    }

    /// Whether untrusted runs get pods.
    pub fn serve_untrusted(&self) -> bool {
        self.pools.iter().any(KubernetesPool::is_untrusted)
    }

    /// Their managers.
    ///
    /// # Errors
    /// A duration of the configuration, which was checked when it was read.
    pub fn managed(
        &self,
        engine: &Engine,
        fleet: &Fleet,
        store: &Store,
        clock: Clock,
    ) -> Result<Pods, Failure> {
        let managers = self.pools.iter().map(|pool| self.manager(pool, store, clock));
        let managers = managers.collect::<Result<Vec<_>, Failure>>()?;
        let (engine, fleet) = (engine.clone(), fleet.clone());
        Ok(Pods::new(PodTools { store: store.clone(), clock, engine, fleet }, managers))
    }

    fn manager(
        &self,
        pool: &KubernetesPool,
        store: &Store,
        clock: Clock,
    ) -> Result<Manager, Failure> {
        let template = self.template(pool);
        let strategy = match pool.size.strategy.as_str() {
            "recreate" => Strategy::Recreate,
            _ => Strategy::OnReplenish,
        };
        let cooldown = pool.cooldown().map_err(Failure::usage)?;
        let size = Size { min_idle: pool.size.min_idle, max: pool.size.max, cooldown };
        let spec = PoolSpec { template: template.hash(), size, strategy, draining: false };
        let mut labels = pool.labels.clone();
        if pool.is_untrusted() {
            labels.push(UNTRUSTED_LABEL.to_owned());
        }
        let shown = serde_json::to_string(pool).unwrap_or_default();
        let engine = String::new();
        let options = ManagerOptions { pool: pool.name.clone(), engine, spec, labels, shown };
        let api = Arc::new(self.cluster.pods(template));
        let tools = ManagerTools { store: store.clone(), api, clock, ids: Ids::random() };
        Ok(Manager::new(options, tools))
    }

    fn account(&self) -> String {
        let named = self.config.service_account.clone().filter(|name| !name.is_empty());
        named.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned())
    }

    fn template(&self, pool: &KubernetesPool) -> PodTemplate {
        let config = &self.config;
        let image = pool.image(config).unwrap_or_default().to_owned();
        let (limits, placement) = (pool.limits.clone(), pool.placement.clone());
        let tolerations = placement.tolerations.into_iter().map(|one| Toleration {
            key: one.key,
            operator: one.operator,
            value: one.value,
            effect: one.effect.filter(|effect| !effect.is_empty()),
        });
        PodTemplate {
            pool: pool.name.clone(),
            instance: config.instance.clone().unwrap_or_else(|| "plue".to_owned()),
            // An image of the runner has its program already.
            runner_image: config.runner_image.clone().filter(|runner| *runner != image),
            image,
            engine_url: config.engine_url.clone().unwrap_or_default(),
            service_account: Some(self.account()),
            limits: Limits {
                cpu: limits.cpu,
                memory: limits.memory,
                ephemeral_storage: limits.ephemeral_storage,
            },
            placement: Placement {
                runtime_class: placement.runtime_class,
                host_users: placement.host_users,
                image_pull_secrets: placement.image_pull_secrets,
                node_selector: placement.node_selector,
                tolerations: tolerations.collect(),
            },
        }
    }
}

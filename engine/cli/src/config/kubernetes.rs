//! `[kubernetes]` and `[[pools.kubernetes]]`: pools whose runners are pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use jiff::SignedDuration;
use plue_plan::DurationText;
use serde::{Deserialize, Serialize};
use toml::Value;

/// Names of pools that the engine has itself.
const RESERVED: [&str; 5] = ["engine", "local", "registered", "remote", "untrusted"];
/// Characters of a pool's name: it is the value of a label.
const MAX_NAME: usize = 40;

/// `[kubernetes]`: the cluster of all pools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesConfig {
    /// Namespace of the pods.
    pub namespace: Option<String>,
    /// Service account of the pods; absent: `default`.
    pub service_account: Option<String>,
    /// A `ConfigMap` of the namespace that owns the pods: they are deleted with it.
    pub owner_config_map: Option<String>,
    /// Address that pods dial.
    pub engine_url: Option<String>,
    /// Image that `plue-runner` is copied from, for images without it.
    pub runner_image: Option<String>,
    /// Label of the pods of this installation; absent: `plue`.
    pub instance: Option<String>,
    /// A kubeconfig; absent: the service account of the engine's pod.
    pub kubeconfig: Option<PathBuf>,
}

/// `[[pools.kubernetes]]`: one pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KubernetesPool {
    /// Its name, which `runner` of a step may ask for; `default` serves steps that ask for none.
    pub name: String,
    /// Image that steps run in; absent: `kubernetes.runner_image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Names that steps may ask for in addition to the pool's.
    #[serde(default)]
    pub labels: Vec<String>,
    /// `own`, or `untrusted`: only for runs of untrusted commits, which then get no other runner.
    #[serde(default = "own")]
    pub trust: String,
    /// Number of its pods.
    #[serde(flatten)]
    pub size: PoolSize,
    /// Limits of a pod.
    #[serde(flatten)]
    pub limits: PodLimits,
    /// Nodes and runtime of its pods.
    #[serde(flatten)]
    pub placement: PodPlacement,
    /// Keys that are none.
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// The number of a pool's pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSize {
    /// Idle pods that are kept without demand.
    #[serde(default)]
    pub min_idle: u32,
    /// Pods at most, busy ones included.
    #[serde(default = "most")]
    pub max: u32,
    /// Duration of a surplus before idle pods end.
    #[serde(default = "cooldown")]
    pub cooldown: DurationText,
    /// Idle pods of an older template: `on_replenish` keeps them until they are used, `recreate` ends them.
    #[serde(default = "strategy")]
    pub strategy: String,
}

/// The limits of a pod, as Kubernetes writes quantities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodLimits {
    /// Processors, as request and limit.
    #[serde(default = "cpu")]
    pub cpu: String,
    /// Memory, as request and limit.
    #[serde(default = "memory")]
    pub memory: String,
    /// Disk of workspace, state and `/tmp` together.
    #[serde(default = "disk")]
    pub ephemeral_storage: String,
}

/// Nodes and runtime of pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodPlacement {
    /// Runtime class, as for gVisor or Kata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class: Option<String>,
    /// `false`: each pod has a user namespace of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_users: Option<bool>,
    /// Secrets of image registries, by name.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// Labels that a node must have.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(default)]
    pub tolerations: Vec<PodToleration>,
}

/// A taint that pods tolerate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodToleration {
    /// Key of the taint; empty: any.
    #[serde(default)]
    pub key: String,
    /// `Equal` or `Exists`.
    #[serde(default = "equal")]
    pub operator: String,
    /// Value, with `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Effect; absent or empty: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
}

fn own() -> String {
    "own".to_owned()
}

const fn most() -> u32 {
    10
}

fn cooldown() -> DurationText {
    DurationText::new("5m")
}

fn strategy() -> String {
    "on_replenish".to_owned()
}

fn cpu() -> String {
    "1".to_owned()
}

fn memory() -> String {
    "2Gi".to_owned()
}

fn disk() -> String {
    "10Gi".to_owned()
}

fn equal() -> String {
    "Equal".to_owned()
}

// === impl KubernetesConfig ===

impl KubernetesConfig {
    /// Pools whose settings can be used.
    pub(super) fn check(&self, pools: &[KubernetesPool]) -> Result<(), String> {
        if pools.is_empty() {
            return Ok(());
        }
        for (key, value) in [
            ("namespace", &self.namespace),
            ("owner_config_map", &self.owner_config_map),
            ("engine_url", &self.engine_url),
        ] {
            if value.as_ref().is_none_or(String::is_empty) {
                return Err(format!("pools.kubernetes needs kubernetes.{key}"));
            }
        }
        let mut names = BTreeSet::new();
        for pool in pools {
            pool.check(self).map_err(|why| format!("pools.kubernetes: {}: {why}", pool.name))?;
            if !names.insert(pool.name.as_str()) {
                return Err(format!("pools.kubernetes: {}: another pool has this name", pool.name));
            }
        }
        Ok(())
    }
}

// === impl KubernetesPool ===

impl KubernetesPool {
    fn check(&self, cluster: &KubernetesConfig) -> Result<(), String> {
        if let Some(key) = self.unknown.keys().next() {
            return Err(format!("unknown key `{key}`"));
        }
        let is_shaped = |text: &str| {
            text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !text.starts_with('-')
                && !text.ends_with('-')
        };
        if !(1..=MAX_NAME).contains(&self.name.len()) || !is_shaped(&self.name) {
            return Err(format!(
                "a name has 1 to {MAX_NAME} characters of a-z, 0-9 and - in between"
            ));
        }
        if RESERVED.contains(&self.name.as_str()) {
            return Err("this is a pool of the engine itself".to_owned());
        }
        if self.image(cluster).is_none() {
            return Err("there is no `image`, and no kubernetes.runner_image".to_owned());
        }
        if !["own", "untrusted"].contains(&self.trust.as_str()) {
            return Err(format!("trust is {:?}, expected own or untrusted", self.trust));
        }
        if !["on_replenish", "recreate"].contains(&self.size.strategy.as_str()) {
            let strategy = &self.size.strategy;
            return Err(format!("strategy is {strategy:?}, expected on_replenish or recreate"));
        }
        if self.size.max == 0 || self.size.min_idle > self.size.max {
            return Err("max is at least 1, and at least min_idle".to_owned());
        }
        self.cooldown().map(drop)
    }

    /// Duration of a surplus before idle pods end.
    ///
    /// # Errors
    /// The text is no duration.
    pub fn cooldown(&self) -> Result<SignedDuration, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("cooldown: {error}");
        let time = self.size.cooldown.parse().map_err(|error| wrong(&error))?;
        SignedDuration::try_from(time).map_err(|error| wrong(&error))
    }

    /// Image that steps run in.
    #[must_use]
    pub fn image<'a>(&'a self, cluster: &'a KubernetesConfig) -> Option<&'a str> {
        let image = self.image.as_deref().filter(|image| !image.is_empty());
        image.or(cluster.runner_image.as_deref())
    }

    /// Whether it is only for runs of untrusted commits.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        self.trust == "untrusted"
    }
}

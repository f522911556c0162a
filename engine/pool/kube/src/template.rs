//! Settings of the pods of a pool.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Settings of a pool's pods. Two templates with one hash make the same pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodTemplate {
    /// Name of the pool.
    pub pool: String,
    /// The installation, as its pods are labelled.
    pub instance: String,
    /// Image that steps run in.
    pub image: String,
    /// Image that the runner program is copied from; `None`: it is in `image`.
    pub runner_image: Option<String>,
    /// Address that runners dial.
    pub engine_url: String,
    /// Service account of the identity token.
    pub service_account: Option<String>,
    /// Limits of a pod.
    pub limits: Limits,
    /// Nodes and runtime of the pods.
    pub placement: Placement,
}

/// Limits of a pod, as Kubernetes writes quantities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Processors that a pod may use.
    pub cpu: String,
    /// Memory that a pod may use.
    pub memory: String,
    /// Disk, shared by workspace, state and `/tmp`.
    pub ephemeral_storage: String,
}

/// Nodes and runtime of the pods.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Placement {
    /// Runtime class, as for gVisor or Kata.
    pub runtime_class: Option<String>,
    /// `false`: the pod has a user namespace of its own.
    pub host_users: Option<bool>,
    /// Secrets of image registries, by name.
    pub image_pull_secrets: Vec<String>,
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    pub tolerations: Vec<Toleration>,
}

/// A taint that pods tolerate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Toleration {
    /// Key of the taint; empty: any.
    pub key: String,
    /// `Equal` or `Exists`.
    pub operator: String,
    /// Value, with `Equal`.
    pub value: Option<String>,
    /// Effect; `None`: any.
    pub effect: Option<String>,
}

// === impl PodTemplate ===

impl PodTemplate {
    /// Hash by which a change is recognised.
    #[must_use]
    pub fn hash(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(&Sha256::digest(text)[..8])
    }
}

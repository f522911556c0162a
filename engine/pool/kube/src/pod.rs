//! The pod of a runner: restricted, without a token for the API server, nothing secret in it.

use k8s_openapi::api::core::v1::Pod;
use plue_plan::RunnerId;
use serde_json::{Value, json};

use crate::template::PodTemplate;

/// Label with the runner's id.
pub const RUNNER_LABEL: &str = "plue.dev/runner";
/// Label with the pool's name.
pub const POOL_LABEL: &str = "plue.dev/pool";
/// Audience of the identity token: of no use at the API server.
pub const TOKEN_AUDIENCE: &str = "plue-runner";
/// User and group of the containers.
const USER: u32 = 10_001;
/// Lifetime of the identity token in seconds; the kubelet renews it. The least that Kubernetes allows.
const TOKEN_SECONDS: u32 = 600;
/// Seconds between SIGTERM and SIGKILL. A runner without a step ends at once; a node that drains waits for steps.
const GRACE: u32 = 3_600;
/// Seconds of it in which a step may still end; the others are for its own TERM and the delivery of results.
const DRAIN_GRACE: &str = "3540";
/// Folders of the runner and of the run's files: on one volume, as files are moved from one to the other.
const STATE: &str = "/workspace/state";
const WORKSPACE: &str = "/workspace/work";
const RUNNER: &str = "/opt/plue/bin/plue-runner";

/// The object that owns all pods of an installation: deleting it deletes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Name of a `ConfigMap` in the namespace.
    pub name: String,
    /// Uid that pods refer to.
    pub uid: String,
}

/// Name of a runner's pod.
#[must_use]
pub fn name(runner: &RunnerId) -> String {
    format!("plue-{}", runner.as_str().to_ascii_lowercase())
}

/// The pod as JSON for the API server.
#[must_use]
pub fn manifest(template: &PodTemplate, owner: &Owner, runner: &RunnerId) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(runner),
            "labels": {
                "app.kubernetes.io/name": "plue",
                "app.kubernetes.io/component": "runner",
                "app.kubernetes.io/instance": template.instance,
                POOL_LABEL: template.pool,
                RUNNER_LABEL: runner.as_str(),
            },
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "ConfigMap", "name": owner.name, "uid": owner.uid,
            }],
        },
        "spec": spec(template, runner),
    })
}

pub(crate) fn pod(template: &PodTemplate, owner: &Owner, runner: &RunnerId) -> Option<Pod> {
    serde_json::from_value(manifest(template, owner, runner)).ok()
}

fn spec(template: &PodTemplate, runner: &RunnerId) -> Value {
    let placement = &template.placement;
    let secrets = placement.image_pull_secrets.iter().map(|name| json!({"name": name}));
    let tolerations = placement.tolerations.iter().map(|one| {
        let key = Some(&one.key).filter(|key| !key.is_empty());
        json!({"key": key, "operator": one.operator, "value": one.value, "effect": one.effect})
    });
    json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "serviceAccountName": template.service_account,
        "enableServiceLinks": false,
        "hostUsers": placement.host_users,
        "runtimeClassName": placement.runtime_class,
        "nodeSelector": placement.node_selector,
        "tolerations": tolerations.collect::<Vec<_>>(),
        "imagePullSecrets": secrets.collect::<Vec<_>>(),
        "terminationGracePeriodSeconds": GRACE,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": copies(template),
        "containers": [container(template, runner)],
        "volumes": volumes(template),
    })
}

/// Copies the runner into the pod, so that any image can run steps.
fn copies(template: &PodTemplate) -> Vec<Value> {
    let Some(image) = &template.runner_image else { return Vec::new() };
    vec![json!({
        "name": "copy-runner",
        "image": image,
        "command": ["/bin/sh", "-c", "cp /usr/bin/plue-runner /opt/plue/bin/plue-runner"],
        "securityContext": restricted(),
        "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "runner", "mountPath": "/opt/plue/bin"}],
    })]
}

fn container(template: &PodTemplate, runner: &RunnerId) -> Value {
    let limits = &template.limits;
    let program = if template.runner_image.is_some() { RUNNER } else { "/usr/bin/plue-runner" };
    let mut mounts = vec![
        json!({"name": "workspace", "mountPath": "/workspace"}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
        json!({"name": "identity", "mountPath": "/var/run/plue", "readOnly": true}),
    ];
    if template.runner_image.is_some() {
        mounts.push(json!({"name": "runner", "mountPath": "/opt/plue/bin", "readOnly": true}));
    }
    json!({
        "name": "runner",
        "image": template.image,
        "command": [
            program, "--connect", template.engine_url, "--runner", runner.as_str(),
            "--state", STATE, "--workspace", WORKSPACE,
            "--token-file", "/var/run/plue/token", "--stays",
            "--drain-grace", DRAIN_GRACE,
        ],
        "env": [
            {"name": "HOME", "value": "/tmp"},
            {"name": "PLUE_POD_UID",
             "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        ],
        "securityContext": restricted(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": limits.cpu, "memory": limits.memory,
                         "ephemeral-storage": limits.ephemeral_storage},
            "limits": {"cpu": limits.cpu, "memory": limits.memory,
                       "ephemeral-storage": limits.ephemeral_storage},
        },
        "volumeMounts": mounts,
    })
}

fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

fn volumes(template: &PodTemplate) -> Vec<Value> {
    let disk = &template.limits.ephemeral_storage;
    let mut volumes = vec![
        json!({"name": "workspace", "emptyDir": {"sizeLimit": disk}}),
        json!({"name": "tmp", "emptyDir": {"sizeLimit": disk}}),
        json!({"name": "identity", "projected": {"defaultMode": 0o440, "sources": [
            {"serviceAccountToken": {"path": "token", "audience": TOKEN_AUDIENCE,
                                     "expirationSeconds": TOKEN_SECONDS}},
        ]}}),
    ];
    if template.runner_image.is_some() {
        volumes.push(json!({"name": "runner", "emptyDir": {"sizeLimit": "128Mi"}}));
    }
    volumes
}

//! A fake Kubernetes API server: pods of one namespace behind one lock, so that it is linearizable.
//!
//! It has uids that are never used twice, resource versions, label selectors, uid preconditions,
//! graceful deletion and faults. Tests play the kubelet through [`FakeKube::update`].

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path as Segments, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use plue_runtime::Tasks;
use serde_json::{Value, json};

/// Name of the `ConfigMap` that owns all pods.
pub const OWNER: &str = "plue-owner";

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Creation of a pod.
    Create,
    /// Deletion of a pod.
    Delete,
    /// List of all pods.
    List,
}

/// A fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refused with this status; nothing is done.
    Refuse(u16),
    /// Done, and then answered with this status.
    AfterSuccess(u16),
}

#[derive(Default)]
struct Cluster {
    pods: BTreeMap<String, Value>,
    version: u64,
    uids: u64,
    faults: VecDeque<(Verb, Fault)>,
}

/// A running server; it ends with the test's runtime.
#[derive(Clone)]
pub struct FakeKube {
    cluster: Arc<Mutex<Cluster>>,
    port: u16,
}

// === impl FakeKube ===

impl FakeKube {
    /// Starts a server without pods.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = Self { cluster: Arc::default(), port };
        let routes = Router::new()
            .route("/api/v1/namespaces/{ns}/configmaps/{name}", get(config_map))
            .route("/api/v1/namespaces/{ns}/pods", get(list).post(create))
            .route("/api/v1/namespaces/{ns}/pods/{name}", get(read).delete(delete))
            .with_state(server.clone());
        Tasks::new().spawn("fake API server", async move {
            let _ends_with_the_test = axum::serve(listener, routes).await;
        });
        server
    }

    /// Writes a kubeconfig file.
    ///
    /// # Panics
    /// If the file cannot be written.
    #[must_use]
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{}", self.port)}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(&path, config.to_string()).expect("a kubeconfig file");
        path
    }

    fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All pods, by name.
    #[must_use]
    pub fn pods(&self) -> Vec<Value> {
        self.lock().pods.values().cloned().collect()
    }

    /// Fails the next request of this kind.
    pub fn fail(&self, verb: Verb, fault: Fault) {
        self.lock().faults.push_back((verb, fault));
    }

    /// Changes a pod as its kubelet or a user would.
    ///
    /// # Panics
    /// If there is no pod of this name.
    pub fn update(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut cluster = self.lock();
        let version = cluster.next_version();
        let pod = cluster.pods.get_mut(name).expect("a pod of this name");
        change(pod);
        pod["metadata"]["resourceVersion"] = version.into();
    }

    /// Removes a pod at once, as `kubectl delete --force` and the end of a grace period do.
    pub fn remove(&self, name: &str) -> Option<Value> {
        self.lock().pods.remove(name)
    }

    /// Adds a pod with a fresh uid, as another program would.
    pub fn add(&self, pod: Value) {
        let _new_or_known = self.lock().insert(pod);
    }
}

// === impl Cluster ===

impl Cluster {
    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn fault(&mut self, verb: Verb) -> Option<Fault> {
        let place = self.faults.iter().position(|(of, _)| *of == verb)?;
        self.faults.remove(place).map(|(_, fault)| fault)
    }

    fn insert(&mut self, mut pod: Value) -> Option<Value> {
        let name = pod["metadata"]["name"].as_str()?.to_owned();
        if self.pods.contains_key(&name) {
            return None;
        }
        self.uids += 1;
        let metadata = &mut pod["metadata"];
        metadata["uid"] = format!("uid-{}", self.uids).into();
        metadata["resourceVersion"] = self.next_version().into();
        metadata["creationTimestamp"] = "2027-01-15T08:00:00Z".into();
        pod["status"] = json!({"phase": "Pending"});
        self.pods.insert(name, pod.clone());
        Some(pod)
    }
}

async fn config_map(Segments((_, name)): Segments<(String, String)>) -> Response {
    if name != OWNER {
        return refused(404, "NotFound", &name);
    }
    let metadata = json!({"name": OWNER, "uid": "uid-of-the-owner"});
    Json(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).into_response()
}

async fn create(State(server): State<FakeKube>, Json(pod): Json<Value>) -> Response {
    let mut cluster = server.lock();
    let fault = cluster.fault(Verb::Create);
    if let Some(Fault::Refuse(status)) = fault {
        return refused(status, "Refused", "exceeded quota");
    }
    match (cluster.insert(pod), fault) {
        (Some(_), Some(Fault::AfterSuccess(status))) => refused(status, "Timeout", "no answer"),
        (Some(made), _) => (StatusCode::CREATED, Json(made)).into_response(),
        (None, _) => refused(409, "AlreadyExists", "the pod exists"),
    }
}

async fn list(
    State(server): State<FakeKube>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut cluster = server.lock();
    if let Some(Fault::Refuse(status) | Fault::AfterSuccess(status)) = cluster.fault(Verb::List) {
        return refused(status, "Unavailable", "no answer");
    }
    let selector = query.get("labelSelector").and_then(|text| text.split_once('='));
    let items: Vec<_> = cluster
        .pods
        .values()
        .filter(|pod| selector.is_none_or(|(key, value)| pod["metadata"]["labels"][key] == *value))
        .collect();
    let metadata = json!({"resourceVersion": cluster.version.to_string()});
    let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items});
    Json(list).into_response()
}

async fn read(
    State(server): State<FakeKube>,
    Segments((_, name)): Segments<(String, String)>,
) -> Response {
    match server.lock().pods.get(&name) {
        Some(pod) => Json(pod.clone()).into_response(),
        None => refused(404, "NotFound", &name),
    }
}

async fn delete(
    State(server): State<FakeKube>,
    Segments((_, name)): Segments<(String, String)>,
    Json(options): Json<Value>,
) -> Response {
    let mut cluster = server.lock();
    let fault = cluster.fault(Verb::Delete);
    if let Some(Fault::Refuse(status)) = fault {
        return refused(status, "Refused", "not now");
    }
    let version = cluster.next_version();
    let Some(pod) = cluster.pods.get_mut(&name) else { return refused(404, "NotFound", &name) };
    let wanted = &options["preconditions"]["uid"];
    if !wanted.is_null() && *wanted != pod["metadata"]["uid"] {
        return refused(409, "Conflict", "the uid of the precondition differs");
    }
    pod["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z".into();
    pod["metadata"]["resourceVersion"] = version.into();
    match fault {
        Some(Fault::AfterSuccess(status)) => refused(status, "Timeout", "no answer"),
        Some(Fault::Refuse(_)) | None => Json(pod.clone()).into_response(),
    }
}

fn refused(status: u16, reason: &str, message: &str) -> Response {
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": status, "reason": reason, "message": message,
    });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(body)).into_response()
}

//! [`PodApi`] of a real API server.

use std::{fmt::Display, path::Path, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, Config, Error,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
    config::{KubeConfigOptions, Kubeconfig},
};
use plue_plan::RunnerId;
use tokio::sync::OnceCell;

use crate::{
    api::{ApiError, ApiFuture, Deleted, PodApi},
    decode,
    machine::{PodUid, PodView},
    pod::{self, Owner, POOL_LABEL},
    template::PodTemplate,
};

/// Time of one call. The library waits without limit.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Pods of one page of a list.
const PAGE: u32 = 500;
/// Pages of one list at most.
const PAGES: usize = 100;

/// Bytes of an answer about the issuer of tokens.
const MAX_ISSUER_BYTES: usize = 256 * 1024;

/// A connection to an API server and a namespace.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    owner_name: String,
    /// Read once: every pod refers to it.
    owner: Arc<OnceCell<Owner>>,
}

/// The pods of one pool on a [`Cluster`].
#[derive(Debug, Clone)]
pub struct KubePods {
    cluster: Cluster,
    template: PodTemplate,
}

// === impl Cluster ===

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// A client with the service account of this pod, or with a kubeconfig file. `owner` is the `ConfigMap`
    /// that owns all pods. Nothing is asked of the API server yet.
    ///
    /// # Errors
    /// [`ApiError`]: no configuration.
    pub async fn open(
        kubeconfig: Option<&Path>,
        namespace: &str,
        owner: &str,
    ) -> Result<Self, ApiError> {
        let mut config = match kubeconfig {
            None => Config::incluster().map_err(unavailable)?,
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(unavailable)?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(file, &options).await.map_err(unavailable)?
            }
        };
        // The next pass repeats a call; retries inside of it would outlast the timeout.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(unavailable)?;
        let (namespace, owner_name) = (namespace.to_owned(), owner.to_owned());
        Ok(Self { client, namespace, owner_name, owner: Arc::default() })
    }

    /// The `ConfigMap` that owns all pods.
    async fn owner(&self) -> Result<&Owner, ApiError> {
        let read = async || {
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
            let found = within(maps.get(&self.owner_name)).await?;
            let uid = found.metadata.uid.unwrap_or_default();
            Ok(Owner { name: self.owner_name.clone(), uid })
        };
        self.owner.get_or_try_init(read).await
    }

    /// The issuer of the cluster's service account tokens.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn issuer(&self) -> Result<String, ApiError> {
        let text = self.text("/.well-known/openid-configuration").await?;
        let found: serde_json::Value = serde_json::from_str(&text).map_err(unavailable)?;
        let issuer = found.get("issuer").and_then(serde_json::Value::as_str);
        let absent = || ApiError::Unavailable("its OpenID configuration has no issuer".to_owned());
        issuer.map(str::to_owned).ok_or_else(absent)
    }

    /// The keys that these tokens are signed with, as a JSON Web Key Set.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn keys(&self) -> Result<String, ApiError> {
        self.text("/openid/v1/jwks").await
    }

    async fn text(&self, path: &str) -> Result<String, ApiError> {
        let request = http::Request::get(path).body(Vec::new()).map_err(unavailable)?;
        let text = within(self.client.request_text(request)).await?;
        if text.len() > MAX_ISSUER_BYTES {
            return Err(ApiError::Unavailable(format!("{path} is longer than 256 KiB")));
        }
        Ok(text)
    }

    /// The pods of a pool.
    #[must_use]
    pub fn pods(&self, template: PodTemplate) -> KubePods {
        KubePods { cluster: self.clone(), template }
    }
}

// === impl KubePods ===

impl KubePods {
    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    async fn create_pod(&self, runner: &RunnerId) -> Result<PodUid, ApiError> {
        let owner = self.cluster.owner().await?;
        let new = pod::pod(&self.template, owner, runner)
            .ok_or_else(|| ApiError::Refused("its template makes no valid pod".to_owned()))?;
        let created = timed(self.api().create(&PostParams::default(), &new)).await?;
        match created {
            Ok(made) => Ok(PodUid(made.metadata.uid.unwrap_or_default())),
            Err(Error::Api(status)) if status.is_already_exists() => self.existing(runner).await,
            Err(error) => Err(refusal(error)),
        }
    }

    /// The pod that an earlier call created, whose answer was lost.
    async fn existing(&self, runner: &RunnerId) -> Result<PodUid, ApiError> {
        let name = pod::name(runner);
        let found = within(self.api().get(&name)).await?;
        match decode::pod(&found, self.cluster.owner().await?) {
            Some(view) if view.owned && view.runner == *runner => Ok(view.uid),
            Some(_) | None => Err(ApiError::NameTaken(name)),
        }
    }

    async fn list_pods(&self) -> Result<Vec<PodView>, ApiError> {
        let selector = format!("{POOL_LABEL}={}", self.template.pool);
        let owner = self.cluster.owner().await?;
        let mut params = ListParams::default().labels(&selector).limit(PAGE);
        let mut pods = Vec::new();
        for _ in 0..PAGES {
            let page = within(self.api().list(&params)).await?;
            pods.extend(page.items.iter().filter_map(|one| decode::pod(one, owner)));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(pods),
            }
        }
        Err(ApiError::Unavailable("the list of pods does not end".to_owned()))
    }

    async fn delete_pod(&self, name: &str, uid: &PodUid) -> Result<Deleted, ApiError> {
        let preconditions = Preconditions { uid: Some(uid.0.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match timed(self.api().delete(name, &params)).await? {
            Ok(_) => Ok(Deleted::Accepted),
            Err(Error::Api(status)) if status.is_not_found() => Ok(Deleted::Missing),
            Err(Error::Api(status)) if status.is_conflict() => Ok(Deleted::OtherPod),
            Err(error) => Err(refusal(error)),
        }
    }
}

impl PodApi for KubePods {
    fn create(&self, runner: &RunnerId) -> ApiFuture<'_, PodUid> {
        let runner = runner.clone();
        Box::pin(async move { self.create_pod(&runner).await })
    }

    fn list(&self) -> ApiFuture<'_, Vec<PodView>> {
        Box::pin(self.list_pods())
    }

    fn delete(&self, name: &str, uid: &PodUid) -> ApiFuture<'_, Deleted> {
        let (name, uid) = (name.to_owned(), uid.clone());
        Box::pin(async move { self.delete_pod(&name, &uid).await })
    }
}

async fn timed<T>(
    call: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, Error>, ApiError> {
    let late = |_| ApiError::Unavailable("no answer within 5 seconds".to_owned());
    tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(late)
}

async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, ApiError> {
    timed(call).await?.map_err(refusal)
}

/// An answer that will be the same tomorrow is a refusal; all else may be another one soon.
fn refusal(error: Error) -> ApiError {
    match error {
        Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 413 | 422) => {
            ApiError::Refused(decode::readable(&status.reason, Some(&status.message)))
        }
        other => unavailable(other),
    }
}

fn unavailable(error: impl Display) -> ApiError {
    ApiError::Unavailable(decode::readable(&error.to_string(), None))
}

//! The secrets of repositories: those that steps name, and those that verify deliveries. Each kind has
//! scopes of its own, so that no step can name a verification secret.
//!
//! Must not hold a secret in memory longer than a run needs it.

use std::{collections::BTreeMap, sync::Arc};

pub use plue_api::scope::{CALL_SECRET, hook_scope_of, scope_of};
use plue_executor::{
    Loaded,
    perform::{
        environment::{GivenSecrets, SecretSource},
        masks,
    },
};
use plue_forge::feedback::Rights;
use plue_plan::{
    Event,
    capability::{Capability, capabilities},
};
use plue_runtime::Clock;
use plue_store::{
    RunRow, Store,
    secret::{EVERYWHERE, Keyring},
};

use crate::{app::AppTokens, error::Error};

/// Name of the secret that a forge signs its deliveries with.
pub const HOOK_SECRET: &str = "WEBHOOK";

/// Name of the token for the API and the git server of the forge.
pub const FORGE_TOKEN: &str = "TOKEN";

/// Access to the secrets of repositories and to forge credentials. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) store: Store,
    /// Opens secrets; `None`: there are none.
    pub(crate) keys: Option<Keyring>,
    pub(crate) apps: AppTokens,
    pub(crate) clock: Clock,
}

// === impl Credentials ===

impl Credentials {
    /// The secrets that the plan of a run names: the repository's own, else the global ones. Secrets that
    /// the run received before are included for masking.
    pub(crate) async fn run_secrets(&self, run: &RunRow) -> Result<Arc<dyn SecretSource>, Error> {
        let loaded = Loaded::read(&self.store, &run.id).await?;
        let event = serde_json::from_value::<Event>(loaded.source.event.clone());
        let is_own = event.is_ok_and(|event| !loaded.origin.is_from_fork(&event));
        if !is_own {
            return Ok(Arc::new(GivenSecrets::default()));
        }
        let mut found = BTreeMap::new();
        let own = run.repo.as_deref().map(scope_of);
        let scopes: Vec<&str> = own.as_deref().into_iter().chain([EVERYWHERE]).collect();
        for capability in capabilities(&loaded.plan) {
            let Capability::Secret(name) = capability else { continue };
            let Some(keys) = &self.keys else { break };
            for scope in &scopes {
                if let Some(text) = self.store.secrets().get(keys, scope, &name).await? {
                    found.insert(name, text.to_vec());
                    break;
                }
            }
        }
        let keys = self.keys.as_ref();
        Ok(masks::remembered(&self.store, keys, &run.id, GivenSecrets(found)).await?)
    }

    /// The forge token of a repository, if there is one: that of its GitHub App, else the stored one.
    pub(crate) async fn forge_token(&self, repo: &str) -> Result<Option<String>, Error> {
        self.forge_token_for(repo, None).await
    }

    /// The same; a GitHub App's has the rights of a change.
    pub(crate) async fn forge_token_for(
        &self,
        repo: &str,
        rights: Option<Rights>,
    ) -> Result<Option<String>, Error> {
        if let Some(token) = self.app_token(repo, rights).await? {
            return Ok(Some(token));
        }
        let Some(keys) = &self.keys else { return Ok(None) };
        let text = self.store.secrets().get(keys, &hook_scope_of(repo), FORGE_TOKEN).await?;
        Ok(text.and_then(|text| String::from_utf8(text.to_vec()).ok()))
    }

    /// The secrets that verify calls of a repository's named webhooks; several allow a rotation without a
    /// gap.
    pub(crate) async fn call_secrets(&self, repo: &str) -> Result<Vec<plue_forge::Secret>, Error> {
        let Some(keys) = &self.keys else { return Ok(Vec::new()) };
        let text = self.store.secrets().get(keys, &hook_scope_of(repo), CALL_SECRET).await?;
        let text = text.and_then(|text| String::from_utf8(text.to_vec()).ok()).unwrap_or_default();
        Ok(text.split_whitespace().map(plue_forge::Secret::new).collect())
    }

    /// The secrets that verify deliveries of a repository; none: every delivery is refused.
    pub(crate) async fn hook_secrets(&self, repo: &str) -> Result<Vec<plue_forge::Secret>, Error> {
        let text = self.hook_secret(repo).await?.and_then(|text| String::from_utf8(text).ok());
        Ok(text.map(plue_forge::Secret::new).into_iter().collect())
    }

    /// The secret that a forge signs deliveries of a repository with, as it is stored.
    pub(crate) async fn hook_secret(&self, repo: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(keys) = &self.keys else { return Ok(None) };
        let text = self.store.secrets().get(keys, &hook_scope_of(repo), HOOK_SECRET).await?;
        Ok(text.map(|text| text.to_vec()))
    }
}

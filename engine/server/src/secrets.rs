//! The secrets of repositories: those that steps name, and those that forges sign with. They are in
//! scopes of their own, so that no step can name what verifies deliveries.
//!
//! Must not hold a text longer than a run needs it.

use std::{collections::BTreeMap, sync::Arc};

pub use plue_api::scope::{hook_scope_of, scope_of};
use plue_executor::{
    Loaded,
    perform::{
        environment::{GivenSecrets, SecretSource},
        masks,
    },
};
use plue_plan::{
    Event,
    capability::{Capability, capabilities},
};
use plue_store::{RunRow, secret::EVERYWHERE};

use crate::{error::Error, server::Server};

/// The name of the secret that a forge signs with.
pub const HOOK_SECRET: &str = "WEBHOOK";

/// The name of the token that the forge knows this server by.
pub const FORGE_TOKEN: &str = "TOKEN";

/// The name of the secrets that calls of named webhooks are verified with, one a line.
pub const CALL_SECRET: &str = "INCOMING";

impl Server {
    /// The secrets that the plan of a run names: the repository's, else those of all. With the texts that
    /// the run was given before, to be masked.
    pub(crate) async fn secrets_of(&self, run: &RunRow) -> Result<Arc<dyn SecretSource>, Error> {
        let loaded = Loaded::read(self.store(), &run.id).await?;
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
            let Some(keys) = &self.parts().keys else { break };
            for scope in &scopes {
                if let Some(text) = self.store().secret(keys, scope, &name).await? {
                    found.insert(name, text.to_vec());
                    break;
                }
            }
        }
        let keys = self.parts().keys.as_ref();
        Ok(masks::remembered(self.store(), keys, &run.id, GivenSecrets(found)).await?)
    }

    /// The token that the forge of a repository knows this server by, if there is one: that of a GitHub
    /// App, else the one that was given.
    pub(crate) async fn forge_token(&self, repo: &str) -> Result<Option<String>, Error> {
        if let Some(token) = self.app_token(repo).await? {
            return Ok(Some(token));
        }
        let Some(keys) = &self.parts().keys else { return Ok(None) };
        let text = self.store().secret(keys, &hook_scope_of(repo), FORGE_TOKEN).await?;
        Ok(text.and_then(|text| String::from_utf8(text.to_vec()).ok()))
    }

    /// The secrets that calls of a repository's named webhooks are verified with; several let one be
    /// changed without a gap.
    pub(crate) async fn call_secrets(&self, repo: &str) -> Result<Vec<plue_forge::Secret>, Error> {
        let Some(keys) = &self.parts().keys else { return Ok(Vec::new()) };
        let text = self.store().secret(keys, &hook_scope_of(repo), CALL_SECRET).await?;
        let text = text.and_then(|text| String::from_utf8(text.to_vec()).ok()).unwrap_or_default();
        Ok(text.split_whitespace().map(plue_forge::Secret::new).collect())
    }

    /// The secret that deliveries of a repository are signed with; none: nothing is believed.
    pub(crate) async fn hook_secrets(&self, repo: &str) -> Result<Vec<plue_forge::Secret>, Error> {
        let Some(keys) = &self.parts().keys else { return Ok(Vec::new()) };
        let text = self.store().secret(keys, &hook_scope_of(repo), HOOK_SECRET).await?;
        let text = text.and_then(|text| String::from_utf8(text.to_vec()).ok());
        Ok(text.map(plue_forge::Secret::new).into_iter().collect())
    }
}

//! Administration of endpoints: creation, rotation of secrets, removal; by the API and by local commands.
//!
//! Must not return a secret except to its creator, once. A crash at any point leaves an endpoint with
//! verifiable messages, or none.

use jiff::SignedDuration;
use plue_api::commands::{MadeWebhook, WebhookRequest};
use plue_executor::reach::{Guard, Unreached, judge};
use plue_plan::Diagnostic;
use plue_runtime::{Clock, Ids};
use plue_store::{
    Store,
    secret::{Keyring, SecretError},
    webhook::{EVENTS, MAX_WEBHOOKS, WebhookRow},
};

use super::sign;

/// Time after a rotation in which messages are signed with both secrets.
pub const BOTH: SignedDuration = SignedDuration::from_hours(24);
/// Name of the current secret.
pub(super) const CURRENT: &str = "CURRENT";
/// Name of the previous secret.
pub(super) const BEFORE: &str = "BEFORE";

/// Creates, rotates and removes endpoints.
#[derive(Debug, Clone, Copy)]
pub struct WebhookAdmin<'a> {
    /// The database of endpoints and messages.
    pub store: &'a Store,
    /// Seals the signing secrets.
    pub keys: &'a Keyring,
    /// Addresses that endpoints may have.
    pub guard: &'a Guard,
    /// Fresh ids and secrets.
    pub ids: &'a Ids,
    /// The clock, paused in tests.
    pub clock: Clock,
}

/// The reason that an endpoint was not created or rotated.
#[derive(Debug, thiserror::Error)]
pub enum WebhookAdminError {
    /// The address is malformed or refused by the guard.
    #[error("{}", .0.message)]
    Address(Box<Diagnostic>),
    /// The limit of endpoints is reached.
    #[error("there are {MAX_WEBHOOKS} webhooks already")]
    Full,
    /// There is no such endpoint.
    #[error("there is no webhook {0:?}")]
    Unknown(String),
    /// A secret cannot be sealed or opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The database failed to answer.
    #[error(transparent)]
    Store(#[from] plue_store::Error),
}

pub(super) use plue_api::scope::webhook_scope_of as scope_of;

impl WebhookAdmin<'_> {
    /// Creates an endpoint; only the result contains its secret.
    ///
    /// # Errors
    /// [`WebhookAdminError`].
    pub async fn add(
        &self,
        asked: WebhookRequest,
        by: String,
    ) -> Result<MadeWebhook, WebhookAdminError> {
        match judge(&asked.url, self.guard).await {
            Ok(_) | Err(Unreached::Failed(_) | Unreached::TimedOut) => {}
            Err(Unreached::Refused(why)) => return Err(WebhookAdminError::Address(why)),
        }
        let (id, secret) = (self.ids.text(), sign::fresh(self.ids));
        // The secret comes first, so that no message is unsigned.
        self.store.secrets().put(self.keys, &scope_of(&id), CURRENT, secret.as_bytes()).await?;
        let wanted = |event: &&&str| asked.events.iter().any(|one| one == *event);
        let row = WebhookRow {
            id: id.clone(),
            url: asked.url.clone(),
            events: EVENTS.iter().filter(wanted).map(|event| (*event).to_owned()).collect(),
            repo: asked.repository.clone(),
            description: asked.description.clone(),
            created_by: by,
            created_at: self.clock.now(),
            both_until: None,
            failing_since: None,
            disabled: None,
        };
        if !self.store.webhooks().add(&row).await? {
            self.forget(&id).await?;
            return Err(WebhookAdminError::Full);
        }
        Ok(MadeWebhook { id, secret: secret.to_string() })
    }

    /// Rotates the secret of an endpoint. For [`BOTH`] its messages carry both signatures.
    ///
    /// # Errors
    /// [`WebhookAdminError`].
    pub async fn rotate(&self, id: &str) -> Result<MadeWebhook, WebhookAdminError> {
        if self.store.webhooks().get(id).await?.is_none() {
            return Err(WebhookAdminError::Unknown(id.to_owned()));
        }
        let scope = scope_of(id);
        let secret = sign::fresh(self.ids);
        // This order lets receivers with the old secret verify at every moment.
        if let Some(old) = self.store.secrets().get(self.keys, &scope, CURRENT).await? {
            self.store.secrets().put(self.keys, &scope, BEFORE, &old).await?;
            let until = self.clock.now().saturating_add(BOTH).unwrap_or(self.clock.now());
            self.store.webhooks().accept_both_until(id, until).await?;
        }
        self.store.secrets().put(self.keys, &scope, CURRENT, secret.as_bytes()).await?;
        Ok(MadeWebhook { id: id.to_owned(), secret: secret.to_string() })
    }

    async fn forget(&self, id: &str) -> Result<(), plue_store::Error> {
        forget_secrets(self.store, id).await
    }
}

/// Removes an endpoint with its secrets; returns whether it existed.
///
/// # Errors
/// The database.
pub async fn remove(store: &Store, id: &str) -> Result<bool, plue_store::Error> {
    let there = store.webhooks().remove(id).await?;
    forget_secrets(store, id).await?;
    Ok(there)
}

async fn forget_secrets(store: &Store, id: &str) -> Result<(), plue_store::Error> {
    for name in [CURRENT, BEFORE] {
        store.secrets().forget(&scope_of(id), name).await?;
    }
    Ok(())
}

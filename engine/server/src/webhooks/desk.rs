//! Endpoints made, given new secrets, removed: by the API, and by commands on the server's machine.
//!
//! Must not show a secret but to whoever asked for it, once. Every order of a crash in between leaves an
//! endpoint whose messages somebody can verify, or none.

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

/// For so long messages are signed with the old secret too.
pub const BOTH: SignedDuration = SignedDuration::from_hours(24);
/// The name of the secret that is signed with.
pub(super) const CURRENT: &str = "CURRENT";
/// The name of the one before.
pub(super) const BEFORE: &str = "BEFORE";

/// What making endpoints takes.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    /// The database.
    pub store: &'a Store,
    /// Seals secrets.
    pub keys: &'a Keyring,
    /// Where messages may go.
    pub guard: &'a Guard,
    /// Fresh ids and secrets.
    pub ids: &'a Ids,
    /// Time.
    pub clock: Clock,
}

/// Why there is no endpoint, or no new secret.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The address may not be reached, or is none.
    #[error("{}", .0.message)]
    Address(Box<Diagnostic>),
    /// There are too many.
    #[error("there are {MAX_WEBHOOKS} webhooks already")]
    Full,
    /// There is no such endpoint.
    #[error("there is no webhook {0:?}")]
    Unknown(String),
    /// A secret cannot be sealed or opened.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The database.
    #[error(transparent)]
    Store(#[from] plue_store::Error),
}

pub(super) use plue_api::scope::webhook_scope_of as scope_of;

impl Desk<'_> {
    /// Makes an endpoint; the answer is the only place that shows its secret.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn add(&self, asked: WebhookRequest, by: String) -> Result<MadeWebhook, DeskError> {
        match judge(&asked.url, self.guard).await {
            Ok(_) | Err(Unreached::Failed(_) | Unreached::TimedOut) => {}
            Err(Unreached::Refused(why)) => return Err(DeskError::Address(why)),
        }
        let (id, secret) = (self.ids.text(), sign::fresh(self.ids));
        // The secret first: nothing is ever sent without one.
        self.store.put_secret(self.keys, &scope_of(&id), CURRENT, secret.as_bytes()).await?;
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
        if !self.store.webhook_add(&row).await? {
            self.forget(&id).await?;
            return Err(DeskError::Full);
        }
        Ok(MadeWebhook { id, secret: secret.to_string() })
    }

    /// Gives an endpoint a new secret. For [`BOTH`] its messages carry signatures of both.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn rotate(&self, id: &str) -> Result<MadeWebhook, DeskError> {
        if self.store.webhook(id).await?.is_none() {
            return Err(DeskError::Unknown(id.to_owned()));
        }
        let scope = scope_of(id);
        let secret = sign::fresh(self.ids);
        // In this order: whoever has only the old secret can verify at every moment in between.
        if let Some(old) = self.store.secret(self.keys, &scope, CURRENT).await? {
            self.store.put_secret(self.keys, &scope, BEFORE, &old).await?;
            let until = self.clock.now().saturating_add(BOTH).unwrap_or(self.clock.now());
            self.store.webhook_both_until(id, until).await?;
        }
        self.store.put_secret(self.keys, &scope, CURRENT, secret.as_bytes()).await?;
        Ok(MadeWebhook { id: id.to_owned(), secret: secret.to_string() })
    }

    async fn forget(&self, id: &str) -> Result<(), plue_store::Error> {
        forget_secrets(self.store, id).await
    }
}

/// Forgets an endpoint with its secrets; tells whether there was one.
///
/// # Errors
/// The database.
pub async fn remove(store: &Store, id: &str) -> Result<bool, plue_store::Error> {
    let there = store.webhook_remove(id).await?;
    forget_secrets(store, id).await?;
    Ok(there)
}

async fn forget_secrets(store: &Store, id: &str) -> Result<(), plue_store::Error> {
    for name in [CURRENT, BEFORE] {
        store.forget_secret(&scope_of(id), name).await?;
    }
    Ok(())
}

//! A repository is removed with all of its credentials: a repository of the same name that is
//! watched later gets none of them.

use plue_store::{Error, Store};

use crate::scope::{hook_scope_of, scope_of, webhook_scope_of};

/// Removes a repository with the secrets of its steps, its webhook's secret, its forge token or App, its
/// outgoing webhooks and the tokens that are good for it alone. Its runs stay.
///
/// # Errors
/// [`Error`] of the database.
pub async fn remove_repo(store: &Store, name: &str) -> Result<bool, Error> {
    let mut scopes = vec![scope_of(name), hook_scope_of(name)];
    let webhooks = store.webhooks().list().await?.into_iter();
    let own = webhooks.filter(|webhook| webhook.repo.as_deref() == Some(name));
    scopes.extend(own.map(|webhook| webhook_scope_of(&webhook.id)));
    store.repos().remove(name, &scopes).await
}

//! The watched repository of a delivery. A signature proves only the secret of the hook; hooks of Apps,
//! organisations, groups and instances sign for all of their repositories.
//!
//! The payload's repository must match the watched one by name, and by the forge's id once one is recorded.

use plue_forge::{codes, content_digest};
use plue_plan::Code;
use plue_runtime::Clock;
use plue_store::{
    DeliveryRow, RepoRow, Store, delivery::ClaimedDelivery, repo::identity::Recognised,
};

use super::trigger_context::{Claim, headers_of};
use crate::{error::Error, secrets::Credentials, services::Services};

/// The repository of a delivery.
#[derive(Debug)]
pub(crate) enum Owner {
    /// A watched repository, with a remark for people.
    Watched(RepoRow, Option<String>),
    /// The delivery was moved to the queue of another repository.
    Routed,
    /// No repository of this hook; the reason, for people.
    Refused(String),
}

/// The digest that detects repeated deliveries.
fn digest_of(delivery: &DeliveryRow) -> Option<String> {
    let provider = delivery.forge.parse().ok()?;
    content_digest(provider, &headers_of(delivery), &delivery.body)
}

/// Verifies the repositories of deliveries. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    store: Store,
    credentials: Credentials,
    clock: Clock,
}

// === impl Identity ===

impl Identity {
    pub(super) fn new(services: &Services) -> Self {
        Self {
            store: services.store.clone(),
            credentials: services.credentials.clone(),
            clock: services.process.clock,
        }
    }

    /// The watched repository of a delivery: that of its hook, or another one with the same secret. A
    /// delivery for another repository is moved to that queue, which may have one in progress.
    ///
    /// # Errors
    /// The database, or secrets that cannot be opened.
    pub(crate) async fn owner(
        &self,
        claimed: &ClaimedDelivery,
        hooked: RepoRow,
        claim: Option<&Claim>,
    ) -> Result<Owner, Error> {
        let Some(Claim { name: Some(name), id }) = claim else {
            // A payload without a repository triggers nothing.
            return Ok(Owner::Watched(hooked, None));
        };
        let id = id.as_deref();
        let known_as = self.store.repos().known_as(&hooked.forge, id, name).await?;
        let is_hooked = |repo: &RepoRow| repo.name == hooked.name;
        if known_as.iter().any(is_hooked) {
            return self.verify_id(hooked, name, id).await;
        }
        for repo in known_as {
            if host(&repo.url) != host(&hooked.url) || !self.share_secret(&repo, &hooked).await? {
                continue;
            }
            if claimed.queue == repo.hook {
                return self.verify_id(repo, name, id).await;
            }
            let (delivery, digest) = (&claimed.row, digest_of(&claimed.row));
            if !self.store.deliveries().route(delivery, &repo.hook, digest).await? {
                let why = format!("{} has it by its own webhook", repo.name);
                return Ok(Owner::Refused(why));
            }
            return Ok(Owner::Routed);
        }
        let why = format!(
            "the delivery is about {name}, and this is the webhook of {}: a webhook for several \
             repositories serves those that are watched with the same secret",
            hooked.name
        );
        Ok(refused(codes::OTHER_REPOSITORY, &why))
    }

    /// Compares the forge's id with the recorded one.
    async fn verify_id(&self, repo: RepoRow, name: &str, id: Option<&str>) -> Result<Owner, Error> {
        let Some(id) = id else {
            return Ok(match self.store.repos().identity(&repo.name).await? {
                None => Owner::Watched(repo, None),
                Some(known) => {
                    let known = known.forge_id;
                    let why =
                        format!("the delivery has no id of {name}, which is known as {known}");
                    refused(codes::OTHER_IDENTITY, &why)
                }
            });
        };
        let now = self.clock.now();
        match self.store.repos().recognise(&repo.name, id, name, now).await? {
            Recognised::First | Recognised::Same => {
                let is_renamed = !repo.name.eq_ignore_ascii_case(name);
                let remark = is_renamed.then(|| {
                    format!("the forge calls {} {name} now: see to its address", repo.name)
                });
                Ok(Owner::Watched(repo, remark))
            }
            Recognised::Other { known } => {
                let watched = &repo.name;
                let why = format!(
                    "the forge's id of {name} is {id}, and {watched} is known as {known}: another \
                     repository has its name now. If it is the right one: plue repo confirm \
                     {watched} {id}"
                );
                Ok(refused(codes::OTHER_IDENTITY, &why))
            }
        }
    }

    /// Whether two repositories share the secret of their deliveries, so that one hook serves both.
    async fn share_secret(&self, one: &RepoRow, other: &RepoRow) -> Result<bool, Error> {
        let (one, other) = (
            self.credentials.hook_secret(&one.name).await?,
            self.credentials.hook_secret(&other.name).await?,
        );
        Ok(one.is_some_and(|text| !text.is_empty() && Some(text) == other))
    }
}

fn refused(code: Code, why: &str) -> Owner {
    Owner::Refused(format!("{why} [{}]", code.as_str()))
}

/// The host of an address; ids and names are unique within a host.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_addresses_are_compared_whole() {
        assert_eq!(host("https://git.example/a/b.git"), Some("git.example"));
        assert_eq!(host("https://git.example:3000/a/b"), Some("git.example:3000"));
        assert_ne!(host("https://git.example.evil/a"), host("https://git.example/a"));
        assert_eq!(host("/srv/git/a.git"), None);
    }
}

//! Verification of an event's commit through a ref of the watched repository: forges serve the commits of
//! forks through their parent, so a commit in the mirror may be a fork's.
//!
//! Must not trust a payload: refs are resolved in the mirror, after a fetch that started later than the
//! event.

use jiff::SignedDuration;
use plue_forge::{
    codes,
    git::{CommitId, Mirror},
};
use plue_runtime::Clock;
use plue_store::{DeliveryRow, RepoRow};

use super::trigger_context::{CommitSource, TriggerContext};
use crate::{error::Error, mirrors::Mirrors, services::Services};

/// Time until an announced ref must be visible.
const VISIBLE_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// The commit of an event.
#[derive(Debug)]
pub(crate) enum Provenance {
    /// A ref contains the commit.
    Verified(Mirror, CommitId),
    /// No ref contains the commit; the reason, for people.
    Refused(String),
}

/// Reachability of a commit from a ref.
enum Reachability {
    Reachable,
    /// The ref has moved on, or never contained the commit.
    Unreachable(String),
    /// The forge may not serve the ref yet.
    NotYet(String),
}

/// Verifies the commits of events. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ProvenanceCheck {
    mirrors: Mirrors,
    clock: Clock,
}

// === impl ProvenanceCheck ===

impl ProvenanceCheck {
    pub(super) fn new(services: &Services) -> Self {
        Self { mirrors: services.mirrors.clone(), clock: services.process.clock }
    }

    /// Fetches the repository and verifies the event's commit: the head of its pull request, a commit of a
    /// branch or tag, or the head of the default branch.
    ///
    /// # Errors
    /// The database or git; [`Error::NotShown`] while the forge may not serve the ref yet.
    pub(crate) async fn verify(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
        context: &TriggerContext,
    ) -> Result<Provenance, Error> {
        if context.source == CommitSource::DefaultBranch {
            let mirror = self.mirrors.fetched_since(repo, delivery.received_at).await?;
            let head = format!("refs/heads/{}", repo.default_branch);
            return Ok(match mirror.resolve(&head).await? {
                Some(commit) => Provenance::Verified(mirror, commit),
                None => Provenance::Refused(format!("there is no branch {}", repo.default_branch)),
            });
        }
        let wanted = match &context.source {
            CommitSource::PullRequest(name) => std::slice::from_ref(name),
            CommitSource::Published | CommitSource::DefaultBranch => &[],
        };
        let mirror = match self.mirrors.fetched(repo, wanted).await {
            // The missing ref of a pull request must not block the queue for ever.
            Err(Error::Git(error)) if error.is_missing_ref() => {
                let why = format!("{} is not in the repository", wanted.join(", "));
                return self.refuse(delivery, Reachability::NotYet(why));
            }
            fetched => fetched?,
        };
        let sha = context.event.sha.as_deref().unwrap_or_default();
        let Ok(commit) = CommitId::new(sha) else {
            return Ok(Provenance::Refused("the event does not name its commit".to_owned()));
        };
        let led = match &context.source {
            CommitSource::PullRequest(name) => by_pull_request(&mirror, name, &commit).await?,
            CommitSource::Published | CommitSource::DefaultBranch => {
                by_branch_or_tag(&mirror, context, &commit).await?
            }
        };
        match led {
            Reachability::Reachable => Ok(Provenance::Verified(mirror, commit)),
            unreachable => self.refuse(delivery, unreachable),
        }
    }

    fn refuse(&self, delivery: &DeliveryRow, led: Reachability) -> Result<Provenance, Error> {
        let code = codes::NO_REF;
        match led {
            Reachability::NotYet(why) if !self.is_settled(delivery) => Err(Error::NotShown(why)),
            Reachability::NotYet(why) | Reachability::Unreachable(why) => {
                Ok(Provenance::Refused(format!("{why} [{}]", code.as_str())))
            }
            Reachability::Reachable => Err(Error::Stopped),
        }
    }

    /// Whether [`VISIBLE_WITHIN`] has passed since the delivery.
    fn is_settled(&self, delivery: &DeliveryRow) -> bool {
        self.clock.now().duration_since(delivery.received_at) >= VISIBLE_WITHIN
    }
}

/// The commit of a pull request must equal its ref; any other one belongs to another pull request or an
/// older push.
async fn by_pull_request(
    mirror: &Mirror,
    name: &str,
    commit: &CommitId,
) -> Result<Reachability, Error> {
    let Some(head) = mirror.resolve(name).await? else {
        return Ok(Reachability::NotYet(format!("{name} is not in the repository")));
    };
    if head == *commit {
        return Ok(Reachability::Reachable);
    }
    let why = format!("superseded: {name} is {head} and not {commit}");
    let went_on = mirror.has(commit).await? && mirror.is_ancestor(commit, &head).await?;
    Ok(if went_on { Reachability::Unreachable(why) } else { Reachability::NotYet(why) })
}

/// The commit of a push must be reachable from a branch or tag.
async fn by_branch_or_tag(
    mirror: &Mirror,
    context: &TriggerContext,
    commit: &CommitId,
) -> Result<Reachability, Error> {
    if mirror.has(commit).await? && mirror.is_published(commit).await? {
        return Ok(Reachability::Reachable);
    }
    let event = &context.event;
    let name = event.git_ref.as_deref().unwrap_or_default();
    let why = format!("superseded: no branch or tag leads to commit {commit} of {name}");
    let now = mirror.resolve(name).await.ok().flatten();
    let now = now.as_ref().map(CommitId::as_str);
    // The ref may briefly be at its state before the push.
    let is_before = now == event.before.as_deref();
    Ok(if is_before { Reachability::NotYet(why) } else { Reachability::Unreachable(why) })
}

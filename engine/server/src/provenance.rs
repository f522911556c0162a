//! The commit of an event counts only through a ref of the watched repository: forges serve the
//! commits of forks through their parent, so a commit in the mirror may be a fork's.
//!
//! Must not believe a payload: which ref leads where is asked of the mirror, after a fetch
//! that began later than the event.

use jiff::SignedDuration;
use plue_forge::{
    codes,
    git::{CommitId, Mirror},
};
use plue_store::{DeliveryRow, RepoRow};

use crate::{
    error::Error,
    occasion::{CommitSource, Occasion},
    server::Server,
};

/// Time that a forge gets to show a ref that it has announced.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// The commit of an event.
#[derive(Debug)]
pub(crate) enum Provenance {
    /// A ref leads to it.
    Known(Mirror, CommitId),
    /// None does; why, for people.
    Refused(String),
}

/// Relation of a ref to a commit.
enum Led {
    Here,
    /// The ref went on, or never led there.
    Elsewhere(String),
    /// The forge may not show the ref yet.
    NotYet(String),
}

impl Server {
    /// Fetches the repository and looks for the event's commit: the head of its pull request, a commit of
    /// a branch or tag, else the head of the default branch.
    ///
    /// # Errors
    /// The database or git; [`Error::NotShown`] while the forge may not show the ref yet.
    pub(crate) async fn provenance(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
        occasion: &Occasion,
    ) -> Result<Provenance, Error> {
        if occasion.source == CommitSource::DefaultBranch {
            let mirror = self.fetched_since(repo, delivery.received_at).await?;
            let head = format!("refs/heads/{}", repo.default_branch);
            return Ok(match mirror.resolve(&head).await? {
                Some(commit) => Provenance::Known(mirror, commit),
                None => Provenance::Refused(format!("there is no branch {}", repo.default_branch)),
            });
        }
        let wanted = match &occasion.source {
            CommitSource::PullRequest(name) => std::slice::from_ref(name),
            CommitSource::Published | CommitSource::DefaultBranch => &[],
        };
        let mirror = match self.fetched(repo, wanted).await {
            // The ref of a pull request that is gone must not hold back others for ever.
            Err(Error::Git(error)) if error.is_missing_ref() => {
                let why = format!("{} is not in the repository", wanted.join(", "));
                return self.not_led(delivery, Led::NotYet(why));
            }
            fetched => fetched?,
        };
        let sha = occasion.event.sha.as_deref().unwrap_or_default();
        let Ok(commit) = CommitId::new(sha) else {
            return Ok(Provenance::Refused("the event does not name its commit".to_owned()));
        };
        let led = match &occasion.source {
            CommitSource::PullRequest(name) => by_pull_request(&mirror, name, &commit).await?,
            CommitSource::Published | CommitSource::DefaultBranch => {
                by_branch_or_tag(&mirror, occasion, &commit).await?
            }
        };
        match led {
            Led::Here => Ok(Provenance::Known(mirror, commit)),
            elsewhere => self.not_led(delivery, elsewhere),
        }
    }

    fn not_led(&self, delivery: &DeliveryRow, led: Led) -> Result<Provenance, Error> {
        let code = codes::NO_REF;
        match led {
            Led::NotYet(why) if !self.is_settled(delivery) => Err(Error::NotShown(why)),
            Led::NotYet(why) | Led::Elsewhere(why) => {
                Ok(Provenance::Refused(format!("{why} [{}]", code.as_str())))
            }
            Led::Here => Err(Error::Stopped),
        }
    }

    /// Whether the forge has had [`SHOWN_WITHIN`] to show what it has announced.
    fn is_settled(&self, delivery: &DeliveryRow) -> bool {
        self.parts().clock.now().duration_since(delivery.received_at) >= SHOWN_WITHIN
    }
}

/// A pull request's commit is what its ref is: any other one is of another pull request, or of an older
/// push.
async fn by_pull_request(mirror: &Mirror, name: &str, commit: &CommitId) -> Result<Led, Error> {
    let Some(head) = mirror.resolve(name).await? else {
        return Ok(Led::NotYet(format!("{name} is not in the repository")));
    };
    if head == *commit {
        return Ok(Led::Here);
    }
    let why = format!("superseded: {name} is {head} and not {commit}");
    let went_on = mirror.has(commit).await? && mirror.is_ancestor(commit, &head).await?;
    Ok(if went_on { Led::Elsewhere(why) } else { Led::NotYet(why) })
}

/// A push's commit is one that a branch or tag leads to.
async fn by_branch_or_tag(
    mirror: &Mirror,
    occasion: &Occasion,
    commit: &CommitId,
) -> Result<Led, Error> {
    if mirror.has(commit).await? && mirror.is_published(commit).await? {
        return Ok(Led::Here);
    }
    let event = &occasion.event;
    let name = event.git_ref.as_deref().unwrap_or_default();
    let why = format!("superseded: no branch or tag leads to commit {commit} of {name}");
    let now = mirror.resolve(name).await.ok().flatten();
    let now = now.as_ref().map(CommitId::as_str);
    // The ref may stay for a moment where the push found it.
    let is_before = now == event.before.as_deref();
    Ok(if is_before { Led::NotYet(why) } else { Led::Elsewhere(why) })
}

//! A delivery, read: the event it is, the commit to look at, and whose change it is.

use plue_forge::{Headers, Provider, Reading, decode, feedback::is_own_comment, reading::Kind};
use plue_plan::{Event, event::EventType};
use plue_store::{DeliveryRow, RepoRow};
use serde::Deserialize;

/// What a delivery asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Occasion {
    /// The event, in our words.
    pub event: Event,
    /// Message of the newest commit, for skip markers.
    pub message: Option<String>,
    /// The ref is gone.
    pub deleted: bool,
    /// The ref that must lead to the event's commit.
    pub source: CommitSource,
    /// Whether the change comes from somebody without write access: nothing of it runs.
    pub is_stranger: bool,
    /// The forge's id of who did it.
    pub actor_id: Option<u64>,
}

/// Ref by which the repository must have the commit of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitSource {
    /// The event names no commit: the head of the default branch counts.
    DefaultBranch,
    /// A branch or tag leads to it.
    Published,
    /// This ref of a pull request is it.
    PullRequest(String),
}

/// The repository that a payload claims to be about, before the claim is checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// Name of the repository as `owner/name`.
    pub name: Option<String>,
    /// The forge's immutable id.
    pub id: Option<String>,
}

/// A delivery whose body was read.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The repository that it is about; `None`: the delivery is this machine's own.
    pub claim: Option<Claim>,
    occasion: Result<Occasion, String>,
}

/// What the hook of a local repository writes: one line of `git-receive-pack`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalPush {
    before: String,
    after: String,
    #[serde(rename = "ref")]
    git_ref: String,
    #[serde(default)]
    actor: Option<String>,
}

/// Reads a delivery; the reason if nothing can come of it.
///
/// # Errors
/// The reason that it is ignored, in words.
pub fn read(delivery: &DeliveryRow) -> Result<Delivered, String> {
    match delivery.forge.as_str() {
        "local" => Ok(Delivered { claim: None, occasion: Ok(local(delivery)?) }),
        forge => of_forge(forge, delivery),
    }
}

// === impl Delivered ===

impl Delivered {
    /// The event, its commit and its actor, for the repository that the delivery belongs to.
    ///
    /// # Errors
    /// The reason that it is ignored, in words.
    pub fn occasion(self, repo: &RepoRow) -> Result<Occasion, String> {
        let mut occasion = self.occasion?;
        // The watched repository's own name: the payload may write it otherwise.
        occasion.event.repository = Some(repo.name.clone());
        occasion.event.default_branch.get_or_insert_with(|| repo.default_branch.clone());
        Ok(occasion)
    }
}

fn of_forge(forge: &str, delivery: &DeliveryRow) -> Result<Delivered, String> {
    let provider: Provider = forge.parse().map_err(|_| format!("`{forge}` is no forge"))?;
    let reading = decode(provider, &headers_of(delivery), &delivery.body);
    let reading = reading.map_err(|error| {
        let code = error.code();
        format!("{error} [{}]", code.as_str())
    })?;
    let claim = Claim {
        name: reading.repository().map(str::to_owned),
        id: reading.repository_id().map(str::to_owned),
    };
    Ok(Delivered { claim: Some(claim), occasion: of_reading(provider, &reading) })
}

fn of_reading(provider: Provider, reading: &Reading) -> Result<Occasion, String> {
    let event = reading.event().map_err(|ignored| ignored.to_string())?;
    if event.comment.as_ref().is_some_and(|comment| is_own_comment(&comment.body)) {
        return Err("a comment of plue's starts nothing".to_owned());
    }
    let deleted = matches!(&reading.kind, Kind::Push(push) if push.change.deleted);
    let source = match (&reading.kind, &event.sha) {
        (Kind::PullRequest { pr, .. }, _) => {
            CommitSource::PullRequest(provider.pull_request_ref(pr.number))
        }
        // A merge queue's candidate is a branch of the repository itself.
        (_, Some(_)) => CommitSource::Published,
        (_, None) => CommitSource::DefaultBranch,
    };
    let is_stranger = event.is_strangers();
    let message = reading.head_message().map(str::to_owned);
    let actor_id = reading.sender_id();
    Ok(Occasion { event, message, deleted, source, is_stranger, actor_id })
}

/// The headers of a stored delivery.
pub(crate) fn headers_of(delivery: &DeliveryRow) -> Headers {
    let stored = delivery.headers.as_object().into_iter().flatten();
    stored.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
}

/// A push into a bare repository on this machine.
fn local(delivery: &DeliveryRow) -> Result<Occasion, String> {
    let push: LocalPush =
        serde_json::from_slice(&delivery.body).map_err(|error| error.to_string())?;
    let zeros = |id: &str| id.bytes().all(|byte| byte == b'0');
    let deleted = zeros(&push.after);
    let mut event = Event::new(EventType::Push);
    event.branch = push.git_ref.strip_prefix("refs/heads/").map(str::to_owned);
    event.tag = push.git_ref.strip_prefix("refs/tags/").map(str::to_owned);
    event.sha = (!deleted).then_some(push.after);
    event.before = (!zeros(&push.before)).then_some(push.before);
    if event.branch.is_none() && event.tag.is_none() {
        return Err(format!("{} is neither a branch nor a tag", push.git_ref));
    }
    event.actor = push.actor;
    event.git_ref = Some(push.git_ref);
    Ok(Occasion {
        event,
        message: None,
        deleted,
        source: CommitSource::Published,
        is_stranger: false,
        actor_id: None,
    })
}

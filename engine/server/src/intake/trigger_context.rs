//! Decoding of a delivery: its event, the source of its commit and the trust in its author.

use plue_forge::{Headers, Provider, Reading, feedback::is_own_comment, reading::Kind};
use plue_plan::{Event, event::EventType};
use plue_store::{DeliveryRow, RepoRow};
use serde::Deserialize;

/// An event with the facts that decide which plans it triggers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TriggerContext {
    /// The event in the terms of plans.
    pub(crate) event: Event,
    /// Message of the newest commit, for skip markers.
    pub(crate) message: Option<String>,
    /// Whether the ref was deleted.
    pub(crate) deleted: bool,
    /// The ref that must contain the event's commit.
    pub(crate) source: CommitSource,
    /// Whether the author of the change lacks write access.
    pub(crate) is_untrusted: bool,
    /// The forge's id of the actor.
    pub(crate) actor_id: Option<u64>,
}

/// The ref that must contain the commit of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommitSource {
    /// The event names no commit; the head of the default branch is used.
    DefaultBranch,
    /// A branch or tag.
    Published,
    /// The ref of a pull request, which must equal the commit.
    PullRequest(String),
}

/// The repository that a payload claims to be about, before the claim is checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claim {
    /// Name of the repository as `owner/name`.
    pub(crate) name: Option<String>,
    /// The forge's immutable id.
    pub(crate) id: Option<String>,
}

/// A delivery with its parsed body.
#[derive(Debug, Clone)]
pub(crate) struct DecodedDelivery {
    /// The repository in the payload; `None`: a push into a local repository.
    pub(crate) claim: Option<Claim>,
    context: Result<TriggerContext, String>,
}

/// The body that the hook of a local repository writes: one line of `git-receive-pack`.
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

/// Decodes a delivery.
///
/// # Errors
/// The reason to ignore the delivery, for people.
pub(crate) fn decode(delivery: &DeliveryRow) -> Result<DecodedDelivery, String> {
    match delivery.forge.as_str() {
        "local" => Ok(DecodedDelivery { claim: None, context: Ok(local(delivery)?) }),
        forge => of_forge(forge, delivery),
    }
}

// === impl DecodedDelivery ===

impl DecodedDelivery {
    /// The context of the event for its watched repository.
    ///
    /// # Errors
    /// The reason to ignore the delivery, for people.
    pub(crate) fn context(self, repo: &RepoRow) -> Result<TriggerContext, String> {
        let mut context = self.context?;
        // The spelling of the name in a payload may differ from the watched one.
        context.event.repository = Some(repo.name.clone());
        context.event.default_branch.get_or_insert_with(|| repo.default_branch.clone());
        Ok(context)
    }
}

fn of_forge(forge: &str, delivery: &DeliveryRow) -> Result<DecodedDelivery, String> {
    let provider: Provider = forge.parse().map_err(|_| format!("`{forge}` is no forge"))?;
    let reading = plue_forge::decode(provider, &headers_of(delivery), &delivery.body);
    let reading = reading.map_err(|error| {
        let code = error.code();
        format!("{error} [{}]", code.as_str())
    })?;
    let claim = Claim {
        name: reading.repository().map(str::to_owned),
        id: reading.repository_id().map(str::to_owned),
    };
    Ok(DecodedDelivery { claim: Some(claim), context: of_reading(provider, &reading) })
}

fn of_reading(provider: Provider, reading: &Reading) -> Result<TriggerContext, String> {
    let event = reading.event().map_err(|ignored| ignored.to_string())?;
    if event.comment.as_ref().is_some_and(|comment| is_own_comment(&comment.body)) {
        return Err("a comment of plue's starts nothing".to_owned());
    }
    let deleted = matches!(&reading.kind, Kind::Push(push) if push.change.deleted);
    let source = match (&reading.kind, &event.sha) {
        (Kind::PullRequest { pr, .. }, _) => {
            CommitSource::PullRequest(provider.pull_request_ref(pr.number))
        }
        // The candidate of a merge queue is a branch of the repository itself.
        (_, Some(_)) => CommitSource::Published,
        (_, None) => CommitSource::DefaultBranch,
    };
    let is_untrusted = event.is_untrusted();
    let message = reading.head_message().map(str::to_owned);
    let actor_id = reading.sender_id();
    Ok(TriggerContext { event, message, deleted, source, is_untrusted, actor_id })
}

/// The headers of a stored delivery.
pub(crate) fn headers_of(delivery: &DeliveryRow) -> Headers {
    let stored = delivery.headers.as_object().into_iter().flatten();
    stored.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
}

/// The context of a push into a bare repository on this machine.
fn local(delivery: &DeliveryRow) -> Result<TriggerContext, String> {
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
    let is_untrusted = event.is_untrusted();
    Ok(TriggerContext {
        event,
        message: None,
        deleted,
        source: CommitSource::Published,
        is_untrusted,
        actor_id: None,
    })
}

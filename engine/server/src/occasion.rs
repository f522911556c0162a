//! A delivery, read: the event it is, the commit to look at, and whose change it is.

use plue_forge::{Headers, Provider, decode, reading::Kind};
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
    /// Refs to fetch beside branches and tags.
    pub refs: Vec<String>,
    /// Whether the change comes from somebody without write access: nothing of it runs.
    pub is_stranger: bool,
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
/// Why it is ignored, in words.
pub fn read(delivery: &DeliveryRow, repo: &RepoRow) -> Result<Occasion, String> {
    let mut occasion = match delivery.forge.as_str() {
        "local" => local(delivery)?,
        forge => of_forge(forge, delivery)?,
    };
    // The hook says which repository; what a payload says of itself is a stranger's word.
    occasion.event.repository = Some(repo.name.clone());
    occasion.event.default_branch.get_or_insert_with(|| repo.default_branch.clone());
    Ok(occasion)
}

fn of_forge(forge: &str, delivery: &DeliveryRow) -> Result<Occasion, String> {
    let provider: Provider = forge.parse().map_err(|_| format!("`{forge}` is no forge"))?;
    let mut headers = Headers::default();
    for (name, value) in delivery.headers.as_object().into_iter().flatten() {
        if let Some(value) = value.as_str() {
            headers.push(name, value);
        }
    }
    let reading = decode(provider, &headers, &delivery.body).map_err(|error| error.to_string())?;
    let event = reading.event().map_err(|ignored| ignored.to_string())?;
    let deleted = matches!(&reading.kind, Kind::Push(push) if push.deleted);
    let refs = match (provider, &event.pull_request) {
        (Provider::GitLab, Some(pr)) => vec![format!("refs/merge-requests/{}/head", pr.number)],
        (_, Some(pr)) => vec![format!("refs/pull/{}/head", pr.number)],
        (_, None) => Vec::new(),
    };
    let is_stranger = event.is_strangers();
    let message = reading.head_message().map(str::to_owned);
    Ok(Occasion { event, message, deleted, refs, is_stranger })
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
    event.actor = push.actor;
    event.git_ref = Some(push.git_ref);
    Ok(Occasion { event, message: None, deleted, refs: Vec::new(), is_stranger: false })
}

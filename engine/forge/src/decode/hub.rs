//! Deliveries of GitHub, and of Gitea and Forgejo, which imitate them.

use crate::{
    decode::{hub_kinds, missing, refs},
    loose::Loose,
    provider::Provider,
    reading::{Detail, Kind, MergeGroup, NamedRef, Reading},
    refusal::Refusal,
};

pub(super) fn read(
    provider: Provider,
    event: &str,
    payload: Loose<'_>,
) -> Result<Reading, Refusal> {
    let repository = payload.get("repository");
    let sender = payload.get("sender");
    let action = payload.get("action").text();
    let mut detail = Detail {
        action: action.as_deref().map(|action| our_action(action).to_owned()),
        actor: payload.at(&["pusher", "name"]).text().or_else(|| login(payload.get("pusher"))),
        repository: full_name(repository),
        repository_id: refs::id(repository.get("id")),
        association: association(payload),
        sender_id: sender.get("id").number(),
        ..Detail::default()
    };
    let kind = kind(event, payload, &mut detail)?;
    if needs_repository(&kind) && detail.repository.is_none() {
        return Err(missing(event, "repository.full_name"));
    }
    Ok(Reading {
        provider,
        event: event.to_owned(),
        repo: repository.get("full_name").text(),
        default_branch: repository.get("default_branch").text(),
        sender: login(sender),
        sender_is_bot: is_bot(sender),
        action,
        kind,
        detail,
    })
}

fn kind(event: &str, payload: Loose<'_>, detail: &mut Detail) -> Result<Kind, Refusal> {
    let named_ref = || NamedRef {
        ref_type: payload.get("ref_type").text(),
        git_ref: payload.get("ref").text(),
    };
    Ok(match event {
        "push" => Kind::Push(hub_kinds::push(event, payload)?),
        // Gitea and Forgejo name the reviewers' verdicts and some others after the pull request, and
        // older versions each action: `pull_request_label`, `pull_request_sync`.
        "pull_request"
        | "pull_request_target"
        | "pull_request_assign"
        | "pull_request_label"
        | "pull_request_milestone"
        | "pull_request_sync" => hub_kinds::pull_request(event, payload, detail)?,
        "issue_comment" => hub_kinds::comment(event, payload, detail)?,
        "pull_request_comment" if payload.get("issue").object().is_some() => {
            hub_kinds::comment(event, payload, detail)?
        }
        "issues" | "issue_assign" | "issue_label" | "issue_milestone" => {
            hub_kinds::issue(event, payload, detail)?
        }
        "release" => Kind::Release { tag: payload.at(&["release", "tag_name"]).text() },
        "create" => Kind::Create(named_ref()),
        "delete" => Kind::Delete(named_ref()),
        "ping" => Kind::Ping,
        "merge_group" => {
            detail.merge_group = merge_group(payload.get("merge_group"));
            Kind::Other
        }
        _ => Kind::Other,
    })
}

fn merge_group(group: Loose<'_>) -> Option<MergeGroup> {
    Some(MergeGroup {
        head_ref: group.get("head_ref").text()?,
        head_sha: group.get("head_sha").text()?,
        base_ref: group.get("base_ref").text()?,
        base_sha: group.get("base_sha").text(),
    })
}

/// Kinds that a workflow can see as an event: without a repository they mean nothing.
fn needs_repository(kind: &Kind) -> bool {
    match kind {
        Kind::Push(_) | Kind::PullRequest { .. } | Kind::Comment { .. } | Kind::Issue { .. } => {
            true
        }
        Kind::Release { .. } | Kind::Create(_) | Kind::Delete(_) | Kind::Ping | Kind::Other => {
            false
        }
    }
}

/// `owner/name`, from the parts where the whole is not written.
pub(super) fn full_name(repository: Loose<'_>) -> Option<String> {
    repository.get("full_name").text().or_else(|| {
        let owner = login(repository.get("owner"));
        let owner = owner.or_else(|| repository.at(&["owner", "name"]).text())?;
        Some(format!("{owner}/{}", repository.get("name").text()?))
    })
}

/// The login of a user; Gitea's older payloads have only `username`.
pub(super) fn login(user: Loose<'_>) -> Option<String> {
    user.get("login").text().or_else(|| user.get("username").text())
}

/// The author's relation to the repository; only GitHub sends it.
fn association(payload: Loose<'_>) -> Option<String> {
    let about = ["comment", "issue", "pull_request"].into_iter().map(|about| payload.get(about));
    about.filter_map(|about| about.get("author_association").text()).next()
}

fn is_bot(user: Loose<'_>) -> bool {
    let login_is = || user.get("login").str().is_some_and(|login| login.ends_with("[bot]"));
    user.get("type").str() == Some("Bot") || login_is()
}

/// GitHub's word for an action of Gitea or Forgejo.
fn our_action(action: &str) -> &str {
    match action {
        "synchronized" => "synchronize",
        "label_updated" => "labeled",
        "label_cleared" => "unlabeled",
        other => other,
    }
}

//! Deliveries of GitLab: project hooks, group hooks and system hooks.

use crate::{
    decode::{gitlab_action, hub_kinds, missing, refs},
    loose::Loose,
    provider::Provider,
    reading::{Detail, Kind, PullRequest, Push, Reading, RefChange},
    refusal::Refusal,
};

pub(super) fn read(event: &str, payload: Loose<'_>) -> Result<Reading, Refusal> {
    let project = payload.get("project");
    let attributes = payload.get("object_attributes");
    let action = attributes.get("action").text().or_else(|| payload.get("action").text());
    let project_id = refs::id(project.get("id")).or_else(|| refs::id(payload.get("project_id")));
    let sender_id = payload.at(&["user", "id"]).number();
    let mut detail = Detail {
        action: action.clone(),
        repository_id: project_id,
        sender_id: sender_id.or_else(|| payload.get("user_id").number()),
        ..Detail::default()
    };
    let kind = kind(event, payload, &mut detail)?;
    let repo = project.get("path_with_namespace").text();
    detail.repository = repo.clone();
    if detail.repository.is_none() && !matches!(kind, Kind::Other | Kind::Release { .. }) {
        return Err(missing(event, "project.path_with_namespace"));
    }
    let user = payload.at(&["user", "username"]).text();
    detail.actor = payload.get("user_name").text();
    Ok(Reading {
        provider: Provider::GitLab,
        event: event.to_owned(),
        repo,
        default_branch: project.get("default_branch").text(),
        sender: user.or_else(|| payload.get("user_username").text()),
        // GitLab's payload has no such field.
        sender_is_bot: false,
        action,
        kind,
        detail,
    })
}

/// The word for the kind: of the body, of a system hook's body, else of the header.
fn object_kind<'j>(event: &str, payload: Loose<'j>) -> &'j str {
    let kind = payload.get("object_kind").str();
    kind.or_else(|| payload.get("event_name").str()).unwrap_or(match event {
        "Push Hook" => "push",
        "Tag Push Hook" => "tag_push",
        "Merge Request Hook" => "merge_request",
        "Note Hook" | "Confidential Note Hook" => "note",
        "Issue Hook" | "Confidential Issue Hook" | "Work Item Hook" => "issue",
        "Release Hook" => "release",
        _ => "other",
    })
}

fn kind(event: &str, payload: Loose<'_>, detail: &mut Detail) -> Result<Kind, Refusal> {
    Ok(match object_kind(event, payload) {
        "push" | "tag_push" => Kind::Push(push(event, payload)?),
        "merge_request" => merge_request(event, payload, detail)?,
        "note" => note(payload, detail),
        "issue" | "work_item" => {
            let issue = payload.get("object_attributes");
            titled(issue, payload, detail);
            detail.action = gitlab_action::of_issue(payload);
            Kind::Issue { number: issue.get("iid").number() }
        }
        "release" => Kind::Release { tag: payload.get("tag").text() },
        _ => Kind::Other,
    })
}

fn push(event: &str, payload: Loose<'_>) -> Result<Push, Refusal> {
    let git_ref = payload.get("ref").text().ok_or_else(|| missing(event, "ref"))?;
    let after = payload.get("after").text().ok_or_else(|| missing(event, "after"))?;
    let before = payload.get("before").text();
    let (branch, tag) = refs::split(&git_ref);
    let deleted = refs::is_zero(&after);
    let commits = payload.get("commits").items();
    let count = commits.clone().count();
    let total = payload.get("total_commits_count").number();
    let head = commits.clone().find(|commit| commit.get("id").str() == Some(&after));
    let head = head.or_else(|| commits.clone().last());
    // For an annotated tag `after` is the tag, and `checkout_sha` the commit behind it.
    let commit = payload.get("checkout_sha").text().or_else(|| Some(after.clone()));
    Ok(Push {
        branch,
        tag,
        change: RefChange {
            created: before.as_deref().is_some_and(refs::is_zero),
            deleted,
            forced: None,
        },
        commits: count,
        total_commits: total,
        paths: hub_kinds::paths(commits),
        paths_complete: total.is_none_or(|total| total == count as u64),
        head_message: head.and_then(|head| head.get("message").text()),
        sha: commit.filter(|_| !deleted),
        git_ref,
        before,
        after,
    })
}

fn merge_request(event: &str, payload: Loose<'_>, detail: &mut Detail) -> Result<Kind, Refusal> {
    let request = payload.get("object_attributes");
    let number = request.get("iid").number();
    let number = number.ok_or_else(|| missing(event, "object_attributes.iid"))?;
    let head_repo = request.at(&["source", "path_with_namespace"]).text();
    let ids = request.get("source_project_id").number();
    let ids = ids.zip(request.get("target_project_id").number());
    let names = head_repo.clone().zip(request.at(&["target", "path_with_namespace"]).text());
    let by_name = names.map(|(head, base)| !head.eq_ignore_ascii_case(&base));
    let own = detail.repository_id.as_deref().and_then(|id| id.parse().ok());
    detail.same_repository =
        ids.zip(own).map(|((head, base), own): (_, u64)| head == base && base == own);
    let draft = request.get("draft").bool().or_else(|| request.get("work_in_progress").bool());
    titled(request, payload, detail);
    detail.action = gitlab_action::of_merge_request(payload);
    Ok(Kind::PullRequest {
        pr: PullRequest {
            number,
            head_ref: request.get("source_branch").text(),
            head_sha: request.at(&["last_commit", "id"]).text(),
            head_repo,
            base_ref: request.get("target_branch").text(),
            base_sha: None,
            draft,
            merged: request.get("state").str().map(|state| state == "merged"),
            from_fork: ids.map(|(head, base)| head != base).or(by_name),
            new_commits: gitlab_action::has_new_commits(payload),
        },
        paths: None,
    })
}

fn note(payload: Loose<'_>, detail: &mut Detail) -> Kind {
    let note = payload.get("object_attributes");
    let (request, issue) = (payload.get("merge_request"), payload.get("issue"));
    let noteable = note.get("noteable_type").str();
    let on_pull_request = noteable.map_or(request.object().is_some(), |on| on == "MergeRequest");
    let about = if on_pull_request { request } else { issue };
    titled(about, about, detail);
    detail.comment_elsewhere = about.object().is_none();
    // A note of the forge itself ("mentioned in …") is not a comment.
    detail.action = match note.get("action").str() {
        Some("update") => Some("edited".to_owned()),
        Some("create") | None if note.get("system").bool() != Some(true) => {
            Some("created".to_owned())
        }
        Some(other) => Some(other.to_owned()),
        None => Some("system".to_owned()),
    };
    Kind::Comment {
        number: about.get("iid").number(),
        on_pull_request,
        body: note.get("note").str().map(str::to_owned),
    }
}

/// Title and labels; GitLab writes labels next to the object or inside it.
fn titled(about: Loose<'_>, payload: Loose<'_>, detail: &mut Detail) {
    detail.title = about.get("title").text();
    detail.labels = hub_kinds::labels(payload.get("labels"));
    if detail.labels.is_empty() {
        detail.labels = hub_kinds::labels(about.get("labels"));
    }
}

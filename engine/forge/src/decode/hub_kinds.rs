//! The kinds of GitHub-like deliveries that carry more than a name.

use std::collections::BTreeSet;

use crate::{
    decode::{hub, missing, refs},
    loose::Loose,
    reading::{Detail, Kind, PullRequest, Push, RefChange},
    refusal::Refusal,
};

/// Commits that GitHub puts into a payload at most.
const MOST_COMMITS: usize = 2_048;

pub(super) fn push(event: &str, payload: Loose<'_>) -> Result<Push, Refusal> {
    let git_ref = payload.get("ref").text().ok_or_else(|| missing(event, "ref"))?;
    let after = payload.get("after").text().ok_or_else(|| missing(event, "after"))?;
    let before = payload.get("before").text();
    let (branch, tag) = refs::split(&git_ref);
    let deleted = payload.get("deleted").bool().unwrap_or(false) || refs::is_zero(&after);
    let was_nothing = before.as_deref().is_some_and(refs::is_zero);
    let created = payload.get("created").bool().unwrap_or(was_nothing);
    let commits = payload.get("commits").items();
    let count = commits.clone().count();
    let total = payload.get("total_commits").number();
    let head = payload.get("head_commit");
    let head = head.or_object(newest(payload, &after));
    let complete = total.map_or(count < MOST_COMMITS, |total| total == count as u64);
    // For an annotated tag `after` is the tag, and the newest commit the one behind it.
    let commit = head.get("id").text().filter(|_| tag.is_some());
    Ok(Push {
        branch,
        tag,
        change: RefChange { created, deleted, forced: payload.get("forced").bool() },
        commits: count,
        total_commits: total,
        paths: paths(commits),
        paths_complete: complete && (deleted || !created),
        head_message: head.get("message").text(),
        sha: commit.or_else(|| Some(after.clone())).filter(|_| !deleted),
        git_ref,
        before,
        after,
    })
}

/// The commit of the payload that the ref points to. Gitea leaves `head_commit` out at times.
fn newest<'j>(payload: Loose<'j>, after: &str) -> Loose<'j> {
    let found = payload.get("commits").items().find(|commit| commit.get("id").str() == Some(after));
    found.unwrap_or_else(|| payload.get("head_commit"))
}

/// The files that commits touch, sorted, each once.
pub(super) fn paths<'j>(commits: impl Iterator<Item = Loose<'j>>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for commit in commits {
        for list in ["added", "modified", "removed"] {
            found.extend(commit.get(list).items().filter_map(Loose::text));
        }
    }
    found.into_iter().collect()
}

pub(super) fn pull_request(
    event: &str,
    payload: Loose<'_>,
    detail: &mut Detail,
) -> Result<Kind, Refusal> {
    let pr = payload.get("pull_request");
    if pr.object().is_none() {
        return Err(missing(event, "pull_request"));
    }
    let number = pr.get("number").number().or_else(|| payload.get("number").number());
    let number = number.ok_or_else(|| missing(event, "pull_request.number"))?;
    let (head, base) = (pr.get("head"), pr.get("base"));
    let head_repo = head.at(&["repo", "full_name"]).text();
    let base_repo = base.at(&["repo", "full_name"]).text().or_else(|| detail.repository.clone());
    let ids = refs::id(head.at(&["repo", "id"])).zip(refs::id(base.at(&["repo", "id"])));
    let from_fork = match (&head_repo, &base_repo) {
        (Some(_), Some(_)) if ids.is_some() => ids.map(|(head, base)| head != base),
        (Some(head), Some(base)) => Some(!head.eq_ignore_ascii_case(base)),
        // The key is there and empty: the fork was deleted.
        (None, _) if head.get("repo").is_null() => Some(true),
        (None, _) | (Some(_), None) => None,
    };
    // A head without a repository is a deleted fork, whatever the other fields contain.
    let sides = side_id(head).zip(side_id(base)).filter(|_| !head.get("repo").is_null());
    detail.same_repository = sides
        .zip(detail.repository_id.as_ref())
        .map(|((head, base), own)| head == base && base == *own);
    detail.title = pr.get("title").text();
    detail.labels = labels(pr.get("labels"));
    let action = payload.get("action").str();
    Ok(Kind::PullRequest {
        pr: PullRequest {
            number,
            head_ref: head.get("ref").text(),
            head_sha: head.get("sha").text(),
            head_repo,
            base_ref: base.get("ref").text(),
            base_sha: base.get("sha").text(),
            draft: pr.get("draft").bool(),
            merged: pr.get("merged").bool(),
            from_fork,
            new_commits: matches!(action, Some("opened" | "synchronize" | "synchronized")),
        },
        paths: None,
    })
}

/// The id of a side's repository: GitHub writes it within `repo`, Gitea and Forgejo also next to
/// it.
fn side_id(side: Loose<'_>) -> Option<String> {
    refs::id(side.at(&["repo", "id"])).or_else(|| refs::id(side.get("repo_id")))
}

pub(super) fn comment(
    event: &str,
    payload: Loose<'_>,
    detail: &mut Detail,
) -> Result<Kind, Refusal> {
    let (issue, comment) = (payload.get("issue"), payload.get("comment"));
    if issue.object().is_none() {
        return Err(missing(event, "issue"));
    }
    detail.title = issue.get("title").text();
    detail.labels = labels(issue.get("labels"));
    detail.author = hub::login(comment.get("user"));
    let linked = issue.get("pull_request").object().is_some();
    Ok(Kind::Comment {
        number: issue.get("number").number(),
        on_pull_request: linked || payload.get("is_pull").bool().unwrap_or(false),
        body: comment.get("body").str().map(str::to_owned),
    })
}

pub(super) fn issue(event: &str, payload: Loose<'_>, detail: &mut Detail) -> Result<Kind, Refusal> {
    let issue = payload.get("issue");
    if issue.object().is_none() {
        return Err(missing(event, "issue"));
    }
    detail.title = issue.get("title").text();
    detail.labels = labels(issue.get("labels"));
    Ok(Kind::Issue { number: issue.get("number").number() })
}

pub(super) fn labels(list: Loose<'_>) -> Vec<String> {
    let name = |label: Loose<'_>| label.get("name").text().or_else(|| label.get("title").text());
    list.items().filter_map(name).collect()
}

//! GitLab's actions in GitHub's words. `update` can mean anything; `oldrev` and `changes` have the
//! difference.

use std::collections::BTreeSet;

use crate::{decode::hub_kinds, loose::Loose};

/// True if the commits of a merge request changed: it is new, or the update has an `oldrev`.
pub(super) fn has_new_commits(payload: Loose<'_>) -> bool {
    let request = payload.get("object_attributes");
    match request.get("action").str() {
        Some("open") => true,
        Some("update") => request.get("oldrev").text().is_some(),
        Some(_) | None => false,
    }
}

pub(super) fn of_merge_request(payload: Loose<'_>) -> Option<String> {
    let request = payload.get("object_attributes");
    let action = request.get("action").str()?;
    let ours = match action {
        "merge" => "closed",
        "update" if request.get("oldrev").text().is_some() => "synchronize",
        "update" => match turned_draft(payload.get("changes")) {
            Some(true) => "converted_to_draft",
            Some(false) => "ready_for_review",
            None => updated(payload),
        },
        other => common(other),
    };
    Some(ours.to_owned())
}

pub(super) fn of_issue(payload: Loose<'_>) -> Option<String> {
    let action = payload.at(&["object_attributes", "action"]).str()?;
    let ours = if action == "update" { updated(payload) } else { common(action) };
    Some(ours.to_owned())
}

fn common(action: &str) -> &str {
    match action {
        "open" => "opened",
        "reopen" => "reopened",
        "close" => "closed",
        other => other,
    }
}

/// Action of an update without new commits.
fn updated(payload: Loose<'_>) -> &'static str {
    let changes = payload.get("changes");
    if changes.get("labels").is_written() {
        let (before, after) = labels(payload);
        return if after.difference(&before).next().is_some() { "labeled" } else { "unlabeled" };
    }
    if changes.get("assignees").is_written() {
        let count = |side: &str| changes.at(&["assignees", side]).items().count();
        return if count("current") < count("previous") { "unassigned" } else { "assigned" };
    }
    if changes.get("reviewers").is_written() {
        return "review_requested";
    }
    if changes.get("milestone_id").is_written() {
        let gone = changes.at(&["milestone_id", "current"]).is_null();
        return if gone { "demilestoned" } else { "milestoned" };
    }
    "edited"
}

/// True if the update made a draft of it, or ended its being one.
fn turned_draft(changes: Loose<'_>) -> Option<bool> {
    let of = |field: &str| {
        let (before, after) = (changes.at(&[field, "previous"]), changes.at(&[field, "current"]));
        after.bool().filter(|after| before.bool() != Some(*after))
    };
    of("draft").or_else(|| of("work_in_progress"))
}

fn labels(payload: Loose<'_>) -> (BTreeSet<String>, BTreeSet<String>) {
    let side = |side: &str| -> BTreeSet<String> {
        hub_kinds::labels(payload.at(&["changes", "labels", side])).into_iter().collect()
    };
    (side("previous"), side("current"))
}

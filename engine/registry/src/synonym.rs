//! The words that forges have for one action, as people copy them into `types=`.

/// Our word for an action, which is GitHub's.
pub(crate) fn ours(action: &str) -> &str {
    match action {
        "open" => "opened",
        "reopen" => "reopened",
        "close" | "merge" | "merged" => "closed",
        "synchronized" | "update" | "updated" => "synchronize",
        "ready" => "ready_for_review",
        "draft" => "converted_to_draft",
        "label_updated" => "labeled",
        "label_cleared" => "unlabeled",
        "merge_group" => "checks_requested",
        other => other,
    }
}

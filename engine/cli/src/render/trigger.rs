//! Triggers in words, for lists.

use plue_plan::Trigger;

/// `push main`, `schedule 0 3 * * * UTC`.
#[must_use]
pub fn words(trigger: &Trigger) -> String {
    let listed = |word: &str, parts: &[&[String]]| {
        let all: Vec<&str> =
            parts.iter().flat_map(|part| part.iter().map(String::as_str)).collect();
        format!("{word} {}", all.join(", "))
    };
    let text = match trigger {
        Trigger::Push { branches, tags, .. } => listed("push", &[branches, tags]),
        Trigger::PullRequest { branches, .. } => listed("pull_request", &[branches]),
        Trigger::Issue { labels, .. } => listed("issue", &[labels]),
        Trigger::IssueComment { contains } => {
            format!("issue_comment {}", contains.as_deref().unwrap_or_default())
        }
        Trigger::Schedule { cron, tz, .. } => format!("schedule {cron} {tz}"),
        Trigger::Manual { .. } => "manual".to_owned(),
        Trigger::Webhook { name } => format!("webhook {name}"),
        Trigger::Event { topic, .. } => format!("event {topic}"),
        Trigger::Workflow { name, .. } => format!("workflow {name}"),
    };
    text.trim_end().to_owned()
}

//! A trigger as people write it: `on_push(branch="main")`.

use std::fmt::Write as _;

use plue_plan::{Trigger, trigger::Misfire};

/// The call that makes this trigger, with the shortest names of its arguments.
#[must_use]
pub fn spelled(trigger: &Trigger) -> String {
    let mut call = Call::default();
    let name = match trigger {
        Trigger::Push { branches, tags, paths, paths_ignore } => {
            call.globs("branch", "branches", branches);
            call.globs("tag", "tags", tags);
            call.list("paths", paths);
            call.list("paths_ignore", paths_ignore);
            "on_push"
        }
        Trigger::PullRequest { types, branches, paths } => {
            call.list("types", types);
            call.globs("base", "branches", branches);
            call.list("paths", paths);
            "on_pull_request"
        }
        Trigger::Issue { types, labels } => {
            call.list("types", types);
            call.list("labels", labels);
            "on_issue"
        }
        Trigger::IssueComment { contains } => {
            call.text("contains", contains.as_deref());
            "on_issue_comment"
        }
        Trigger::Schedule { cron, tz, misfire } => {
            call.plain(cron);
            call.text("tz", Some(tz.as_str()).filter(|tz| *tz != "UTC"));
            call.text("misfire", misfire_word(*misfire));
            "on_schedule"
        }
        Trigger::Manual { .. } => "on_manual",
        Trigger::Webhook { name } => {
            call.plain(name);
            "on_webhook"
        }
        Trigger::Event { topic, when } => {
            call.plain(topic);
            call.text("when", when.as_deref());
            "on_event"
        }
        Trigger::Workflow { name, outcome } => {
            call.plain(name);
            call.text("outcome", outcome.as_deref());
            "on_workflow"
        }
    };
    format!("{name}({})", call.0.join(", "))
}

fn misfire_word(misfire: Misfire) -> Option<&'static str> {
    match misfire {
        Misfire::RunOnce => None,
        Misfire::Skip => Some("skip"),
        Misfire::CatchUp => Some("catch_up"),
    }
}

/// The arguments of a call.
#[derive(Default)]
struct Call(Vec<String>);

// === impl Call ===

impl Call {
    fn plain(&mut self, value: &str) {
        self.0.push(quoted(value));
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        self.0.extend(value.map(|value| format!("{name}={}", quoted(value))));
    }

    fn list(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            self.0.push(format!("{name}=[{}]", values.join(", ")));
        }
    }

    fn globs(&mut self, one: &str, many: &str, values: &[String]) {
        match values {
            [only] => self.text(one, Some(only)),
            several => self.list(many, several),
        }
    }
}

/// A text as a Python literal.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _infallible = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

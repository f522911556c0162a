//! Triggers: patterns, schedules, names.
//!
//! Must not match events.

use crate::{
    codes,
    trigger::Trigger,
    validate::{
        input,
        pattern::patterns,
        report::{Quoted, Report, Site},
        schedule,
        step::nul,
        text, value,
    },
    walk,
};

/// Final statuses of a run.
const OUTCOMES: [&str; 4] = ["success", "failed", "cancelled", "timed_out"];

/// A trigger of the plan: its shape, and the values in it.
pub(super) fn trigger(report: &mut Report, site: Site<'_>, trigger: &Trigger) {
    shape(report, site, trigger);
    walk::trigger_parts(trigger, &mut |field, part| value::part(report, site, field, part));
    nul(report, site, trigger);
}

/// The shape alone, for the `event` of a `wait` step.
pub(super) fn shape(report: &mut Report, site: Site<'_>, trigger: &Trigger) {
    match trigger {
        Trigger::Push { branches, tags, paths, paths_ignore } => {
            patterns(report, site, "branches", branches);
            patterns(report, site, "tags", tags);
            patterns(report, site, "paths", paths);
            patterns(report, site, "paths_ignore", paths_ignore);
        }
        Trigger::PullRequest { types, branches, paths } => {
            words(report, site, "types", types);
            patterns(report, site, "branches", branches);
            patterns(report, site, "paths", paths);
        }
        Trigger::Issue { types, labels } => {
            words(report, site, "types", types);
            words(report, site, "labels", labels);
        }
        Trigger::IssueComment { contains } => {
            if contains.as_deref() == Some("") {
                report.push(
                    site.error(codes::EMPTY_COMMAND, "`contains` is empty")
                        .hint("leave it out for every comment"),
                );
            }
        }
        Trigger::Schedule { cron, tz, .. } => schedule::schedule(report, site, cron, tz),
        Trigger::Manual { inputs } => input::inputs(report, site, inputs),
        Trigger::Webhook { name } => {
            text::identifier(report, site, codes::BAD_NAME, "the webhook", name);
        }
        Trigger::Event { topic, .. } => {
            text::plain(report, site, codes::BAD_NAME, "the topic", topic);
        }
        Trigger::Workflow { name, outcome } => {
            text::name(report, site, "the workflow's name", name);
            if let Some(outcome) = outcome {
                self::outcome(report, site, outcome);
            }
        }
    }
}

fn words(report: &mut Report, site: Site<'_>, field: &str, words: &[String]) {
    for word in words {
        let what = format!("a word of `{field}`");
        text::plain(report, site, codes::EMPTY_COMMAND, &what, word);
    }
}

fn outcome(report: &mut Report, site: Site<'_>, outcome: &str) {
    if !OUTCOMES.contains(&outcome) {
        report.push_near(
            site.error(codes::BAD_OUTCOME, format_args!("no run ends as {}", Quoted(outcome))),
            outcome,
            OUTCOMES.into_iter(),
            "a run ends as `success`, `failed`, `cancelled` or `timed_out`",
        );
    }
}

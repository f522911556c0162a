//! Event × trigger → fires, or why not.

use plue_plan::{
    Trigger,
    budget::{Budget, Meter},
    event::EventType,
};
use plue_spec::expression::MAX_COST;
use serde::Serialize;

use crate::{
    condition,
    glob::Patterns,
    match_input::{Changed, MatchInput},
    skip, synonym,
    why_not::WhyNot,
};

/// The pull-request actions that fire a trigger without `types`: the commits are new, or matter again.
pub const DEFAULT_PULL_REQUEST: [&str; 3] = ["opened", "synchronize", "reopened"];
/// The issue actions that fire a trigger without `types`.
pub const DEFAULT_ISSUE: [&str; 1] = ["opened"];

/// Units of work of the conditions of all triggers of a plan.
const MAX_TOGETHER: u64 = 8 * MAX_COST;

/// Result of a trigger for an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerVerdict {
    /// The trigger starts a run.
    Fires,
    /// The trigger starts no run.
    Not(WhyNot),
}

/// Results of a plan's triggers, in their order. A plan starts at most one run for an event,
/// however many of its triggers fire.
#[must_use]
pub fn verdicts(triggers: &[Trigger], input: &MatchInput<'_>) -> Vec<TriggerVerdict> {
    let meter = Meter::new(Budget::of_steps(MAX_TOGETHER));
    triggers.iter().map(|trigger| decided(trigger, input, &meter)).collect()
}

/// Result of one trigger.
#[must_use]
pub fn decide(trigger: &Trigger, input: &MatchInput<'_>) -> TriggerVerdict {
    decided(trigger, input, &Meter::new(Budget::of_steps(MAX_TOGETHER)))
}

fn decided(trigger: &Trigger, input: &MatchInput<'_>, meter: &Meter) -> TriggerVerdict {
    match check(trigger, input, meter) {
        Ok(()) => TriggerVerdict::Fires,
        Err(why) => TriggerVerdict::Not(why),
    }
}

// === impl TriggerVerdict ===

impl TriggerVerdict {
    /// Whether the trigger fires.
    #[must_use]
    pub const fn fires(&self) -> bool {
        match self {
            Self::Fires => true,
            Self::Not(_) => false,
        }
    }
}

fn check(trigger: &Trigger, at: &MatchInput<'_>, meter: &Meter) -> Result<(), WhyNot> {
    let event = at.event;
    if kind(trigger) != event.kind {
        return Err(WhyNot::OtherEvent { event: event.kind });
    }
    if at.deleted {
        return Err(WhyNot::Deleted);
    }
    match trigger {
        Trigger::Push { branches, tags, paths, paths_ignore } => {
            let is_tag = pushed_ref(branches, tags, at)?;
            not_skipped(at)?;
            // A tag changes no file: it is a new name of a commit.
            if is_tag {
                return Ok(());
            }
            touched(paths, at.changed)?;
            not_ignored(paths_ignore, at.changed)
        }
        Trigger::PullRequest { types, branches, paths } => {
            action(types, &DEFAULT_PULL_REQUEST, at)?;
            let base = event.pull_request.as_ref().map_or("", |pr| pr.base.git_ref.as_str());
            branch(branches, base)?;
            not_skipped(at)?;
            touched(paths, at.changed)
        }
        Trigger::Issue { types, labels } => {
            action(types, &DEFAULT_ISSUE, at)?;
            let carried = event.issue.as_ref().map_or(&[][..], |issue| &issue.labels);
            if labels.is_empty() || labels.iter().any(|label| carried.contains(label)) {
                return Ok(());
            }
            Err(WhyNot::Labels { labels: labels.clone() })
        }
        Trigger::IssueComment { contains } => {
            action(&[], &["created"], at)?;
            let body = event.comment.as_ref().map_or("", |comment| comment.body.as_str());
            match contains {
                Some(text) if !body.contains(text.as_str()) => {
                    Err(WhyNot::Comment { text: text.clone() })
                }
                Some(_) | None => Ok(()),
            }
        }
        Trigger::Schedule { cron, .. } => {
            same(event.schedule.as_ref().map(|tick| tick.cron.as_str()), cron)
        }
        Trigger::Manual { .. } => Ok(()),
        // Not of the payload, whose fields are the sender's.
        Trigger::Webhook { name } => same(event.action.as_deref(), name),
        Trigger::Event { topic, when } => {
            same(text_of(at, "topic"), topic)?;
            when.as_ref().map_or(Ok(()), |when| condition::holds(when, event, meter))
        }
        Trigger::Workflow { name, outcome } => {
            same(text_of(at, "workflow"), name)?;
            outcome.as_ref().map_or(Ok(()), |outcome| same(event.action.as_deref(), outcome))
        }
    }
}

/// The events that a trigger is for.
#[must_use]
pub const fn kind(trigger: &Trigger) -> EventType {
    match trigger {
        Trigger::Push { .. } => EventType::Push,
        Trigger::PullRequest { .. } => EventType::PullRequest,
        Trigger::Issue { .. } => EventType::Issue,
        Trigger::IssueComment { .. } => EventType::IssueComment,
        Trigger::Schedule { .. } => EventType::Schedule,
        Trigger::Manual { .. } => EventType::Manual,
        Trigger::Webhook { .. } => EventType::Webhook,
        Trigger::Event { .. } => EventType::Event,
        Trigger::Workflow { .. } => EventType::Workflow,
    }
}

/// Whether the pushed ref is asked for; `true` for a tag.
fn pushed_ref(branches: &[String], tags: &[String], at: &MatchInput<'_>) -> Result<bool, WhyNot> {
    match (&at.event.branch, &at.event.tag) {
        (Some(_), _) if branches.is_empty() && !tags.is_empty() => Err(WhyNot::BranchNotAsked),
        (Some(name), _) => branch(branches, name).map(|()| false),
        (None, Some(_)) if tags.is_empty() && !branches.is_empty() => Err(WhyNot::TagNotAsked),
        (None, Some(name)) if fit(tags, name)? => Ok(true),
        (None, Some(name)) => Err(WhyNot::Tag { tag: name.clone(), patterns: tags.to_vec() }),
        (None, None) => Err(WhyNot::OtherRef),
    }
}

fn branch(patterns: &[String], name: &str) -> Result<(), WhyNot> {
    if fit(patterns, name)? {
        return Ok(());
    }
    Err(WhyNot::Branch { branch: name.to_owned(), patterns: patterns.to_vec() })
}

fn not_skipped(at: &MatchInput<'_>) -> Result<(), WhyNot> {
    match at.message.and_then(skip::marker) {
        Some(marker) => Err(WhyNot::SkipMarker { marker: marker.to_owned() }),
        None => Ok(()),
    }
}

fn touched(patterns: &[String], changed: Changed<'_>) -> Result<(), WhyNot> {
    let Changed::Files(files) = changed else { return Ok(()) };
    if patterns.is_empty() {
        return Ok(());
    }
    let read = read(patterns)?;
    if files.iter().any(|file| read.fit(file)) {
        return Ok(());
    }
    Err(WhyNot::Paths { files: files.len(), patterns: patterns.to_vec() })
}

fn not_ignored(patterns: &[String], changed: Changed<'_>) -> Result<(), WhyNot> {
    let Changed::Files(files) = changed else { return Ok(()) };
    // A push without any changed file has nothing that could be ignored.
    if patterns.is_empty() || files.is_empty() {
        return Ok(());
    }
    let read = read(patterns)?;
    if files.iter().any(|file| !read.fit(file)) {
        return Ok(());
    }
    Err(WhyNot::PathsIgnored { files: files.len(), patterns: patterns.to_vec() })
}

fn action(types: &[String], otherwise: &[&str], at: &MatchInput<'_>) -> Result<(), WhyNot> {
    let found = at.event.action.as_deref().map(synonym::ours);
    let asked = |wanted: &str| found == Some(synonym::ours(wanted));
    let fits = match types {
        [] => otherwise.iter().any(|wanted| asked(wanted)),
        types => types.iter().any(|wanted| asked(wanted)),
    };
    if fits {
        return Ok(());
    }
    let types = match types {
        [] => otherwise.iter().map(|&wanted| wanted.to_owned()).collect(),
        types => types.to_vec(),
    };
    Err(WhyNot::Action { action: at.event.action.clone().unwrap_or_else(|| "?".to_owned()), types })
}

fn same(found: Option<&str>, wanted: &str) -> Result<(), WhyNot> {
    if found == Some(wanted) {
        return Ok(());
    }
    let found = found.unwrap_or("?").to_owned();
    Err(WhyNot::Name { found, wanted: wanted.to_owned() })
}

fn text_of<'h>(at: &MatchInput<'h>, key: &str) -> Option<&'h str> {
    let event = at.event;
    event.payload.get(key).and_then(|value| value.as_str())
}

fn fit(patterns: &[String], name: &str) -> Result<bool, WhyNot> {
    Ok(patterns.is_empty() || read(patterns)?.fit(name))
}

fn read(patterns: &[String]) -> Result<Patterns, WhyNot> {
    Patterns::new(patterns).map_err(|bad| WhyNot::BadPattern { pattern: bad.0 })
}

#[cfg(test)]
mod tests;

//! A diff in words: one line, and many.
//!
//! Must not colour: the command line does.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{Area, Change, ChangeKind, PlanDiff};
use crate::shown::shown;

/// Characters of a value that the text shows.
const SHOWN: usize = 100;

impl PlanDiff {
    /// True if nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// One line: `+2 steps, −1 secret, budget $2 → $5`.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        for (area, one) in NOUNS {
            for (kind, sign) in SIGNS {
                let count = self.changes.iter();
                let count = count.filter(|c| c.area == area && c.change == kind).count();
                if count > 0 {
                    let plural = if count == 1 { "" } else { "s" };
                    parts.push(format!("{sign}{count} {one}{plural}"));
                }
            }
        }
        for found in &self.changes {
            match found.area {
                Area::Budget | Area::Plan => parts.push(scalar(found, 24)),
                Area::StepOrder => parts.push("steps reordered".to_owned()),
                Area::Step
                | Area::Hook
                | Area::Trigger
                | Area::Secret
                | Area::Input
                | Area::Context
                | Area::Env
                | Area::Output
                | Area::Tag => {}
            }
        }
        if parts.is_empty() { "no changes".to_owned() } else { parts.join(", ") }
    }

    /// Many lines, one for each change and one for each field of a changed step; empty if nothing
    /// changed.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        for found in &self.changes {
            let sign = SIGNS.iter().find(|(kind, _)| *kind == found.change);
            let sign = sign.map_or("", |(_, sign)| sign);
            let line = line(found);
            let _ = writeln!(out, "{sign} {line}");
            for field in &found.fields {
                let name = shown(&field.field, SHOWN);
                let (old, new) = (json(field.before.as_ref()), json(field.after.as_ref()));
                let _ = writeln!(out, "    {name}: {old} → {new}");
            }
        }
        out
    }
}

const SIGNS: [(ChangeKind, &str); 3] =
    [(ChangeKind::Added, "+"), (ChangeKind::Removed, "−"), (ChangeKind::Changed, "~")];

const NOUNS: [(Area, &str); 9] = [
    (Area::Step, "step"),
    (Area::Hook, "hook"),
    (Area::Trigger, "trigger"),
    (Area::Secret, "secret"),
    (Area::Input, "input"),
    (Area::Context, "context key"),
    (Area::Env, "variable"),
    (Area::Output, "output"),
    (Area::Tag, "tag"),
];

fn line(found: &Change) -> String {
    let name = shown(&found.name, SHOWN);
    let noun = NOUNS.iter().find(|(area, _)| *area == found.area);
    let noun = noun.map_or("", |(_, noun)| noun);
    let value = found.after.as_ref().or(found.before.as_ref());
    match found.area {
        Area::Step | Area::Hook => {
            let kind = value.and_then(|step| step.get("kind")).and_then(Json::as_str);
            let kind = kind.map_or(String::new(), |kind| format!(" ({kind})"));
            format!("{noun} {name}{kind}")
        }
        Area::Trigger => format!("{noun} {}", json(value)),
        Area::Secret | Area::Tag => format!("{noun} {name}"),
        Area::Input | Area::Context | Area::Env | Area::Output => {
            let (old, new) = (json(found.before.as_ref()), json(found.after.as_ref()));
            match found.change {
                ChangeKind::Changed => format!("{noun} {name}: {old} → {new}"),
                ChangeKind::Added | ChangeKind::Removed => {
                    format!("{noun} {name}: {}", json(value))
                }
            }
        }
        Area::StepOrder => "order of the steps".to_owned(),
        Area::Budget | Area::Plan => scalar(found, SHOWN),
    }
}

/// `budget $2 → $5`, `timeout 1h → 2h`; a long text is only `changed`.
fn scalar(found: &Change, max: usize) -> String {
    let show = |value: Option<&Json>| match (found.area, found.name.as_str(), value) {
        (Area::Budget, _, None) => "no limit".to_owned(),
        (Area::Budget, "usd", Some(usd)) => format!("${}", number(usd)),
        (Area::Budget, _, Some(tokens)) => format!("{tokens} tokens"),
        (_, "timeout" | "max_parallel" | "on_failure", None) => "default".to_owned(),
        (_, _, None) => "none".to_owned(),
        (_, _, Some(Json::String(text))) => shown(text, max),
        (_, _, Some(other)) => shown(&other.to_string(), max),
    };
    let name = match found.area {
        Area::Budget => "budget",
        Area::Plan
        | Area::Step
        | Area::Hook
        | Area::StepOrder
        | Area::Trigger
        | Area::Secret
        | Area::Input
        | Area::Context
        | Area::Env
        | Area::Output
        | Area::Tag => found.name.as_str(),
    };
    let (old, new) = (show(found.before.as_ref()), show(found.after.as_ref()));
    if old == new || old.contains('…') || new.contains('…') {
        return format!("{name} changed");
    }
    format!("{name} {old} → {new}")
}

/// `2` for `2.0`, as in the canonical form.
fn number(json: &Json) -> String {
    json.as_f64().map_or_else(|| json.to_string(), |n| n.to_string())
}

fn json(value: Option<&Json>) -> String {
    value.map_or_else(|| "(not set)".to_owned(), |value| shown(&value.to_string(), SHOWN))
}

//! Changes of a plan, before and after, by area: those that reach further first.

use std::io;

use maud::{Markup, html};
use plue_plan::diff::{Area, Change, ChangeKind, FieldChange, PlanDiff};
use serde_json::Value as Json;

use crate::ui::{counted, text};

/// Changes that are shown.
const MAX_CHANGES: usize = 200;
/// Fields of a step that are shown.
const MAX_FIELDS: usize = 30;
/// Characters of a value.
const MAX_VALUE: usize = 1_500;

/// Areas with their titles, in the order of a review.
const AREAS: [(Area, &str); 12] = [
    (Area::Secret, "Secrets"),
    (Area::Trigger, "Triggers"),
    (Area::Budget, "Budgets"),
    (Area::Step, "Steps"),
    (Area::Hook, "Hooks"),
    (Area::Plan, "Settings"),
    (Area::Input, "Inputs"),
    (Area::Env, "Environment"),
    (Area::Context, "Context"),
    (Area::Output, "Outputs"),
    (Area::Tag, "Tags"),
    (Area::StepOrder, "Order of the steps"),
];

/// The changes of a plan.
pub(super) fn draw(diff: &PlanDiff) -> Markup {
    let more = diff.changes.len().saturating_sub(MAX_CHANGES);
    let shown = diff.changes.get(..MAX_CHANGES).unwrap_or(&diff.changes);
    html! {
        @for (area, title) in AREAS {
            @let changes: Vec<&Change> = shown.iter().filter(|change| change.area == area).collect();
            @if !changes.is_empty() {
                h3 { (title) }
                div.changes { @for change in changes { (draw_change(change)) } }
            }
        }
        @if more > 0 { p.muted { "And " (counted(more, "more change")) "." } }
    }
}

fn draw_change(change: &Change) -> Markup {
    let (sign, class) = match change.change {
        ChangeKind::Added => ("+", "added"),
        ChangeKind::Removed => ("−", "removed"),
        ChangeKind::Changed => ("~", "altered"),
    };
    let has_value = !matches!(change.area, Area::Secret | Area::Tag | Area::StepOrder);
    html! {
        div class={ "change " (class) } {
            p.change-name {
                span.change-sign aria-hidden="true" { (sign) }
                span.hidden { (class) " " }
                (text::name(&change.name))
            }
            @if has_value && change.fields.is_empty() {
                (values(change.before.as_ref(), change.after.as_ref()))
            }
            @for field in change.fields.iter().take(MAX_FIELDS) { (draw_field(field)) }
            @if change.fields.len() > MAX_FIELDS {
                p.muted { "And " (counted(change.fields.len() - MAX_FIELDS, "more field")) "." }
            }
        }
    }
}

fn draw_field(field: &FieldChange) -> Markup {
    html! {
        p.change-field { (text::code(&field.field)) }
        (values(field.before.as_ref(), field.after.as_ref()))
    }
}

fn values(before: Option<&Json>, after: Option<&Json>) -> Markup {
    html! {
        div.sides {
            @if let Some(before) = before { pre.side.was tabindex="0" aria-label="Before" { (shown(before)) } }
            @if let Some(after) = after { pre.side.now tabindex="0" aria-label="After" { (shown(after)) } }
        }
    }
}

/// The first bytes of a document; writing more is an error.
struct Head(Vec<u8>);

/// Bytes of a document that are kept: enough for [`MAX_VALUE`] characters and one more.
const MAX_BYTES: usize = 4 * (MAX_VALUE + 1);

/// A text with its line ends, any other value as JSON.
fn shown(value: &Json) -> String {
    let whole = match value {
        Json::String(text) => text.chars().take(MAX_VALUE + 1).collect(),
        other => {
            let mut head = Head(Vec::new());
            // An error means that there is more, which the mark of the cut shows.
            let _cut = serde_json::to_writer_pretty(&mut head, other);
            String::from_utf8_lossy(&head.0).into_owned()
        }
    };
    let is_cut = whole.chars().nth(MAX_VALUE).is_some();
    let cut: String = whole.chars().take(MAX_VALUE).collect();
    let mut lines: Vec<String> = cut.lines().map(|line| text::bounded(line, MAX_VALUE)).collect();
    if is_cut {
        lines.push("…".to_owned());
    }
    lines.join("\n")
}

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_BYTES.saturating_sub(self.0.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        self.0.extend_from_slice(taken);
        // 0 bytes written end the document.
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn change(area: Area, before: Option<Json>, after: Option<Json>) -> Change {
        let change = match (&before, &after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (_, _) => ChangeKind::Changed,
        };
        Change { area, name: "NAME".to_owned(), change, before, after, fields: Vec::new() }
    }

    #[test]
    fn every_area_is_shown_once() {
        let areas: BTreeSet<Area> = AREAS.iter().map(|(area, _)| *area).collect();
        assert_eq!(areas.len(), AREAS.len());
        for (area, title) in AREAS {
            let diff = PlanDiff { changes: vec![change(area, None, Some(json!("x")))] };
            assert!(draw(&diff).into_string().contains(title), "{title}");
        }
    }

    #[test]
    fn changes_have_both_sides_and_secrets_come_first() {
        let changes = vec![
            change(Area::Plan, Some(json!("1h")), Some(json!("2h\nthen"))),
            change(Area::Secret, None, Some(json!("NAME"))),
        ];
        let drawn = draw(&PlanDiff { changes }).into_string();
        assert!(drawn.find("Secrets").unwrap() < drawn.find("Settings").unwrap(), "{drawn}");
        assert!(drawn.contains(">1h<") && drawn.contains("2h\nthen"), "{drawn}");
    }

    #[test]
    fn large_changes_are_cut() {
        let evil = "<b>\u{202e}".repeat(2_000);
        let changes = vec![change(Area::Plan, Some(json!(evil)), Some(json!([evil]))); 1_000];
        let drawn = draw(&PlanDiff { changes }).into_string();
        assert!(drawn.contains("800 more changes") && !drawn.contains("<b>"));
        assert!(drawn.len() < MAX_CHANGES * 2 * MAX_VALUE * 12, "{}", drawn.len());
    }
}

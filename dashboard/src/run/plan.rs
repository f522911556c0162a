//! The plan of a run: its hash, what changed since the run before, and its JSON.

use maud::{Markup, html};

use crate::{
    shell::{Page, Section},
    state::State,
    ui::text,
};

/// Changes that are listed.
const MAX_CHANGES: usize = 200;
/// Lines of the plan's JSON.
const MAX_LINES: usize = 3_000;

/// View model of a plan's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPage {
    /// Id of the run.
    pub run: String,
    /// Name of its workflow.
    pub workflow: String,
    /// State of the run.
    pub state: State,
    /// Hash of the plan.
    pub hash: String,
    /// Hash of the plan of the run before; none: it is the first.
    pub before: Option<String>,
    /// The changes in one line; none: the plans are the same.
    pub summary: Option<String>,
    /// Parts that differ, by area and name.
    pub changes: Vec<ChangeLine>,
    /// The plan as JSON.
    pub json: String,
}

/// A changed part of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeLine {
    /// `+`, `−` or `~`.
    pub sign: char,
    /// Kind of the part: `step`.
    pub area: String,
    /// Name of the part.
    pub name: String,
    /// Fields that differ, each with its value before and after.
    pub values: Vec<ValueChange>,
}

/// A field with its values; absent: not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChange {
    /// Name of the field; empty: the part as a whole.
    pub field: String,
    /// Value in the plan of the run before, as JSON.
    pub before: Option<String>,
    /// Value in this plan, as JSON.
    pub after: Option<String>,
}

/// The page of the view model.
#[must_use]
pub fn page(model: &PlanPage) -> Page {
    let body = html! {
        p.crumbs { a href={ "/runs/" (model.run) } { "← " (text::name(&model.workflow)) } }
        div.head { h1 { "Plan of the run" } }
        div.card.facts-row {
            div.fact { span.fact-name { "Hash" } span.fact-value { (text::code(&model.hash)) } }
            div.fact {
                span.fact-name { "Run before" }
                span.fact-value {
                    @match &model.before {
                        None => { "none of this workflow" }
                        Some(before) if *before == model.hash => { "had the same plan" }
                        Some(before) => (text::code(before)),
                    }
                }
            }
            div.fact {
                span.fact-name { "Canonical JSON" }
                span.fact-value { a href={ "/api/v1/runs/" (model.run) "/plan" } { "the bytes that are hashed" } }
            }
        }
        @if let Some(summary) = &model.summary { (changes(model, summary)) }
        section.card {
            h2 { "Plan" }
            pre.log-end tabindex="0" role="region" aria-label="Plan as JSON" {
                @for (at, line) in model.json.lines().take(MAX_LINES).enumerate() {
                    @if at > 0 { "\n" }
                    (text::bounded(line, text::PARAGRAPH))
                }
            }
        }
    };
    Page::new(format!("Plan of {}", model.workflow), body)
        .section(Section::Runs)
        .state(model.state)
        .style("run.css")
}

fn changes(model: &PlanPage, summary: &str) -> Markup {
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "Changes since the run before" }
            p.muted { (text::line(summary)) }
            div.card.flush.scroll {
                table.changes {
                    thead { tr { th { "" } th { "Part" } th { "Before" } th { "After" } } }
                    tbody {
                        @for line in model.changes.iter().take(MAX_CHANGES) {
                            @for (at, value) in line.values.iter().enumerate() {
                                (change(line, value, at == 0))
                            }
                        }
                    }
                }
            }
            @if model.changes.len() > MAX_CHANGES {
                p.muted { "And " (model.changes.len() - MAX_CHANGES) " more." }
            }
        }
    }
}

fn change(line: &ChangeLine, value: &ValueChange, is_first: bool) -> Markup {
    let ValueChange { field, before, after } = value;
    let code = |value: &Option<String>| {
        html! { @if let Some(value) = value { code dir="auto" { (text::bounded(value, 600)) } } }
    };
    let tone = match line.sign {
        '+' => "good",
        '−' => "bad",
        _ => "wait",
    };
    html! {
        tr {
            td class=(tone) { @if is_first { (line.sign) } }
            td {
                @if is_first { span.muted { (line.area) " " } (text::name(&line.name)) }
                @if !field.is_empty() { div.muted { (text::code(field)) } }
            }
            td.before { (code(before)) }
            td.after { (code(after)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::Shell;

    #[test]
    fn changes_show_both_values() {
        let evil = "<script>".repeat(2_000);
        let model = PlanPage {
            run: "r".to_owned(),
            workflow: "ci".to_owned(),
            state: State::Success,
            hash: "sha256:aa".to_owned(),
            before: Some("sha256:bb".to_owned()),
            summary: Some("1 step changed".to_owned()),
            changes: vec![ChangeLine {
                sign: '~',
                area: "step".to_owned(),
                name: "build".to_owned(),
                values: vec![ValueChange {
                    field: "run".to_owned(),
                    before: Some("make".to_owned()),
                    after: Some(evil),
                }],
            }],
            json: "{}".to_owned(),
        };
        let page = page(&model).render(&Shell::default());
        assert!(page.contains("make") && page.contains("&lt;script&gt;"), "{page}");
        assert!(!page.contains("<script>") && page.len() < 20_000, "{}", page.len());
    }
}

//! The details of a step: why it is what it is, its attempts with their logs, its output and its files.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{acts, address::Address, steps::StepLine};
use crate::{
    state::State,
    ui::{counted, text, time},
};

/// Attempts, events and files that are listed each.
const MAX_LINES: usize = 50;

/// The details of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPanel {
    /// Its line in the table.
    pub line: StepLine,
    /// Events of its life: time and sentence.
    pub events: Vec<(Option<Timestamp>, String)>,
    /// Its dependencies with their states and reasons.
    pub needs: Vec<(String, State, Option<String>)>,
    /// Steps that kept it from running, the nearest first.
    pub blocked_by: Vec<String>,
    /// Conditions with their values and what they read.
    pub conditions: Vec<String>,
    /// Attempts of all visits.
    pub tries: Vec<Try>,
    /// Its output as JSON.
    pub output: Option<String>,
    /// Its part of the plan as JSON.
    pub definition: String,
    /// Files that it kept: path, bytes and address.
    pub files: Vec<(String, u64, String)>,
}

/// An attempt of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// Id of the attempt.
    pub attempt: String,
    /// Visit and number within it, from 1.
    pub number: (u32, u32),
    /// State by its outcome.
    pub state: State,
    /// Outcome in words; none: it has not ended.
    pub outcome: Option<String>,
    /// Runner that had it.
    pub runner: Option<String>,
    /// Start and end, by the runner's clock.
    pub times: (Option<Timestamp>, Option<Timestamp>),
    /// Bytes of its log.
    pub log_bytes: u64,
}

/// The panel; `acts` are the buttons that the reader may press.
#[must_use]
pub fn draw(panel: &StepPanel, address: &Address, acts: &acts::Acts, now: Timestamp) -> Markup {
    let line = &panel.line;
    html! {
        section.card.panel #details aria-labelledby="details-title" {
            div.panel-head {
                (line.state.mark())
                h2 #details-title { (text::name(line.title())) }
                a.button.plain.panel-close href=(address.closed()) data-step aria-label="Close the details" { "✕" }
            }
            p.muted {
                (text::code(&line.id)) " · " (line.kind)
                @if line.visit > 1 { " · visit " (line.visit) }
                @if line.times.started.is_some() {
                    " · " (time::duration(line.times.started, line.times.ended, now))
                }
            }
            div.row.panel-acts {
                (acts.of_step(&line.id))
            }
            (why(panel))
            (tries(panel, &address.run, now))
            (files(panel))
            @if let Some(output) = &panel.output {
                details open { summary { "Output" } (json("Output", output)) }
            }
            details { summary { "Definition" } (json("Definition", &panel.definition)) }
        }
    }
}

fn json(name: &str, text: &str) -> Markup {
    html! {
        pre.log-end tabindex="0" role="region" aria-label=(name) {
            @for (at, line) in text.lines().take(400).enumerate() {
                @if at > 0 { "\n" }
                (text::bounded(line, text::PARAGRAPH))
            }
        }
    }
}

fn why(panel: &StepPanel) -> Markup {
    html! {
        h3 { "Why" }
        ul.why-list {
            @if let Some(reason) = &panel.line.reason { li { (text::line(reason)) } }
            @for step in panel.blocked_by.iter().take(MAX_LINES) { li { "blocked by " (text::code(step)) } }
            @for (step, state, reason) in panel.needs.iter().take(MAX_LINES) {
                li {
                    "needs " (text::code(step)) " " (state.mark())
                    @if let Some(reason) = reason { " " (text::line(reason)) }
                }
            }
            @for condition in panel.conditions.iter().take(MAX_LINES) { li { (text::line(condition)) } }
            @for (at, what) in panel.events.iter().take(MAX_LINES) {
                li { @if let Some(at) = at { span.muted { (time::when(*at)) } " · " } (text::line(what)) }
            }
            @if panel.line.reason.is_none() && panel.needs.is_empty() && panel.conditions.is_empty()
                && panel.events.is_empty() {
                li.muted { "It waits for no other step and has no condition." }
            }
        }
    }
}

fn tries(panel: &StepPanel, run: &str, now: Timestamp) -> Markup {
    html! {
        @if !panel.tries.is_empty() {
            h3 { (counted(panel.tries.len(), "attempt")) }
            ol.tries {
                @for one in panel.tries.iter().rev().take(MAX_LINES) { (attempt(one, panel, run, now)) }
            }
        }
    }
}

fn attempt(one: &Try, panel: &StepPanel, run: &str, now: Timestamp) -> Markup {
    let (visit, number) = one.number;
    let (start, end) = one.times;
    let base = format!("/runs/{run}/attempts/{}", one.attempt);
    html! {
        li {
            (one.state.icon()) " "
            @if visit > 1 { "Visit " (visit) ", attempt " (number) } @else { "Attempt " (number) }
            @if start.is_some() { " · " (time::duration(start, end, now)) }
            @if let Some(outcome) = &one.outcome { " · " (text::line(outcome)) }
            @if let Some(runner) = &one.runner { span.muted { " on " (text::code(runner)) } }
            span.step-links {
                @if panel.line.kind == "llm" { " " a href={ (base) "/agent" } { "Agent" } }
                " " a href={ (base) "/log" } { "Log" }
                span.muted { " " (bytes(one.log_bytes)) }
            }
        }
    }
}

fn files(panel: &StepPanel) -> Markup {
    html! {
        @if !panel.files.is_empty() {
            h3 { "Artifacts" }
            ul {
                @for (path, size, href) in panel.files.iter().take(MAX_LINES) {
                    li { a href=(href) download { (text::line(path)) } span.muted { " " (bytes(*size)) } }
                }
                @if panel.files.len() > MAX_LINES { li.muted { "and " (panel.files.len() - MAX_LINES) " more" } }
            }
        }
    }
}

/// A size for people.
#[must_use]
pub fn bytes(count: u64) -> String {
    const KILO: u64 = 1_000;
    match count {
        ..KILO => format!("{count} B"),
        KILO..1_000_000 => format!("{}.{} kB", count / KILO, count % KILO / 100),
        1_000_000..1_000_000_000 => {
            format!("{}.{} MB", count / 1_000_000, count % 1_000_000 / 100_000)
        }
        _ => format!("{}.{} GB", count / 1_000_000_000, count % 1_000_000_000 / 100_000_000),
    }
}

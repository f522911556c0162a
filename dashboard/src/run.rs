//! The page of a run: its state and reason, what it waits for, its steps, and what it was made from.

use std::sync::Arc;

use jiff::Timestamp;
use maud::{Markup, html};
use plue_picture::placed::Placed;

use crate::{
    shell::{Page, Section},
    state::State,
    ui::{Tone, money, notice, text, time},
};

pub mod acts;
pub mod address;
pub mod graph;
pub mod head;
pub mod panel;
pub mod plan;
pub mod steps;
pub mod tests;
pub mod timeline;

use acts::Acts;
use address::{Address, View};
use head::RunHead;
use panel::StepPanel;
use steps::StepLine;
use tests::TestResults;
use timeline::Lane;

/// Steps that are listed.
pub const MAX_STEPS: usize = 2_000;
/// Notes that are listed.
const MAX_NOTES: usize = 50;

/// View model of a run's page.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPage {
    /// Choices of the reader.
    pub address: Address,
    /// Identity, cause and times.
    pub head: RunHead,
    /// Waits of the run as a whole, then of its steps.
    pub waits: Vec<Wait>,
    /// Steps in the order of the plan, then hooks.
    pub steps: Vec<StepLine>,
    /// The picture of the chosen view.
    pub picture: Picture,
    /// Details of the chosen step.
    pub chosen: Option<StepPanel>,
    /// Buttons that the reader may press.
    pub acts: Acts,
    /// Results of tests, if steps reported any.
    pub tests: Option<TestResults>,
    /// Remarks of runners, each with its step.
    pub notes: Vec<(String, String)>,
    /// Ends of the logs of failed steps.
    pub logs: Vec<LogEnd>,
    /// Time of the page.
    pub now: Timestamp,
    /// Facts in the journal that the page shows.
    pub seq: u64,
}

/// The picture above the table.
#[derive(Debug, Clone, PartialEq)]
pub enum Picture {
    /// The plan, laid out.
    Graph(Arc<Placed>),
    /// Bars of attempts, one lane for each step.
    Timeline(Vec<Lane>),
}

/// A wait of a run or a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The step; none: the run as a whole.
    pub step: Option<String>,
    /// The subject of the wait in words.
    pub words: String,
    /// The run in front; `words` end with its id.
    pub behind: Option<String>,
    /// Time at which the wait ends by itself.
    pub until: Option<Timestamp>,
}

/// The end of the log of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// Step that the line is about.
    pub step: String,
    /// Attempt that printed it.
    pub attempt: String,
    /// The last lines, without terminal codes.
    pub text: String,
    /// Bytes of the whole log.
    pub bytes: u64,
}

/// The page of the view model.
#[must_use]
pub fn page(model: &RunPage) -> Page {
    let head = &model.head;
    let critical = match head.state.is_live() {
        true => Vec::new(),
        false => graph::critical_path(&model.steps),
    };
    let body = html! {
        (head::draw(head, &model.acts, model.now))
        @if let Some(reason) = shown_reason(model) {
            (notice(tone(head.state), &html! { (text::paragraph(reason)) }))
        }
        (model.acts.decisions())
        @for wait in model.waits.iter().filter(|wait| !is_asked(model, wait)) { (draw_wait(wait)) }
        @for (step, note) in model.notes.iter().take(MAX_NOTES) {
            (notice(Tone::Idle, &html! { "Step " (text::code(step)) ": " (text::line(note)) }))
        }
        (picture(model, &critical))
        @for (at, log) in model.logs.iter().enumerate() { (log_block(&head.id, log, at == 0)) }
        div.split {
            div { (steps::table(&model.address, &model.steps, &critical, model.now)) }
            @if let Some(panel) = &model.chosen {
                (panel::draw(panel, &model.address, &model.acts, model.now))
            }
        }
        @if let Some(results) = &model.tests { (tests::section(&head.id, results)) }
    };
    let topic = format!("run:{}", head.id);
    Page::new(head.workflow.clone(), body)
        .section(Section::Runs)
        .state(head.state)
        .module("graph.js")
        .style("run.css")
        .follow(topic, model.seq)
}

/// The picture with its views and, where scripts run, its zoom.
fn picture(model: &RunPage, critical: &[usize]) -> Markup {
    let address = &model.address;
    let tab = |view: View, title: &str| {
        let current = (address.view == view).then_some("page");
        html! { a href=(address.viewing(view)) data-step aria-current=[current] { (title) } }
    };
    html! {
        section.picture aria-label="Picture of the run" {
            div.picture-bar {
                nav.tabs aria-label="Picture" {
                    (tab(View::Graph, "Graph"))
                    (tab(View::Timeline, "Timeline"))
                }
                @if let Picture::Graph(_) = &model.picture {
                    div.zoom #zoom data-keep hidden {
                        button type="button" data-zoom="out" aria-label="Smaller" { "−" }
                        button type="button" data-zoom="fit" { "Fit" }
                        button type="button" data-zoom="in" aria-label="Larger" { "+" }
                    }
                }
            }
            @match &model.picture {
                Picture::Graph(placed) => {
                    (graph::draw(placed, &model.steps, critical, address))
                }
                Picture::Timeline(lanes) => (timeline::draw(address, lanes, model.now)),
            }
        }
    }
}

/// The reason of the state, unless a wait repeats it.
fn shown_reason(model: &RunPage) -> Option<&str> {
    let reason = model.head.reason.as_deref()?;
    let is_listed = model.waits.iter().any(|wait| match &wait.step {
        Some(step) => reason == format!("step `{step}` {}", wait.words),
        None => reason == wait.words,
    });
    (!is_listed).then_some(reason)
}

/// Whether a decision with its form shows the wait.
fn is_asked(model: &RunPage, wait: &Wait) -> bool {
    wait.step.as_ref().is_some_and(|step| model.acts.asks.iter().any(|ask| ask.step == *step))
}

fn tone(state: State) -> Tone {
    match state.tone() {
        "good" => Tone::Good,
        "bad" => Tone::Bad,
        "wait" | "busy" => Tone::Wait,
        _ => Tone::Idle,
    }
}

fn draw_wait(wait: &Wait) -> Markup {
    let words = &wait.words;
    let front = wait.behind.as_ref().and_then(|run| Some((words.strip_suffix(run.as_str())?, run)));
    let content = html! {
        p {
            @if let Some(step) = &wait.step {
                "Step " (text::code(step)) " " (text::line(words))
            } @else if let Some((words, run)) = front {
                "The run " (text::line(words)) a href={ "/runs/" (run) } { (text::code(run)) }
            } @else {
                "The run " (text::line(words))
            }
            @if let Some(until) = wait.until { " · until " (time::when(until)) }
        }
    };
    notice(Tone::Wait, &content)
}

/// The end of a log; folded unless it is the first.
fn log_block(run: &str, log: &LogEnd, is_open: bool) -> Markup {
    let whole = format!("/runs/{run}/attempts/{}/log", log.attempt);
    html! {
        details.card.log-card open[is_open] {
            summary { "End of the log of " (text::code(&log.step)) }
            @if log.text.is_empty() {
                p.muted { "It printed nothing." }
            } @else {
                pre.log-end tabindex="0" role="region" aria-label={ "Log of " (log.step) } { (log.text) }
                p.muted { a href=(whole) { "The whole log" } " · " (panel::bytes(log.bytes)) }
            }
        }
    }
}

/// Money and calls of Claude.
#[must_use]
pub fn spend(usd: f64, calls: u64) -> Markup {
    html! { (money(usd)) span.muted { " in " (calls) " calls" } }
}

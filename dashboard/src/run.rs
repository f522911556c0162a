//! The page of a run: its state and reason, what it waits for, its steps, and what it was made from.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::{
    shell::{Page, Section},
    state::State,
    ui::{Tone, money, notice, text, time},
};

pub mod head;
pub mod steps;
pub mod tests;

use head::RunHead;
use steps::StepLine;
use tests::TestResults;

/// Steps that are listed.
pub const MAX_STEPS: usize = 2_000;
/// Notes that are listed.
const MAX_NOTES: usize = 50;

/// View model of a run's page.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPage {
    /// Identity, cause and times.
    pub head: RunHead,
    /// Waits of the run as a whole, then of its steps.
    pub waits: Vec<Wait>,
    /// Steps in the order of the plan, then hooks.
    pub steps: Vec<StepLine>,
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
    let body = html! {
        (head::draw(head, model.now))
        @if let Some(reason) = shown_reason(model) {
            (notice(tone(head.state), &html! { (text::paragraph(reason)) }))
        }
        @for wait in &model.waits { (draw_wait(wait)) }
        @for (step, note) in model.notes.iter().take(MAX_NOTES) {
            (notice(Tone::Idle, &html! { "Step " (text::code(step)) ": " (text::line(note)) }))
        }
        (steps::table(&head.id, &model.steps, model.now))
        @if let Some(results) = &model.tests { (tests::section(&head.id, results)) }
        @for log in &model.logs { (log_block(&head.id, log)) }
    };
    let topic = format!("run:{}", head.id);
    Page::new(head.workflow.clone(), body)
        .section(Section::Runs)
        .state(head.state)
        .follow(topic, model.seq)
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
                "Step " (text::code(step)) " waits: " (text::line(words))
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

fn log_block(run: &str, log: &LogEnd) -> Markup {
    let whole = format!("/api/v1/runs/{run}/attempts/{}/log/raw", log.attempt);
    html! {
        section.card {
            h2 { "End of the log of " (text::code(&log.step)) }
            @if log.text.is_empty() {
                p.muted { "It printed nothing." }
            } @else {
                pre.log-end tabindex="0" role="region" aria-label={ "Log of " (log.step) } { (log.text) }
                p.muted { a href=(whole) { "The whole log" } " · " (log.bytes) " bytes" }
            }
        }
    }
}

/// Money and calls of Claude.
#[must_use]
pub fn spend(usd: f64, calls: u64) -> Markup {
    html! { (money(usd)) span.muted { " in " (calls) " calls" } }
}

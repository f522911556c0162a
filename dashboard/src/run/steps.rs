//! The table of steps: everything that the picture shows, and why.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{MAX_STEPS, address::Address};
use crate::{
    state::State,
    ui::{counted, money, text, time},
};

/// Dependencies that a line names.
const MAX_NEEDS: usize = 4;

/// A step in its current visit.
#[derive(Debug, Clone, PartialEq)]
pub struct StepLine {
    /// Id of the step.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its kind: `bash`.
    pub kind: String,
    /// State by its status row.
    pub state: State,
    /// Reason of the state.
    pub reason: Option<String>,
    /// Number of visits so far.
    pub visit: u32,
    /// Attempts in this visit.
    pub attempts: u32,
    /// Times of the current visit.
    pub times: StepTimes,
    /// Steps that come first.
    pub needs: Vec<String>,
    /// Newest attempt; none: it was never queued.
    pub attempt: Option<String>,
    /// Dollars spent on Claude; none: it asked nothing.
    pub usd: Option<f64>,
}

/// Times of a step in its current visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepTimes {
    /// Time from which it could have started.
    pub ready: Option<Timestamp>,
    /// Start of its first attempt, by the runner's clock.
    pub started: Option<Timestamp>,
    /// End of its last attempt.
    pub ended: Option<Timestamp>,
}

// === impl StepLine ===

impl Default for StepLine {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: None,
            kind: String::new(),
            state: State::Pending,
            reason: None,
            visit: 1,
            attempts: 0,
            times: StepTimes::default(),
            needs: Vec::new(),
            attempt: None,
            usd: None,
        }
    }
}

impl StepLine {
    /// The name for people.
    #[must_use]
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// The table of all steps; those at `critical` decided when the run ended.
#[must_use]
pub fn table(address: &Address, steps: &[StepLine], critical: &[usize], now: Timestamp) -> Markup {
    let more = steps.len().saturating_sub(MAX_STEPS);
    let has_cost = steps.iter().any(|step| step.usd.is_some());
    html! {
        section aria-labelledby="steps" {
            h2 #steps { "Steps" }
            div.card.flush.scroll {
                table.steps {
                    thead { tr {
                        th { "Step" } th { "State" } th.right { "Duration" }
                        @if has_cost { th.right { "Cost" } }
                        th { "Why" }
                        th { span.hidden { "Log" } }
                    } }
                    tbody {
                        @for (at, step) in steps.iter().take(MAX_STEPS).enumerate() {
                            (Row { address, step, has_cost, is_critical: critical.contains(&at) }.draw(now))
                        }
                    }
                }
            }
            @if more > 0 { p.muted { "And " (counted(more, "more step")) "." } }
        }
    }
}

struct Row<'r> {
    address: &'r Address,
    step: &'r StepLine,
    has_cost: bool,
    is_critical: bool,
}

// === impl Row ===

impl Row<'_> {
    fn draw(&self, now: Timestamp) -> Markup {
        let step = self.step;
        let is_chosen = self.address.step.as_deref() == Some(&step.id);
        html! {
            tr id={ "step-" (step.id) } class=[is_chosen.then_some("chosen")] {
                td {
                    a.step-name data-row data-step href=(self.address.at(&step.id)) {
                        (text::name(step.title()))
                    }
                    (self.sub())
                }
                td { (step.state.mark()) }
                td.right { (time::duration(step.times.started, step.times.ended, now)) }
                @if self.has_cost { td.right.nums { @if let Some(usd) = step.usd { (money(usd)) } } }
                td.why { @if let Some(reason) = &step.reason { (text::line(reason)) } }
                td.right.step-links { (links(&self.address.run, step)) }
            }
        }
    }

    fn sub(&self) -> Markup {
        let step = self.step;
        html! {
            span.step-sub.muted {
                @if step.name.is_some() { (text::code(&step.id)) " · " }
                (step.kind)
                @if step.visit > 1 { " · visit " (step.visit) }
                @if step.attempts > 1 { " · " (counted(step.attempts as usize, "attempt")) }
                @if !step.needs.is_empty() {
                    " · after "
                    @for (at, id) in step.needs.iter().take(MAX_NEEDS).enumerate() {
                        @if at > 0 { ", " } (text::name(id))
                    }
                    @if step.needs.len() > MAX_NEEDS { " and " (step.needs.len() - MAX_NEEDS) " more" }
                }
                @if self.is_critical {
                    " · " span.crit-mark title="The end of the run waited for it" { "critical path" }
                }
            }
        }
    }
}

/// Links to what a step printed or talked about.
#[must_use]
pub fn links(run: &str, step: &StepLine) -> Markup {
    html! {
        @if let Some(attempt) = &step.attempt {
            @let base = format!("/runs/{run}/attempts/{attempt}");
            @if step.kind == "llm" {
                a href={ (base) "/agent" } { "Agent" span.hidden { " of " (text::name(step.title())) } }
                " "
            }
            a href={ (base) "/log" } { "Log" span.hidden { " of " (text::name(step.title())) } }
        }
    }
}

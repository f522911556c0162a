//! The table of steps: everything that the picture shows, and why.

use jiff::Timestamp;
use maud::{Markup, html};

use super::MAX_STEPS;
use crate::{
    state::State,
    ui::{counted, money, text, time},
};

/// A step in its current visit.
#[derive(Debug, Clone, PartialEq)]
pub struct StepLine {
    /// Id of the run or step.
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
    /// Time from which it could have started.
    pub ready: Option<Timestamp>,
    /// Start of the current visit.
    pub started: Option<Timestamp>,
    /// End of the current visit.
    pub ended: Option<Timestamp>,
    /// Dollars spent on Claude; none: it asked nothing.
    pub usd: Option<f64>,
}

/// The table of all steps.
#[must_use]
pub fn table(_run: &str, steps: &[StepLine], now: Timestamp) -> Markup {
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
                    } }
                    tbody {
                        @for step in steps.iter().take(MAX_STEPS) {
                            (line(step, has_cost, now))
                        }
                    }
                }
            }
            @if more > 0 { p.muted { "And " (counted(more, "more step")) "." } }
        }
    }
}

fn line(step: &StepLine, has_cost: bool, now: Timestamp) -> Markup {
    html! {
        tr id={ "step-" (step.id) } {
            td {
                span.step-name { (text::name(step.name.as_deref().unwrap_or(&step.id))) }
                span.step-sub.muted {
                    @if step.name.is_some() { (text::code(&step.id)) " · " }
                    (step.kind)
                    @if step.visit > 1 { " · visit " (step.visit) }
                    @if step.attempts > 1 { " · " (counted(step.attempts as usize, "attempt")) }
                }
            }
            td { (step.state.mark()) }
            td.right { (time::duration(step.started, step.ended, now)) }
            @if has_cost { td.right.nums { @if let Some(usd) = step.usd { (money(usd)) } } }
            td.why { @if let Some(reason) = &step.reason { (text::line(reason)) } }
        }
    }
}

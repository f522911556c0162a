//! The head of a run's page: name, state, cause, times and cost.

use jiff::Timestamp;
use maud::{Markup, html};

use super::acts::Acts;
use crate::{
    state::State,
    ui::{text, time},
};

/// Identity, cause and times of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunHead {
    /// Id of the run or step.
    pub id: String,
    /// Name of its workflow.
    pub workflow: String,
    /// State by its status row.
    pub state: State,
    /// Reason of the state.
    pub reason: Option<String>,
    /// Purpose of the plan.
    pub goal: Option<String>,
    /// Hash of the plan.
    pub plan: String,
    /// Path of the workflow file.
    pub source: String,
    /// Event that started it.
    pub cause: Cause,
    /// Times of creation, start and end.
    pub times: Times,
    /// Whether the run before it of the same workflow had another plan.
    pub has_new_plan: bool,
    /// Dollars and calls of Claude.
    pub spend: Option<(f64, u64)>,
}

/// Event of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// Type of the event: `push`.
    pub event: String,
    /// Author of the event.
    pub actor: Option<String>,
    /// `owner/name` of the repository, if known.
    pub repo: Option<String>,
    /// Branch or tag of the event.
    pub branch: Option<String>,
    /// Hash of the commit.
    pub sha: Option<String>,
}

/// Times of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Time of the request.
    pub created: Timestamp,
    /// Start of its first step.
    pub started: Option<Timestamp>,
    /// End of its last step.
    pub ended: Option<Timestamp>,
}

// === impl Times ===

impl Times {
    /// Milliseconds between creation and first step.
    #[must_use]
    pub fn queued_ms(&self) -> Option<i64> {
        let started = self.started?.as_millisecond();
        Some(started.saturating_sub(self.created.as_millisecond()).max(0))
    }
}

/// The head of the page.
#[must_use]
pub fn draw(head: &RunHead, acts: &Acts, now: Timestamp) -> Markup {
    let (cause, times) = (&head.cause, &head.times);
    html! {
        div.head {
            (head.state.mark())
            h1 { (text::name(&head.workflow)) }
            (acts.of_run())
        }
        div.card.facts-row {
            @if let Some(repo) = &cause.repo { (fact("Repository", &text::name(repo))) }
            @if let Some(branch) = &cause.branch { (fact("Branch or tag", &text::name(branch))) }
            @if let Some(sha) = &cause.sha { (fact("Commit", &text::hash(sha))) }
            (fact("Event", &html! {
                (text::name(&cause.event))
                @if let Some(actor) = &cause.actor { span.muted { " by " } (text::name(actor)) }
            }))
            (fact("Created", &time::when(times.created)))
            @if let Some(ms) = times.queued_ms() { (fact("Queued", &html! { span.took { (time::took(ms)) } })) }
            @if times.started.is_some() {
                (fact("Duration", &time::duration(times.started, times.ended, now)))
            }
            @if let Some((usd, calls)) = head.spend { (fact("Claude", &super::spend(usd, calls))) }
            (fact("Plan", &html! {
                a href={ "/runs/" (head.id) "/plan" } { (text::hash(&head.plan)) }
                span.muted { " of " } (text::code(&head.source))
                @if head.has_new_plan {
                    " " a.tag href={ "/runs/" (head.id) "/plan" } { "changed" }
                }
            }))
            (fact("Run", &text::code(&head.id)))
        }
        @if let Some(goal) = &head.goal { (text::paragraph(goal)) }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div.fact { span.fact-name { (name) } span.fact-value { (value) } } }
}
